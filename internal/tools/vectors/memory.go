package main

import (
	"encoding/binary"
	"fmt"
)

// memory is what the vectors of loads and stores get: 64 bytes, no two of a kind, with and without the top bit.
var memory = func() (b []byte) {
	for i := range 64 {
		b = append(b, byte(0x11+i*0x53))
	}
	return b
}()

// place is where an access goes: off from the base register, which is at from the start of the memory.
type place struct {
	at  int
	off int16
}

// places have offsets of every sign, and addresses of every alignment.
var places = []place{{0, 0}, {0, 1}, {0, 3}, {8, -8}, {9, -4}, {16, 5}, {32, -15}, {24, 0}, {0, 56}, {64, -8}, {5, 2}, {40, 7}, {64, -63}, {20, -20}, {33, 22}}

// aligned are the places for accesses that have to be aligned.
var aligned = []place{{0, 0}, {8, -8}, {16, 8}, {32, -16}, {0, 56}, {64, -8}, {24, 0}, {40, 16}}

func group(bytes int) string {
	if bytes == 8 {
		return "base64"
	}
	return "base32"
}

// little reads n bytes of b.
func little(b []byte, n int) uint64 {
	var w [8]byte
	copy(w[:], b[:n])
	return binary.LittleEndian.Uint64(w[:])
}

// pointer sets base to a place of the memory; the offset is the access's.
func (p *program) pointer(base reg, pl place) {
	p.movX(base, p.ptr)
	p.addK(base, int32(pl.at))
}

// loadKind is an instruction that loads.
type loadKind struct {
	name, dir, what string
	emit            func(p *program, d, base reg, off int16)
	bytes           int
	signed          bool
	places          []place
}

func loadKinds() (all []loadKind) {
	for i, s := range sizes {
		all = append(all, loadKind{name: "ldx" + s.suffix, dir: group(s.bytes), bytes: s.bytes, places: places,
			what: fmt.Sprintf("load of %d bytes. RFC 9669 section 5.1", s.bytes),
			emit: func(p *program, d, base reg, off int16) { p.load(i, d, base, off) }})
		if s.bytes < 8 {
			all = append(all, loadKind{name: "ldxs" + s.suffix, dir: "base32", bytes: s.bytes, signed: true, places: places,
				what: fmt.Sprintf("sign-extending load of %d bytes. RFC 9669 section 5.2", s.bytes),
				emit: func(p *program, d, base reg, off int16) {
					p.add(slot{op: ldx | modeMemsx | s.bits, dst: d, src: base, off: off}, "ldxs%s %s, [%s%+d]", s.suffix, d, base, off)
				}})
		}
		all = append(all, loadKind{name: "load_acquire_" + s.suffix, dir: "linux", bytes: s.bytes, places: aligned,
			what: fmt.Sprintf("load-acquire of %d bytes", s.bytes),
			emit: func(p *program, d, base reg, off int16) {
				p.add(slot{op: stx | modeAtomic | s.bits, dst: d, src: base, off: off, imm: 0x100}, "load_acquire%s %s, [%s%+d]", s.suffix, d, base, off)
			}})
	}
	return all
}

func (k loadKind) value(b []byte) uint64 {
	v := little(b, k.bytes)
	if k.signed {
		return signed(v, k.bytes)
	}
	return v
}

func (k loadKind) vectors() []file {
	p := newProgram()
	inPairs(p, true, k.places, func(pl place, d, s reg) {
		p.pointer(s, pl)
		k.emit(p, d, s, pl.off)
		p.expect(d, k.value(memory[pl.at+int(pl.off):]))
		p.passed()
	})
	p.comment("from the stack, at its top and at its very end")
	for _, off := range []int16{-8, -16, -512, -256} {
		v := 0xf1e2d3c4b5a69788 + uint64(off)
		p.lddw(1, v)
		p.store(dword, 10, off, 1)
		k.emit(p, 5, 10, off)
		p.expect(5, k.value(binary.LittleEndian.AppendUint64(nil, v)))
		p.passed()
	}
	same := newProgram()
	inPairs(same, true, k.places, func(pl place, d, _ reg) {
		same.pointer(d, pl)
		k.emit(same, d, d, pl.off)
		same.expect(d, k.value(memory[pl.at+int(pl.off):]))
		same.passed()
	})
	return []file{
		newFile(k.dir+"/"+k.name, k.what+".", p, memory),
		newFile(k.dir+"/"+k.name+"_same", k.what+", over its own address.", same, memory),
	}
}

// storeKind is an instruction that stores a register.
type storeKind struct {
	name, dir, what string
	emit            func(p *program, base reg, off int16, s reg)
	bytes           int
	places          []place
}

func storeKinds() (all []storeKind) {
	for i, s := range sizes {
		all = append(all, storeKind{name: "stx" + s.suffix, dir: group(s.bytes), bytes: s.bytes, places: places,
			what: fmt.Sprintf("store of %d bytes of a register. RFC 9669 section 5.1", s.bytes),
			emit: func(p *program, base reg, off int16, src reg) { p.store(i, base, off, src) }})
		all = append(all, storeKind{name: "store_release_" + s.suffix, dir: "linux", bytes: s.bytes, places: aligned,
			what: fmt.Sprintf("store-release of %d bytes", s.bytes),
			emit: func(p *program, base reg, off int16, src reg) {
				p.add(slot{op: stx | modeAtomic | s.bits, dst: base, src: src, off: off, imm: 0x110}, "store_release%s [%s%+d], %s", s.suffix, base, off, src)
			}})
	}
	return all
}

// image is the memory as a program has changed it.
type image []byte

func newImage() image { return append(image(nil), memory...) }

func (m image) put(at, n int, v uint64) {
	var w [8]byte
	binary.LittleEndian.PutUint64(w[:], v)
	copy(m[at:at+n], w[:])
}

// expectAround compares the memory around an access of n bytes at at, 8 bytes at a time.
func (p *program) expectAround(m image, at, n int, scratch reg) {
	first := max(at-8, 0) &^ 7
	for i := first; i < len(m) && i < at+n+8; i += 8 {
		p.load(dword, scratch, p.ptr, int16(i))
		p.expect(scratch, little(m[i:], 8))
	}
}

// other returns a register of a part that is not one of used.
func other(used ...reg) reg {
	for r := range reg(7) {
		taken := r == 2 || r == 3 || r == 4 // the second part's own
		for _, u := range used {
			taken = taken || r == u
		}
		if !taken {
			return r
		}
	}
	panic("no register left")
}

func (k storeKind) vectors() []file {
	p := newProgram()
	m := newImage()
	n := 0
	inPairs(p, true, k.places, func(pl place, d, s reg) {
		n++
		v := uint64(n) * 0x8182838485868789
		p.pointer(d, pl)
		p.lddw(s, v)
		k.emit(p, d, pl.off, s)
		m.put(pl.at+int(pl.off), k.bytes, v)
		p.expect(s, v)
		p.expectAround(m, pl.at+int(pl.off), k.bytes, other(d, s))
		p.passed()
	})
	p.comment("to the stack, at its top and at its very end")
	for _, off := range []int16{-8, -16, -512, -256} {
		p.lddw(1, minus(1))
		p.store(dword, 10, off, 1)
		p.lddw(5, 0x8182838485868788)
		k.emit(p, 10, off, 5)
		p.load(dword, 1, 10, off)
		p.expect(1, 0x8182838485868788|^low(minus(1), k.bytes)) // the bytes above stay set
		p.passed()
	}
	same := newProgram()
	inPairs(same, true, k.places, func(pl place, d, _ reg) {
		same.pointer(d, pl)
		k.emit(same, d, pl.off, d)
		if at := pl.at + int(pl.off); at+8 <= len(memory) {
			scratch := other(d)
			same.load(sizeOf(k.bytes), scratch, same.ptr, int16(at))
			same.cut(d, k.bytes)
			same.branchX(notEqual, 64, d, scratch, same.out())
		}
		same.passed()
	})
	return []file{
		newFile(k.dir+"/"+k.name, k.what+"; the bytes around stay.", p, memory),
		newFile(k.dir+"/"+k.name+"_same", k.what+", which holds the address.", same, memory),
	}
}

func sizeOf(bytes int) int {
	for i, s := range sizes {
		if s.bytes == bytes {
			return i
		}
	}
	panic("no such size")
}

// cut keeps the low n bytes of a register, with shifts.
func (p *program) cut(r reg, n int) {
	if n == 8 {
		return
	}
	for _, name := range []string{"lsh", "rsh"} {
		for _, o := range arithmetic {
			if o.name == name {
				p.aluK(o, 64, r, int32(64-8*n))
			}
		}
	}
}

// immediateStores makes the vectors of stores of immediates.
func immediateStores() (all []file) {
	for _, s := range sizes {
		p := newProgram()
		m := newImage()
		n := 0
		inPairs(p, true, places, func(pl place, d, _ reg) {
			imm := immediates[n%len(immediates)]
			n++
			p.pointer(d, pl)
			p.add(slot{op: st | modeMem | s.bits, dst: d, off: pl.off, imm: imm}, "st%s [%s%+d], %d", s.suffix, d, pl.off, imm)
			m.put(pl.at+int(pl.off), s.bytes, uint64(int64(imm)))
			p.expectAround(m, pl.at+int(pl.off), s.bytes, other(d))
			p.passed()
		})
		p.comment("to the very end of the stack")
		p.lddw(1, minus(1))
		p.store(dword, 10, -512, 1)
		p.add(slot{op: st | modeMem | s.bits, dst: 10, off: -512, imm: -0x7f7e7d7c}, "st%s [%s%+d], %d", s.suffix, reg(10), -512, -0x7f7e7d7c)
		p.load(dword, 1, 10, -512)
		p.expect(1, uint64(0xffffffff80818284)|^low(minus(1), s.bytes))
		p.passed()
		all = append(all, newFile(group(s.bytes)+"/st"+s.suffix,
			fmt.Sprintf("store of %d bytes of an immediate, whose sign is extended. RFC 9669 section 5.1.", s.bytes), p, memory))
	}
	return all
}

func memoryVectors() (all []file) {
	for _, k := range loadKinds() {
		all = append(all, k.vectors()...)
	}
	for _, k := range storeKinds() {
		all = append(all, k.vectors()...)
	}
	return append(all, immediateStores()...)
}
