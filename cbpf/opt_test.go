package cbpf

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomStmt draws a statement of few offsets and numbers, so that equal ones meet.
func randomStmt(r *rand.Rand) Insn {
	pick := func(k ...uint32) uint32 { return k[r.IntN(len(k))] }
	op := func(ops ...uint16) uint16 { return ops[r.IntN(len(ops))] }
	switch r.IntN(14) {
	case 0, 1, 2:
		return Insn{Op: ClassLd | ModeAbs | op(SizeB, SizeH, SizeW), K: pick(0, 1, 2, 4, 6)}
	case 3:
		return Insn{Op: ClassLd | ModeInd | op(SizeB, SizeH, SizeW), K: pick(0, 1, 2, 3)}
	case 4:
		return Insn{Op: ClassLdx | ModeMsh | SizeB, K: pick(0, 1, 3)}
	case 5:
		return Insn{Op: op(ClassLd, ClassLdx) | ModeImm, K: pick(0, 1, 2, 3, 255, 0x80000000, 1<<32-1)}
	case 6:
		return Insn{Op: op(ClassSt, ClassStx), K: pick(0, 1, 15)}
	case 7:
		return Insn{Op: op(ClassLd, ClassLdx) | ModeMem, K: pick(0, 1, 15)}
	case 8:
		return Insn{Op: ClassMisc | op(MiscTax, MiscTxa)}
	case 9:
		return Insn{Op: op(ClassLd, ClassLdx) | ModeLen}
	case 10:
		if r.IntN(4) > 0 {
			return Insn{Op: ClassAlu | AluNeg}
		}
		return Insn{Op: ClassLd | ModeAbs | SizeB, K: AncillaryOff + pick(uint32(AncVLANPresent), uint32(AncXorX), uint32(AncRandom), 64)}
	case 11:
		return Insn{Op: ClassAlu | SrcX | op(AluAdd, AluSub, AluMul, AluDiv, AluOr, AluAnd, AluLsh, AluRsh, AluMod, AluXor)}
	case 12:
		return Insn{Op: ClassAlu | op(AluLsh, AluRsh), K: pick(0, 1, 2, 4, 31)}
	}
	return Insn{Op: ClassAlu | op(AluAdd, AluSub, AluMul, AluDiv, AluOr, AluAnd, AluMod, AluXor), K: pick(1, 2, 3, 4, 15, 0xf0, 1<<32-1)}
}

// indirectStmt draws what addresses are made of: X small or near 2^32, sums, and loads from X.
func indirectStmt(r *rand.Rand) Insn {
	k := uint32(r.IntN(4))
	switch r.IntN(7) {
	case 0:
		return Insn{Op: ClassLd | ModeAbs | []uint16{SizeW, SizeB, SizeH}[r.IntN(3)], K: k}
	case 1:
		return Insn{Op: ClassMisc | MiscTax}
	case 2:
		return Insn{Op: ClassAlu | AluAdd, K: k}
	case 3:
		return Insn{Op: ClassLdx | ModeMsh | SizeB, K: k}
	}
	return Insn{Op: ClassLd | ModeInd | []uint16{SizeB, SizeB, SizeH}[r.IntN(3)], K: k}
}

// randomGraph draws a graph; every block but the returns may be the end of several paths.
func randomGraph(r *rand.Rand, stmt func(*rand.Rand) Insn) *graph {
	g := &graph{}
	rets := 2 + r.IntN(3)
	for i := range rets {
		b := block{term: Insn{Op: ClassRet, K: []uint32{0, 262144, 96, 0}[i%4]}, t: noBlock, f: noBlock}
		if r.IntN(8) == 0 {
			b.term = Insn{Op: ClassRet | RetA}
		}
		if r.IntN(8) == 0 {
			b.stmts = append(b.stmts, stmt(r))
		}
		g.add(b)
	}
	for n := 1 + r.IntN(14); n > 0; n-- {
		b := block{term: Insn{Op: ClassJmp | []uint16{JmpEq, JmpEq, JmpEq, JmpGt, JmpGe, JmpSet}[r.IntN(6)], K: []uint32{0, 1, 1, 2, 3, 4, 255, 1<<32 - 1}[r.IntN(8)]}}
		if r.IntN(5) == 0 {
			b.term.Op, b.term.K = b.term.Op|SrcX, 0
		}
		for k := []int{0, 1, 1, 1, 2, 3, 6}[r.IntN(7)]; k > 0; k-- {
			b.stmts = append(b.stmts, stmt(r))
		}
		back := len(g.blocks)
		if r.IntN(2) == 0 {
			back = min(back, 3)
		}
		b.t = blockID(len(g.blocks) - 1 - r.IntN(back))
		b.f = blockID(len(g.blocks) - 1 - r.IntN(back))
		if r.IntN(3) == 0 { // to a block that some other goes to
			b.f = blockID(r.IntN(len(g.blocks)))
		}
		g.entry = g.add(b)
	}
	return g
}

// randomChain draws tests of few values with a common exit, after loads that may or may not reach as far.
func randomChain(r *rand.Rand) *graph {
	g := &graph{}
	yes := g.add(block{term: Insn{Op: ClassRet, K: 262144}, t: noBlock, f: noBlock})
	no := g.add(block{term: Insn{Op: ClassRet, K: uint32(r.IntN(2))}, t: noBlock, f: noBlock})
	exit, next := yes, no
	if r.IntN(2) == 0 {
		exit, next = no, yes
	}
	if r.IntN(3) == 0 { // the tests' end is no return
		next = g.add(block{stmts: []Insn{randomStmt(r)}, term: Insn{Op: ClassJmp | JmpEq, K: 1}, t: yes, f: no})
	}
	for n := 2 + r.IntN(9); n > 0; n-- {
		b := block{term: Insn{Op: ClassJmp | []uint16{JmpEq, JmpEq, JmpGt, JmpSet}[r.IntN(4)], K: uint32(r.IntN(5))}, t: exit, f: next}
		switch r.IntN(8) {
		case 0:
			b.stmts = []Insn{randomStmt(r), randomStmt(r)}
		case 1:
			b.stmts = []Insn{{Op: ClassLdx | ModeMsh | SizeB, K: 1}, {Op: ClassLd | ModeInd | SizeB, K: uint32(r.IntN(3))}}
		default:
			b.stmts = []Insn{{Op: ClassLd | ModeAbs | SizeB, K: uint32(r.IntN(3) * 3)}}
		}
		if r.IntN(4) == 0 {
			b.t, b.f = b.f, b.t
		}
		next = g.add(b)
	}
	g.entry = next
	if r.IntN(2) == 0 {
		b := block{stmts: []Insn{{Op: ClassLd | ModeAbs | SizeH, K: uint32(r.IntN(8))}}, term: Insn{Op: ClassJmp | JmpEq, K: 2}, t: exit, f: next}
		g.entry = g.add(b)
	}
	return g
}

func copyGraph(g *graph) *graph {
	c := &graph{entry: g.entry}
	for _, b := range g.blocks {
		b.stmts = append([]Insn(nil), b.stmts...)
		c.blocks = append(c.blocks, b)
	}
	return c
}

// checkOptimised optimises a graph and compares it with what it was on random packets of every length. It returns how many instructions
// there were before and after.
func checkOptimised(t testing.TB, r *rand.Rand, g *graph) (before, after int) {
	plain, err := g.linearize()
	require.NoError(t, err)
	c := copyGraph(g)
	never := c.optimise() == refusedNever
	short, err := c.linearize()
	require.NoError(t, err)
	require.NoError(t, short.Validate(Pcap), "%v", short)
	for try := range 4 {
		pkt := make([]byte, 14)
		for i := range pkt {
			if try == 3 && i < 4 {
				pkt[i] = 0xff
				continue
			}
			pkt[i] = []byte{0, 0, 1, 1, 2, 3, 4, 5, 9, 0x45, 0xff}[r.IntN(11)]
		}
		for n := range pkt {
			p := Packet{Data: pkt[:n], WireLen: 14, Meta: &Meta{VLANPresent: uint32(n % 2)}}
			for _, mode := range []Mode{Pcap, Socket} {
				want, got := plain.Trace(mode, p, nil), short.Trace(mode, p, nil)
				if want != got {
					t.Fatalf("%v: packet %x gives %d, optimised %d\n%s\noptimised\n%s", mode, p.Data, want, got, listing(plain), listing(short))
				}
			}
			if never && plain.Run(p) != 0 {
				t.Fatalf("packet %x is selected, but never one should be\n%s", p.Data, listing(plain))
			}
		}
	}
	return len(plain), len(short)
}

func listing(p Program) string {
	s := ""
	for pc, in := range p {
		s += fmt.Sprintf("(%03d) %+v\n", pc, in)
	}
	return s
}

// TestOptimiseRandom is the optimiser's property: no packet, however short, tells an optimised filter from the plain one.
func TestOptimiseRandom(t *testing.T) {
	n := 8000
	if testing.Short() {
		n = 2000
	}
	before, after := 0, 0
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 6))
		g := randomGraph(r, randomStmt)
		switch seed % 5 {
		case 0:
			g = randomChain(r)
		case 1:
			g = randomGraph(r, indirectStmt)
		}
		b, a := checkOptimised(t, r, g)
		before, after = before+b, after+a
	}
	t.Logf("%d instructions became %d", before, after)
	require.Less(t, after, before*8/10)
}

// graphOf makes blocks of a program: one of each instruction that is jumped to, and what follows it without a jump.
func graphOf(p Program) *graph {
	g := &graph{}
	for pc := range p {
		b := block{stmts: p[pc : pc+1], term: Insn{Op: ClassJmp | JmpEq}, t: blockID(pc + 1), f: blockID(pc + 1)}
		switch in := p[pc]; in.Op & 7 {
		case ClassRet:
			b.stmts, b.term, b.t, b.f = nil, in, noBlock, noBlock
		case ClassJmp:
			b.stmts, b.t, b.f = nil, blockID(pc+1+int(in.Jt)), blockID(pc+1+int(in.Jf))
			if b.term = (Insn{Op: in.Op, K: in.K}); in.Op == ClassJmp|JmpJa {
				b.t, b.f, b.term.Op = blockID(pc+1+int(in.K)), blockID(pc+1+int(in.K)), ClassJmp|JmpEq
			}
		}
		g.add(b)
	}
	// What has one successor that nothing else goes to takes it in.
	preds := make([]int, len(p))
	for _, b := range g.blocks {
		if !b.returns() {
			preds[b.t]++
			preds[b.f]++
		}
	}
	for i := len(p) - 1; i >= 0; i-- {
		if b := &g.blocks[i]; !b.returns() && b.t == b.f && preds[b.t] == 2 {
			next := g.blocks[b.t]
			*b = block{append(append([]Insn(nil), b.stmts...), next.stmts...), next.term, next.t, next.f}
		}
	}
	return g
}

// TestOptimiseCases optimises the programs of testdata/optimise.data.
func TestOptimiseCases(t *testing.T) {
	const name = "testdata/optimise.data"
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	cases := strings.Split(string(text), "\n=== ")
	out := cases[0]
	for _, c := range cases[1:] {
		title, rest, _ := strings.Cut(c, "\n")
		source, want, ok := strings.Cut(rest, "---\n")
		require.True(t, ok, title)
		p, err := Parse(source)
		require.NoError(t, err, title)
		r := rand.New(rand.NewPCG(1, 1))
		for range 300 {
			checkOptimised(t, r, graphOf(p))
		}
		g := graphOf(p)
		g.optimise()
		short, err := g.linearize()
		require.NoError(t, err, title)
		got := short.Text(Asm)
		if !*update {
			require.Equal(t, strings.TrimSpace(want), strings.TrimSpace(got), title)
		}
		out += "\n=== " + title + "\n" + source + "---\n" + got + "\n"
	}
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(strings.TrimRight(out, "\n")+"\n"), 0o644))
	}
}

func FuzzOptimise(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, s1, s2 uint64) {
		r := rand.New(rand.NewPCG(s1, s2))
		checkOptimised(t, r, randomGraph(r, randomStmt))
		checkOptimised(t, r, randomGraph(r, indirectStmt))
		checkOptimised(t, r, randomChain(r))
	})
}
