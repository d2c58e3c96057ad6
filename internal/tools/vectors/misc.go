package main

import (
	"encoding/binary"
	"fmt"
)

// immediateLoads makes the vectors of 64-bit immediates (RFC 9669 §5.4).
func immediateLoads() []file {
	p := newProgram()
	inPairs(p, false, append(values, 0x0123456789abcdef, 0xffffffff00000000, 0x80000000ffffffff, max32), func(v uint64, d, s reg) {
		p.lddw(d, v)
		p.comment("the same from its halves")
		p.movK(s, int32(v>>32))
		p.aluK(arithmetic[7], 64, s, 32)
		p.aluK(move, 32, p.tmp, int32(v))
		p.aluX(arithmetic[5], 64, s, p.tmp)
		p.branchX(notEqual, 64, d, s, p.out())
		p.passed()
	})
	return []file{newFile("base64/lddw", "64-bit immediates. RFC 9669 section 5.4.", p, nil)}
}

// Offsets of packet loads that are relative to a header: Linux's SKF_NET_OFF and SKF_LL_OFF. The network header is behind
// the 14 bytes of Ethernet.
const (
	fromNet  = -0x100000
	fromLink = -0x200000
	ethernet = 14
)

// packetLoads makes the vectors of LD_ABS and LD_IND (RFC 9669 §5.5): the memory is the packet.
func packetLoads() (all []file) {
	for _, s := range sizes[:3] {
		big := func(at int) uint64 {
			var w [8]byte
			copy(w[8-s.bytes:], memory[at:at+s.bytes])
			return binary.BigEndian.Uint64(w[:])
		}
		name := map[int]string{1: "b", 2: "h", 4: "w"}[s.bytes]
		p := newProgram()
		p.part(9, 8, 7, false)
		for _, at := range []int{0, 1, 2, 13, 23, 64 - s.bytes} {
			p.packetLoad(modeAbs, s.bits, name, 0, int32(at), big(at))
		}
		p.packetLoad(modeAbs, s.bits, name, 0, fromLink+3, big(3))
		p.packetLoad(modeAbs, s.bits, name, 0, fromNet+9, big(ethernet+9))
		all = append(all, newFile("packet/ldabs"+name, fmt.Sprintf("packet load of %d bytes, big-endian. RFC 9669 section 5.5.", s.bytes), p, memory))

		p = newProgram()
		p.part(9, 8, 7, false)
		for i, at := range []int{0, 1, 14, 30, 64 - s.bytes} {
			r := []reg{1, 7, 0, 6, 5}[i]
			p.lddw(r, 20|0xffffffff00000000) // only the low half counts
			p.packetLoad(modeInd, s.bits, name, r, int32(at-20), big(at))
		}
		p.movK(7, 4)
		p.packetLoad(modeInd, s.bits, name, 7, 10, big(14))
		p.movK(7, 2)
		p.packetLoad(modeInd, s.bits, name, 7, fromNet, big(ethernet+2))
		all = append(all, newFile("packet/ldind"+name, fmt.Sprintf("packet load of %d bytes at an index. RFC 9669 section 5.5.", s.bytes), p, memory))

		for _, mode := range []byte{modeAbs, modeInd} {
			p = newProgram()
			p.part(9, 8, 7, false)
			p.movK(7, 60)
			p.comment("one byte beyond the packet: the program ends here, with 0")
			p.packetLoad(mode, s.bits, name, 7, map[byte]int32{modeAbs: 65, modeInd: 5}[mode]-int32(s.bytes), 0)
			out := newFile(fmt.Sprintf("packet/%s%s_out_of_bounds", map[byte]string{modeAbs: "ldabs", modeInd: "ldind"}[mode], name),
				"a packet load beyond the packet ends the program with 0", p, memory)
			out.result, out.plain = 0, true
			all = append(all, out)
		}
	}
	return all
}

func (p *program) packetLoad(mode, bits byte, name string, index reg, imm int32, want uint64) {
	if mode == modeAbs {
		p.add(slot{op: ld | mode | bits, imm: imm}, "ldabs%s %d", name, imm)
	} else {
		p.add(slot{op: ld | mode | bits, src: index, imm: imm}, "ldind%s %s, %d", name, index, imm)
	}
	p.expect(0, want)
	p.passed()
}

// castVectors: the kernel's casts of arena pointers. To address space 0 and to address space 1 alike the low half of
// the address is kept here, where an arena lies in the low 4 GiB of everything.
func castVectors() []file {
	p := newProgram()
	inPairs(p, false, unaryValues, func(v uint64, d, s reg) {
		for from := range int32(2) {
			p.lddw(s, v)
			p.add(slot{op: alu64 | 0xb0 | regOperand, dst: d, src: s, off: 1, imm: from | (from^1)<<16},
				"addr_space_cast %s, %s, %d, %d", d, s, from^1, from)
			p.expect(d, low(v, 4))
			p.lddw(d, v)
			p.add(slot{op: alu64 | 0xb0 | regOperand, dst: d, src: d, off: 1, imm: from | (from^1)<<16},
				"addr_space_cast %s, %s, %d, %d", d, d, from^1, from)
			p.expect(d, low(v, 4))
		}
		p.passed()
	})
	return []file{newFile("linux/addr_space_cast", "casts between address spaces keep the low half", p, nil)}
}
