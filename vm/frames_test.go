package vm_test

import (
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// TestZeroesFrames says which programs' frames are zeroed; what that means is in testdata/frames.txt.
func TestZeroesFrames(t *testing.T) {
	m := newMachine(t, vm.Config{})
	for src, want := range map[string]bool{
		"r0 = 0\nexit":                       false, // has no frame to speak of
		"r0 = *(u64 *)(r10 - 8)\nexit":       true,
		"*(u64 *)(r10 - 8) = 1\nexit":        true,
		"call f\nexit\nf:\nr1 = r10\nexit":   true,
		"if r1 > r10 goto +0\nexit":          true,
		"lock *(u64 *)(r10 - 8) += r1\nexit": true,
	} {
		insns, err := asm.Parse(src, asm.ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p := &prog.Program{Name: "main", Type: prog.XDP, Insns: insns}
		l, err := m.Link(p)
		if err != nil {
			t.Fatal(err)
		}
		verified, err := m.LinkVerified(p)
		if err != nil {
			t.Fatal(err)
		}
		if l.ZeroesFrames() != want || verified.ZeroesFrames() {
			t.Errorf("%s: %v, verified %v", asm.FormatProgram(insns), l.ZeroesFrames(), verified.ZeroesFrames())
		}
	}
}
