package cbpf

import (
	"errors"
	"testing"
)

// jumpsTo is where a program goes from an instruction, following ja.
func jumpsTo(p Program, pc int, skip uint32) int {
	pc += 1 + int(skip)
	for p[pc].Op == ClassJmp|JmpJa {
		pc += 1 + int(p[pc].K)
	}
	return pc
}

// chain is a graph of n tests in a row, each padded with loads: the first that is true ends with 1, none of them with 0.
func chain(n, pad int) *graph {
	g := &graph{}
	yes := g.add(block{term: Insn{Op: ClassRet, K: 1}, t: noBlock, f: noBlock})
	next := g.add(block{term: Insn{Op: ClassRet}, t: noBlock, f: noBlock})
	for i := n; i > 0; i-- {
		stmts := make([]Insn, pad)
		for j := range stmts {
			stmts[j] = Insn{Op: ClassLd | ModeImm, K: uint32(i)}
		}
		next = g.add(block{stmts: stmts, term: Insn{Op: ClassJmp | JmpEq, K: uint32(i)}, t: yes, f: next})
	}
	g.entry = next
	return g
}

func TestLinearize(t *testing.T) {
	for _, c := range []struct{ n, pad int }{{1, 0}, {2, 1}, {130, 0}, {254, 0}, {255, 0}, {256, 0}, {257, 0}, {300, 3}, {1, 300}} {
		p, err := chain(c.n, c.pad).linearize()
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		tests := 0
		for pc, in := range p {
			if in.Op != ClassJmp|JmpEq {
				continue
			}
			tests++
			if to := jumpsTo(p, pc, uint32(in.Jt)); p[to] != (Insn{Op: ClassRet, K: 1}) {
				t.Errorf("%+v: test %d jumps to %d, %+v", c, tests, to, p[to])
			}
			to := p[jumpsTo(p, pc, uint32(in.Jf))]
			if last := tests == c.n; last != (to == Insn{Op: ClassRet}) || !last && to.K != uint32(tests+1) {
				t.Errorf("%+v: test %d goes on at %+v", c, tests, to)
			}
		}
		if tests != c.n {
			t.Errorf("%+v: %d tests in the program", c, tests)
		}
	}
}

// TestLinearizeLong is a filter longer than the kernel takes.
func TestLinearizeLong(t *testing.T) {
	_, err := chain(2100, 1).linearize()
	var long *layoutError
	if !errors.As(err, &long) || long.insns <= MaxInsns {
		t.Errorf("2,100 tests of two instructions: %v", err)
	}
}

// TestLinearizeJoin is two branches that meet again: one falls through, the other jumps.
func TestLinearizeJoin(t *testing.T) {
	g := &graph{}
	end := g.add(block{term: Insn{Op: ClassRet | RetA}, t: noBlock, f: noBlock})
	load := func(k uint32) blockID {
		return g.add(block{stmts: []Insn{{Op: ClassLd | ModeImm, K: k}}, term: Insn{Op: ClassJmp | JmpEq}, t: end, f: end})
	}
	g.entry = g.add(block{term: Insn{Op: ClassJmp | JmpGt, K: 5}, t: load(1), f: load(2)})
	p, err := g.linearize()
	want := Program{{Op: ClassJmp | JmpGt, Jf: 2, K: 5}, {Op: ClassLd, K: 1}, {Op: ClassJmp | JmpJa, K: 1}, {Op: ClassLd, K: 2}, {Op: ClassRet | RetA}}
	if err != nil || len(p) != len(want) {
		t.Fatalf("%v, %v", p, err)
	}
	for i := range want {
		if p[i] != want[i] {
			t.Errorf("%d: %+v, want %+v", i, p[i], want[i])
		}
	}
}
