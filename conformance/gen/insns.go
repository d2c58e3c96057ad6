package gen

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// insns makes programs of legal instructions that need not make sense: every kind of the table, operands by the table's
// own rules, jumps anywhere. Most would never pass the verifier, many run into the budget or fault; engines must agree
// on that too. Memory is mostly reached through pointers that lead somewhere, so that stores meet loads.
type insns struct {
	src  Source
	typ  prog.Type
	out  []placed
	deck []asm.Kind
	deal []asm.Kind // what the deck is made of
	text strings.Builder
}

// placed is an instruction whose target, if it has one, is the index of another.
type placed struct {
	in     asm.Insn
	hi     int32 // second slot of a 64-bit load
	target int
}

const (
	noTarget   = -1
	openTarget = -2 // chosen at the end
)

// Dealt lists the kinds that InsnsOver deals for programs of type t: all that a machine links. Packet loads need a
// __sk_buff.
func Dealt(t prog.Type) (out []asm.Kind) {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		info := k.Info()
		if t == prog.XDP && (info.Class == asm.ClassAbs || info.Class == asm.ClassInd) {
			continue
		}
		out = append(out, k)
	}
	return out
}

// InsnsOver makes a program of legal instructions over maps that Maps made. cov may be nil.
func InsnsOver(src Source, cov *Coverage, over []*maps.Spec) *Program {
	g := &insns{src: src, typ: prog.SchedCLS}
	if g.n(4) == 0 {
		g.typ = prog.XDP
	}
	g.deal = Dealt(g.typ)
	g.main(4 + g.n(60))
	g.aim()
	g.write()
	p := FromInsns(g.typ, g.layout(), over)
	if cov != nil {
		cov.Add(p)
	}
	return &Program{Program: p, Text: g.text.String(), Local: true}
}

func (g *insns) n(n int) int { return g.src.IntN(n) }

func (g *insns) emit(in asm.Insn) *placed {
	g.out = append(g.out, placed{in: in, target: noTarget})
	return &g.out[len(g.out)-1]
}

// op emits an instruction of kind k with these operands.
func (g *insns) op(k asm.Kind, dst, src asm.Reg, imm int32) *placed {
	in := k.Example()
	info := k.Info()
	if info.Legal.Dst != asm.Reserved {
		in.Dst = dst
	}
	if info.Legal.Src == asm.ReadReg || info.Legal.Src == asm.WriteReg {
		in.Src = src
	}
	if info.Legal.Imm == asm.AnyValue {
		in.Imm = imm
	}
	if info.Legal.Off == asm.AnyValue {
		in.Off = 0
	}
	return g.emit(in)
}

func (g *insns) load64(r asm.Reg, v uint64) {
	g.op(asm.LdImm64, r, 0, int32(v)).hi = int32(v >> 32)
}

// mapLoad loads a map's handle, or the address of its first value.
func (g *insns) mapLoad(r, how asm.Reg, m int, off int32) {
	p := g.op(asm.LdImm64, r, 0, int32(m))
	p.in.Src, p.hi = how, off
}

// imm is an immediate: of each class, and often at an edge.
func (g *insns) imm() int32 {
	switch g.n(8) {
	case 0:
		return 0
	case 1:
		return int32(g.n(1 << 16))
	case 2:
		return -int32(1 + g.n(1<<16))
	case 3:
		return int32(uint32(g.n(1<<16))<<16 | uint32(g.n(1<<16)))
	}
	return int32(edges[g.n(len(edges))])
}

func (g *insns) value() uint64 {
	switch g.n(4) {
	case 0:
		return uint64(int64(g.imm()))
	case 1:
		return uint64(uint32(g.imm()))
	case 2:
		return uint64(uint32(g.imm()))<<32 | uint64(uint32(g.imm()))
	}
	return 1<<uint(g.n(64)) - uint64(g.n(3))
}

// main makes about n instructions.
func (g *insns) main(n int) {
	for r := asm.R0; r <= asm.R9; r++ {
		switch {
		case r == asm.R1:
		case r >= asm.R8 || g.n(3) == 0:
			g.pointer(r)
		default:
			g.load64(r, g.value())
		}
	}
	for start := len(g.out); len(g.out) < start+n; {
		if len(g.deck) == 0 {
			g.shuffle()
		}
		k := g.deck[0]
		g.deck = g.deck[1:]
		switch {
		case (k == asm.Exit || k == asm.CallKfunc) && g.n(4) != 0: // these end most programs early
		case k == asm.Ja && g.n(2) == 0:
			g.loop()
		default:
			g.one(k)
		}
	}
	g.exit()
}

func (g *insns) shuffle() {
	g.deck = append(g.deck, g.deal...)
	for i := len(g.deck) - 1; i > 0; i-- {
		j := g.n(i + 1)
		g.deck[i], g.deck[j] = g.deck[j], g.deck[i]
	}
}

// pointer makes r point to the stack, to a map's value or into the packet, at times with an upper half.
func (g *insns) pointer(r asm.Reg) {
	switch g.n(6) {
	case 0:
		g.op(asm.Mov64X, r, asm.R10, 0)
		g.op(asm.Add64K, r, 0, -8*int32(1+g.n(63)))
	case 1, 2:
		g.mapLoad(r, asm.PseudoMapIdxValue, global, int32(g.n(32)))
	case 3:
		g.mapLoad(r, asm.PseudoMapIdxValue, 0, int32(g.n(8)*8))
	case 4:
		off := int16(0)
		if g.typ != prog.XDP {
			off = 76
		}
		g.op(asm.Ldx32, r, asm.R1, 0).in.Off = off // R1 is still the ctx, with luck
	default:
		g.mapLoad(r, asm.PseudoMapIdxValue, 3, int32(g.n(6)))
		if g.n(3) == 0 {
			upper := asm.Reg(g.n(10))
			if upper != r {
				g.load64(upper, uint64(1+g.n(1<<16))<<32)
				g.op(asm.Or64X, r, upper, 0)
			}
		}
	}
}

// offset is one of each class; most lead somewhere from what pointer makes.
func (g *insns) offset() int16 {
	switch g.n(10) {
	case 0:
		return 0
	case 1, 2:
		return int16(g.n(32))
	case 3:
		return int16(g.n(512))
	case 4:
		return int16(g.n(1<<16) - 1<<15)
	case 5:
		return -int16(1 + g.n(512))
	}
	return -8 * int16(1+g.n(8))
}

// operand gives a register field a legal value.
func (g *insns) operand(rule asm.Rule, was asm.Reg) asm.Reg {
	switch rule {
	case asm.ReadReg:
		return asm.Reg(g.n(asm.NumRegs))
	case asm.WriteReg:
		return asm.Reg(g.n(asm.NumRegs - 1))
	}
	return was
}

// one emits an instruction of kind k with random operands, and ahead of it what gives it a chance to make sense.
func (g *insns) one(k asm.Kind) {
	info := k.Info()
	in := k.Example()
	in.Dst, in.Src = g.operand(info.Legal.Dst, in.Dst), g.operand(info.Legal.Src, in.Src)
	if g.n(8) == 0 && info.Legal.Src == asm.ReadReg {
		in.Src = in.Dst
	}
	if info.Legal.Imm == asm.AnyValue {
		in.Imm = g.imm()
	}
	switch info.Class {
	case asm.ClassLoad, asm.ClassLoadAcq:
		in.Src = g.base(in.Src)
		in.Off = g.offset()
	case asm.ClassStore, asm.ClassStoreRel, asm.ClassAtomic:
		in.Dst = g.base(in.Dst)
		in.Off = g.offset()
	case asm.ClassImm64:
		g.load64(in.Dst, g.value())
		return
	case asm.ClassAbs, asm.ClassInd:
		g.packetLoad(info, in)
		return
	case asm.ClassCall:
		g.call(k, in)
		return
	case asm.ClassExit:
		g.exit()
		return
	}
	made := g.emit(in)
	switch info.Class {
	case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
		made.in.Off, made.target = 0, openTarget
		if k == asm.Ja32 {
			made.in.Imm = 0
		}
	}
}

// base is a register for an address: R10, one that main made a pointer and that is one with luck, or r, often after it
// became a pointer.
func (g *insns) base(r asm.Reg) asm.Reg {
	switch g.n(4) {
	case 0:
		return asm.R10
	case 1:
		return asm.Reg(8 + g.n(2))
	case 2:
		if r != asm.R10 {
			g.pointer(r)
		}
	}
	return r
}

func (g *insns) packetLoad(info *asm.Info, in asm.Insn) {
	off := g.imm()
	switch g.n(6) {
	case 0:
	case 1:
		off = -0x100000 + int32(g.n(64))
	case 2:
		off = -0x200000 + int32(g.n(64))
	default:
		off = int32(g.n(70))
	}
	if info.Class == asm.ClassInd {
		if g.n(2) == 0 {
			in.Src = asm.R7
			g.op(asm.Mov64K, in.Src, 0, off)
		}
		off = int32(g.n(8))
		if g.n(3) == 0 {
			off = g.imm()
		}
	}
	in.Imm = off
	g.emit(in)
}

// exit writes all registers to memory before it, often, so that a comparison sees them.
func (g *insns) exit() {
	if g.n(4) != 0 {
		for r := asm.R0; r <= asm.R9; r++ {
			g.op(asm.Stx64, asm.R10, r, 0).in.Off = -8 * int16(r+1)
		}
	}
	g.emit(asm.Exit.Example())
}

func (g *insns) call(k asm.Kind, in asm.Insn) {
	switch k {
	case asm.CallLocal:
		in.Imm = 0
		g.emit(in).target = openTarget
	case asm.CallReg:
		g.callReg(in)
	case asm.CallKfunc:
		in.Imm &= 0xffff
		in.Off = g.offset() // which module's
		g.emit(in)
	default:
		g.helper()
	}
}

// callReg mostly gives the register the id of a helper.
func (g *insns) callReg(in asm.Insn) {
	in.Dst %= asm.R10
	if g.n(4) != 0 {
		ids := []int32{5, 7, 8, tailCallID, 181, 5000, int32(g.n(220))}
		g.op(asm.Mov64K, in.Dst, 0, ids[g.n(len(ids))])
	}
	if g.n(2) == 0 { // as older compilers have it
		in.Imm, in.Dst = int32(in.Dst), 0
	}
	g.emit(in)
}

func (g *insns) helper() {
	call := func(id int32) { g.op(asm.CallHelper, 0, 0, id) }
	switch g.n(8) {
	case 0, 1, 2: // look up, and use what comes, null or not
		g.key()
		g.mapLoad(asm.R1, asm.PseudoMapIdx, tables[g.n(len(tables))], 0)
		call(1)
		if g.n(2) == 0 {
			g.op(asm.AtomicAdd64, asm.R0, asm.Reg(g.n(10)), 0)
		}
	case 3: // update
		g.key()
		g.op(asm.Mov64X, asm.R3, asm.R10, 0)
		g.op(asm.Add64K, asm.R3, 0, -64)
		g.op(asm.Mov64K, asm.R4, 0, 0)
		g.mapLoad(asm.R1, asm.PseudoMapIdx, tables[g.n(len(tables))], 0)
		call(2)
	case 4: // bpf_get_prandom_u32, bpf_get_smp_processor_id
		call(int32(7 + g.n(2)))
	case 5: // bpf_tail_call
		g.mapLoad(asm.R2, asm.PseudoMapIdx, progs, 0)
		g.op(asm.Mov64K, asm.R3, 0, int32(g.n(4)))
		call(tailCallID)
	case 6: // bpf_loop
		g.op(asm.Mov64K, asm.R1, 0, int32(g.n(5)))
		p := g.op(asm.LdImm64, asm.R2, 0, 0)
		p.in.Src, p.target = asm.PseudoFunc, openTarget
		g.op(asm.Mov64K, asm.R4, 0, 0)
		call(181)
	default: // any, with whatever the registers hold
		if g.n(8) == 0 {
			call(int32(g.n(220)))
		}
	}
}

func (g *insns) key() {
	g.op(asm.St32, asm.R10, 0, int32(g.n(6))).in.Off = -4
	g.op(asm.Mov64X, asm.R2, asm.R10, 0)
	g.op(asm.Add64K, asm.R2, 0, -4)
}

// loop is one that ends unless its body changes the counter.
func (g *insns) loop() {
	counter := asm.Reg(6 + g.n(4))
	g.op(asm.Mov64K, counter, 0, int32(1+g.n(20)))
	top := len(g.out)
	for range 1 + g.n(6) {
		g.one(aluKinds[g.n(len(aluKinds))])
	}
	g.op(asm.Add64K, counter, 0, -1)
	g.op(asm.Jne64K, counter, 0, 0).target = top
}

// aim chooses the open targets, mostly a bit forward.
func (g *insns) aim() {
	for i := range g.out {
		o := &g.out[i]
		if o.target != openTarget {
			continue
		}
		switch g.n(8) {
		case 0:
			o.target = g.n(len(g.out))
		case 1:
			o.target = max(0, i-g.n(8))
		default:
			o.target = min(len(g.out)-1, i+1+g.n(12))
		}
	}
}

// layout puts the program into slots. It is what Parse makes of the text, in a fifth of the time.
func (g *insns) layout() []asm.Insn {
	slots := make([]int, len(g.out)+1)
	for i, o := range g.out {
		slots[i+1] = slots[i] + 1
		if asm.KindOf(o.in) == asm.LdImm64 {
			slots[i+1]++
		}
	}
	out := make([]asm.Insn, 0, slots[len(g.out)])
	for i, o := range g.out {
		k := asm.KindOf(o.in)
		if o.target >= 0 {
			d := slots[o.target] - slots[i] - 1
			switch k {
			case asm.Ja32, asm.CallLocal, asm.LdImm64:
				o.in.Imm = int32(d)
			default:
				o.in.Off = int16(d)
			}
		}
		out = append(out, o.in)
		if k == asm.LdImm64 {
			out = append(out, asm.Insn{Imm: o.hi})
		}
	}
	return out
}

// write puts the program into text, with a label at each target.
func (g *insns) write() {
	labels := map[int]bool{}
	for _, o := range g.out {
		if o.target >= 0 {
			labels[o.target] = true
		}
	}
	for i, o := range g.out {
		if labels[i] {
			fmt.Fprintf(&g.text, "L%d:\n", i)
		}
		line := asm.Format(o.in, &asm.Insn{Imm: o.hi})
		if o.target >= 0 { // the last word is the target
			line = fmt.Sprintf("%sL%d", line[:strings.LastIndexByte(line, ' ')+1], o.target)
		}
		if o.in.Src == asm.PseudoMapIdx && o.in.Op == asm.LdImm64.Info().Opcode {
			line = strings.Replace(line, fmt.Sprintf("map[%d]", o.in.Imm), "map["+specs[o.in.Imm].Name+"]", 1)
		}
		g.text.WriteString(line + "\n")
	}
}
