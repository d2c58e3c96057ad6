package cbpf

import (
	"slices"
	"sync"
)

// The optimiser works on a graph by rounds until nothing changes. A round goes over the blocks from the entry on and knows
// before each what holds on every path that leads there (state): what the registers hold, how long the packet is at
// least, and how tests came out. With that it rewrites statements (optblock.go) and leads branches past tests whose outcome is known.
//
// It never changes an answer, whatever the packet. A load out of bounds answers 0, so a load goes only where one at least
// as far was made on every path before, or is made on every path after it that doesn't answer 0 anyway. libpcap's optimiser is not so
// careful with packets captured short.

// state is what is known at a place of a filter.
type state struct {
	reg   [numRegs]valueID
	bytes uint64 // the packet was captured at least so long
	facts int32  // what else is known: the last of a chain in opt.facts, 0 is none
	seen  bool   // a path leads here
}

// fact says how a test came out, or something else about a value.
type fact struct {
	op        uint16 // of the jump, JmpEq … JmpSet, or one of those below
	is        bool
	a, b      valueID // what the jump compared
	low, high uint32  // of factRange
	end       uint64  // of factBytes, with low
	up        int32   // the fact before
	depth     int32   // how many facts the chain has
}

// Facts that are no jump's.
const (
	factBytes = 0xfffe // loads were in bounds whose X was value a: the packet has the bytes from a + low to a + end
	factRange = 0xffff // low <= a <= high: it equals one of some numbers, according to the path
)

// opt is the state of an optimisation.
type opt struct {
	g        *graph
	values   []value
	table    []valueID // open addressing, id + 1
	unknowns uint32

	facts []fact
	in    []state   // of blocks: what is known at their start
	live  []uint32  // of blocks: the registers whose values at their start matter
	must  []uint64  // of blocks: a packet shorter than so many bytes gets the answer 0 from there on
	order []blockID // blocks in an order in which a filter can run them
	mark  []bool
	equal []blockID // of blocks: the one that does the same
	next  []blockID // of blocks: the one with the same hash before
	stmts []Insn    // of the block that is being rewritten
	plain []block   // as they were at first
	first state
	regs  int // registers that the filter uses

	refused string
	work    int  // facts looked at
	reuse   bool // blocks may rely on what others left in A and X
	deep    bool // draw conclusions that libpcap doesn't
	changed bool
}

var optPool = sync.Pool{New: func() any { return &opt{table: make([]valueID, 256)} }}

// Bounds of the work on a filter that would still get better: rounds, which no filter was seen to need, and facts looked
// at, which filters of thousands of hosts do.
const (
	maxRounds = 64
	maxWork   = 1 << 26
)

// What optimise refuses a filter for.
const (
	refusedNever  = "no packet can match this"
	refusedShift  = "shift by more than 31 bits"
	refusedDivide = "division by zero"
)

// optimise makes the filter shorter. It returns why the filter is refused, "" when it isn't: a constant that can't be
// divided or shifted by, or that it selects no packet, if that is found by the reasoning that libpcap does too. Other
// filters that select none are made to say so.
func (g *graph) optimise() (refused string) {
	o := optPool.Get().(*opt)
	defer optPool.Put(o)
	plain := graph{append(o.plain[:0], g.blocks...), g.entry}
	o.plain = plain.blocks
	o.begin(g)
	o.deep = true
	o.settle()
	o.regroup()
	o.reuse = true
	o.settle()
	for i := range g.blocks {
		clearMarks(g.blocks[i].stmts)
	}
	if g.rejects(g.entry) || o.refused != "" { // to libpcap too?
		o.begin(&plain)
		if o.settle(); o.refused == "" && plain.rejects(plain.entry) {
			o.refused = refusedNever
		}
	}
	clear(o.plain)
	o.g = nil
	return o.refused
}

// begin sets o up for a graph.
func (o *opt) begin(g *graph) {
	o.g, o.values, o.unknowns = g, o.values[:0], 0
	clear(o.table)
	n := len(g.blocks)
	if cap(o.in) < n {
		n += n / 2
		o.in, o.live, o.must, o.mark = make([]state, n), make([]uint32, n), make([]uint64, n), make([]bool, n)
	}
	o.reuse, o.deep, o.regs, o.work = false, false, regM, 0
	o.constant(0) // value 0 is the constant 0
	total := 0
	for i := range g.blocks {
		for _, in := range g.blocks[i].stmts {
			if reg, _ := defines(in); reg >= regM {
				o.regs = max(o.regs, reg+1)
			}
			if used := uses(in); used>>o.regs != 0 {
				o.regs = numRegs
			}
		}
		total += len(g.blocks[i].stmts)
	}
	own := make([]Insn, 0, total) // whose statements they were is not known
	for i := range g.blocks {
		b := &g.blocks[i]
		own = append(own, b.stmts...)
		b.stmts = own[len(own)-len(b.stmts) : len(own) : len(own)]
	}
	o.first = state{seen: true}
	for r := range o.regs {
		o.first.reg[r] = o.opaque()
	}
}

// settle does rounds until nothing changes.
func (o *opt) settle() {
	for range maxRounds {
		o.changed = false
		o.sweep()
		o.merge()
		o.round()
		if !o.changed || o.work >= maxWork {
			return
		}
	}
}

// round walks over the blocks once.
func (o *opt) round() {
	o.refused = "" // what cannot be reached any more is no matter
	o.facts = append(o.facts[:0], fact{})
	for _, id := range o.order {
		o.in[id].seen = false
	}
	if to := o.thread(o.g.entry, &o.first); to != o.g.entry {
		o.g.entry, o.changed = to, true
	}
	o.in[o.g.entry] = o.first
	for _, id := range o.order {
		b := &o.g.blocks[id]
		if !o.in[id].seen || b.returns() {
			continue
		}
		out := o.in[id]
		o.rewrite(b, &out)
		o.branch(b, &out)
	}
}

// branch decides b's jump if it can, leads its branches on, and tells the blocks they go to what is known there.
func (o *opt) branch(b *block, out *state) {
	op, a, v := o.test(b, out)
	if b.t != b.f {
		if is, known := o.decide(op, a, v, out); known {
			if is {
				b.f = b.t
			} else {
				b.t = b.f
			}
			o.changed = true
		}
	}
	if b.t == b.f {
		to := o.thread(b.t, out)
		o.changed = o.changed || to != b.t
		b.t, b.f = to, to
		o.arrive(to, out)
		return
	}
	yes, no := *out, *out
	yes.facts, no.facts = o.learn(out.facts, op, a, v, true), o.learn(out.facts, op, a, v, false)
	t, f := o.thread(b.t, &yes), o.thread(b.f, &no)
	o.changed = o.changed || t != b.t || f != b.f
	b.t, b.f = t, f
	o.arrive(t, &yes)
	o.arrive(f, &no)
}

// test returns what b's jump compares.
func (o *opt) test(b *block, s *state) (op uint16, a, v valueID) {
	if b.term.Op&SrcX != 0 {
		return b.term.Op & 0xf0, s.reg[regA], s.reg[regX]
	}
	return b.term.Op & 0xf0, s.reg[regA], o.constant(b.term.K)
}

// thread returns the first block on the way from to whose outcome is not known in state s, and that can be gone to
// without what the blocks before it do: nobody misses what they leave in registers, and their loads are in bounds, or a
// later one is out of bounds when they are.
func (o *opt) thread(to blockID, s *state) blockID {
	if o.g.blocks[to].returns() {
		return to
	}
	at, sim, skipped := to, *s, uint64(0)
	for !o.g.blocks[at].returns() {
		b := &o.g.blocks[at]
		for _, in := range b.stmts {
			if !o.safe(in, &sim) {
				skipped = max(skipped, reach(in))
			}
			o.run(in, &sim)
		}
		next := b.t
		if b.t != b.f {
			op, a, v := o.test(b, &sim)
			is, known := o.decide(op, a, v, &sim)
			if !known && o.g.rejects(b.t) && o.g.rejects(b.f) {
				is, known = true, true
			}
			if !known {
				return to
			}
			if !is {
				next = b.f
			}
		}
		at = next
		if skipped <= o.must[at] && o.same(o.live[at], s, &sim) {
			to = at
		}
	}
	return to
}

// rejects says if a block answers 0 and nothing else. Its loads may be out of bounds, which is the same answer.
func (g *graph) rejects(id blockID) bool {
	b := &g.blocks[id]
	return b.term == Insn{Op: ClassRet | RetK}
}

// same reports whether two states have the same values in a set of registers.
func (o *opt) same(set uint32, s, t *state) bool {
	for r := range o.regs {
		if set>>r&1 != 0 && s.reg[r] != t.reg[r] {
			return false
		}
	}
	return true
}

// arrive adds a path to what is known at the start of a block.
func (o *opt) arrive(id blockID, s *state) {
	if o.g.blocks[id].returns() {
		return
	}
	in := &o.in[id]
	if !in.seen {
		*in = *s
		return
	}
	for r := range o.regs {
		if in.reg[r] != s.reg[r] {
			in.reg[r] = o.intern(value{op: valueJoin, a: valueID(id), k: uint32(r), max: 1<<32 - 1})
		}
	}
	in.bytes = min(in.bytes, s.bytes)
	in.facts = o.common(in.facts, s.facts)
}

// learn adds the outcome of a test to a chain of facts.
func (o *opt) learn(chain int32, op uint16, a, b valueID, is bool) int32 {
	return o.fact(fact{op: op, a: a, b: b, is: is, up: chain})
}

func (o *opt) fact(f fact) int32 {
	f.depth = o.facts[f.up].depth + 1
	o.facts = append(o.facts, f)
	return int32(len(o.facts) - 1)
}

// common returns the facts that two chains share.
func (o *opt) common(p, q int32) int32 {
	var only []int32 // those of p behind the last fact that both chains have as theirs
	for a, b := p, q; a != b; o.work++ {
		if o.work > maxWork {
			return 0
		}
		if o.facts[a].depth >= o.facts[b].depth {
			only, a = append(only, a), o.facts[a].up
		} else {
			b = o.facts[b].up
		}
		p = a
	}
	depth := o.facts[p].depth
	for n, i := range slices.Backward(only) {
		f := o.facts[i]
		if o.deep && (f.op == factRange || f.op == JmpEq && f.is) {
			p = o.hull(&f, only[:n], q, depth, p)
		}
		for at := q; f.op != factRange && o.facts[at].depth > depth && o.work < maxWork; at = o.facts[at].up {
			g := o.facts[at]
			o.work++
			if g.op == f.op && g.a == f.a && g.b == f.b && g.is == f.is {
				if f.up, f.low, f.end = p, max(f.low, g.low), min(f.end, g.end); f.op != factBytes || uint64(f.low) < f.end {
					p = o.fact(f)
				}
				break
			}
		}
	}
	return p
}

// hull adds to chain p the range of a value that is known by fact f on one path, unless later has something newer, and by the chain q deeper than depth on another.
func (o *opt) hull(f *fact, later []int32, q, depth, p int32) int32 {
	o.work += len(later)
	for _, i := range later {
		if g := &o.facts[i]; g.a == f.a && (g.op == factRange || g.op == JmpEq && g.is) {
			return p
		}
	}
	low, high := o.narrow(f, 0, 1<<32-1)
	for at := q; o.facts[at].depth > depth && o.work < maxWork; at = o.facts[at].up {
		o.work++
		if g := &o.facts[at]; g.a == f.a && (g.op == factRange || g.op == JmpEq && g.is) {
			l, h := o.narrow(g, 0, 1<<32-1)
			return o.fact(fact{op: factRange, a: f.a, low: min(l, low), high: max(h, high), up: p})
		}
	}
	return p
}

// decide returns the outcome of a test, if it is known.
func (o *opt) decide(op uint16, a, b valueID, s *state) (is, known bool) {
	x, left := o.constOf(a)
	y, right := o.constOf(b)
	if left && right {
		return compare(op, x, y), true
	}
	if o.deep && a == b && op != JmpSet {
		return op != JmpGt, true
	}
	low, high := uint32(0), uint32(1<<32-1)
	if o.deep {
		high = o.values[a].max
	}
	for i := s.facts; i != 0 && o.work < maxWork; i = o.facts[i].up {
		f := &o.facts[i]
		o.work++
		if f.a != a {
			continue
		}
		if f.op == op && f.b == b {
			return f.is, true
		}
		if o.deep || f.op == JmpEq && f.is {
			low, high = o.narrow(f, low, high)
		}
	}
	if right && (o.deep || op == JmpEq && (y < low || y > high)) {
		return within(op, y, low, high)
	}
	return false, false
}

// narrow applies what a fact says to the bounds of the value that it is about.
func (o *opt) narrow(f *fact, low, high uint32) (uint32, uint32) {
	k, isConst := o.constOf(f.b)
	switch {
	case f.op == factRange:
		low, high = max(low, f.low), min(high, f.high)
	case !isConst:
	case f.op == JmpEq && f.is:
		return k, k
	case f.op == JmpGt && f.is && k != 1<<32-1:
		low = max(low, k+1)
	case f.op == JmpGt && !f.is:
		high = min(high, k)
	case f.op == JmpGe && f.is:
		low = max(low, k)
	case f.op == JmpGe && !f.is && k != 0:
		high = min(high, k-1)
	}
	return low, high
}

// within returns the outcome of a test against k of any value from low to high, if it is the same for all.
func within(op uint16, k, low, high uint32) (is, known bool) {
	if low == high {
		return compare(op, low, k), true
	}
	switch op {
	case JmpEq:
		return false, k < low || k > high
	case JmpGt:
		return low > k, low > k || high <= k
	case JmpGe:
		return low >= k, low >= k || high < k
	case JmpSet:
		return false, ones(high)&k == 0
	}
	return false, false
}

// compare is the outcome of a jump.
func compare(op uint16, a, b uint32) bool {
	switch op {
	case JmpEq:
		return a == b
	case JmpGt:
		return a > b
	case JmpGe:
		return a >= b
	}
	return a&b != 0
}
