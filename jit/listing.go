package jit

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Listing writes the machine code of p, as m would link it, between its instructions. It runs nothing, and works on
// every architecture, for code of any: ErrUnsupported is its error where there is no Arch.
func Listing(w io.Writer, m *vm.Machine, p *prog.Program, target Processor) error {
	l, err := m.Link(p)
	if err != nil {
		return err
	}
	c := &Compiler{machine: m, processor: target}
	code, err := compile(l.Insns(), c.target(l))
	if err != nil {
		return err
	}
	return list(w, code)
}

// list disassembles c: each instruction of the program, then what became of it, then the stubs and cold paths.
func list(w io.Writer, c *code) error {
	out := bufio.NewWriter(w)
	names := map[int]string{
		c.stubs.run: "run", c.stubs.batch: "batch", c.stubs.callback: "callback", c.stubs.resume: "resume", c.stubs.ret: "return",
	}
	slots := map[int]int{}
	for pc, off := range c.slots {
		if off >= 0 {
			slots[int(off)] = pc // of several at one place, the last: the others made no code
		}
	}
	for off := 0; off < len(c.bytes); {
		if pc, ok := slots[off]; ok {
			fmt.Fprintf(out, "%4d: %s\n", pc, formatAt(c.insns, pc))
		} else if name := names[off]; name != "" {
			fmt.Fprintf(out, "%s:\n", name)
		}
		text, size := disassemble[c.arch](c.bytes[off:], uint64(off))
		fmt.Fprintf(out, "\t%06x  %s\n", off, text)
		off += size
	}
	return out.Flush()
}

// disassemble has, by architecture, what says an instruction and its length.
var disassemble = map[string]func(code []byte, pc uint64) (string, int){
	"amd64": func(code []byte, pc uint64) (string, int) {
		inst, err := x86asm.Decode(code, 64)
		if err != nil {
			return fmt.Sprintf(".byte %#02x", code[0]), 1
		}
		return x86asm.IntelSyntax(inst, pc, nil), inst.Len
	},
	"arm64": func(code []byte, _ uint64) (string, int) {
		inst, err := arm64asm.Decode(code)
		if err != nil { // it knows no LSE atomics
			return fmt.Sprintf(".word %#08x", binary.LittleEndian.Uint32(code)), 4
		}
		return arm64asm.GNUSyntax(inst), 4
	},
}

func formatAt(insns []asm.Insn, pc int) string {
	if pc+1 < len(insns) {
		return asm.Format(insns[pc], &insns[pc+1])
	}
	return asm.Format(insns[pc], nil)
}
