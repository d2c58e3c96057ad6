package main

import (
	"encoding/binary"
	"fmt"
)

// unary is an operation with one operand, of RFC 9669 §4.1 or §4.2.
type unary struct {
	name, dir, what string
	op              byte
	off             int16
	imm             int32
	fromSrc         bool // the operand is another register
	eval            func(v uint64) uint64
}

func (u unary) emit(p *program, d, s reg) {
	sl := slot{op: u.op, dst: d, off: u.off, imm: u.imm}
	if !u.fromSrc {
		p.add(sl, "%s %s", u.name, d)
		return
	}
	sl.src = s
	p.add(sl, "%s %s, %s", u.name, d, s)
}

// reversed reverses the low n bytes of v and zeroes the others.
func reversed(v uint64, n int) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	for i := range n / 2 {
		b[i], b[n-1-i] = b[n-1-i], b[i]
	}
	clear(b[n:])
	return binary.LittleEndian.Uint64(b[:])
}

// low keeps the low n bytes of v.
func low(v uint64, n int) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	clear(b[n:])
	return binary.LittleEndian.Uint64(b[:])
}

// signed extends the sign of the low n bytes of v.
func signed(v uint64, n int) uint64 {
	return map[int]uint64{1: uint64(int64(int8(v))), 2: uint64(int64(int16(v))), 4: uint64(int64(int32(v))), 8: v}[n]
}

func unaries() []unary {
	all := []unary{
		{name: "neg", dir: "base64", op: alu64 | 0x80, eval: func(v uint64) uint64 { return 0 - v }, what: "negation of 64 bits"},
		{name: "neg32", dir: "base32", op: alu | 0x80, eval: func(v uint64) uint64 { return low(0-v, 4) }, what: "negation of 32 bits"},
	}
	for _, n := range []int{1, 2, 4} {
		all = append(all, unary{name: fmt.Sprintf("movsx%d64", 8*n), dir: "base64", op: alu64 | 0xb0 | regOperand, off: int16(8 * n), fromSrc: true,
			eval: func(v uint64) uint64 { return signed(v, n) }, what: fmt.Sprintf("sign extension of %d bits to 64", 8*n)})
		if n < 4 {
			all = append(all, unary{name: fmt.Sprintf("movsx%d32", 8*n), dir: "base32", op: alu | 0xb0 | regOperand, off: int16(8 * n), fromSrc: true,
				eval: func(v uint64) uint64 { return low(signed(v, n), 4) }, what: fmt.Sprintf("sign extension of %d bits to 32", 8*n)})
		}
	}
	for _, n := range []int{2, 4, 8} {
		dir := "base32"
		if n == 8 {
			dir = "base64"
		}
		bits := int32(8 * n)
		swap := func(v uint64) uint64 { return reversed(v, n) }
		all = append(all,
			unary{name: fmt.Sprintf("le%d", bits), dir: dir, op: alu | 0xd0, imm: bits,
				eval: func(v uint64) uint64 { return low(v, n) }, what: fmt.Sprintf("to little-endian, %d bits", bits)},
			unary{name: fmt.Sprintf("be%d", bits), dir: dir, op: alu | 0xd0 | regOperand, imm: bits, eval: swap, what: fmt.Sprintf("to big-endian, %d bits", bits)},
			unary{name: fmt.Sprintf("bswap%d", bits), dir: dir, op: alu64 | 0xd0, imm: bits, eval: swap, what: fmt.Sprintf("byte swap of %d bits", bits)})
	}
	return all
}

var unaryValues = []uint64{0, 1, minus(1), min64, max64, min32, max32, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
	0x80000001, 0xffffffff, 0x0102030405060708, 0xf1e2d3c4b5a69788, 0x123456789abcdef0}

func unaryVectors() (all []file) {
	for _, u := range unaries() {
		p := newProgram()
		inPairs(p, false, unaryValues, func(v uint64, d, s reg) {
			if u.fromSrc {
				p.lddw(d, 0x5555555555555555)
				p.lddw(s, v)
			} else {
				p.lddw(d, v)
			}
			u.emit(p, d, s)
			p.expect(d, u.eval(v))
			if u.fromSrc {
				p.expect(s, v)
			}
			p.passed()
		})
		all = append(all, newFile(u.dir+"/"+u.name, u.what+". RFC 9669 section 4.", p, nil))
		if !u.fromSrc {
			continue
		}
		p = newProgram()
		inPairs(p, false, unaryValues, func(v uint64, d, _ reg) {
			p.lddw(d, v)
			u.emit(p, d, d)
			p.expect(d, u.eval(v))
			p.passed()
		})
		all = append(all, newFile(u.dir+"/"+u.name+"_same", u.what+", in place.", p, nil))
	}
	return all
}
