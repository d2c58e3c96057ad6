package jit

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/arm64"
	"github.com/skepvm/skep/vm"
)

// Listing is the machine code of a program, taken apart.
type Listing struct {
	Program string `json:"program"`
	Arch    string `json:"arch"`
	Bytes   int    `json:"bytes"` // of machine code
	Parts   []Part `json:"parts"`
}

// Part is an instruction of the program and what became of it or, with PC -1, machine code that belongs to none.
type Part struct {
	PC     int       `json:"pc"`               // slot
	Insn   string    `json:"insn,omitempty"`   // as asm.Format writes it
	Name   string    `json:"name,omitempty"`   // of code that belongs to no instruction
	Block  int       `json:"block,omitempty"`  // instructions of the basic block that begins here: what is charged to the fuel
	Exits  []string  `json:"exits,omitempty"`  // reasons for which it may leave for Go
	Source *Source   `json:"source,omitempty"` // C line that begins here
	Code   []Machine `json:"code"`
}

// Source is a line of C.
type Source struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Machine is a machine instruction.
type Machine struct {
	Offset int    `json:"offset"` // in the code
	Hex    string `json:"hex"`    // its bytes
	Text   string `json:"text"`
}

// List compiles l, which is linked on m, for a processor and takes the code apart. It runs nothing, and works on every architecture, for
// code of any: ErrUnsupported is its error where target has no Arch.
func List(m *vm.Machine, l *vm.Linked, target Processor) (*Listing, error) {
	c := &Compiler{machine: m, processor: target, stretch: stretchSlots}
	code, err := compile(l.Insns(), c.target(l))
	if err != nil {
		return nil, err
	}
	p := l.Prog()
	out := &Listing{Program: p.Name, Arch: code.arch, Bytes: len(code.bytes), Parts: code.instructions()}
	for i := range out.Parts {
		part := &out.Parts[i]
		part.Insn = formatAt(p.Insns, part.PC) // before its maps became addresses
		if line := p.LineAt(part.PC); line != nil && line.PC == part.PC {
			part.Source = &Source{line.File, line.Line, line.Text}
		}
	}
	out.Parts = append(out.Parts, code.rest()...)
	return out, nil
}

// siteNames says in a word or two why a site leaves.
var siteNames = [...]string{
	exitYield:   "out of fuel",
	exitPause:   "out of fuel",
	exitBatch:   "out of fuel between two frames",
	exitHelper:  "helper",
	exitCallReg: "helper",
	exitDepth:   "calls too deep",
	exitBad:     "cannot run",
	exitPacket:  "packet load",
	exitArena:   "arena",
	exitAtomic:  "not aligned",
}

// instructions lists each instruction of the program with its code.
func (c *code) instructions() []Part {
	exits := map[int32][]string{}
	for _, s := range c.sites[siteDone+1:] {
		if name := siteNames[s.kind]; s.kind != exitBatch && !slices.Contains(exits[s.pc], name) {
			exits[s.pc] = append(exits[s.pc], name)
		}
	}
	var parts []Part
	for pc := 0; pc < len(c.insns); pc += width(c.kinds[pc]) {
		end := c.stubs.cold
		if next := pc + width(c.kinds[pc]); next < len(c.insns) {
			end = int(c.slots[next])
		}
		part := Part{PC: pc, Insn: formatAt(c.insns, pc), Exits: exits[int32(pc)], Code: c.disassemble(int(c.slots[pc]), end)}
		if c.leader[pc] {
			part.Block = int(blockRest(c.kinds, c.leader, pc))
		}
		parts = append(parts, part)
	}
	return parts
}

// rest lists the code behind that of the instructions.
func (c *code) rest() []Part {
	type region struct {
		start int
		name  string
	}
	all := []region{
		{c.stubs.cold, "out of line"}, {c.stubs.hashes, "lookups in hashes"},
		{c.stubs.run, "run"}, {c.stubs.batch, "batch"}, {c.stubs.callback, "callback"}, {c.stubs.leave, "leave"},
		{c.stubs.resume, "resume"}, {c.stubs.ret, "return"}, {c.stubs.zero, "zero a frame"},
	}
	slices.SortStableFunc(all, func(a, b region) int { return cmp.Compare(a.start, b.start) })
	var parts []Part
	for i, r := range all {
		end := len(c.bytes)
		if i+1 < len(all) {
			end = all[i+1].start
		}
		if r.start >= 0 && r.start < end {
			parts = append(parts, Part{PC: -1, Name: r.name, Code: c.disassemble(r.start, end)})
		}
	}
	return parts
}

func (c *code) disassemble(from, to int) []Machine {
	list := []Machine{}
	for from < to {
		text, size := disassemblers[c.arch](c.bytes[from:to], uint64(from))
		list = append(list, Machine{from, hex.EncodeToString(c.bytes[from : from+size]), text})
		from += size
	}
	return list
}

// disassemblers has, by architecture, what says an instruction and its length.
var disassemblers = map[string]func(code []byte, pc uint64) (string, int){
	"amd64": func(code []byte, pc uint64) (string, int) {
		inst, err := x86asm.Decode(code, 64)
		if err != nil {
			return fmt.Sprintf(".byte %#02x", code[0]), 1
		}
		return x86asm.IntelSyntax(inst, pc, nil), inst.Len
	},
	"arm64": func(code []byte, _ uint64) (string, int) {
		inst, err := arm64asm.Decode(code)
		if err == nil {
			return arm64asm.GNUSyntax(inst), 4
		}
		word := binary.LittleEndian.Uint32(code)
		if text, ok := arm64.FormatAtomic(word); ok { // which arm64asm does not know
			return text, 4
		}
		return fmt.Sprintf(".word %#08x", word), 4
	},
}

func formatAt(insns []asm.Insn, pc int) string {
	if pc+1 < len(insns) {
		return asm.Format(insns[pc], &insns[pc+1])
	}
	return asm.Format(insns[pc], nil)
}
