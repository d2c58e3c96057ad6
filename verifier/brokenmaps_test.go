package verifier_test

import (
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// Maps of maps that no kernel could make are refused when they are referred to: the walk and its reports count on an inner map.
func TestBrokenMapsOfMaps(t *testing.T) {
	outer := func(inner *maps.Spec) *maps.Spec {
		return &maps.Spec{Name: "outer", Type: maps.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, Inner: inner, LockOff: -1, TimerOff: -1}
	}
	loop := outer(nil)
	loop.Inner = loop
	for name, m := range map[string]*maps.Spec{"no inner map": outer(nil), "a map of maps inside": outer(outer(nil)), "itself inside": loop, "nil": nil} {
		code, pc := verifier.BadMap, 3
		if m == nil {
			code, pc = verifier.Broken, -1
		}
		insns, err := asm.Parse(`*(u32 *)(r10 - 4) = 0
			r2 = r10
			r2 += -4
			r1 = map[outer]
			call 1
			if r0 == 0 goto out
			r0 = *(u64 *)(r0 + 0)
			out:
			r0 = 0
			exit`, asm.ParseOptions{Maps: func(string) (int32, bool) { return 0, true }})
		if err != nil {
			t.Fatal(err)
		}
		p := &prog.Program{Name: "broken", Type: prog.XDP, License: "GPL", Insns: insns, Maps: []*maps.Spec{m}}
		_, err = verifier.Verify(p, verifier.Options{})
		if e, ok := err.(*verifier.Error); !ok || e.Code != code || e.PC != pc {
			t.Errorf("%s: %v", name, err)
		}
		verifier.Needs(p)
	}
}
