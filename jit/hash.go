package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
)

// Lookups in hashes are done by a function in the machine code, one for each map that the program names. It is what
// maps does in Go (see the layout there): walk the index table from the slot of the key's hash. Where that does not end
// soon, or finds nothing while a deletion may be moving slots, it asks Go.
//
// The first slot is looked at without more ado: that is where most keys are found. Otherwise the walk begins again, with
// an eye on the map's counter of moves.
//
// It uses R1-R5, which are dead behind a call in verified programs; others call Go.

// hashMap is what a lookup needs to know of a hash.
type hashMap struct {
	maps.HashLayout
	handle  uint32
	keySize uint32
}

// hashProbes is how many slots are looked at before Go is asked: the table is half full at most.
const hashProbes = 16

// maxInlineKey is the longest key that is hashed in machine code, bytes.
const maxInlineKey = 64

// keyWord says how a word of a key, padded with zeros, is read: size bytes at off, shifted right.
type keyWord struct {
	off   int32
	size  uint8 // 1, 2, 4 or 8
	shift int32 // bits; the bytes of an earlier word are shifted out
}

// keyWords are the words of a key of n bytes. There are none for lengths that take more than a load a word.
func keyWords(n uint32) []keyWord {
	if n > maxInlineKey {
		return nil
	}
	var words []keyWord
	full, rest := n/8, n%8
	for i := range full {
		words = append(words, keyWord{off: int32(8 * i), size: 8})
	}
	switch {
	case rest == 0:
	case rest&(rest-1) == 0:
		words = append(words, keyWord{off: int32(8 * full), size: uint8(rest)})
	case full > 0:
		words = append(words, keyWord{off: int32(n - 8), size: 8, shift: int32(64 - 8*rest)})
	default:
		return nil
	}
	return words
}

// hashFunc is the function that looks keys up in one map.
type hashFunc struct {
	hashMap
	words []keyWord
	label label
}

// hashLookup emits R0 = address of the value whose key R2 points to, or 0. It reports whether it could.
func (g *gen) hashLookup(pc int, m hashMap) bool {
	f := g.hashFuncOf(m)
	if f == nil {
		return false
	}
	done := g.out.Labels(1)
	g.emit.callHash(f.label, g.leaveLater(exitHelper, pc, done))
	g.out.Bind(done)
	return true
}

// hashFuncOf is the function for m, nil when its keys are none for machine code.
func (g *gen) hashFuncOf(m hashMap) *hashFunc {
	for i := range g.hashes {
		if g.hashes[i].handle == m.handle {
			return &g.hashes[i]
		}
	}
	words := keyWords(m.keySize)
	if words == nil {
		return nil
	}
	g.hashes = append(g.hashes, hashFunc{m, words, g.out.Labels(1)})
	return &g.hashes[len(g.hashes)-1]
}

// hashFuncs emits the functions.
func (g *gen) hashFuncs() {
	for i := range g.hashes {
		f := &g.hashes[i]
		walk := g.out.Labels(1)
		g.out.Bind(f.label)
		g.emit.hashStart(f)
		g.emit.hashSlot(f, walk, walk)
		g.emit.hashHit(f)
		g.out.Bind(walk)
		g.emit.hashWalk(f)
	}
}

// mapLookup emits a call of bpf_map_lookup_elem without leaving machine code, if it can.
func (g *gen) mapLookup(pc int) bool {
	r1, ok := g.flow.ranges[asm.R1].constant()
	if !ok || r1>>32 != 0 {
		return false
	}
	handle := uint32(r1)
	if m, ok := g.t.array(handle); ok {
		g.arrayLookup(pc, handle, m)
		return true
	}
	if !g.t.verified {
		return false
	}
	m, ok := g.t.hash(handle)
	return ok && g.hashLookup(pc, m)
}
