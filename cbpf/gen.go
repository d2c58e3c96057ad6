package cbpf

import (
	"fmt"
	"slices"

	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

// A condID indexes gen.conds.
type condID int32

// noCond is no condition: nothing to check.
const noCond condID = -1

// condKind is what a condition is.
type condKind uint8

const (
	condTest condKind = iota // statements, then a comparison
	condAnd
	condOr
	condNot
	condRun  // statements, and then true: nothing is compared
	condWhen // b runs when a is true; always true itself
	condPick // b when a is true, otherwise c
)

// A condition is true or false of a packet. They are trees: none is part of two.
type condition struct {
	kind  condKind
	a, b  condID // of and, or, when, pick; a of not
	c     condID // of pick
	stmts []Insn
	term  Insn
}

// offset is a place in the packet: a constant, perhaps with a number in scratch memory added.
type offset struct {
	k        uint32
	variable bool // the packet says how long a header before the place is
	reg      int8 // the word of scratch memory with the variable part; noReg until somebody needs it
}

const noReg = -1

// gen is the state of the generator. The offsets move as tests of encapsulations are generated: they hold for everything
// that stands after them in the expression.
type gen struct {
	src   string
	opts  CompileOptions
	at    expr.Node // what is being generated, for errors
	conds []condition
	arena []Insn // where short statement lists are cut from
	out   graph

	inUse   [MemWords]bool
	nextReg int

	outer     linktype.Type // of the capture
	outerKind linkKind
	radio     radioHeader // of the capture
	link      linkKind    // what the innermost link-layer header is
	linkHdr   offset      // where it begins
	linkType  offset      // its field that says what the payload is
	payload   offset      // what follows it
	nl        uint32      // network layer, from payload, as type fields say what it is
	nlNoSnap  uint32      // the same behind an 802.2 header without SNAP

	tagRegs  []int8 // how much further on things are behind a VLAN tag that Linux left in the frame
	labels   int    // MPLS labels seen
	inGeneve bool   // the innermost link layer is Geneve's payload
	hasType  bool   // the link layer has a field that says what the payload is
}

// begin sets the generator up for packets of a link type. It returns false when that is not known.
func (g *gen) begin(src string, link linktype.Type, opts CompileOptions) bool {
	layout, ok := linkLayouts[link]
	if !ok {
		return false
	}
	if opts.SnapLen == 0 {
		opts.SnapLen = DefaultSnapLen
	}
	fixed := func(k uint32) offset { return offset{k: k, reg: noReg} }
	*g = gen{
		src: src, opts: opts, outer: link, outerKind: layout.kind, radio: layout.radio, link: layout.kind,
		linkHdr: fixed(0), linkType: fixed(layout.typeAt), payload: fixed(layout.header),
		nl: layout.nl, nlNoSnap: layout.nlNoSnap, hasType: layout.hasType,
		conds: g.conds[:0], arena: g.arena[:0], out: graph{blocks: g.out.blocks[:0]},
	}
	g.linkHdr.variable = layout.radio != noRadio
	g.payload.variable = layout.kind == linkWLAN
	return true
}

// packets begins a message about what packets don't have: those of the capture, or those that were looked for inside.
func (g *gen) packets() string {
	if g.link == g.outerKind && !g.inGeneve {
		return fmt.Sprintf("packets of link type %v have", g.outer)
	}
	return "what is inside the encapsulation has"
}

// fail reports an error at what is being generated.
func (g *gen) fail(hint, format string, args ...any) {
	e := &expr.Error{Src: g.src, End: len(g.src), Msg: fmt.Sprintf(format, args...), Hint: hint}
	if g.at != nil {
		e.Pos, e.End = g.at.Span()
	}
	panic(e)
}

// maxConds bounds the work for an expression: tests, and statements of a value. The longest program has far fewer.
const maxConds = 8 * MaxInsns

func (g *gen) tooLong() {
	g.fail("", "the filter gets longer than the %d instructions that the kernel takes", MaxInsns)
}

// newCond appends a condition.
func (g *gen) newCond(c condition) condID {
	if len(g.conds) == maxConds {
		g.tooLong()
	}
	g.conds = append(g.conds, c)
	return condID(len(g.conds) - 1)
}

// stmts returns a list of statements.
func (g *gen) stmts(list ...Insn) []Insn {
	from := len(g.arena)
	g.arena = append(g.arena, list...)
	return g.arena[from:len(g.arena):len(g.arena)]
}

// test is a comparison with a constant.
func (g *gen) test(stmts []Insn, op uint16, k uint32) condID {
	return g.newCond(condition{stmts: stmts, term: Insn{Op: ClassJmp | op, K: k}})
}

func (g *gen) and(a, b condID) condID { return g.join(condAnd, a, b) }
func (g *gen) or(a, b condID) condID  { return g.join(condOr, a, b) }
func (g *gen) not(a condID) condID    { return g.newCond(condition{kind: condNot, a: a}) }

// join is and, or of two conds, of which noCond is nothing.
func (g *gen) join(kind condKind, a, b condID) condID {
	switch {
	case a == noCond:
		return b
	case b == noCond:
		return a
	}
	return g.newCond(condition{kind: kind, a: a, b: b})
}

// run is statements that nothing is asked after.
func (g *gen) run(stmts []Insn) condID {
	return g.newCond(condition{kind: condRun, stmts: stmts, term: Insn{Op: ClassJmp | JmpEq}})
}

// when is b, done only when a is true.
func (g *gen) when(a, b condID) condID { return g.newCond(condition{kind: condWhen, a: a, b: b}) }

// always is a condition with one answer.
func (g *gen) always(answer bool) condID {
	k := uint32(1)
	if answer {
		k = 0
	}
	return g.test(g.stmts(Insn{Op: ClassLd | ModeImm, K: k}), JmpEq, 0)
}

// finish generates the expression and makes the graph.
func (g *gen) finish(root expr.Node) *graph {
	out := &g.out
	if root == nil {
		out.entry = out.add(block{term: Insn{Op: ClassRet | RetK, K: g.opts.SnapLen}, t: noBlock, f: noBlock})
		return out
	}
	c := g.node(root)
	g.at = nil
	c = g.prologue(c)
	out.blocks = slices.Grow(out.blocks, len(g.conds)+2)
	yes := out.add(block{term: Insn{Op: ClassRet | RetK, K: g.opts.SnapLen}, t: noBlock, f: noBlock})
	no := out.add(block{term: Insn{Op: ClassRet | RetK}, t: noBlock, f: noBlock})
	out.entry = g.lower(out, c, yes, no)
	return out
}

// lower appends the blocks of a condition that goes on at t or f, and returns the first.
func (g *gen) lower(out *graph, id condID, t, f blockID) blockID {
	c := &g.conds[id]
	switch c.kind {
	case condNot:
		return g.lower(out, c.a, f, t)
	case condAnd:
		return g.lower(out, c.a, g.lower(out, c.b, t, f), f)
	case condOr:
		return g.lower(out, c.a, t, g.lower(out, c.b, t, f))
	case condWhen:
		return g.lower(out, c.a, g.lower(out, c.b, t, t), t)
	case condPick:
		return g.lower(out, c.a, g.lower(out, c.b, t, f), g.lower(out, c.c, t, f))
	case condRun:
		f = t
	}
	return out.add(block{stmts: c.stmts, term: c.term, t: t, f: f})
}

// node generates a node.
func (g *gen) node(n expr.Node) condID {
	if b, ok := n.(*expr.Binary); ok {
		x := g.node(b.X)
		y := g.node(b.Y)
		if b.Or {
			return g.or(x, y)
		}
		return g.and(x, y)
	}
	if n, ok := n.(*expr.Not); ok {
		return g.not(g.node(n.X))
	}
	g.at = n
	switch n := n.(type) {
	case *expr.ID:
		return g.id(n)
	case *expr.Abbrev:
		return g.abbrev(n.Proto)
	case *expr.Cast:
		if n.Multi {
			return g.multicast(n.Proto)
		}
		return g.broadcast(n.Proto)
	case *expr.Relation:
		return g.relation(n)
	case *expr.WLAN:
		return g.wlanFrame(n)
	case *expr.Primitive:
		return g.primitive(n)
	}
	panic(fmt.Sprintf("cbpf: node %T", n))
}

// alloc takes a word of scratch memory.
func (g *gen) alloc() int8 {
	for range g.inUse {
		if !g.inUse[g.nextReg] {
			g.inUse[g.nextReg] = true
			return int8(g.nextReg)
		}
		g.nextReg = (g.nextReg + 1) % MemWords
	}
	g.fail("", "the expression needs more than the %d words of memory that a filter has", MemWords)
	return 0
}

func (g *gen) release(reg int8) { g.inUse[reg] = false }
