package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// stepPrinter prints instructions as they are executed, each with the registers that it changed, and the source lines that they come from.
type stepPrinter struct {
	w io.Writer
	// only is the number of the packet to print, 0 for every run; space is where its number is found.
	only  uint64
	space *mem.Space

	printer asm.Printer
	on      bool
	l       *vm.Linked // of the last instruction; nil before the first of a run
	pc      int
	regs    [asm.NumRegs]uint64
	line    *prog.Line
}

// step is skep.Options.Step.
func (s *stepPrinter) step(l *vm.Linked, pc int, regs *[asm.NumRegs]uint64) {
	if s.starts(l, pc, regs) {
		s.flush()
		s.on = s.only == 0 || s.number(uint32(regs[asm.R1])) == s.only
		if s.on && s.only != 0 {
			fmt.Fprintf(s.w, "packet %d: %s\n", s.only, l.Prog().Name)
		}
	}
	if !s.on {
		return
	}
	s.changed(regs)
	if line := l.Prog().LineAt(pc); line != nil && (s.line == nil || line.Line != s.line.Line || line.File != s.line.File) {
		fmt.Fprintf(s.w, "; %s:%d  %s\n", line.File, line.Line, strings.TrimSpace(line.Text))
		s.line = line
	}
	s.l, s.pc, s.regs = l, pc, *regs
}

// starts reports whether a run begins with that instruction: R2 to R9 are 0 then, as no tail call leaves them.
func (s *stepPrinter) starts(l *vm.Linked, pc int, regs *[asm.NumRegs]uint64) bool {
	if pc != 0 || s.l != nil && s.l != l && asm.KindOf(s.l.Insns()[s.pc]) != asm.Exit {
		return false
	}
	for _, v := range regs[asm.R2 : asm.R9+1] {
		if v != 0 {
			return false
		}
	}
	return true
}

// number is that of the packet of a ctx.
func (s *stepPrinter) number(ctx uint32) uint64 { return s.space.Load64(ctx - frameNumber) }

// frameNumber is how far before the ctx the packet's number is.
const frameNumber = uint32(-prog.FrameNumber)

// changed prints the last instruction with what it did to the registers.
func (s *stepPrinter) changed(regs *[asm.NumRegs]uint64) {
	if s.l == nil {
		return
	}
	text, _ := s.printer.Append(nil, s.l.Prog().Insns, s.pc)
	fmt.Fprintf(s.w, "%5d: %s", s.pc, text)
	sep := strings.Repeat(" ", max(1, 44-len(text)))
	for r := range regs {
		if regs[r] != s.regs[r] {
			fmt.Fprintf(s.w, "%sr%d=%#x", sep, r, regs[r])
			sep = " "
		}
	}
	fmt.Fprintln(s.w)
}

// flush prints the last instruction of a run.
func (s *stepPrinter) flush() {
	if s.on {
		s.changed(&s.regs)
	}
	s.l, s.line, s.on = nil, nil, false
}
