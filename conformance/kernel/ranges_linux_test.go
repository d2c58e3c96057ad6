package kernel_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// visit is what a verifier's log says of one instruction that it visited: the registers that hold numbers or variable
// pointers, in a form that compares.
type visit struct {
	pc   int
	regs map[string]string
}

var (
	logInsn  = regexp.MustCompile(`^(\d+): \([0-9a-f]+\) (.*)$`)
	logState = regexp.MustCompile(`^(?:from \d+ to )?(\d+): (R\d+=.*|fp-\d+=.*)$`)
	logRegs  = regexp.MustCompile(`(R\d+|fp-\d+)=([^ (]*(?:\([^=]*\)|\((?:[^()]|\([^()]*\))*\))?)`)
	logLive  = regexp.MustCompile(`^ +(\d+): ([.0-9]{10}) \(`)
	logID    = regexp.MustCompile(`\bid=\d+`)
	logMap   = regexp.MustCompile(`map=\w+,ks=\d+,vs=\d+,?`)
	logIDs   = regexp.MustCompile(`\bid=\d+(?:[+-]\d+)?,?`)
)

// normal is a register's text without what is no range: precision marks, ids, and which map.
func normal(text string) string {
	text = strings.TrimPrefix(text, "P")
	text = logMap.ReplaceAllString(logIDs.ReplaceAllString(text, ""), "")
	return strings.ReplaceAll(text, ",)", ")")
}

// state is what a log said last of registers and stack slots.
type state struct{ text, id map[string]string }

// read takes in a line's registers.
func (s state) read(line string) {
	for _, m := range logRegs.FindAllStringSubmatch(line, -1) {
		s.text[m[1]] = normal(m[2])
		s.id[m[1]] = logID.FindString(m[2])
	}
}

// forgetCopies forgets the copies of what is compared: a branch narrows them too, and the kernel's log is silent about it.
func (s state) forgetCopies(in asm.Insn) {
	operands := []string{fmt.Sprintf("R%d", uint8(in.Dst))}
	if asm.KindOf(in).Info().UseSrc {
		operands = append(operands, fmt.Sprintf("R%d", uint8(in.Src)))
	}
	for _, op := range operands {
		for name, id := range s.id {
			if id != "" && id == s.id[op] && !slices.Contains(operands, name) {
				delete(s.text, name)
			}
		}
	}
}

// kernelVisits reads the kernel's log: what is known before each instruction visited.
func kernelVisits(p *prog.Program, log []string) (all []visit) {
	s := state{map[string]string{}, map[string]string{}}
	live := map[int]string{}
	for _, l := range log {
		if m := logLive.FindStringSubmatch(l); m != nil {
			pc, _ := strconv.Atoi(m[1])
			live[pc] = m[2]
			continue
		}
		if m := logState.FindStringSubmatch(l); m != nil {
			if strings.HasPrefix(l, "from") {
				clear(s.text)
				clear(s.id)
			}
			s.read(m[2])
			continue
		}
		m := logInsn.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		pc, _ := strconv.Atoi(m[1])
		before := maps.Clone(s.text)
		for i, c := range live[pc] { // what a branch says is not kept of copies that nobody reads
			if c == '.' {
				delete(before, fmt.Sprintf("R%d", i))
			}
		}
		all = append(all, visit{pc, before})
		if in := p.Insns[pc]; asm.KindOf(in).Info().Class == asm.ClassBranch {
			s.forgetCopies(in)
		}
		if i := strings.Index(m[2], "; "); i >= 0 {
			s.read(m[2][i:])
		}
	}
	return all
}

func ourVisits(log []string) (all []visit) {
	for _, l := range log {
		if m := logState.FindStringSubmatch(l); m != nil && !strings.HasPrefix(l, "from") {
			pc, _ := strconv.Atoi(m[1])
			s := state{map[string]string{}, map[string]string{}}
			s.read(m[2])
			all = append(all, visit{pc, s.text})
		}
	}
	return all
}

// rangesDiffer walks a program here and in the kernel, and says where the two first think differently.
func (r *referee) rangesDiffer(text string) (string, error) {
	p, err := gen.Parse(prog.SchedCLS, text)
	if err != nil {
		return "", err
	}
	theirs := kernelVisits(p, kernel.Walk(p, r.maps))
	var log []string
	_, refusal := verifier.Verify(p, verifier.Options{LogLevel: verifier.LogInsns | verifier.LogStates,
		Log: func(l string) { log = append(log, l) }})
	ours := ourVisits(log)
	for i := range min(len(ours), len(theirs)) {
		a, b := ours[i], theirs[i]
		if a.pc != b.pc {
			return fmt.Sprintf("visit %d: here %d, in the kernel %d", i, a.pc, b.pc), nil
		}
		for name, text := range b.regs {
			if a.regs[name] != text {
				return fmt.Sprintf("visit %d, before %d: %s\n  here   %s\n  kernel %s", i, a.pc, name, a.regs[name], text), nil
			}
		}
	}
	if len(ours) != len(theirs) {
		return fmt.Sprintf("%d visits here, %d in the kernel (%v)", len(ours), len(theirs), refusal), nil
	}
	return "", nil
}

// numberSource are first values of the registers: known bits and ranges of every sort.
var numberSource = []string{
	"r%d = *(u64 *)(r6 + 152)",
	"r%d = *(u32 *)(r6 + 0)",
	"r%d = *(u8 *)(r10 - 8)",
	"r%d = *(u16 *)(r10 - 8)",
	"r%d = *(s8 *)(r10 - 8)",
	"r%d = *(s16 *)(r10 - 8)",
	"r%d = *(s32 *)(r10 - 8)",
	"r%d = %d",
}

// numeric makes a program of numbers in which every way out of a branch leads to a place of its own, so that no states meet.
func numeric(rnd *rand.Rand) string {
	var out, exits strings.Builder
	emit := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	emit("r6 = r1")
	imm := func() int64 {
		switch rnd.IntN(4) {
		case 0:
			return int64(rnd.IntN(64)) - 16
		case 1:
			return int64(int32(rnd.Uint32()))
		case 2:
			return int64(1)<<rnd.IntN(32) - int64(rnd.IntN(3)) - 1<<31*int64(rnd.IntN(2))
		}
		return int64(int32(rnd.Uint32())) >> rnd.IntN(31)
	}
	clip := func(v int64) int32 { return int32(v) }
	const regs = 5
	for i := range regs {
		if f := numberSource[rnd.IntN(len(numberSource))]; strings.Count(f, "%d") == 2 {
			emit(f, i, clip(imm()))
		} else {
			emit(f, i)
		}
	}
	labels := 0
	for range 4 + rnd.IntN(16) {
		d, s := rnd.IntN(regs), rnd.IntN(regs)
		switch rnd.IntN(12) {
		case 0:
			emit("*(u64 *)(r10 - 16) = r%d", d)
			emit("r%d = *(u%d *)(r10 - 16)", s, 8<<rnd.IntN(4))
		case 1:
			emit("r%d = %#x ll", d, rnd.Uint64()>>rnd.IntN(64))
		case 2:
			emit("r%d = *(u64 *)(r6 + 152)", d)
			if rnd.IntN(8) == 0 { // most often the last: what is not bounded must not be added
				pointer(rnd, emit, d, s, clip(imm()))
			}
		case 3, 4, 5, 6:
			emit("%s", aluText(rnd, d, s, clip(imm())))
		default:
			k := branches[rnd.IntN(len(branches))]
			in := k.Example()
			in.Dst, in.Off = asm.Reg(d), 0
			if k.Info().UseSrc {
				in.Src = asm.Reg(s)
			} else {
				in.Imm = clip(imm())
			}
			labels++
			text := asm.Format(in, nil)
			emit("%sgoto L%d", strings.TrimSuffix(text, "goto +0"), labels)
			fmt.Fprintf(&exits, "L%d:\nr0 = %d\nexit\n", labels, labels)
		}
	}
	emit("r0 = 0\nexit")
	return out.String() + exits.String()
}

// pointer adds registers d and s and a number to a pointer in r7.
func pointer(rnd *rand.Rand, emit func(string, ...any), d, s int, imm int32) {
	emit([]string{"r7 = r10", "r7 = map[global][8]"}[rnd.IntN(2)])
	if rnd.IntN(3) > 0 {
		emit("r%d &= %d", d, uint32(imm)>>rnd.IntN(32)&0xfffffff)
	}
	for _, add := range []string{fmt.Sprintf("r7 += r%d", d), fmt.Sprintf("r7 += %d", imm>>8), fmt.Sprintf("r7 += r%d", s), fmt.Sprintf("r7 -= r%d", d)} {
		if rnd.IntN(3) > 0 {
			emit("%s", add)
		}
	}
	emit("r%d = r7", d)
}

// aluText is one operation on registers d and s or a number.
func aluText(rnd *rand.Rand, d, s int, imm int32) string {
	k := operations[rnd.IntN(len(operations))]
	in, info := k.Example(), k.Info()
	in.Dst = asm.Reg(d)
	switch {
	case info.UseSrc || info.Class == asm.ClassMovsx:
		in.Src = asm.Reg(s)
	case info.Legal.Imm == asm.AnyValue:
		in.Imm = imm
		switch info.ALU {
		case asm.Lsh, asm.Rsh, asm.Arsh:
			in.Imm &= int32(info.Width) - 1
		case asm.Div, asm.Mod, asm.SDiv, asm.SMod:
			in.Imm |= 1
		}
	}
	return asm.Format(in, nil)
}

// operations and branches are the instructions that numeric consists of.
var operations, branches = func() (ops, jumps []asm.Kind) {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		switch k.Info().Class {
		case asm.ClassALU, asm.ClassNeg, asm.ClassMovsx, asm.ClassSwap:
			ops = append(ops, k)
		case asm.ClassBranch:
			jumps = append(jumps, k)
		}
	}
	return ops, jumps
}()

// TestRanges compares what both verifiers know of every register before every instruction, on generated programs of
// numbers. It finds rules that differ, not only programs in which the difference decides.
func TestRanges(t *testing.T) {
	r := newReferee(t)
	failed, insns := 0, 0
	for seed := *first; seed < *first+*count; seed++ {
		text := numeric(rand.New(rand.NewPCG(seed, 0)))
		insns += strings.Count(text, "\n")
		diff, err := r.rangesDiffer(text)
		require.NoError(t, err, text)
		if diff == "" {
			continue
		}
		small := conformance.Minimize(text, func(text string) bool {
			d, err := r.rangesDiffer(text)
			return err == nil && d != ""
		})
		diff, _ = r.rangesDiffer(small)
		t.Errorf("seed %d: %s\n%s", seed, diff, small)
		if failed++; failed == 5 {
			t.Fatal("too many")
		}
	}
	t.Logf("%d programs, %d instructions compared", *count, insns)
}
