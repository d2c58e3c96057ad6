package main

import (
	"fmt"
	"math/big"
	"strconv"
)

// aluOp is an operation of RFC 9669 §4.1 with two operands.
type aluOp struct {
	name   string
	code   byte
	off    int16
	group  string // "base" or "divmul"
	shifts bool
	eval   func(width uint, a, b operand) *big.Int
}

// operand is a number of the operation's width, without and with its sign.
type operand struct{ u, s *big.Int }

func numberOf(width int, v uint64) operand {
	u := new(big.Int).SetUint64(v)
	u.Mod(u, power(width))
	s := new(big.Int).Set(u)
	if u.Bit(width-1) == 1 {
		s.Sub(u, power(width))
	}
	return operand{u, s}
}

func power(n int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(n)) }

// result computes the operation on the low width bits, and extends with zeros.
func (o aluOp) result(width int, a, b uint64) uint64 {
	v := o.eval(uint(width), numberOf(width, a), numberOf(width, b))
	return new(big.Int).Mod(v, power(width)).Uint64() // Mod is Euclidean: never negative
}

func (o aluOp) opcode(width int) byte { return o.code | map[int]byte{64: alu64, 32: alu}[width] }

func (o aluOp) mnemonic(width int) string {
	if width == 32 {
		return o.name + "32"
	}
	return o.name
}

func (o aluOp) dir(width int) string { return o.group + strconv.Itoa(width) }

// amount is a shift amount: the low 5 or 6 bits.
func amount(width uint, b operand) uint { return uint(b.u.Uint64()) % width }

func unlessZero(b operand, zero *big.Int, f func() *big.Int) *big.Int {
	if b.u.Sign() == 0 {
		return zero
	}
	return f()
}

func newInt() *big.Int { return new(big.Int) }

var arithmetic = []aluOp{
	{"add", 0x00, 0, "base", false, func(_ uint, a, b operand) *big.Int { return newInt().Add(a.u, b.u) }},
	{"sub", 0x10, 0, "base", false, func(_ uint, a, b operand) *big.Int { return newInt().Sub(a.u, b.u) }},
	{"mul", 0x20, 0, "divmul", false, func(_ uint, a, b operand) *big.Int { return newInt().Mul(a.u, b.u) }},
	{"div", 0x30, 0, "divmul", false, func(_ uint, a, b operand) *big.Int {
		return unlessZero(b, newInt(), func() *big.Int { return newInt().Quo(a.u, b.u) })
	}},
	{"sdiv", 0x30, 1, "divmul", false, func(_ uint, a, b operand) *big.Int {
		return unlessZero(b, newInt(), func() *big.Int { return newInt().Quo(a.s, b.s) })
	}},
	{"or", 0x40, 0, "base", false, func(_ uint, a, b operand) *big.Int { return newInt().Or(a.u, b.u) }},
	{"and", 0x50, 0, "base", false, func(_ uint, a, b operand) *big.Int { return newInt().And(a.u, b.u) }},
	{"lsh", 0x60, 0, "base", true, func(w uint, a, b operand) *big.Int { return newInt().Lsh(a.u, amount(w, b)) }},
	{"rsh", 0x70, 0, "base", true, func(w uint, a, b operand) *big.Int { return newInt().Rsh(a.u, amount(w, b)) }},
	{"mod", 0x90, 0, "divmul", false, func(_ uint, a, b operand) *big.Int {
		return unlessZero(b, a.u, func() *big.Int { return newInt().Rem(a.u, b.u) })
	}},
	{"smod", 0x90, 1, "divmul", false, func(_ uint, a, b operand) *big.Int {
		return unlessZero(b, a.u, func() *big.Int { return newInt().Rem(a.s, b.s) })
	}},
	{"xor", 0xa0, 0, "base", false, func(_ uint, a, b operand) *big.Int { return newInt().Xor(a.u, b.u) }},
	{"arsh", 0xc0, 0, "base", true, func(w uint, a, b operand) *big.Int { return newInt().Rsh(a.s, amount(w, b)) }},
	move,
}

var move = aluOp{"mov", 0xb0, 0, "base", false, func(_ uint, _, b operand) *big.Int { return b.u }}

const (
	min64 = 1 << 63
	max64 = 1<<63 - 1
	min32 = 1 << 31
	max32 = 1<<31 - 1
)

// minus is the two's complement of a negative number.
func minus(v uint64) uint64 { return -v }

// pairs are operands, destination first.
var pairs = [][2]uint64{
	{0, 0}, {1, 1}, {0, 1}, {1, 0}, {minus(1), 1}, {1, minus(1)}, {minus(1), minus(1)}, {0, minus(1)},
	{min64, minus(1)}, {min32, minus(1)}, {min64, 0}, {max64, 1}, {max32, 1}, {0xffffffff, 1},
	{0xffffffff80000000, 0xffffffff}, {min64, min64}, {max64, max64}, {7, 2}, {minus(7), 2}, {7, minus(2)}, {minus(7), minus(2)},
	{0xfffffff9, 2}, {7, 0xfffffffe}, {100, 0x100000000}, {0xdeadbeefcafef00d, 0x7fffffff}, {0xdeadbeefcafef00d, 0xffffffff80000000},
	{0x0123456789abcdef, 0xfedcba9876543210}, {0xf0f0f0f00f0f0f0f, 0x00ff00ff00ff00ff}, {0x100000005, 0x300000002},
}

// shiftPairs are values and shift amounts.
var shiftPairs = func() (all [][2]uint64) {
	for _, v := range []uint64{1, min64, min32, 0x8000000080000001, 0xdeadbeefcafef00d} {
		for _, n := range []uint64{0, 1, 31, 32, 33, 63, 64, 65, 0xffffffff, minus(1), 0x100000004} {
			all = append(all, [2]uint64{v, n})
		}
	}
	return all
}()

// immediates are second operands that instructions hold themselves.
var immediates = []int32{0, 1, 2, 7, 0x12345678, max32, -1, -2, -7, -0x80000000}

var shiftImmediates = []int32{0, 1, 31, 32, 33, 63, 64, -1}

// values are first operands to go with immediates.
var values = []uint64{0, 1, minus(1), min64, max64, min32, 0xffffffff, 0xdeadbeefcafef00d}

func (o aluOp) pairs() [][2]uint64 {
	if o.shifts {
		return shiftPairs
	}
	return pairs
}

func (o aluOp) immediates() []int32 {
	if o.shifts {
		return shiftImmediates
	}
	return immediates
}

// arithmeticVectors makes the vectors of ALU operations: with a register, with the same register, with an immediate.
func arithmeticVectors() (all []file) {
	for _, o := range arithmetic {
		for _, width := range []int{64, 32} {
			name := fmt.Sprintf("%s/%s%d", o.dir(width), o.name, width)
			what := fmt.Sprintf("%s of %d bits", o.name, width)
			all = append(all,
				newFile(name+"_reg", what+" with a register. RFC 9669 section 4.1.", o.withRegister(width), nil),
				newFile(name+"_same", what+" with the destination itself.", o.withItself(width), nil),
				newFile(name+"_imm", what+" with an immediate, whose sign is extended.", o.withImmediate(width), nil))
		}
	}
	return all
}

// inPairs calls f with every case and a pair of registers: all in the first part, a few in the second.
func inPairs[T any](p *program, memory bool, cases []T, f func(c T, d, s reg)) {
	p.firstPart(memory)
	for i, c := range cases {
		r := firstPairs[i%len(firstPairs)]
		f(c, r[0], r[1])
	}
	p.secondPart(memory)
	for i, r := range secondPairs {
		f(cases[i*(len(cases)-1)/(len(secondPairs)-1)], r[0], r[1])
	}
}

func (o aluOp) withRegister(width int) *program {
	p := newProgram()
	inPairs(p, false, o.pairs(), func(c [2]uint64, d, s reg) {
		p.lddw(d, c[0])
		p.lddw(s, c[1])
		p.aluX(o, width, d, s)
		p.expect(d, o.result(width, c[0], c[1]))
		p.expect(s, c[1])
		p.passed()
	})
	return p
}

func (o aluOp) withItself(width int) *program {
	p := newProgram()
	inPairs(p, false, append(values, 5, 32, 33), func(v uint64, d, _ reg) {
		p.lddw(d, v)
		p.aluX(o, width, d, d)
		p.expect(d, o.result(width, v, v))
		p.passed()
	})
	return p
}

func (o aluOp) withImmediate(width int) *program {
	type one struct {
		v   uint64
		imm int32
	}
	var cases []one
	for i, imm := range o.immediates() {
		for j := range 3 {
			cases = append(cases, one{values[(i+3*j)%len(values)], imm})
		}
	}
	cases = append(cases, one{min64, -1}, one{min32, -1}, one{minus(7), 2}, one{minus(7), -2}, one{7, -2})
	p := newProgram()
	inPairs(p, false, cases, func(c one, d, _ reg) {
		p.lddw(d, c.v)
		p.aluK(o, width, d, c.imm)
		p.expect(d, o.result(width, c.v, uint64(int64(c.imm))))
		p.passed()
	})
	return p
}
