package mem

import "encoding/binary"

// allows reports whether a granule in that state lets all its bytes be accessed through plane.
func allows(state uint32, plane int) bool { return state>>plane&1 != 0 }

// check answers for 1 to 8 bytes.
func (sh *shadow) check(plane int, addr, n uint32) bool {
	if uint64(addr) >= sh.size || uint64(addr)+uint64(n) > sh.size {
		return false
	}
	first := addr >> granuleShift
	state := sh.states[first].Load()
	if addr&(granule-1) > granule-8 {
		return sh.checkRange(plane, addr, n) // may straddle two granules
	}
	if state != stateMixed {
		return allows(state, plane)
	}
	bits := binary.LittleEndian.Uint64(sh.planes[plane][addr>>3:]) >> (addr & 7)
	return ^bits&(1<<n-1) == 0
}

// checkRange answers for any number of bytes.
func (sh *shadow) checkRange(plane int, addr, n uint32) bool {
	end := uint64(addr) + uint64(n)
	if end > sh.size {
		return false
	}
	for at := uint64(addr); at < end; {
		next := min(at&^(granule-1)+granule, end)
		state := sh.states[at>>granuleShift].Load()
		if state != stateMixed {
			if !allows(state, plane) {
				return false
			}
		} else if !allSet(sh.planes[plane], at, next) {
			return false
		}
		at = next
	}
	return true
}

// set gives all bytes of [addr, addr+n) that state.
func (sh *shadow) set(addr, n uint32, state uint32) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	end := min(uint64(addr)+uint64(n), sh.size)
	for at := uint64(addr); at < end; {
		next := min(at&^(granule-1)+granule, end)
		sh.setInGranule(at, next, state)
		at = next
	}
}

// setInGranule is set for [from, to) within one granule.
func (sh *shadow) setInGranule(from, to uint64, state uint32) {
	word := &sh.states[from>>granuleShift]
	old := word.Load()
	if old == state {
		return
	}
	if to-from == granule {
		word.Store(state)
		return
	}
	if old != stateMixed {
		start := from &^ (granule - 1)
		for plane := range sh.planes {
			setBits(sh.planes[plane], start, start+granule, allows(old, plane))
		}
	}
	for plane := range sh.planes {
		setBits(sh.planes[plane], from, to, allows(state, plane))
	}
	word.Store(stateMixed)
}

// word returns the 8 bytes of a plane that hold bit i. Bit order is little-endian on every host, as check reads it.
func word(plane []byte, i uint64) []byte { return plane[i>>6<<3:][:8] }

// edges returns the masks of the bits from from on in its word, and of the bits before to in the word of to-1.
func edges(from, to uint64) (first, last uint64) {
	return ^uint64(0) << (from & 63), ^uint64(0) >> (63 - (to-1)&63)
}

// setBits sets or clears bits [from, to), from < to.
func setBits(plane []byte, from, to uint64, on bool) {
	first, last := edges(from, to)
	if from>>6 == (to-1)>>6 {
		change(word(plane, from), first&last, on)
		return
	}
	change(word(plane, from), first, on)
	for at := from>>6 + 1; at < (to-1)>>6; at++ {
		change(word(plane, at<<6), ^uint64(0), on)
	}
	change(word(plane, to-1), last, on)
}

func change(w []byte, bits uint64, on bool) {
	v := binary.LittleEndian.Uint64(w)
	if on {
		v |= bits
	} else {
		v &^= bits
	}
	binary.LittleEndian.PutUint64(w, v)
}

// allSet reports whether bits [from, to) are all set, from < to.
func allSet(plane []byte, from, to uint64) bool {
	first, last := edges(from, to)
	if from>>6 == (to-1)>>6 {
		return covers(word(plane, from), first&last)
	}
	if !covers(word(plane, from), first) || !covers(word(plane, to-1), last) {
		return false
	}
	for at := from>>6 + 1; at < (to-1)>>6; at++ {
		if !covers(word(plane, at<<6), ^uint64(0)) {
			return false
		}
	}
	return true
}

// covers reports whether all of bits are set in w.
func covers(w []byte, bits uint64) bool { return ^binary.LittleEndian.Uint64(w)&bits == 0 }
