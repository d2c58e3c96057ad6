package verifier

import (
	"math/rand/v2"
	"testing"

	"github.com/skepvm/skep/asm"
)

// boundsUnder is someBounds as a release may have them.
func boundsUnder(p *Profile, r *rand.Rand, v uint64) bounds {
	b := someBounds(r, v)
	if !p.Bounds32 {
		b.forget32()
	}
	p.syncNumber(&b)
	return b
}

// TestReleasesSound checks that what each release follows of numbers holds the values of real runs.
func TestReleasesSound(t *testing.T) {
	if testing.Short() {
		t.Skip("exhaustive")
	}
	for _, p := range Profiles(LongTerm) {
		t.Run(p.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 8))
			for range rounds / 4 {
				x, y := someValue(r), someValue(r)
				if r.IntN(2) == 0 {
					y &= 63
				}
				a, b := boundsUnder(p, r, x), boundsUnder(p, r, y)
				if !a.contains(x) {
					t.Fatalf("%+v lost %#x", a, x)
				}
				x, y = someMember(r, &a, x), someMember(r, &b, y)
				checkALU(t, p, r, a, b, x, y)
				checkCuts(t, p, r, a, x)
				checkBranch(t, p, r, a, b, x, y)
			}
		})
	}
}

func checkALU(t *testing.T, p *Profile, r *rand.Rand, a, b bounds, x, y uint64) {
	t.Helper()
	op, width := asm.ALUOp(r.IntN(int(asm.Arsh)+1)), uint8(32<<r.IntN(2))
	if op == asm.Mov {
		return
	}
	got := a
	p.alu(&got, op, &b, width)
	if want := asm.Eval(op, width, x, y); !got.contains(want) {
		t.Fatalf("op %d width %d: %#x in %+v, %#x in %+v gives %#x, not in %+v", op, width, x, a, y, b, want, got)
	}
}

func checkCuts(t *testing.T, p *Profile, r *rand.Rand, a bounds, x uint64) {
	t.Helper()
	size := uint8(1 << r.IntN(4))
	got := a
	p.cut(&got, size)
	if want := x << (64 - 8*size) >> (64 - 8*size); !got.contains(want) {
		t.Fatalf("cut %d: %#x in %+v gives %#x, not in %+v", size, x, a, want, got)
	}
	got = a
	p.zext(&got)
	if want := uint64(uint32(x)); !got.contains(want) {
		t.Fatalf("zext: %#x in %+v gives %#x, not in %+v", x, a, want, got)
	}
}

func checkBranch(t *testing.T, p *Profile, r *rand.Rand, a, b bounds, x, y uint64) {
	t.Helper()
	c, width := asm.Cond(r.IntN(int(asm.Jsle)+1)), uint8(32<<r.IntN(2))
	if !p.RegBounds && !a.bitsOf(width).IsConst() && !b.bitsOf(width).IsConst() && (width == 32 || c != asm.Jeq && c != asm.Jne) {
		return // such a comparison tells nothing
	}
	holds := asm.Taken(c, width, x, y)
	o := p.decideNumbers(c, width, &a, &b)
	if o == always && !holds || o == never && holds {
		t.Fatalf("cond %d width %d: %#x in %+v, %#x in %+v decided %d", c, width, x, a, y, b, o)
	}
	if o != unknown || !p.RegBounds && !a.bitsOf(width).IsConst() && !b.bitsOf(width).IsConst() && (c == asm.Jeq) != holds {
		return
	}
	na, nb := a, b
	p.narrowNumbers(c, holds, width, &na, &nb)
	if !na.contains(x) || !nb.contains(y) {
		t.Fatalf("cond %d holds %v width %d: %#x in %+v, %#x in %+v narrowed to %+v, %+v", c, holds, width, x, a, y, b, na, nb)
	}
}
