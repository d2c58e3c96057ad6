package gen_test

import (
	"slices"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/gen"
)

// notMade are kinds that programs of packet types have no use for: casts between address spaces need an arena, kernel
// functions need the kernel's BTF, and no kernel takes a call by register.
var notMade = map[asm.Kind]bool{
	asm.AddrCast: true, asm.CallKfunc: true, asm.CallReg: true,
}

// rare are forms by class that the grammar has no use for, as what they reach is out of bounds: a program with them is
// refused, and InsnsOver makes them.
func rare(class asm.Class, f gen.Form) bool {
	switch class {
	case asm.ClassAtomic, asm.ClassStoreRel:
		return f == gen.OffExtreme || f == gen.OperandSame
	case asm.ClassLoadAcq:
		return f == gen.OffExtreme
	case asm.ClassLoad, asm.ClassStore:
		return f == gen.OffExtreme
	case asm.ClassInd:
		return f == gen.ImmNegative || f == gen.ImmExtreme
	case asm.ClassAbs:
		return f == gen.ImmNegative || f == gen.ImmExtreme
	case asm.ClassAddrCast, asm.ClassCall:
		return true
	case asm.ClassMayGoto: // they go forward to the end of their loop
		return f == gen.OffZero || f == gen.OffNegative
	case asm.ClassJump:
		return f == gen.ImmZero
	}
	return false
}

// TestCoverage shows that every shape of statement, every kind of instruction, every form of operands and every shape
// of control flow comes up.
func TestCoverage(t *testing.T) {
	var cov gen.Coverage
	over := gen.Maps()
	for seed := range uint64(3000) {
		gen.MakeOver(gen.FromSeed(seed), &cov, over)
	}
	for _, s := range gen.Shapes() {
		if cov.Shapes[s] == 0 {
			t.Errorf("no %s was made", s)
		}
	}
	var forms [256][gen.NumForms]int // by class
	var possible [256][gen.NumForms]bool
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if (cov.Kinds[k] == 0) != notMade[k] {
			t.Errorf("%s: made %d", k, cov.Kinds[k])
		}
		for _, f := range gen.FormsOf(k) {
			possible[k.Info().Class][f] = true
			forms[k.Info().Class][f] += cov.Forms[k][f]
		}
	}
	for class := range forms {
		for f, yes := range possible[class] {
			if yes && forms[class][f] == 0 && !rare(asm.Class(class), gen.Form(f)) {
				t.Errorf("class %d: no %s was made", class, gen.Form(f))
			}
		}
	}
	for f, n := range cov.Flows {
		if n == 0 {
			t.Errorf("no %s was made", gen.Flow(f))
		}
	}
}

// TestInsnsCoverage shows that every kind comes up in every form that it has.
func TestInsnsCoverage(t *testing.T) {
	var cov gen.Coverage
	over := gen.Maps()
	for seed := range uint64(6000) {
		gen.InsnsOver(gen.FromSeed(seed), &cov, over)
	}
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if cov.Kinds[k] == 0 {
			t.Errorf("no %s was made", k)
		}
		for _, f := range gen.FormsOf(k) {
			if cov.Forms[k][f] == 0 {
				t.Errorf("%s: no %s was made", k, f)
			}
		}
	}
	for f, n := range cov.Flows {
		if n == 0 {
			t.Errorf("no %s was made", gen.Flow(f))
		}
	}
}

// TestInsnsText shows that the text of legal instructions is the instructions.
func TestInsnsText(t *testing.T) {
	over := gen.Maps()
	for seed := range uint64(500) {
		p := gen.InsnsOver(gen.FromSeed(seed), nil, over)
		again, err := gen.ParseOver(p.Type, p.Text, over)
		if err != nil || !slices.Equal(again.Insns, p.Insns) {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, p.Text, asm.FormatProgram(p.Insns))
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
