package verifier

import (
	"fmt"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// NeedKind is a kind of thing that kernel releases brought.
type NeedKind string

// The kinds.
const (
	NeedHelper  NeedKind = "helper"
	NeedKfunc   NeedKind = "kernel function"
	NeedMap     NeedKind = "map type"
	NeedMapFlag NeedKind = "map flag"
	NeedType    NeedKind = "program type"
	NeedAttach  NeedKind = "section" // a row of prog.Sections: an attach type or a load flag
	NeedInsns   NeedKind = "instructions"
	NeedField   NeedKind = "ctx field"
	NeedRule    NeedKind = "rule" // of the verifier: a row of Rules
)

// Need is something that a program uses and that not every kernel has.
type Need struct {
	What  NeedKind
	Name  string // "bpf_loop", "ringbuf", "v4: signed division", "__sk_buff.hwtstamp", "bounded loops"
	Since kver.Version
	PC    int // first instruction that uses it; -1 when it is the program as a whole
}

// String is the need and its release: "helper bpf_loop (5.17)"; rules and instructions are named without their kind.
func (n Need) String() string {
	if n.What == NeedRule || n.What == NeedInsns {
		return fmt.Sprintf("%s (%v)", n.Name, n.Since)
	}
	return fmt.Sprintf("%s %s (%v)", n.What, n.Name, n.Since)
}

// LongTerm are the releases with a profile of their own: those with long-term support, and the newest, the oldest first.
var LongTerm = []kver.Version{kver.V(4, 19), kver.V(5, 4), kver.V(5, 10), kver.V(5, 15), kver.V(6, 1), kver.V(6, 6), kver.V(6, 12),
	newestKernel}

// Profiles are those of releases.
func Profiles(releases []kver.Version) []*Profile {
	list := make([]*Profile, len(releases))
	for i, k := range releases {
		list[i] = Linux(int(k.Major), int(k.Minor))
	}
	return list
}

// Needs lists what the program says it needs: its type, maps, helpers and instructions, the newest first; what every
// kernel with eBPF has is left out. It looks at every instruction, also at those that never run, and knows nothing of the
// walk: see Lowest for ctx fields and rules. A program that cannot be read (see prog.Program.Broken) has needs too.
func Needs(p *prog.Program) []Need {
	s := scan{prog: p, seen: map[[2]string]bool{}}
	s.add(NeedType, p.Type.String(), p.Type.Row().Since, -1)
	if sec, ok := prog.SectionOf(p.Section); ok && sec.Type == p.Type {
		s.add(NeedAttach, sec.Name(), sec.Since, -1)
	}
	for pc := 0; pc < len(p.Insns); pc++ {
		s.insn(pc)
		if asm.KindOf(p.Insns[pc]) == asm.LdImm64 {
			s.imm64(pc)
			pc++
		}
	}
	slices.SortStableFunc(s.needs, func(a, b Need) int { return b.Since.Compare(a.Since) })
	return s.needs
}

// scan collects needs.
type scan struct {
	prog  *prog.Program
	needs []Need
	seen  map[[2]string]bool
}

func (s *scan) add(what NeedKind, name string, since kver.Version, pc int) {
	key := [2]string{string(what), name}
	if since == (kver.Version{}) || s.seen[key] {
		return
	}
	s.seen[key] = true
	s.needs = append(s.needs, Need{what, name, since, pc})
}

func (s *scan) insn(pc int) {
	in := s.prog.Insns[pc]
	k := asm.KindOf(in)
	if name := insnNames[k.Info().Class]; name != nil {
		s.add(NeedInsns, name(k.Info()), k.Info().Since, pc)
	}
	if k == asm.CallKfunc {
		if f, ok := s.prog.Kfunc(in.Imm); ok && !f.Weak {
			if row, ok := helpers.KfuncByName(f.Name); ok {
				s.add(NeedKfunc, f.Name, row.Since, pc)
			}
		}
		return
	}
	if k != asm.CallHelper {
		return
	}
	if r := helpers.ByID(in.Imm); r != nil {
		since, _ := helpers.Since(r, s.prog.Type)
		s.add(NeedHelper, r.Name, since, pc)
	}
}

// globalData and callbacks are the releases that brought 64-bit loads of a map's value and of a function.
var (
	globalData = kver.V(5, 2)
	callbacks  = kver.V(5, 13)
)

func (s *scan) imm64(pc int) {
	in := s.prog.Insns[pc]
	switch in.Src {
	case asm.PseudoFunc:
		s.add(NeedInsns, "addresses of functions", callbacks, pc)
		return
	case asm.PseudoMapIdxValue:
		s.add(NeedInsns, "addresses of map values", globalData, pc)
	case asm.PseudoMapIdx:
	default:
		return
	}
	if in.Imm < 0 || int(in.Imm) >= len(s.prog.Maps) || s.prog.Maps[in.Imm] == nil {
		return
	}
	for _, m := range withInner(s.prog.Maps[in.Imm]) {
		s.add(NeedMap, m.Type.String(), m.Type.Row().Since, pc)
		for _, f := range m.NewFlags() {
			s.add(NeedMapFlag, f.Name, f.Since, pc)
		}
	}
}

// insnNames name instructions that releases brought, by class.
var insnNames = map[asm.Class]func(*asm.Info) string{
	asm.ClassALU: func(i *asm.Info) string {
		if i.ALU == asm.Arsh {
			return "32-bit arithmetic shifts"
		}
		return isaName("signed division")(i)
	},
	asm.ClassMovsx:    isaName("sign-extending moves"),
	asm.ClassSwap:     isaName("byte swaps"),
	asm.ClassAddrCast: isaName("address space casts"),
	asm.ClassJump:     isaName("long jumps"),
	asm.ClassBranch: func(i *asm.Info) string {
		if i.Width == 32 {
			return "v3: 32-bit comparisons"
		}
		return "v2: comparisons below"
	},
	asm.ClassMayGoto:  isaName("may_goto"),
	asm.ClassLoad:     isaName("sign-extending loads"),
	asm.ClassAtomic:   isaName("atomic operations"),
	asm.ClassLoadAcq:  isaName("load-acquire"),
	asm.ClassStoreRel: isaName("store-release"),
	asm.ClassCall: func(i *asm.Info) string {
		if i == asm.CallKfunc.Info() {
			return "calls of kernel functions"
		}
		return "calls of local functions"
	},
}

func isaName(name string) func(*asm.Info) string {
	return func(i *asm.Info) string {
		if i.ISA == asm.ISALinux {
			return name
		}
		return i.ISA.String() + ": " + name
	}
}

// Support says from which release on a program loads.
type Support struct {
	Lowest *Profile // the lowest that accepts it; nil when none does
	Before *Profile // the one before that, which refuses it; nil when Lowest is the first that was asked
	Error  *Error   // what Before says; when no profile accepts the program, what the last says
	// Decides is what Lowest has and Before lacks: all that the program needs of what came between them, and a smallest
	// set of rules without which Lowest would refuse it too.
	Decides []Need
}

// Lowest finds the lowest of profiles, the oldest first, that accepts the program, and what decides it. o's profile is
// not looked at. A program may be refused again by newer releases: Lowest does not ask them.
func Lowest(p *prog.Program, o Options, profiles []*Profile) Support {
	var s Support
	for _, profile := range profiles {
		err := verifyUnder(p, o, profile)
		if err == nil {
			s.Lowest = profile
			break
		}
		s.Before, s.Error = profile, err
	}
	if s.Lowest != nil && s.Before != nil {
		s.Decides = decides(p, o, s.Before, s.Lowest)
	}
	return s
}

func verifyUnder(p *prog.Program, o Options, profile *Profile) *Error {
	o.Profile = profile
	if _, err := Verify(p, o); err != nil {
		return err.(*Error)
	}
	return nil
}

// decides finds what makes the difference between two profiles, of which only the newer accepts the program.
func decides(p *prog.Program, o Options, older, newer *Profile) []Need {
	var needs []Need
	for _, n := range Needs(p) {
		if !older.Kernel.AtLeast(n.Since) && newer.Kernel.AtLeast(n.Since) {
			needs = append(needs, n)
		}
	}
	needs = append(needs, missingFields(p, o, older, newer, needs)...)

	// Switch rules off as long as the program is accepted: what cannot be switched off is needed.
	trial := *newer
	for i := len(Rules) - 1; i >= 0; i-- {
		r := &Rules[i]
		if older.Kernel.AtLeast(r.Since) || !newer.Kernel.AtLeast(r.Since) {
			continue
		}
		without := trial
		r.set(&without, false)
		if err := verifyUnder(p, o, &without); err != nil {
			needs = append(needs, Need{What: NeedRule, Name: r.Name, Since: r.Since, PC: err.PC})
		} else {
			trial = without
		}
	}
	return needs
}

// missingFields finds what only the walk finds missing, ctx fields: it gives the newer profile's rules to kernels that have
// ever more of what the program asks for.
func missingFields(p *prog.Program, o Options, older, newer *Profile, known []Need) []Need {
	trial := *newer
	trial.Kernel = older.Kernel
	for _, n := range known {
		if n.Since.Compare(trial.Kernel) > 0 {
			trial.Kernel = n.Since
		}
	}
	var found []Need
	for trial.Kernel != newer.Kernel {
		err := verifyUnder(p, o, &trial)
		if err == nil || err.Need == nil || !newer.Kernel.AtLeast(err.Need.Since) || trial.Kernel.AtLeast(err.Need.Since) {
			break
		}
		found = append(found, *err.Need)
		trial.Kernel = err.Need.Since
	}
	return found
}
