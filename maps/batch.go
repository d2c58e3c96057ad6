package maps

// Pair is an element in batch operations, as HostLookup gives it.
type Pair struct{ Key, Value []byte }

// LookupBatch returns up to n elements after the key after, from the first one when after is nil; fewer than n mean that
// there are no more (Linux: BPF_MAP_LOOKUP_BATCH). To go on, pass the last element's key.
func LookupBatch(m Map, after []byte, n int) []Pair {
	var batch []Pair
	for key, ok := m.Next(after); ok && len(batch) < n; key, ok = m.Next(key) {
		if value, err := m.HostLookup(key); err == nil { // else it went away meanwhile
			batch = append(batch, Pair{key, value})
		}
	}
	return batch
}

// UpdateBatch sets elements in order and stops at the first that fails; done counts those before it
// (Linux: BPF_MAP_UPDATE_BATCH).
func UpdateBatch(m Map, batch []Pair, flags uint64) (done int, err error) {
	for i, p := range batch {
		if err := m.HostUpdate(p.Key, p.Value, flags); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

// DeleteBatch deletes keys in order and stops at the first that fails; done counts those before it
// (Linux: BPF_MAP_DELETE_BATCH).
func DeleteBatch(m Map, keys [][]byte) (done int, err error) {
	for i, key := range keys {
		if err := m.Delete(key); err != nil {
			return i, err
		}
	}
	return len(keys), nil
}
