package gen

import (
	"fmt"
	"strconv"

	"github.com/skepvm/skep/prog"
)

func itoa(n int) string { return strconv.Itoa(n) }

// ifElse makes two branches that meet again.
func (g *generator) ifElse() {
	other, end := g.label(), g.label()
	g.emit("%sgoto %s", g.condition(g.num(), g.imm()), other)
	before := g.save()
	g.block(1 + g.n(3))
	if g.one(2) {
		g.place(other)
		g.join(before)
		return
	}
	g.emit("goto %s", end)
	g.place(other)
	after := g.save()
	g.restore(before)
	g.block(1 + g.n(3))
	g.place(end)
	g.join(after)
}

// loop counts a register up or down. Some never end, or might not.
func (g *generator) loop() {
	c := 6 + g.n(4)
	if c == 6 && !g.slip() || g.regs[c].is == packetEnd {
		c = 9
	}
	top, n := g.label(), 1+g.n(12)
	bound := -1
	if g.one(4) {
		bound = g.num()
		g.clamp(bound, n)
	}
	down := bound < 0 && g.one(3)
	if down {
		g.emit("r%d = %d", c, n)
	} else {
		g.emit("r%d = 0", c)
	}
	g.set(c, nothing, 0) // the body leaves it alone, mostly
	before := g.save()
	g.place(top)
	if g.one(6) {
		g.set(c, number, 0)
	}
	g.block(1 + g.n(3))
	g.step(c, n, bound, down, top)
	g.join(before)
	g.set(c, number, 0)
}

// step moves a loop's counter and goes back.
func (g *generator) step(c, n, bound int, down bool, top string) {
	by := 1
	if g.one(5) {
		by = 2 + g.n(2)
	}
	w := g.pick("r", "r", "w")
	switch {
	case g.slip():
		g.emit("goto %s", top)
	case bound >= 0:
		g.emit("%s%d += %d\nif %s%d %s r%d goto %s", w, c, by, "r", c, g.pick("<", "<", "!=", "s<"), bound, top)
	case down:
		g.emit("%s%d += -%d\nif %s%d %s %d goto %s", w, c, by, w, c, g.pick("!=", "s>", ">"), 0, top)
	default:
		g.emit("%s%d += %d\nif %s%d %s %d goto %s", w, c, by, w, c, g.pick("<", "<", "!=", "s<", "<="), n, top)
	}
}

// mayGoto is a loop that a may_goto ends.
func (g *generator) mayGoto() {
	top, end := g.label(), g.label()
	c := g.num()
	before := g.save()
	g.place(top)
	g.emit("may_goto %s", end)
	g.block(1 + g.n(2))
	if g.one(2) {
		g.emit("r%d += 1\nif r%d > %d goto %s", c, c, g.n(32), end)
	}
	g.emit("goto %s", top)
	g.place(end)
	g.join(before)
}

const maxFuncs = 3

// call calls a local function, a new one or one that there is.
func (g *generator) call() {
	f := len(g.funcs) + 1
	if f > maxFuncs || g.one(3) && f > 1 {
		f = g.fn + 1 + g.n(2) // later ones only: no recursion
		if g.slip() {
			f = 1 + g.n(2)
		}
		if f > len(g.funcs) {
			g.alu()
			return
		}
		g.args(g.funcs[f-1])
	} else {
		g.funcs = append(g.funcs, g.newArgs())
	}
	g.emit("call func%d", f)
	g.called(number)
}

// newArgs puts things into r1 to r5.
func (g *generator) newArgs() []reg {
	args := make([]reg, g.n(4))
	for i := range args {
		r := i + 1
		switch g.n(4) {
		case 0:
			if s, ok := g.find([]content{context, packet, value}[g.n(3)]); ok && s > i {
				g.emit("r%d = r%d", r, s)
				g.regs[r] = g.regs[s]
				break
			}
			fallthrough
		case 1:
			if g.regs[r].is != nothing {
				break
			}
			fallthrough
		default:
			g.scalar(r)
		}
		args[i] = g.regs[r]
	}
	return args
}

// args makes r1 to r5 fit a function that is called again.
func (g *generator) args(want []reg) {
	for i, w := range want {
		r := i + 1
		if g.regs[r].is == w.is {
			continue
		}
		if s, ok := g.find(w.is); ok && w.is != number {
			g.emit("r%d = r%d", r, s)
			g.regs[r] = g.regs[s]
			continue
		}
		g.scalar(r)
	}
}

// called is what a call leaves.
func (g *generator) called(ret content) {
	if g.slip() {
		return
	}
	for i := range 6 {
		g.regs[i] = reg{}
	}
	g.regs[0].is = ret
}

// callback hands a function to bpf_loop or bpf_for_each_map_elem. It gets the address of 8 bytes of the stack, behind
// the index, or the map, key and value.
func (g *generator) callback() {
	if g.fn != 0 || len(g.funcs) >= maxFuncs {
		g.alu()
		return
	}
	g.prog.Callbacks = true
	g.emit("*(u64 *)(r10 - 64) = %d\nr3 = r10\nr3 += -64\nr4 = 0", g.imm())
	g.stack[-64] = reg{is: number}
	if g.one(2) {
		m := visited[g.n(len(visited))]
		g.uses(m)
		g.funcs = append(g.funcs, []reg{{}, {is: value, size: int(specs[m].KeySize)}, {is: value, size: int(specs[m].ValueSize)}, {is: stackPtr}})
		g.emit("r1 = map[%s]\nr2 = func func%d\ncall bpf_for_each_map_elem", specs[m].Name, len(g.funcs))
	} else {
		g.funcs = append(g.funcs, []reg{{is: number}, {is: stackPtr}})
		g.emit("r1 = %d\nr2 = func func%d\ncall bpf_loop", g.n(8), len(g.funcs))
	}
	g.called(number)
}

// tailCall leaves for another program, or stays when there is none.
func (g *generator) tailCall() {
	if g.one(2) {
		g.emit("r3 = %d", []int{0, 1, Next, Next, 7}[g.n(5)])
	} else if v := g.num(); v != 3 {
		g.emit("r3 = r%d", v)
	}
	g.set(3, nothing, 0)
	if !g.withContext() {
		return
	}
	g.prog.Local = true
	g.prog.Callbacks = g.prog.Callbacks || g.fn != 0
	g.emit("r2 = map[progs]\ncall bpf_tail_call")
	g.called(nothing)
}

// earlyExit leaves the function from its middle.
func (g *generator) earlyExit() {
	l := g.label()
	g.emit("%sgoto %s", g.condition(g.num(), g.imm()), l)
	before := g.save()
	g.exit()
	g.place(l)
	g.restore(before)
}

// backward is three pieces of code that are not in the order in which they run.
func (g *generator) backward() {
	first, second, end := g.label(), g.label(), g.label()
	g.emit("%s %s", g.pick("goto", "gotol"), first)
	g.place(second)
	g.block(1 + g.n(2))
	g.emit("goto %s", end)
	g.place(first)
	g.alu()
	g.emit("%s %s", g.pick("goto", "goto", "gotol"), second)
	g.place(end)
}

// pointerMath is arithmetic that ends in a pointer or a distance.
func (g *generator) pointerMath() {
	p, ok := g.find([]content{packet, value, packet, packetEnd, context}[g.n(5)])
	if !ok {
		g.alu()
		return
	}
	r := g.anyReg()
	n := g.n(16)
	switch g.n(8) {
	case 0:
		g.emit("r%d = r%d\nr%d += %d", r, p, r, n)
		g.regs[r] = reg{g.regs[p].is, max(g.regs[p].size-n, 0)}
	case 1:
		g.emit("r%d = r%d\nr%d -= %d", r, p, r, n)
		g.regs[r] = reg{g.regs[p].is, g.regs[p].size}
	case 2:
		g.emit("r%d += %d\nr%d += -%d", p, n, p, n)
	case 3:
		if q, ok := g.find(packet); ok && q != r {
			g.emit("r%d = r%d\nr%d -= r%d", r, p, r, q)
			g.set(r, number, 0)
		}
	case 4:
		if g.slip() {
			g.emit("r%d %s r%d", p, g.pick("|=", "&=", "^=", "*=", "<<=", "-="), g.num())
		}
	case 5:
		if g.slip() {
			g.emit("w%d %s %d", p, g.pick("+=", "="), n)
		}
	case 6:
		s := g.num()
		if r == s {
			return
		}
		g.emit("r%d = %d\nr%d += r%d", r, n, r, p)
		g.regs[r] = reg{g.regs[p].is, max(g.regs[p].size-n, 0)}
	case 7:
		if g.slip() {
			g.emit("r%d += %#x", p, []int{1 << 29, 1<<29 - 1, 0xffff, 0x7fffffff}[g.n(4)])
		}
	}
}

// pointerCompare compares pointers with each other and with numbers.
func (g *generator) pointerCompare() {
	p, ok := g.find([]content{packet, value, context, maybeValue}[g.n(4)])
	if !ok {
		g.alu()
		return
	}
	l := g.label()
	op := g.pick("==", "!=", ">", "<", ">=", "s<")
	if q, ok := g.find([]content{packet, packetEnd, value}[g.n(3)]); ok && g.one(2) {
		g.emit("if r%d %s r%d goto %s", p, op, q, l)
	} else {
		g.emit("if r%d %s 0 goto %s", p, g.pick("==", "!="), l)
	}
	before := g.save()
	g.block(1)
	g.place(l)
	g.join(before)
}

// ctxStore writes to the ctx.
func (g *generator) ctxStore() {
	c, ok := g.need(context)
	if !ok || g.typ == prog.XDP && !g.slip() {
		g.alu()
		return
	}
	off := []int{48, 52, 56, 60, 64}[g.n(5)]
	if g.typ == prog.SchedCLS && g.one(2) {
		off = []int{8, 32}[g.n(2)]
	}
	if g.slip() {
		off = 4 * g.n(50)
	}
	g.emit("*(u32 *)(r%d + %d) = r%d", c, off, g.num())
}

// classic is a packet load of classic BPF. It wants the ctx in r6.
func (g *generator) classic() {
	if g.typ == prog.XDP || g.fn != 0 || g.regs[6].is != context {
		if !g.slip() {
			g.alu()
			return
		}
	}
	size := 8 << g.n(3)
	if g.one(2) {
		g.emit("r0 = *(u%d *)skb[%d]", size, []int{0, 14, g.n(80), g.n(80)}[g.n(4)])
	} else {
		g.emit("r0 = *(u%d *)skb[r%d + %d]", size, g.num(), g.n(20))
	}
	g.called(number)
}

// copy moves a register.
func (g *generator) copy() {
	s, r := g.n(11), g.anyReg()
	if g.regs[s].is == nothing && !g.slip() {
		s = g.num()
	}
	g.emit("r%d = r%d", r, s)
	g.regs[r] = g.regs[s]
}

// wild is any instruction with any registers.
func (g *generator) wild() {
	r, s := g.n(11), g.n(11)
	if r == 10 {
		r = 0
	}
	g.emit("%s", []string{
		fmt.Sprintf("r%d = r%d", r, s),
		fmt.Sprintf("r%d += r%d", r, s),
		fmt.Sprintf("r%d -= r%d", r, s),
		fmt.Sprintf("w%d += w%d", r, s),
		fmt.Sprintf("r%d = *(u%d *)(r%d + %d)", r, 8<<g.n(4), s, g.n(64)),
		fmt.Sprintf("*(u%d *)(r%d - %d) = r%d", 8<<g.n(4), s, g.n(64), r),
		fmt.Sprintf("*(u%d *)(r%d + %d) = r%d", 8<<g.n(4), s, g.n(64), r),
		fmt.Sprintf("lock *(u64 *)(r%d - %d) += r%d", s, 8*g.n(8), r),
		fmt.Sprintf("if r%d > r%d goto %s", r, s, g.outs),
		fmt.Sprintf("gotol %s", g.outs),
	}[g.n(10)])
	g.regs[r] = reg{is: number}
}
