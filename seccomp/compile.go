package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skepvm/skep/cbpf"
)

// Instructions of compiled profiles.
const (
	opLoad = cbpf.ClassLd | cbpf.SizeW | cbpf.ModeAbs
	opRet  = cbpf.ClassRet | cbpf.RetK
	opAnd  = cbpf.ClassAlu | cbpf.AluAnd | cbpf.SrcK
	opJa   = cbpf.ClassJmp | cbpf.JmpJa
	opJeq  = cbpf.ClassJmp | cbpf.JmpEq | cbpf.SrcK
	opJgt  = cbpf.ClassJmp | cbpf.JmpGt | cbpf.SrcK
	opJge  = cbpf.ClassJmp | cbpf.JmpGe | cbpf.SrcK
)

// Where fields lie in struct seccomp_data.
const (
	offNR   = 0
	offArch = 4
	offArgs = 16
)

// maxSkip is how far a conditional jump reaches.
const maxSkip = 255

// label is an instruction of a program that is written from its end: the number of instructions from it to the end.
type label int

// builder writes a program backwards, so that every jump knows how far it goes.
type builder struct {
	code    []cbpf.Insn // the last instruction first
	returns map[Return]label
}

func (b *builder) add(op uint16, k uint32) label {
	b.code = append(b.code, cbpf.Insn{Op: op, K: k})
	return label(len(b.code))
}

// ret is a return of r that a jump from here reaches: one that is there, or a new one.
func (b *builder) ret(r Return) label {
	if l, ok := b.returns[r]; ok && len(b.code)-int(l) < maxSkip/2 {
		return l
	}
	l := b.add(opRet, uint32(r))
	b.returns[r] = l
	return l
}

// jump is a conditional jump; where its targets are too far for 8 bits, their returns are repeated, or a long jump is put
// between.
func (b *builder) jump(op uint16, k uint32, t, f label) label {
	if t == f {
		return t
	}
	for {
		skipT, skipF := len(b.code)-int(t), len(b.code)-int(f)
		switch {
		case skipF > maxSkip:
			f = b.nearer(f)
		case skipT > maxSkip:
			t = b.nearer(t)
		default:
			b.code = append(b.code, cbpf.Insn{Op: op, Jt: uint8(skipT), Jf: uint8(skipF), K: k})
			return label(len(b.code))
		}
	}
}

// nearer is a place that does what the one at l does.
func (b *builder) nearer(l label) label {
	if in := b.code[l-1]; in.Op == opRet {
		return b.ret(Return(in.K))
	}
	return b.add(opJa, uint32(len(b.code)-int(l)))
}

// load puts a load before what is at l: it falls through where that is the instruction written last, else a jump goes there.
func (b *builder) load(off uint32, l label) label {
	b.fall(l)
	return b.add(opLoad, off)
}

// fall makes sure that what is written next falls through to l.
func (b *builder) fall(l label) {
	if int(l) != len(b.code) {
		b.add(opJa, uint32(len(b.code)-int(l)))
	}
}

// program turns the code around.
func (b *builder) program() cbpf.Program {
	slices.Reverse(b.code)
	return b.code
}

// Compile makes a filter of the profile. Notes are added for what means nothing. A filter that would be longer than the
// kernel takes is an error.
func (p *Profile) Compile() (cbpf.Program, error) {
	b := &builder{returns: map[Return]label{}}
	note := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(p.Notes, s) {
			p.Notes = append(p.Notes, s)
		}
	}
	if names := p.unknownNames(); len(names) > 0 {
		note("unknown system calls, passed over: %s", strings.Join(names, ", "))
	}
	next := b.ret(p.BadArch)
	for _, group := range p.audits() {
		entry := p.calls(b, group, note)
		next = b.again(next, p.BadArch)
		next = b.jump(opJeq, group[0].Audit, entry, next)
	}
	b.load(offArch, next)
	prog := b.program()
	if len(prog) > cbpf.MaxInsns {
		return nil, &Error{Msg: fmt.Sprintf("the profile needs %d instructions, a filter has %d at most", len(prog), cbpf.MaxInsns)}
	}
	return prog, nil
}

// again is l, or nearer when it is a return that is far away.
func (b *builder) again(l label, r Return) label {
	if b.code[l-1].Op == opRet {
		return b.ret(r)
	}
	return l
}

// audits groups the architectures that have one AUDIT_ARCH_ value. The native one comes last: what is written last is
// looked at first.
func (p *Profile) audits() [][]*Arch {
	var out [][]*Arch
	for _, a := range p.Arches {
		i := slices.IndexFunc(out, func(g []*Arch) bool { return g[0].Audit == a.Audit })
		if i < 0 {
			out = append(out, []*Arch{a})
		} else {
			out[i] = append(out[i], a)
		}
	}
	slices.Reverse(out)
	return out
}

// segment is a range of call numbers that are treated alike, up to the next one's start.
type segment struct {
	from uint32
	to   label
}

// calls writes what becomes of the calls of architectures with one Audit, from the load of the number on.
func (p *Profile) calls(b *builder, group []*Arch, note func(string, ...any)) label {
	rules := map[uint32]*callRules{}
	listed := map[uint32]bool{} // the Bits of the group
	for _, a := range group {
		listed[a.Bit] = true
		for nr, c := range p.rulesFor(a, note) {
			c.narrow(a, note)
			rules[uint32(nr)] = c
		}
	}
	s := &segmenter{b: b, done: map[string]label{}, bits: group[0].Bits, big: group[0].Big}
	rest := func(bit uint32) *callRules {
		if listed[bit] {
			return &callRules{rest: p.Default}
		}
		return &callRules{rest: p.BadArch}
	}
	// Numbers with x32's bit are another convention's on x86_64; ^0 is none of either (libseccomp does the same).
	bounds := map[uint32]*callRules{0: rest(0)}
	if group[0].Audit == X8664.Audit {
		bounds[x32Bit] = rest(x32Bit)
		bounds[^uint32(0)] = &callRules{rest: p.Default}
	}
	return b.load(offNR, b.tree(s.segments(rules, bounds)))
}

// segmenter writes what the segments lead to.
type segmenter struct {
	b    *builder
	done map[string]label
	bits int
	big  bool
}

// segments cuts the numbers into ranges: the calls that have rules, and what is between them, which bounds say by its start.
func (s *segmenter) segments(rules, bounds map[uint32]*callRules) []segment {
	starts := map[uint32]bool{}
	for nr := range rules {
		starts[nr] = true
		starts[nr+1] = true // of nr 2^32-1: 0, which is there
	}
	for nr := range bounds {
		starts[nr] = true
	}
	var order []uint32
	for nr := range starts {
		order = append(order, nr)
	}
	slices.Sort(order)
	var out []segment
	between := bounds[0]
	for _, nr := range order {
		if c := bounds[nr]; c != nil {
			between = c
		}
		c := rules[nr]
		if c == nil {
			c = between
		}
		to := s.leaf(c)
		if n := len(out); n == 0 || out[n-1].to != to {
			out = append(out, segment{nr, to})
		}
	}
	return out
}

// leaf writes what becomes of a call, or finds it.
func (s *segmenter) leaf(c *callRules) label {
	key := c.key()
	if l, ok := s.done[key]; ok {
		return l
	}
	next := s.b.ret(c.rest)
	for _, r := range slices.Backward(c.rules) {
		next = s.rule(r, next)
	}
	s.done[key] = next
	return next
}

// rule writes the conditions of a rule: all hold, or it goes on at next.
func (s *segmenter) rule(r rule, next label) label {
	then := s.b.ret(r.ret)
	for _, c := range slices.Backward(r.conds) {
		then = s.cond(c, then, next)
	}
	return then
}

// cond writes a condition. The halves of 64-bit arguments are compared one after the other, the high one first.
func (s *segmenter) cond(c Cond, yes, no label) label {
	b := s.b
	lo, hi := uint32(offArgs+8*c.Arg), uint32(offArgs+8*c.Arg+4)
	if s.big {
		lo, hi = hi, lo
	}
	op, v := c.Op, c.Value
	switch op { // to EQ, GT, GE and MaskedEQ
	case NE:
		op, yes, no = EQ, no, yes
	case LT:
		op, yes, no = GE, no, yes
	case LE:
		op, yes, no = GT, no, yes
	}
	if op == MaskedEQ {
		return s.masked(lo, hi, v, c.Value2&v, yes, no)
	}
	code := map[Op]uint16{EQ: opJeq, GT: opJgt, GE: opJge}[op]
	low := b.load(lo, b.jump(code, uint32(v), yes, no))
	if s.bits == 32 {
		return low
	}
	high := uint32(v >> 32)
	same := b.jump(opJeq, high, low, no)
	if op != EQ {
		same = b.jump(opJgt, high, yes, same)
	}
	return b.load(hi, same)
}

// masked compares the bits of a mask; a half without any is not looked at.
func (s *segmenter) masked(lo, hi uint32, mask, want uint64, yes, no label) label {
	b := s.b
	half := func(off, mask, want uint32, then label) label {
		if mask == 0 {
			return then
		}
		l := b.jump(opJeq, want, then, no)
		if mask != ^uint32(0) {
			b.fall(l)
			l = b.add(opAnd, mask)
		}
		return b.load(off, l)
	}
	l := half(lo, uint32(mask), uint32(want), yes)
	if s.bits == 32 {
		return l
	}
	return half(hi, uint32(mask>>32), uint32(want>>32), l)
}

// narrow notes values that 32-bit registers cannot hold: only the low half is compared there, as libseccomp does.
func (c *callRules) narrow(a *Arch, note func(string, ...any)) {
	if a.Bits != 32 {
		return
	}
	for _, r := range c.rules {
		for _, cond := range r.conds {
			if (cond.Value|cond.Value2)>>32 != 0 {
				note("%s: a value of more than 32 bits is compared in its low half", a.Name)
			}
		}
	}
}

// tree is a binary search over segments, of which there is at least one.
func (b *builder) tree(s []segment) label {
	switch {
	case len(s) == 1:
		return s[0].to
	case len(s) == 3 && s[0].to == s[2].to && s[1].from+1 == s[2].from:
		return b.jump(opJeq, s[1].from, s[1].to, s[0].to)
	}
	mid := len(s) / 2
	high := b.tree(s[mid:])
	low := b.tree(s[:mid])
	return b.jump(opJge, s[mid].from, high, low)
}
