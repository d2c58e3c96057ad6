package main

import (
	"fmt"
	"strings"
)

// reg is a register number.
type reg uint8

func (r reg) String() string { return fmt.Sprintf("%%r%d", uint8(r)) }

// slot is an encoded instruction (RFC 9669 §3.1).
type slot struct {
	op       byte
	dst, src reg
	off      int16
	imm      int32
	label    string // where off leads
}

func (s slot) word() uint64 {
	return uint64(s.op) | uint64(s.dst)<<8 | uint64(s.src)<<12 | uint64(uint16(s.off))<<16 | uint64(uint32(s.imm))<<32
}

// Parts of opcodes (RFC 9669 §3.3, §4, §5). They are written once more here, so that the files are evidence against
// the project's own table.
const (
	ld, ldx, st, stx       = 0x00, 0x01, 0x02, 0x03
	alu, jmp, jmp32, alu64 = 0x04, 0x05, 0x06, 0x07
	regOperand             = 0x08
	modeAbs, modeInd       = 0x20, 0x40
	modeMem, modeMemsx     = 0x60, 0x80
	modeAtomic             = 0xc0
)

// sizes are the widths of memory accesses.
var sizes = []struct {
	bytes  int
	bits   byte // in opcodes
	suffix string
}{{1, 0x10, "b"}, {2, 0x08, "h"}, {4, 0x00, "w"}, {8, 0x18, "dw"}}

// program is a vector's program as text and, independently, as slots. It counts the cases that come out right:
// one that doesn't ends it.
type program struct {
	lines  []string
	slots  []slot
	labels map[string]int

	n, tmp reg // of the current part: the count, and scratch
	ptr    reg // the address of the memory
	cases  int
	outs   []reg // the counts of the parts so far
}

func newProgram() *program { return &program{labels: map[string]int{}} }

func (p *program) add(s slot, format string, args ...any) {
	p.lines = append(p.lines, "    "+fmt.Sprintf(format, args...))
	p.slots = append(p.slots, s)
}

func (p *program) comment(format string, args ...any) {
	p.lines = append(p.lines, "    # "+fmt.Sprintf(format, args...))
}

func (p *program) mark(label string) {
	p.lines = append(p.lines, label+":")
	p.labels[label] = len(p.slots)
}

func (p *program) lddw(d reg, v uint64) {
	p.add(slot{op: ld | 0x18, dst: d, imm: int32(v)}, "lddw %s, %#x", d, v)
	p.slots = append(p.slots, slot{imm: int32(v >> 32)})
}

func (p *program) movX(d, s reg) { p.aluX(move, 64, d, s) }

func (p *program) movK(d reg, imm int32) { p.aluK(move, 64, d, imm) }

func (p *program) addK(d reg, imm int32) { p.aluK(arithmetic[0], 64, d, imm) }

func (p *program) aluX(o aluOp, width int, d, s reg) {
	p.add(slot{op: o.opcode(width) | regOperand, dst: d, src: s, off: o.off}, "%s %s, %s", o.mnemonic(width), d, s)
}

func (p *program) aluK(o aluOp, width int, d reg, imm int32) {
	p.add(slot{op: o.opcode(width), dst: d, off: o.off, imm: imm}, "%s %s, %d", o.mnemonic(width), d, imm)
}

func (p *program) ja(label string) { p.add(slot{op: jmp, label: label}, "ja %s", label) }

func (p *program) branchX(b branch, width int, d, s reg, label string) {
	p.add(slot{op: b.opcode(width) | regOperand, dst: d, src: s, label: label}, "%s %s, %s, %s", b.mnemonic(width), d, s, label)
}

func (p *program) branchK(b branch, width int, d reg, imm int32, label string) {
	p.add(slot{op: b.opcode(width), dst: d, imm: imm, label: label}, "%s %s, %d, %s", b.mnemonic(width), d, imm, label)
}

// load is a load of size sizes[i].
func (p *program) load(i int, d, base reg, off int16) {
	p.add(slot{op: ldx | modeMem | sizes[i].bits, dst: d, src: base, off: off}, "ldx%s %s, [%s%+d]", sizes[i].suffix, d, base, off)
}

func (p *program) store(i int, base reg, off int16, s reg) {
	p.add(slot{op: stx | modeMem | sizes[i].bits, dst: base, src: s, off: off}, "stx%s [%s%+d], %s", sizes[i].suffix, base, off, s)
}

const dword = 3 // index in sizes

// part begins a part that keeps its count in n; operands are other registers than n, tmp and, when the program has
// memory, ptr.
func (p *program) part(n, tmp, ptr reg, memory bool) {
	switch {
	case len(p.outs) == 0:
		p.movK(n, 0)
		if memory {
			p.movX(ptr, 1)
		}
	default:
		p.movX(n, p.n)
		if memory {
			p.movX(ptr, p.ptr)
		}
	}
	p.n, p.tmp, p.ptr = n, tmp, ptr
	p.outs = append(p.outs, n)
}

// Registers of the two parts that programs have: together, each register is an operand in one.
var (
	firstPairs  = [][2]reg{{1, 2}, {0, 6}, {6, 3}, {4, 5}, {5, 0}, {3, 1}, {2, 4}}
	secondPairs = [][2]reg{{9, 0}, {7, 8}, {8, 9}, {1, 7}, {0, 9}}
)

func (p *program) firstPart(memory bool)  { p.part(9, 8, 7, memory) }
func (p *program) secondPart(memory bool) { p.part(2, 3, 4, memory) }

// out is where the current part goes when a case is wrong.
func (p *program) out() string { return fmt.Sprintf("out%d", len(p.outs)) }

// expect ends the program unless r is want.
func (p *program) expect(r reg, want uint64) {
	p.lddw(p.tmp, want)
	p.branchX(notEqual, 64, r, p.tmp, p.out())
}

// passed counts a case.
func (p *program) passed() {
	p.addK(p.n, 1)
	p.cases++
}

// finish ends the program and returns it as text and words.
func (p *program) finish() (text string, words []uint64) {
	for i := len(p.outs); i > 0; i-- {
		p.mark(fmt.Sprintf("out%d", i))
		p.movX(0, p.outs[i-1])
		p.add(slot{op: jmp | 0x90}, "exit")
	}
	for pc, s := range p.slots {
		if s.label != "" {
			at, ok := p.labels[s.label]
			if !ok {
				panic("no label " + s.label)
			}
			s.off = int16(at - pc - 1)
		}
		words = append(words, s.word())
	}
	return strings.Join(p.lines, "\n") + "\n", words
}
