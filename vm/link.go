package vm

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Linked is a program on a machine: its form is checked, and its map and function loads hold guest values. It says
// nothing of what the program does: that is the verifier's or checked mode's matter.
type Linked struct {
	prog  *prog.Program
	insns []asm.Insn
	id    uint32
	data  []span // map values that it addresses directly
	zero  bool   // frames are to be zeroed

	arena   *maps.Pages // that the program loads; nil without one
	through []bool      // by slot: CPU.Arena does the instruction; nil when it does none

	verified     bool   // LinkVerified made it
	packetStores uint32 // see prog.Proof
	cover        *cover // nil when the machine does not count
	attach       prog.Attach

	decode sync.Once // makes what follows, when an interpreter first wants it
	code   []insn    // one an instruction
	fast   []insn    // the same, see fuse
	slots  []int32   // slot of each of code
}

// span is a piece of guest memory.
type span struct {
	addr, size uint32
	write      bool
}

// Prog returns the program.
func (l *Linked) Prog() *prog.Program { return l.prog }

// Insns returns the instructions by slot. Every 64-bit immediate load is plain: maps have become handles or value
// addresses, functions slot numbers. Not to be changed.
func (l *Linked) Insns() []asm.Insn { return l.insns }

// ID is the program's number on its machine, from 0. A program array holds ID()+1.
func (l *Linked) ID() uint32 { return l.id }

// ZeroesFrames reports whether the program's frames are zeroed when its functions begin: see Engine. They are not when
// LinkVerified has made l, nor when no instruction names R10: then the program has no frame to speak of.
func (l *Linked) ZeroesFrames() bool { return l.zero }

// Verified reports whether LinkVerified made l: whoever did says that the verifier has accepted it.
func (l *Linked) Verified() bool { return l.verified }

// LinkError says why a program cannot be linked.
type LinkError struct {
	Prog   string
	PC     int // slot; -1 when the whole program is meant
	Reason string
	Err    error // cause, may be nil
}

func (e *LinkError) Error() string {
	if e.PC < 0 {
		return fmt.Sprintf("program %s: %s", e.Prog, e.Reason)
	}
	return fmt.Sprintf("pc %d: %s (program %s)", e.PC, e.Reason, e.Prog)
}

// Unwrap returns the cause.
func (e *LinkError) Unwrap() error { return e.Err }

// Link checks that p has the form of a program (legal fields, jumps to instructions inside, no way off the end),
// makes the maps that it refers to if the machine has not got them yet, and registers it. Each call makes another
// Linked. The error is a *LinkError.
func (m *Machine) Link(p *prog.Program) (*Linked, error) {
	return m.link(p, false, unproved)
}

// LinkVerified is Link for a program that the verifier has accepted: its frames begin with what was there, as in the
// kernel, which saves the time of zeroing them, and machine code need not keep R1-R5 over a call nor wrap addresses in the
// space's margins. The safety of the host does not depend on it.
// Programs with an arena want LinkProved.
func (m *Machine) LinkVerified(p *prog.Program) (*Linked, error) {
	return m.link(p, true, unproved)
}

// unproved is what is known of a program without a proof.
var unproved = prog.Proof{PacketStores: math.MaxUint32}

// LinkProved is LinkVerified with what the verifier found out (verifier.Verified.Proof). Without it, accesses to an
// arena are like those to any other guest memory, no cast gives an address of the arena's user, and the program may store to any byte of a packet.
func (m *Machine) LinkProved(p *prog.Program, proof prog.Proof) (*Linked, error) {
	return m.link(p, true, proof)
}

func (m *Machine) link(p *prog.Program, verified bool, proof prog.Proof) (*Linked, error) {
	l := &Linked{prog: p, attach: p.Attach(), insns: append([]asm.Insn(nil), p.Insns...), verified: verified, packetStores: proof.PacketStores}
	if p.Broken != "" {
		return nil, l.failure(-1, "%s", p.Broken)
	}
	if err := l.checkForm(); err != nil {
		return nil, err
	}
	l.zeroUnset() // before functions' addresses are plain numbers
	if m.config.Cover {
		l.cover = l.findCover()
		var err error
		if l.cover.addr, err = m.space.Alloc(coverSize(len(l.insns)), 8); err != nil {
			return nil, l.failure(-1, "counters of executions: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.resolve(l); err != nil {
		return nil, err
	}
	if err := l.useArena(proof.Arena); err != nil {
		return nil, err
	}
	l.zero = !verified && slices.ContainsFunc(l.insns, namesR10)
	l.id = uint32(len(m.linked))
	m.linked = append(m.linked, l)
	return l, nil
}

func namesR10(in asm.Insn) bool {
	return in.Dst == asm.R10 || in.Src == asm.R10 || asm.KindOf(in) == asm.CallReg && in.Callee() == asm.R10
}

func (l *Linked) failure(pc int, format string, args ...any) *LinkError {
	err := fmt.Errorf(format, args...)
	return &LinkError{Prog: l.prog.Name, PC: pc, Reason: err.Error(), Err: errors.Unwrap(err)}
}

// checkForm looks at every slot on its own, then at where control can go.
func (l *Linked) checkForm() error {
	if n := len(l.insns); n == 0 || n > MaxInsns {
		return l.failure(-1, "%d instruction slots: want 1 to %d", n, MaxInsns)
	}
	starts := make([]bool, len(l.insns)) // an instruction starts at the slot
	last := 0
	for pc := 0; pc < len(l.insns); pc++ {
		starts[pc], last = true, pc
		in := l.insns[pc]
		if err := asm.Check(in); err != nil {
			return l.failure(pc, "%w", err)
		}
		kind := asm.KindOf(in)
		if kind == asm.Invalid {
			return l.failure(pc, "no such instruction: opcode %#02x", in.Op)
		}
		if kind != asm.LdImm64 {
			continue
		}
		pc++
		if pc == len(l.insns) {
			return l.failure(pc-1, "64-bit immediate load without its second slot")
		}
		if err := asm.CheckImm64(in, l.insns[pc]); err != nil {
			return l.failure(pc, "%w", err)
		}
	}
	switch asm.KindOf(l.insns[last]) {
	case asm.Exit, asm.Ja, asm.Ja32:
	default:
		return l.failure(last, "control can run off the end: the last instruction is not exit or goto")
	}
	return l.checkTargets(starts)
}

func (l *Linked) checkTargets(starts []bool) error {
	for pc, in := range l.insns {
		if !starts[pc] {
			continue
		}
		kind := asm.KindOf(in)
		var target int
		switch kind.Info().Class {
		case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
			target = in.Target(pc)
		case asm.ClassCall:
			if kind != asm.CallLocal {
				continue
			}
			target = in.Target(pc)
		case asm.ClassImm64:
			if in.Src != asm.PseudoFunc {
				continue
			}
			target = pc + 1 + int(in.Imm)
		case asm.ClassAbs, asm.ClassInd:
			if t := l.prog.Type; t != prog.Classic && !isSKB(t) {
				return l.failure(pc, "packet load in a program of type %s, whose ctx is no __sk_buff", t)
			}
			continue
		default:
			continue
		}
		if target < 0 || target >= len(starts) {
			return l.failure(pc, "target %d is outside the program", target)
		}
		if !starts[target] {
			return l.failure(pc, "target %d is the second slot of a 64-bit immediate load", target)
		}
	}
	return nil
}

func isSKB(t prog.Type) bool { return t.Row().CtxName == "__sk_buff" }

// resolve gives every 64-bit immediate load its value. Called with m.mu held.
func (m *Machine) resolve(l *Linked) error {
	for pc := 0; pc < len(l.insns); pc++ {
		in := l.insns[pc]
		switch asm.KindOf(in) {
		case asm.LdImm64:
		case asm.CallKfunc:
			l.insns[pc] = m.kfuncCall(l, in)
			continue
		default:
			continue
		}
		var value uint64
		var err error
		switch in.Src {
		case asm.PseudoNone:
			value = asm.Imm64(in, l.insns[pc+1])
		case asm.PseudoFunc:
			value = uint64(pc + 1 + int(in.Imm))
		case asm.PseudoMapIdx, asm.PseudoMapIdxValue:
			value, err = m.mapLoad(l, pc)
		case asm.PseudoBTFID:
			// The address only says whether there is one. A weak one that there is not has the value that is here already, 0.
			k, ok := l.prog.Kfunc(in.Imm)
			_, have := m.config.Tables.KfuncID(k.Name)
			switch {
			case !ok:
				err = l.failure(pc, "address of a kernel variable (BTF id %d): there is no kernel here", in.Imm)
			case have:
				value = kfuncAddress
			case !k.Weak:
				err = l.failure(pc, "address of kernel function %q, which is not implemented", k.Name)
			}
		case asm.PseudoMapFD, asm.PseudoMapValue:
			err = l.failure(pc, "map by file descriptor %d: there is no kernel here", in.Imm)
		default:
			err = l.failure(pc, "64-bit immediate load of unknown sort %d", in.Src)
		}
		if err != nil {
			return err
		}
		in.Src, in.Imm = asm.PseudoNone, int32(uint32(value))
		l.insns[pc] = in
		pc++
		l.insns[pc].Imm = int32(uint32(value >> 32))
	}
	return nil
}

// kfuncAddress stands for the address of a kernel function: not null, and nothing is there.
const kfuncAddress = 1

// kfuncCall makes of a kernel function's call what engines take: the call of its id. Of one that is not implemented it is left as
// it is, and a fault when it is reached.
func (m *Machine) kfuncCall(l *Linked, in asm.Insn) asm.Insn {
	k, ok := l.prog.Kfunc(in.Imm)
	if !ok {
		return in
	}
	if id, ok := m.config.Tables.KfuncID(k.Name); ok {
		in.Src, in.Imm = 0, id
	}
	return in
}

// mapLoad returns the guest value of the map load at pc.
func (m *Machine) mapLoad(l *Linked, pc int) (uint64, error) {
	in := l.insns[pc]
	if in.Imm < 0 || int(in.Imm) >= len(l.prog.Maps) {
		return 0, l.failure(pc, "map %d of %d", in.Imm, len(l.prog.Maps))
	}
	spec := l.prog.Maps[in.Imm]
	mp, err := m.addMap(spec)
	if err != nil {
		return 0, l.failure(pc, "%w", err)
	}
	arena, ok := maps.PagesOf(mp)
	if ok {
		l.arena = arena
	}
	if in.Src == asm.PseudoMapIdx {
		return uint64(mp.Handle()), nil
	}
	if ok {
		return arena.User() + uint64(uint32(l.insns[pc+1].Imm)), nil
	}
	off := uint32(l.insns[pc+1].Imm)
	if spec.Type != maps.Array {
		return 0, l.failure(pc, "address of a value of map %s, which is no array", spec.Name)
	}
	if off >= spec.ValueSize {
		return 0, l.failure(pc, "offset %d in the %d-byte value of map %s", off, spec.ValueSize, spec.Name)
	}
	addr := mp.LookupAddr(0, make([]byte, spec.KeySize))
	if addr == 0 {
		return 0, l.failure(pc, "map %s has no value 0", spec.Name)
	}
	l.addData(span{addr, spec.ValueSize, !spec.Frozen && spec.ProgWrites()})
	return uint64(addr) + uint64(off), nil
}

func (l *Linked) addData(s span) {
	for _, have := range l.data {
		if have == s {
			return
		}
	}
	l.data = append(l.data, s)
}
