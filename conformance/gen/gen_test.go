package gen_test

import (
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/gen"
)

// notMade are kinds that programs of packet types have no use for.
var notMade = map[asm.Kind]bool{
	asm.AddrCast: true, asm.CallKfunc: true, asm.CallReg: true,
}

// TestCoverage shows that every shape of statement and every kind of instruction comes up.
func TestCoverage(t *testing.T) {
	var cov gen.Coverage
	for seed := range uint64(3000) {
		gen.Make(gen.FromSeed(seed), &cov)
	}
	for _, s := range gen.Shapes() {
		if cov.Shapes[s] == 0 {
			t.Errorf("no %s was made", s)
		}
	}
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if (cov.Kinds[k] == 0) != notMade[k] {
			t.Errorf("%s: made %d", k, cov.Kinds[k])
		}
	}
}

// TestSame shows that a source's choices decide all.
func TestSame(t *testing.T) {
	texts := map[string]bool{}
	for seed := range uint64(100) {
		a, b := gen.Make(gen.FromSeed(seed), nil), gen.Make(gen.FromSeed(seed), nil)
		if a.Text != b.Text {
			t.Fatalf("seed %d: two programs", seed)
		}
		texts[a.Text] = true
	}
	if len(texts) < 100 {
		t.Errorf("%d different programs of 100 seeds", len(texts))
	}
}

// TestBytes shows that any bytes make a program.
func TestBytes(t *testing.T) {
	for _, b := range [][]byte{nil, {0}, {255}, {1, 2, 3}, []byte("any text will do, the longer the better")} {
		if len(gen.Make(gen.FromBytes(b), nil).Insns) == 0 {
			t.Errorf("%x: no instructions", b)
		}
	}
}
