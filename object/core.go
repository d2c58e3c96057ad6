package object

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skepvm/skep/asm"
)

// relocateTypes applies the CO-RE relocations: instructions whose operand depends on the layout of a type are given
// the layout of the target's type. One without an answer is poisoned as libbpf does it, since programs may carry
// code for several kernels and never reach what does not fit: only the verifier can tell.
func (l *loader) relocateTypes() error {
	var target *btf.Spec
	for _, s := range l.elf.sections {
		_, _, relos := l.ext.Section(s.name)
		if !s.code() || len(relos) == 0 {
			continue
		}
		if target == nil {
			var err error
			if target, err = l.targetTypes(); err != nil {
				return err
			}
		}
		if err := l.relocateSection(s, relos, target); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) relocateSection(s *section, relos []btf.CORERelocationOffset, target *btf.Spec) error {
	insns := l.code[s]
	list := make([]*btf.CORERelocation, len(relos))
	for i, r := range relos {
		if int(r.Offset) >= len(insns) {
			return damaged(l.sectionOffset(".BTF.ext"), "CO-RE relocation at slot %d of section %q, which has %d", r.Offset, s.name, len(insns))
		}
		list[i] = r.Relo
	}
	fixups, err := l.coreFixups(list, target)
	for i, r := range relos {
		var why error
		if err == nil {
			why = applyFixup(insns, int(r.Offset), fixups[i].String())
		} else {
			// Together they have no answer; one at a time only the guilty ones have none.
			one, err := l.coreFixups(list[i:i+1], target)
			if why = err; err == nil {
				why = applyFixup(insns, int(r.Offset), one[0].String())
			}
		}
		if why != nil {
			poison(insns, int(r.Offset))
			l.warn("section %s, instruction %d: no answer to %v: %v", s.name, r.Offset, r.Relo, why)
		}
	}
	return nil
}

func (l *loader) coreFixups(relos []*btf.CORERelocation, target *btf.Spec) (fixups []btf.COREFixup, err error) {
	err = guard(func() (err error) {
		fixups, err = btf.CORERelocate(relos, []*btf.Spec{target}, binary.LittleEndian, l.types.TypeID)
		return err
	})
	return fixups, err
}

// applyFixup changes the instruction at pc as a fixup says. The fixup comes as its text, "kind=poison" or
// "kind=local->target": that is all of it that cilium/ebpf exports, since its own Apply works on Linux alone.
func applyFixup(insns []asm.Insn, pc int, fixup string) error {
	_, what, _ := strings.Cut(fixup, "=")
	if what == "poison" {
		return fmt.Errorf("the target has no such field or value")
	}
	_, target, ok := strings.Cut(what, "->")
	value, err := strconv.ParseUint(target, 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("fixup %q is not understood", fixup)
	}
	in := &insns[pc]
	switch in.Op & 7 {
	case 1, 2, 3: // LDX, ST, STX
		if value > 1<<15-1 {
			return fmt.Errorf("offset %d does not fit 16 bits", value)
		}
		in.Off = int16(value)
	case 4, 7: // ALU, ALU64
		if in.Op&8 != 0 || value > 1<<32-1 {
			return fmt.Errorf("value %d does not fit the instruction", value)
		}
		in.Imm = int32(uint32(value))
	case 0:
		if in.Op != opLdImm64 || pc+1 >= len(insns) {
			return fmt.Errorf("the instruction has no operand for it")
		}
		in.Imm, insns[pc+1].Imm = int32(uint32(value)), int32(uint32(value>>32))
	default:
		return fmt.Errorf("the instruction has no operand for it")
	}
	return nil
}

// poison makes the instruction at pc one that the verifier refuses if it is reached. The number is libbpf's, so that
// people and tools recognise it.
func poison(insns []asm.Insn, pc int) {
	if insns[pc].Op == opLdImm64 && pc+1 < len(insns) {
		insns[pc] = asm.Insn{Op: opLdImm64, Dst: asm.R10, Imm: btf.COREBadRelocationSentinel}
		insns[pc+1] = asm.Insn{}
		return
	}
	insns[pc] = asm.Insn{Op: opCall, Imm: btf.COREBadRelocationSentinel}
}
