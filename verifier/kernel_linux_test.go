package verifier_test

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/kernel"
	spec "github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// onKernel are the case files whose cases are all put before the running kernel. Those of a profile of their own are not.
var onKernel = []string{"kfuncs.txt", "dynptrs.txt", "iterators.txt", "regions.txt"}

// TestCasesOnKernel compares verdicts and the kernel's words of cases with those of the running kernel.
func TestCasesOnKernel(t *testing.T) {
	if err := kernel.Available(); err != nil {
		t.Skipf("no kernel: %v", err)
	}
	if r := kernel.Release(); !strings.HasPrefix(r, "6.18.") {
		t.Skipf("kernel %s is not the one that cases are for", r)
	}
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
	if slices.ContainsFunc(c.prog.Insns, func(in asm.Insn) bool { return asm.KindOf(in) == asm.LdImm64 && in.Src == asm.PseudoFunc }) {
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
	used := map[int32]int32{}
	q := *p
	q.Insns = slices.Clone(p.Insns)
	for i := range q.Insns {
		if in := &q.Insns[i]; asm.KindOf(*in) == asm.LdImm64 && (in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue) {
			used[in.Imm] = 0
		}
	}
	q.Maps = nil
	for _, i := range slices.Sorted(maps.Keys(used)) {
		used[i] = int32(len(q.Maps))
		q.Maps = append(q.Maps, p.Maps[i])
	}
	for i := range q.Insns {
		if in := &q.Insns[i]; asm.KindOf(*in) == asm.LdImm64 && (in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue) {
			in.Imm = used[in.Imm]
		}
	}
	return &q, q.Maps
}
