package cbpf

import (
	"maps"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"
)

// This file proves of a program that it selects no packet: every path to a return of something else is one that no packet
// takes. It shares nothing with the optimiser, which is what it judges.

// maxProofSteps bounds the instructions on all paths of a proof.
const maxProofSteps = 1 << 20

// expression is a value that a program computes: equal expressions have equal values. a and b are numbers of others.
type expression struct {
	op   uint16 // of arithmetic, or one of the following
	a, b int
	k    uint32
}

const (
	exprConst = 0x100 + iota
	exprLoad  // a: bytes; b: what k is added to, -1 for nothing
	exprLen
	exprUnset // memory and registers at the beginning
)

// domain is what is known of a value.
type domain struct {
	min, max  uint32
	mask, val uint32 // bits that are known, and what they are
}

var anything = domain{max: 1<<32 - 1}

func exactly(v uint32) domain { return domain{v, v, 1<<32 - 1, v} }

// meet is what is known when both are; false when that cannot be.
func (d domain) meet(e domain) (domain, bool) {
	if (d.val^e.val)&d.mask&e.mask != 0 {
		return d, false
	}
	d.mask, d.val = d.mask|e.mask, d.val|e.val
	d.min, d.max = max(d.min, e.min, d.val), min(d.max, e.max, d.val|^d.mask)
	if d.min == d.max {
		d.mask, d.val = 1<<32-1, d.min
	}
	return d, d.min <= d.max
}

func (d domain) exact() bool { return d.min == d.max }

// prover holds the expressions of one program.
type prover struct {
	p     Program
	steps int
	exprs []expression
	ids   map[expression]int
}

// proofPath is what is known on one path.
type proofPath struct {
	reg    [MemWords + 2]int // A, X, memory: numbers of expressions
	values map[int]domain
	bytes  map[uint32]domain // of the packet
	tests  map[[3]int]bool   // outcomes of comparisons: operation and both sides
}

const (
	regProofA = MemWords
	regProofX = MemWords + 1
)

// provenEmpty reports whether no packet at all can be selected.
func provenEmpty(p Program) bool {
	v := &prover{p: p, ids: map[expression]int{}}
	s := &proofPath{values: map[int]domain{}, bytes: map[uint32]domain{}, tests: map[[3]int]bool{}}
	for i := range s.reg {
		s.reg[i] = v.id(expression{op: exprUnset, a: i})
	}
	return v.empty(0, s)
}

func (v *prover) id(e expression) int {
	n, ok := v.ids[e]
	if !ok {
		n = len(v.exprs)
		v.exprs = append(v.exprs, e)
		v.ids[e] = n
	}
	return n
}

func (v *prover) number(k uint32) int { return v.id(expression{op: exprConst, k: k}) }

func (v *prover) constant(id int) (uint32, bool) { return v.exprs[id].k, v.exprs[id].op == exprConst }

// arith is the result of an operation, computed when both sides are constant.
func (v *prover) arith(op uint16, a, b int) int {
	x, ok1 := v.constant(a)
	y, ok2 := v.constant(b)
	if ok1 && ok2 && !((op == AluDiv || op == AluMod) && y == 0) {
		r := Program{{Op: ClassLd | ModeImm, K: x}, {Op: ClassAlu | op, K: y}, {Op: ClassRet | RetA}}.Run(Packet{})
		return v.number(r)
	}
	return v.id(expression{op: op, a: a, b: b})
}

// empty follows the program from pc on, and reports whether every return that can be reached gives 0.
func (v *prover) empty(pc int, s *proofPath) bool {
	for ; ; pc++ {
		if v.steps++; v.steps > maxProofSteps || pc >= len(v.p) {
			return false
		}
		in := v.p[pc]
		switch in.Op & 7 {
		case ClassRet:
			if in.Op&0x18 == RetA {
				return v.domain(s, s.reg[regProofA]).max == 0
			}
			return in.K == 0
		case ClassJmp:
			if in.Op&0xf0 == JmpJa {
				pc += int(in.K) // backwards it goes beyond the end: no proof
				continue
			}
			return v.branch(pc, in, s)
		default:
			v.compute(in, s)
		}
	}
}

func (v *prover) compute(in Insn, s *proofPath) {
	to, from := &s.reg[regProofA], regProofX
	if in.Op&7 == ClassLdx || in.Op == ClassMisc|MiscTax {
		to, from = &s.reg[regProofX], regProofA
	}
	right := v.number(in.K)
	if in.Op&SrcX != 0 {
		right = s.reg[regProofX]
	}
	switch row := in.row(); {
	case in.Op&7 == ClassMisc:
		*to = s.reg[from]
	case in.Op&7 == ClassSt:
		s.reg[in.K] = s.reg[regProofA]
	case in.Op&7 == ClassStx:
		s.reg[in.K] = s.reg[regProofX]
	case in.Op == ClassAlu|AluNeg:
		*to = v.arith(AluSub, v.number(0), *to)
	case in.Op&7 == ClassAlu:
		*to = v.arith(in.Op&0xf0, *to, right)
	case row.arg == opImm:
		*to = v.number(in.K)
	case row.arg == opMem:
		*to = s.reg[in.K]
	case row.arg == opLen:
		*to = v.id(expression{op: exprLen})
	case row.arg == opMsh:
		b := v.id(expression{exprLoad, 1, -1, in.K})
		*to = v.arith(AluLsh, v.arith(AluAnd, b, v.number(15)), v.number(2))
	default:
		base, size := -1, map[uint16]int{SizeW: 4, SizeH: 2, SizeB: 1}[in.Op&0x18]
		k := in.K
		if row.arg == opInd {
			if x, ok := v.constant(s.reg[regProofX]); ok {
				k += x
			} else {
				base = s.reg[regProofX]
			}
		}
		*to = v.id(expression{exprLoad, size, base, k})
	}
}

// domain is what is known of an expression.
func (v *prover) domain(s *proofPath, id int) domain {
	d := v.derived(s, v.exprs[id])
	if known, ok := s.values[id]; ok {
		d, _ = d.meet(known)
	}
	return d
}

func (v *prover) derived(s *proofPath, e expression) domain {
	switch e.op {
	case exprConst:
		return exactly(e.k)
	case exprLen, exprUnset:
		return anything
	case exprLoad:
		d := domain{max: 1<<(8*e.a) - 1, mask: ^uint32(1<<(8*e.a) - 1)}
		for i := 0; i < e.a && e.b < 0; i++ {
			b := s.bytes[e.k+uint32(i)]
			d.mask, d.val = d.mask|b.mask<<(8*(e.a-1-i)), d.val|b.val<<(8*(e.a-1-i))
		}
		d, _ = d.meet(anything)
		return d
	}
	a := v.domain(s, e.a)
	k, ok := v.constant(e.b)
	if !ok {
		return anything
	}
	d := anything
	switch {
	case e.op == AluAnd:
		d = domain{max: min(a.max, k), mask: a.mask | ^k, val: a.val & k}
	case e.op == AluOr:
		d.mask, d.val = a.mask|k, a.val|k
	case e.op == AluXor:
		d.mask, d.val = a.mask, (a.val^k)&a.mask
	case e.op == AluRsh && k < 32:
		d = domain{a.min >> k, a.max >> k, a.mask>>k | ^(^uint32(0) >> k), a.val >> k}
	case e.op == AluLsh && k < 32:
		d.mask, d.val = a.mask<<k|(1<<k-1), a.val<<k
	case e.op == AluAdd && a.max+k >= a.max:
		d.min, d.max = a.min+k, a.max+k
	case e.op == AluAdd && a.exact():
		d = exactly(a.min + k)
	case e.op == AluSub && a.min >= k:
		d.min, d.max = a.min-k, a.max-k
	}
	d, _ = d.meet(anything)
	return d
}

// learn adds what is known of an expression, and of what it was computed from. It reports false when that cannot be.
func (v *prover) learn(s *proofPath, id int, d domain) bool {
	d, ok := v.domain(s, id).meet(d)
	if !ok {
		return false
	}
	s.values[id] = d
	e := v.exprs[id]
	if e.op == exprLoad {
		for i := 0; i < e.a && e.b < 0; i++ {
			shift := 8 * (e.a - 1 - i)
			old := s.bytes[e.k+uint32(i)]
			s.bytes[e.k+uint32(i)] = domain{mask: old.mask | d.mask>>shift&0xff, val: old.val | d.val>>shift&0xff}
		}
		return true
	}
	if e.op >= exprConst {
		return true
	}
	k, ok := v.constant(e.b)
	up := anything
	switch {
	case !ok:
		return true
	case e.op == AluAnd:
		up.mask, up.val = d.mask&k, d.val&k
	case e.op == AluXor:
		up.mask, up.val = d.mask, (d.val^k)&d.mask
	case e.op == AluRsh && k < 32:
		up = domain{d.min << k, d.max<<k | (1<<k - 1), d.mask << k, d.val << k}
	case e.op == AluLsh && k < 32:
		up.mask, up.val = d.mask>>k, d.val>>k
	case e.op == AluAdd && d.exact():
		up = exactly(d.min - k)
	case e.op == AluSub && d.exact():
		up = exactly(d.min + k)
	default:
		return true
	}
	return v.learn(s, e.a, up)
}

// branch follows both ways of a conditional jump that can be taken.
func (v *prover) branch(pc int, in Insn, s *proofPath) bool {
	a, b, op := s.reg[regProofA], v.number(in.K), int(in.Op&0xf0)
	if in.Op&SrcX != 0 {
		b = s.reg[regProofX]
	}
	if op == JmpSet { // a & b != 0
		a, b, op = v.arith(AluAnd, a, b), v.number(0), JmpEq
		in.Jt, in.Jf = in.Jf, in.Jt
	}
	for _, is := range []bool{true, false} {
		next := pc + 1 + int(in.Jf)
		if is {
			next = pc + 1 + int(in.Jt)
		}
		t := &proofPath{s.reg, maps.Clone(s.values), maps.Clone(s.bytes), maps.Clone(s.tests)}
		if v.assume(t, op, a, b, is) && !v.empty(next, t) {
			return false
		}
	}
	return true
}

// assume adds the outcome of a comparison. It reports false when it cannot come out so.
func (v *prover) assume(s *proofPath, op, a, b int, is bool) bool {
	if was, ok := s.tests[[3]int{op, a, b}]; ok && was != is || a == b && is != (op != JmpGt) {
		return false
	}
	s.tests[[3]int{op, a, b}] = is
	if a == b {
		return true
	}
	x, y := v.domain(s, a), v.domain(s, b)
	switch {
	case op == JmpEq && is:
		return v.learn(s, a, y) && v.learn(s, b, x)
	case op == JmpEq:
		return (!y.exact() || v.differs(s, a, x, y.min)) && (!x.exact() || v.differs(s, b, y, x.min))
	case op == JmpGt && is: // a > b
		return y.min != 1<<32-1 && x.max != 0 && v.learn(s, a, domain{min: y.min + 1, max: 1<<32 - 1}) && v.learn(s, b, domain{max: x.max - 1})
	case op == JmpGt:
		return v.learn(s, a, domain{max: y.max}) && v.learn(s, b, domain{min: x.min, max: 1<<32 - 1})
	case is: // a >= b
		return v.learn(s, a, domain{min: y.min, max: 1<<32 - 1}) && v.learn(s, b, domain{max: x.max})
	default: // a < b
		return y.max != 0 && x.min != 1<<32-1 && v.learn(s, a, domain{max: y.max - 1}) && v.learn(s, b, domain{min: x.min + 1, max: 1<<32 - 1})
	}
}

// differs learns that a value is not k.
func (v *prover) differs(s *proofPath, id int, d domain, k uint32) bool {
	not := anything
	switch free := ^d.mask; {
	case d.exact():
		return d.min != k
	case (k^d.val)&d.mask != 0:
		return true
	case bits.OnesCount32(free) == 1:
		not = exactly(d.val | ^k&free)
	case k == d.min:
		not.min = k + 1
	case k == d.max:
		not.max = k - 1
	}
	return v.learn(s, id, not)
}

// TestProvenEmpty shows what the proof finds, and that it finds nothing that is not so.
func TestProvenEmpty(t *testing.T) {
	for text, want := range map[string]bool{
		"ret #0": true,
		"ret #1": false,
		"ldh [12]\njeq #0x800, no, one\none: jeq #0x800, yes, no\nyes: ret #1\nno: ret #0":                                    true,
		"ldh [12]\njeq #0x800, one, no\none: ldb [12]\njeq #8, no, yes\nyes: ret #1\nno: ret #0":                              true,
		"ldh [12]\njeq #0x800, one, no\none: ldb [13]\njeq #8, no, yes\nyes: ret #1\nno: ret #0":                              false,
		"ld [26]\nand #0xffffff00\njeq #0xc0000200, one, no\none: ld [26]\njeq #0xc0000301, yes, no\nyes: ret #1\nno: ret #0": true,
		"ld [26]\nand #0xffffff00\njeq #0xc0000200, one, no\none: ld [26]\njeq #0xc0000201, yes, no\nyes: ret #1\nno: ret #0": false,
		"ldb [0]\njgt #5, one, no\none: ldb [0]\njge #5, no, yes\nyes: ret #1\nno: ret #0":                                    true,
		"ldb [0]\njset #1, no, one\none: ldb [0]\nand #3\njeq #1, yes, no\nyes: ret #1\nno: ret #0":                           true,
		"ldb [0]\ntax\nldb [1]\njeq x, one, no\none: jeq x, no, yes\nyes: ret #1\nno: ret #0":                                 true,
		"ldb [0]\nadd #1\njeq #0, yes, no\nyes: ret #1\nno: ret #0":                                                           true,
		"ld [0]\nadd #1\njeq #0, yes, no\nyes: ret #1\nno: ret #0":                                                            false,
		"ld [0]\nret a":         false,
		"ld [0]\nand #0\nret a": true,
		"ld len\njgt #60, yes, no\nyes: ret #1\nno: ret #0": false,
	} {
		p, err := Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, provenEmpty(p), text)
	}
}
