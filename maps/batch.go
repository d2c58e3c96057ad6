package maps

// Pair is an element in batch operations, as HostLookup gives it.
type Pair struct{ Key, Value []byte }

// admitBatch is what all batch commands check first (Linux: bpf_map_do_batch, generic_map_lookup_batch).
func (h Host) admitBatch(op string, cmd batches, need access, flags uint64) error {
	if err := h.admit(op, need, 0, false); err != nil {
		return err
	}
	if h.core().row.host.batch&cmd == 0 {
		return h.core().fail(op, ENOTSUPP)
	}
	return h.admit(op, 0, flags, true)
}

// LookupBatch returns up to n elements after the key after, from the first one when after is nil. To go on, pass the last element's
// key. ENOENT comes with the last elements, or with none (Linux: BPF_MAP_LOOKUP_BATCH; there the mark between two calls is a
// bucket for hashes, and it gives ENOSPC when n is smaller than a bucket).
func (h Host) LookupBatch(after []byte, n int, flags uint64) ([]Pair, error) {
	const op = "lookup batch"
	if err := h.admitBatch(op, lookupBatch, reads, flags); err != nil {
		return nil, err
	}
	var batch []Pair
	for key := after; len(batch) < n; {
		next, err := h.next(key)
		if err != nil {
			return batch, h.core().fail(op, ErrnoOf(err))
		}
		key = next
		value, err := h.copyOut(op, key)
		if ErrnoOf(err) == ENOENT { // it went away meanwhile, or an array's element is empty
			continue
		}
		if err != nil {
			return batch, err
		}
		batch = append(batch, Pair{key, value})
	}
	return batch, nil
}

// LookupAndDeleteBatch takes up to n elements out of a hash (Linux: BPF_MAP_LOOKUP_AND_DELETE_BATCH). ENOENT comes with the last
// elements, or with none.
func (h Host) LookupAndDeleteBatch(n int, flags uint64) ([]Pair, error) {
	const op = "lookup and delete batch"
	if err := h.admitBatch(op, takeBatch, reads|writes, flags); err != nil {
		return nil, err
	}
	var batch []Pair
	for len(batch) < n {
		key, err := h.next(nil)
		if err != nil {
			return batch, h.core().fail(op, ErrnoOf(err))
		}
		value, err := h.m.(taker).takeOut(key)
		if err == nil {
			batch = append(batch, Pair{key, value})
		}
	}
	return batch, nil
}

// UpdateBatch sets elements in order and stops at the first that fails; done counts those before it
// (Linux: BPF_MAP_UPDATE_BATCH). Flags may be Lock.
func (h Host) UpdateBatch(batch []Pair, flags uint64) (done int, err error) {
	if err := h.admitBatch("update batch", updateBatch, writes, flags); err != nil {
		return 0, err
	}
	for i, p := range batch {
		if err := h.update(p.Key, p.Value, flags); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

// DeleteBatch deletes keys in order and stops at the first that fails; done counts those before it
// (Linux: BPF_MAP_DELETE_BATCH). Flags may be Lock.
func (h Host) DeleteBatch(keys [][]byte, flags uint64) (done int, err error) {
	if err := h.admitBatch("delete batch", deleteBatch, writes, flags); err != nil {
		return 0, err
	}
	for i, key := range keys {
		if err := h.del(key); err != nil {
			return i, err
		}
	}
	return len(keys), nil
}
