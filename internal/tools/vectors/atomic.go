package main

import "fmt"

// atomic is a read-modify-write of RFC 9669 §5.3.
type atomic struct {
	name  string
	imm   int32
	fetch bool
	eval  func(old, src uint64) uint64
}

var atomics = []atomic{
	{"add", 0x00, false, func(old, src uint64) uint64 { return old + src }},
	{"or", 0x40, false, func(old, src uint64) uint64 { return old | src }},
	{"and", 0x50, false, func(old, src uint64) uint64 { return old & src }},
	{"xor", 0xa0, false, func(old, src uint64) uint64 { return old ^ src }},
	{"fetch_add", 0x01, true, func(old, src uint64) uint64 { return old + src }},
	{"fetch_or", 0x41, true, func(old, src uint64) uint64 { return old | src }},
	{"fetch_and", 0x51, true, func(old, src uint64) uint64 { return old & src }},
	{"fetch_xor", 0xa1, true, func(old, src uint64) uint64 { return old ^ src }},
	{"xchg", 0xe1, true, func(_, src uint64) uint64 { return src }},
	cmpxchg,
}

// cmpxchg returns the old value in r0.
var cmpxchg = atomic{"cmpxchg", 0xf1, false, func(_, src uint64) uint64 { return src }}

func (a atomic) emit(p *program, bytes int, d reg, off int16, s reg) {
	suffix := map[int]string{4: "32", 8: ""}[bytes]
	p.add(slot{op: stx | modeAtomic | sizes[sizeOf(bytes)].bits, dst: d, src: s, off: off, imm: a.imm}, "lock %s%s [%s%+d], %s", a.name, suffix, d, off, s)
}

// atomicOperands are what is in memory, and the operand.
var atomicOperands = [][2]uint64{
	{0, 0}, {1, 2}, {minus(1), 1}, {0x7fffffff, 1}, {0xffffffff, 1}, {max64, 1}, {0xf0f0f0f00f0f0f0f, 0x00ff00ff00ff00ff},
	{0x123456789abcdef0, 0xfedcba9876543210}, {0x8000000080000000, 0x8000000080000000}, {5, minus(7)},
}

func atomicVectors() (all []file) {
	for _, a := range atomics {
		for _, bytes := range []int{4, 8} {
			name := fmt.Sprintf("atomic%d/%s%d", 8*bytes, a.name, 8*bytes)
			what := fmt.Sprintf("atomic %s of %d bits", a.name, 8*bytes)
			p := newProgram()
			m := newImage()
			n := 0
			inPairs(p, true, atomicOperands, func(c [2]uint64, d, s reg) {
				if a.imm == cmpxchg.imm && (d == 0 || s == 0) {
					d, s = 5, 6
				}
				pl := aligned[n%len(aligned)]
				n++
				a.one(p, m, bytes, pl, c, d, s, true)
				if a.imm == cmpxchg.imm {
					a.one(p, m, bytes, pl, c, d, s, false)
				}
			})
			a.onStack(p, bytes)
			all = append(all, newFile(name, what+"; the bytes around stay. RFC 9669 section 5.3.", p, memory),
				newFile(name+"_same", what+" with its own address.", a.withItself(bytes), memory))
		}
	}
	return all
}

// one emits a case. hit is whether a cmpxchg finds what it compares with.
func (a atomic) one(p *program, m image, bytes int, pl place, c [2]uint64, d, s reg, hit bool) {
	at := pl.at + int(pl.off)
	p.pointer(d, pl)
	p.lddw(s, c[0])
	p.store(sizeOf(bytes), d, pl.off, s)
	m.put(at, bytes, c[0])
	p.lddw(s, c[1])
	old, src := low(c[0], bytes), c[1]
	if a.imm == cmpxchg.imm {
		expected := c[0] ^ 0xffffffff00000000 // of 32 bits only the low half is compared
		if bytes == 8 {
			expected = c[0]
		}
		if !hit {
			expected ^= 0x40
		}
		p.lddw(0, expected)
	}
	a.emit(p, bytes, d, pl.off, s)
	if a.imm != cmpxchg.imm || hit {
		m.put(at, bytes, a.eval(old, src))
	}
	switch {
	case a.imm == cmpxchg.imm:
		p.expect(0, old)
		p.expect(s, src)
	case a.fetch:
		p.expect(s, old)
	default:
		p.expect(s, src)
	}
	p.expectAround(m, at, bytes, other(d, s))
	p.passed()
}

// onStack emits a case with r10 as the address.
func (a atomic) onStack(p *program, bytes int) {
	const old, src = 0x1122334455667788, 0x0f0f0f0f0f0f0f0f
	p.comment("on the stack")
	for _, off := range []int16{-8, -512} {
		p.lddw(0, old)
		p.store(dword, 10, off, 0)
		p.lddw(5, src)
		a.emit(p, bytes, 10, off, 5)
		p.load(dword, 1, 10, off)
		p.expect(1, low(a.eval(old, src), bytes)|old&^low(minus(1), bytes))
		p.passed()
	}
}

// withItself uses the address as the operand: what memory must hold then is computed from a copy of the address.
func (a atomic) withItself(bytes int) *program {
	p := newProgram()
	inPairs(p, true, atomicOperands, func(c [2]uint64, d, s reg) {
		if d == 0 || s == 0 {
			d, s = 6, 5
		}
		p.movX(d, p.ptr)
		p.lddw(s, c[0])
		p.store(dword, d, 0, s)
		p.lddw(0, c[0])
		a.emit(p, bytes, d, 0, d)
		old := low(c[0], bytes)
		switch {
		case a.imm == cmpxchg.imm:
			p.expect(0, old)
			p.branchX(notEqual, 64, d, p.ptr, p.out())
		case a.fetch:
			p.expect(d, old)
		default:
			p.branchX(notEqual, 64, d, p.ptr, p.out())
		}
		p.comment("what it must have written")
		p.lddw(0, c[0])
		a.inRegister(p, 0, p.ptr)
		p.cut(0, bytes)
		p.load(sizeOf(bytes), s, p.ptr, 0)
		p.branchX(notEqual, 64, 0, s, p.out())
		p.passed()
	})
	return p
}

// inRegister does the same to registers, with arithmetic instructions.
func (a atomic) inRegister(p *program, d, s reg) {
	name := map[int32]string{0x00: "add", 0x40: "or", 0x50: "and", 0xa0: "xor", 0xe0: "mov", 0xf0: "mov"}[a.imm&^1]
	for _, o := range arithmetic {
		if o.name == name {
			p.aluX(o, 64, d, s)
		}
	}
}
