package vector

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/vm"
)

// ran is a run that came about.
func ran(o Outcome) attempt { return attempt{Outcome: &o} }

func fault(kind vm.FaultKind, pc int) *vm.Fault { return &vm.Fault{Kind: kind, PC: pc} }

// TestJudge: what a run on another engine and one on the checked engine make of a vector that wants 7, and of one that
// wants an error.
func TestJudge(t *testing.T) {
	good := Outcome{R0: 7, Insns: 3, Mem: []byte{1, 2}}
	refused := attempt{err: &vm.LinkError{PC: 1, Reason: "no form"}}
	for name, c := range map[string]struct {
		run, checked  attempt
		result, error Status
		reason        string // of the one that is not passed, or of the first
	}{
		"alike":           {ran(good), ran(good), Pass, Fail, "r0 = 0x7, want an error"},
		"wrong":           {ran(Outcome{R0: 8}), ran(Outcome{R0: 8}), Fail, Fail, "r0 = 0x8, want 0x7"},
		"count":           {ran(Outcome{R0: 7, Insns: 4, Mem: good.Mem}), ran(good), Fail, Fail, "4 instructions, there 3"},
		"memory":          {ran(Outcome{R0: 7, Insns: 3, Mem: []byte{1, 3}}), ran(good), Fail, Fail, "memory 01 03, there 01 02"},
		"result":          {ran(good), ran(Outcome{R0: 6, Insns: 3, Mem: good.Mem}), Fail, Fail, "r0 = 0x7, there 0x6"},
		"fault there":     {ran(good), ran(Outcome{Fault: fault(vm.CallDepth, 1)}), Fail, Fail, "nested calls there"},
		"bad access":      {ran(good), ran(Outcome{Fault: fault(vm.BadAccess, 1)}), Pass, Skip, "only the checked engine looks for"},
		"same fault":      {ran(Outcome{Fault: fault(vm.CallDepth, 1)}), ran(Outcome{Fault: fault(vm.CallDepth, 1)}), Fail, Pass, "fault: pc 1"},
		"fault elsewhere": {ran(Outcome{Fault: fault(vm.CallDepth, 1)}), ran(Outcome{Fault: fault(vm.CallDepth, 2)}), Fail, Fail, "fault: pc 1"},
		"other fault":     {ran(Outcome{Fault: fault(vm.CallDepth, 1)}), ran(Outcome{Fault: fault(vm.HelperError, 1)}), Fail, Fail, "fault: pc 1"},
		"fault alone":     {ran(Outcome{Fault: fault(vm.CallDepth, 1)}), ran(good), Fail, Fail, "fault: pc 1"},
		"refused":         {refused, refused, Fail, Pass, "refused: pc 1: no form"},
		"refused there":   {ran(good), refused, Fail, Fail, "it gives pc 1: no form"},
		"no engine":       {attempt{err: errors.New("no memory")}, ran(good), Fail, Fail, "no memory"},
	} {
		t.Run(name, func(t *testing.T) {
			result := (&Vector{Result: 7}).judge(Interp, c.run, c.checked)
			wanted := (&Vector{WantError: true}).judge(Interp, c.run, c.checked)
			require.Equal(t, c.result, result.Status, result.Reason)
			require.Equal(t, c.error, wanted.Status, wanted.Reason)
			reason := result.Reason
			if c.result == Pass {
				reason = wanted.Reason
			}
			require.Contains(t, reason, c.reason)
		})
	}
}

func missing(c *Coverage) (all []string) {
	for _, g := range c.Groups(0) {
		all = append(all, g.Missing...)
	}
	return all
}

// TestCoverage: executed counts, contained does not, and a vector that fails gives nothing.
func TestCoverage(t *testing.T) {
	const text = `-- asm
	mov %r7, -1
	jeq %r7, 5, never
	ja on
never:
	neg %r7
on:
	exit
-- result
`
	run := func(result string) *Suite {
		v, err := Parse("x", text+result)
		require.NoError(t, err)
		s := &Suite{}
		for _, res := range s.Run(v) {
			require.Equal(t, map[string]Status{"0": Pass, "1": Fail}[result], res.Status, res.Reason)
		}
		return s
	}
	names := missing(&run("0").Coverage)
	for _, want := range []string{"Mov64K: immediate not negative", "Mov64K: registers of r0-r5", "Jeq64K: forward", "Jeq64K: backward",
		"Jeq64K: immediate negative", "Neg64", "Ja: backward", "Mov64X"} {
		require.Contains(t, names, want)
	}
	for _, have := range []string{"Mov64K", "Mov64K: immediate negative", "Mov64K: a register of r6-r10", "Jeq64K: not taken", "Ja: forward", "Exit"} {
		require.NotContains(t, names, have)
	}
	names = missing(&run("1").Coverage)
	require.Contains(t, names, "Exit")
	require.Contains(t, names, "Ja")
}

func TestGroups(t *testing.T) {
	var c Coverage
	kinds := 0
	for _, g := range c.Groups(0) {
		kinds += g.Instructions
		require.Len(t, g.Missing, g.Instructions, g.Group)
		require.Zero(t, g.Percent, g.Group)
		require.GreaterOrEqual(t, g.Forms, g.Instructions, g.Group)
	}
	require.Equal(t, int(asm.NumKinds)-1, kinds)
	require.Equal(t, 99.9, percent(2999, 3000), "not rounded up")
	old := c.Groups(asm.ISAv1)
	require.Equal(t, 2, old[4].Instructions+old[5].Instructions, "atomic additions are of v1")
}
