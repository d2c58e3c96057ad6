package main

import (
	"fmt"
	"math/big"
)

// branch is a conditional jump of RFC 9669 §4.3.
type branch struct {
	name  string
	code  byte
	taken func(a, b operand) bool
}

func (b branch) opcode(width int) byte { return b.code | map[int]byte{64: jmp, 32: jmp32}[width] }

func (b branch) mnemonic(width int) string {
	if width == 32 {
		return b.name + "32"
	}
	return b.name
}

func (b branch) result(width int, x, y uint64) bool {
	return b.taken(numberOf(width, x), numberOf(width, y))
}

func both(a, b operand) int { return new(big.Int).And(a.u, b.u).Sign() }

var branches = []branch{
	{"jeq", 0x10, func(a, b operand) bool { return a.u.Cmp(b.u) == 0 }},
	{"jgt", 0x20, func(a, b operand) bool { return a.u.Cmp(b.u) > 0 }},
	{"jge", 0x30, func(a, b operand) bool { return a.u.Cmp(b.u) >= 0 }},
	{"jset", 0x40, func(a, b operand) bool { return both(a, b) != 0 }},
	notEqual,
	{"jsgt", 0x60, func(a, b operand) bool { return a.s.Cmp(b.s) > 0 }},
	{"jsge", 0x70, func(a, b operand) bool { return a.s.Cmp(b.s) >= 0 }},
	{"jlt", 0xa0, func(a, b operand) bool { return a.u.Cmp(b.u) < 0 }},
	{"jle", 0xb0, func(a, b operand) bool { return a.u.Cmp(b.u) <= 0 }},
	{"jslt", 0xc0, func(a, b operand) bool { return a.s.Cmp(b.s) < 0 }},
	{"jsle", 0xd0, func(a, b operand) bool { return a.s.Cmp(b.s) <= 0 }},
}

var notEqual = branch{"jne", 0x50, func(a, b operand) bool { return a.u.Cmp(b.u) != 0 }}

// branchPairs are operands on both sides of every limit, and some that are alike in one half only.
var branchPairs = [][2]uint64{
	{0, 0}, {0, 1}, {1, 0}, {minus(1), 0}, {0, minus(1)}, {minus(1), minus(1)}, {min64, max64}, {max64, min64}, {min64, min64},
	{min32, max32}, {max32, min32}, {0x1234567800000001, 1}, {1, 0x1234567800000001}, {0x1234567800000002, 0x1234567800000001},
	{0x1234567800000000, 0xffffffff00000000}, {min32, 0xffffffff80000000}, {minus(5), minus(6)}, {minus(6), minus(5)},
	{0x100000000, 0xffffffff}, {0xffffffff, 0x100000000}, {6, 1}, {5, 4}, {0xaaaaaaaa00000000, 0x5555555500000000},
}

var branchImmediates = []int32{0, 1, 5, max32, -1, -5, -0x80000000}

var branchValues = []uint64{0, 1, 5, 4, minus(1), minus(5), min64, max64, min32, max32, 0xffffffff, 0xffffffff80000000, 0x100000000, 0x100000005}

// test emits one case: emit is the branch, to a label. It is reached going down, or when back is set, going up.
func (p *program) test(id int, taken, back bool, emit func(label string)) {
	next, other := fmt.Sprintf("next%d", id), fmt.Sprintf("case%d", id)
	switch {
	case taken && back:
		above := fmt.Sprintf("above%d", id)
		p.ja(other)
		p.mark(above)
		p.ja(next)
		p.mark(other)
		emit(above)
		p.ja(p.out())
		p.mark(next)
	case taken:
		emit(next)
		p.ja(p.out())
		p.mark(next)
	default:
		emit(p.out())
	}
	p.passed()
}

func branchVectors() (all []file) {
	for _, b := range branches {
		for _, width := range []int{64, 32} {
			dir := fmt.Sprintf("base%d/%s%d", width, b.name, width)
			what := fmt.Sprintf("%s of %d bits", b.name, width)
			all = append(all,
				newFile(dir+"_reg", what+" with a register, up and down. RFC 9669 section 4.3.", b.withRegister(width), nil),
				newFile(dir+"_same", what+" of a register with itself.", b.withItself(width), nil),
				newFile(dir+"_imm", what+" with an immediate, whose sign is extended.", b.withImmediate(width), nil))
		}
	}
	return all
}

func (b branch) withRegister(width int) *program {
	p := newProgram()
	id := 0
	inPairs(p, false, branchPairs, func(c [2]uint64, d, s reg) {
		id++
		p.lddw(d, c[0])
		p.lddw(s, c[1])
		p.test(id, b.result(width, c[0], c[1]), id%2 == 0, func(label string) { p.branchX(b, width, d, s, label) })
		p.expect(d, c[0])
		p.expect(s, c[1])
	})
	// Both ways, wherever the cases above went.
	p.movK(0, 6)
	for _, v := range []uint64{6, 5, 7, 0} {
		for _, back := range []bool{false, true} {
			id++
			p.lddw(1, v)
			p.test(id, b.result(width, 6, v), back, func(label string) { p.branchX(b, width, 0, 1, label) })
		}
	}
	return p
}

func (b branch) withItself(width int) *program {
	p := newProgram()
	id := 0
	inPairs(p, false, branchValues, func(v uint64, d, _ reg) {
		id++
		p.lddw(d, v)
		p.test(id, b.result(width, v, v), id%2 == 0, func(label string) { p.branchX(b, width, d, d, label) })
	})
	return p
}

func (b branch) withImmediate(width int) *program {
	type one struct {
		v   uint64
		imm int32
	}
	var cases []one
	for _, imm := range branchImmediates {
		for _, v := range branchValues {
			cases = append(cases, one{v, imm})
		}
	}
	p := newProgram()
	id := 0
	inPairs(p, false, cases, func(c one, d, _ reg) {
		id++
		p.lddw(d, c.v)
		taken := b.result(width, c.v, uint64(int64(c.imm)))
		p.test(id, taken, id%2 == 0, func(label string) { p.branchK(b, width, d, c.imm, label) })
	})
	return p
}
