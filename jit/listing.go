package jit

import (
	"bufio"
	"fmt"
	"io"

	"golang.org/x/arch/x86/x86asm"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Listing writes the machine code of p, as m would link it, between its instructions. It runs nothing, and works on
// every architecture. bmi2 says whether the code is for processors with BMI2.
func Listing(w io.Writer, m *vm.Machine, p *prog.Program, bmi2 bool) error {
	l, err := m.Link(p)
	if err != nil {
		return err
	}
	c := &Compiler{machine: m, bmi2: bmi2}
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
			slots[off] = pc // of several at one place, the last: the others made no code
		}
	}
	for off := 0; off < len(c.bytes); {
		if pc, ok := slots[off]; ok {
			fmt.Fprintf(out, "%4d: %s\n", pc, formatAt(c.insns, pc))
		} else if name := names[off]; name != "" {
			fmt.Fprintf(out, "%s:\n", name)
		}
		inst, err := x86asm.Decode(c.bytes[off:], 64)
		if err != nil {
			fmt.Fprintf(out, "\t%06x  .byte %#02x\n", off, c.bytes[off])
			off++
			continue
		}
		fmt.Fprintf(out, "\t%06x  %s\n", off, x86asm.IntelSyntax(inst, uint64(off), nil))
		off += inst.Len
	}
	return out.Flush()
}

func formatAt(insns []asm.Insn, pc int) string {
	if pc+1 < len(insns) {
		return asm.Format(insns[pc], &insns[pc+1])
	}
	return asm.Format(insns[pc], nil)
}
