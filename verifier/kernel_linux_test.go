package verifier_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/conformance/kernel"
	spec "github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// onKernel are the case files whose cases are all put before the running kernel. Those of a profile of their own are not.
var onKernel = []string{"kfuncs.txt", "dynptrs.txt", "iterators.txt", "regions.txt", "arenas.txt", "arena-pointers.txt"}

// needCaseKernel skips where there is no kernel of the release that cases are for.
func needCaseKernel(t *testing.T) {
	t.Helper()
	if err := kernel.Available(); err != nil {
		t.Skipf("no kernel: %v", err)
	}
	if r := kernel.Release(); !strings.HasPrefix(r, "6.18.") {
		t.Skipf("kernel %s is not the one that cases are for", r)
	}
}

// TestCasesOnKernel compares verdicts and the kernel's words of cases with those of the running kernel.
func TestCasesOnKernel(t *testing.T) {
	needCaseKernel(t)
	for _, file := range onKernel {
		for _, c := range loadCases(t, filepath.Join("testdata", "cases", file)) {
			if c.profile.Name != verifier.Newest().Name || c.kernels != nil {
				continue
			}
			t.Run(strings.TrimSuffix(file, ".txt")+"/"+c.name, func(t *testing.T) { compareWithKernel(t, c) })
		}
	}
}

func compareWithKernel(t *testing.T, c *verifyCase) {
	if slices.ContainsFunc(c.prog.Insns, isFuncLoad) {
		t.Skip("the kernel wants BTF of programs with callbacks")
	}
	p, specs := onlyUsedMaps(c.prog)
	set, err := kernel.NewMaps(specs)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	loaded, refused := kernel.LoadProgram(p, set)
	if refused == nil {
		loaded.Close()
	}
	_, ours := verifier.Verify(c.prog, verifier.Options{Profile: c.profile})
	if (ours == nil) != (refused == nil) {
		t.Fatalf("the verifier says %v, the kernel %v", ours, refused)
	}
	var words *kernel.Rejected
	if ours == nil || !errors.As(refused, &words) {
		return
	}
	got := ours.(*verifier.Error).Kernel
	if got = got[strings.LastIndexByte(got, '\n')+1:]; !strings.HasSuffix(words.Words, got) { // some words follow others on their line
		t.Errorf("the verifier says %q, the kernel %q", got, words.Words)
	}
}

// onlyUsedMaps is the program with no other maps than those that its instructions name.
func onlyUsedMaps(p *prog.Program) (*prog.Program, []*spec.Spec) {
	q := *p
	q.Insns = slices.Clone(p.Insns)
	used := map[int32]bool{}
	for _, in := range q.Insns {
		if isMapLoad(in) {
			used[in.Imm] = true
		}
	}
	q.Maps = keepMaps(&q, used)
	return &q, q.Maps
}

var (
	mutantSeed  = flag.Uint64("mutantseed", 1, "first seed of TestMutantsOnKernel")
	mutantCount = flag.Uint64("mutants", 200, "number of mutants of TestMutantsOnKernel")
)

// TestMutantsOnKernel changes the programs of the cases that the kernel is asked about, and compares verdicts.
func TestMutantsOnKernel(t *testing.T) {
	needCaseKernel(t)
	progs := commonNumbers(t)
	set, err := kernel.NewMaps(progs[0].Maps)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	accepted := 0
	for seed := *mutantSeed; seed < *mutantSeed+*mutantCount; seed++ {
		src := gen.FromSeed(seed)
		p := *progs[src.IntN(len(progs))]
		p.Insns = gen.Mutate(src, p.Insns, progs[src.IntN(len(progs))].Insns)
		_, ours := verifier.Verify(&p, verifier.Options{})
		var e *verifier.Error
		if errors.As(ours, &e) && (e.Code == verifier.TooComplex || e.Code == verifier.Unsupported) {
			continue
		}
		loaded, refused := kernel.TryProgram(&p, set)
		if refused == nil {
			loaded.Close()
			accepted++
		}
		if (ours == nil) == (refused == nil) || ours != nil && (e.Reason == verifier.DeadReason || e.Code == verifier.NeedsBTF ||
			strings.Contains(e.Kernel, "at an offset=0\n")) { // the kernel takes the end of the stack for its last slot
			continue
		}
		if refused != nil {
			_, refused = kernel.LoadProgram(&p, set)
		}
		t.Errorf("-mutantseed %d, of %q: the verifier says %v, the kernel %v\n%s", seed, p.Name, ours, refused, listing(&p))
	}
	t.Logf("the kernel accepts %d of %d", accepted, *mutantCount)
}

// listing is a program in assembler text.
func listing(p *prog.Program) string {
	var b strings.Builder
	for pc, in := range p.Insns {
		name := ""
		if k, ok := p.Kfunc(in.Imm); ok && asm.KindOf(in) == asm.CallKfunc {
			name = " ; " + k.Name
		}
		fmt.Fprintf(&b, "%d: %s%s\n", pc, asm.Format(in, nil), name)
	}
	return b.String()
}

// commonNumbers are the programs of the cases with the same maps and kernel functions, so that each may get instructions
// of others.
func commonNumbers(t *testing.T) (progs []*prog.Program) {
	used := map[int32]bool{}
	index := map[string]int32{}
	var kfuncs []prog.Kfunc
	for _, file := range onKernel {
		for _, c := range loadCases(t, filepath.Join("testdata", "cases", file)) {
			p := c.prog
			if c.kernels != nil || slices.ContainsFunc(p.Insns, isFuncLoad) || slices.ContainsFunc(p.Kfuncs, func(k prog.Kfunc) bool { return k.Weak }) {
				continue
			}
			for i := range p.Insns {
				in := &p.Insns[i]
				switch {
				case asm.KindOf(*in) == asm.CallKfunc:
					name := p.Kfuncs[in.Imm].Name
					if _, ok := index[name]; !ok {
						index[name] = int32(len(kfuncs))
						kfuncs = append(kfuncs, prog.Kfunc{Name: name})
					}
					in.Imm = index[name]
				case isMapLoad(*in):
					used[in.Imm] = true
				}
			}
			progs = append(progs, p)
		}
	}
	for _, p := range progs {
		p.Maps = keepMaps(p, used)
		p.Kfuncs = kfuncs
	}
	return progs
}

func isFuncLoad(in asm.Insn) bool { return asm.KindOf(in) == asm.LdImm64 && in.Src == asm.PseudoFunc }

func isMapLoad(in asm.Insn) bool {
	return asm.KindOf(in) == asm.LdImm64 && (in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue)
}

// keepMaps renumbers the map loads of a program for the maps that are used, and returns those.
func keepMaps(p *prog.Program, used map[int32]bool) (kept []*spec.Spec) {
	number := map[int32]int32{}
	for _, i := range slices.Sorted(maps.Keys(used)) {
		number[i] = int32(len(kept))
		kept = append(kept, p.Maps[i])
	}
	for i := range p.Insns {
		if in := &p.Insns[i]; isMapLoad(*in) {
			in.Imm = number[in.Imm]
		}
	}
	return kept
}
