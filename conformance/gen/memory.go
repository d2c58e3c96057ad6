package gen

import "github.com/skepvm/skep/prog"

// size is an access size and an offset at which it fits, mostly, into room bytes.
func (g *generator) size(room int) (size, off int) {
	size = 1 << g.n(4)
	for size > room && size > 1 {
		size /= 2
	}
	if room > size {
		off = g.n(room - size + 1)
	}
	if room >= 8 && g.one(2) {
		off &^= size - 1
	}
	if g.one(6) {
		off = max(room-size, 0) // the last place
	}
	if g.slip() {
		off += []int{1, -1, 8, -8, 7}[g.n(5)]
	}
	return size, off
}

func sign(off int) (string, int) {
	if off < 0 {
		return "-", -off
	}
	return "+", off
}

// load loads r from behind s, which has room bytes.
func (g *generator) load(r, s, room int) {
	size, off := g.size(room)
	op, abs := sign(off)
	letter := "u"
	if size < 8 && g.one(5) {
		letter = "s"
	}
	g.emit("r%d = *(%s%d *)(r%d %s %d)", r, letter, size*8, s, op, abs)
}

// store stores a number behind d.
func (g *generator) store(d, room int) {
	size, off := g.size(room)
	op, abs := sign(off)
	if g.one(3) {
		g.emit("*(u%d *)(r%d %s %d) = %d", size*8, d, op, abs, g.imm())
		return
	}
	g.emit("*(u%d *)(r%d %s %d) = r%d", size*8, d, op, abs, g.num())
}

// access loads from or stores to what some pointer points to.
func (g *generator) access() {
	p, ok := g.find([]content{packet, value}[g.n(2)])
	if !ok || g.regs[p].size == 0 && !g.slip() {
		g.alu()
		return
	}
	if g.one(3) {
		g.store(p, g.regs[p].size)
		return
	}
	r := g.anyReg()
	g.load(r, p, g.regs[p].size)
	g.set(r, number, 0)
}

// loadPacket makes d the packet's start and e its end.
func (g *generator) loadPacket(d, e int) {
	c, ok := g.need(context)
	if !ok || d == e {
		return
	}
	data, end := 0, 4
	if g.typ != prog.XDP {
		data, end = 76, 80
	}
	if g.slip() {
		data, end = end, data
	}
	if c == d { // would be lost
		d, e = e, d
		data, end = end, data
	}
	g.emit("r%d = *(u32 *)(r%d + %d)", d, c, data)
	g.emit("r%d = *(u32 *)(r%d + %d)", e, c, end)
	g.set(d, packet, 0)
	g.set(e, packetEnd, 0)
}

// packetCheck compares a packet pointer with the end, in one of the ways in which it is right, or nearly.
func (g *generator) packetCheck() {
	p, ok := g.need(packet)
	end, ok2 := g.need(packetEnd)
	if !ok || !ok2 {
		g.alu()
		return
	}
	n := 1 + g.n(40)
	t := g.n(6)
	if t == p || t == end {
		t = (max(p, end) + 1) % 10
	}
	g.emit("r%d = r%d", t, p)
	if g.one(8) {
		g.emit("r%d -= %d", t, -n)
	} else {
		g.emit("r%d += %d", t, n)
	}
	g.set(t, packet, 0)
	g.compareEnd(t, end)
	if g.slip() {
		n++
	}
	g.regs[p].size = max(g.regs[p].size, n)
}

// compareEnd goes on where t is not behind the end.
func (g *generator) compareEnd(t, end int) {
	if g.slip() {
		g.emit("if r%d %s r%d goto %s", t, g.pick(">", ">=", "<", "<=", "==", "!=", "s>", "s<="), end, g.outs)
		return
	}
	switch l := g.label(); g.n(8) {
	case 0, 1:
		g.emit("if r%d > r%d goto %s", t, end, g.outs)
	case 2:
		g.emit("if r%d < r%d goto %s", end, t, g.outs)
	case 3:
		g.emit("if r%d >= r%d goto %s", t, end, g.outs)
	case 4:
		g.emit("if r%d <= r%d goto %s", end, t, g.outs)
	case 5:
		g.emit("if r%d <= r%d goto %s\ngoto %s\n%s:", t, end, l, g.outs, l)
	case 6:
		g.emit("if r%d >= r%d goto %s\ngoto %s\n%s:", end, t, l, g.outs, l)
	case 7:
		g.emit("if r%d < r%d goto %s\ngoto %s\n%s:", t, end, l, g.outs, l)
	}
}

// packetVariable adds a bounded number to a packet pointer, checks and accesses.
func (g *generator) packetVariable() {
	p, ok := g.need(packet)
	end, ok2 := g.need(packetEnd)
	if !ok || !ok2 {
		g.alu()
		return
	}
	v, q := g.num(), g.anyReg()
	if !g.slip() {
		g.clamp(v, []int{15, 60, 255, 4095, 0xffff}[g.n(5)])
	}
	if q == v || q == end {
		q = (max(v, end) + 1) % 10
	}
	if g.one(4) { // the number first
		g.emit("r%d = r%d\nr%d += r%d", q, v, q, p)
	} else {
		g.emit("r%d = r%d\nr%d += r%d", q, p, q, v)
	}
	g.set(q, packet, 0)
	n := 1 + g.n(20)
	t := (q + 1 + g.n(3)) % 10
	if t == end || t == p {
		t = (t + 1) % 10
	}
	g.emit("r%d = r%d\nr%d += %d", t, q, t, n)
	g.set(t, packet, 0)
	g.compareEnd(t, end)
	g.regs[q].size = n
	g.access()
}

// key puts a key of map m on the stack and its address into r.
func (g *generator) key(r, m int) {
	at := 4
	if m == lpm { // the length of the prefix, and what it is a prefix of
		g.emit("*(u32 *)(r10 - 8) = %d", g.n(36))
		at = 8
	}
	if g.one(3) {
		g.emit("*(u32 *)(r10 - 4) = r%d", g.num())
	} else {
		g.emit("*(u32 *)(r10 - 4) = %d", g.n(5))
	}
	if g.slip() {
		at = g.n(10)
	}
	delete(g.stack, -8)
	g.emit("r%d = r10\nr%d += -%d", r, r, at)
}

// table is a map with keys.
func (g *generator) table() int {
	m := tables[g.n(len(tables))]
	g.uses(m)
	return m
}

// lookup looks something up, checks for null in one of the ways, and accesses the value.
func (g *generator) lookup() {
	m := g.table()
	size := int(specs[m].ValueSize)
	g.key(2, m)
	g.emit("r1 = map[%s]\ncall bpf_map_lookup_elem", specs[m].Name)
	g.called(maybeValue)
	g.regs[0].size = size
	r := 0
	if g.one(3) {
		r = 6 + g.n(4)
		g.emit("r%d = r0", r)
		g.set(r, maybeValue, size)
	}
	g.nullCheck([]int{0, r}[g.n(2)])
	if g.one(2) {
		g.access()
	}
}

func (g *generator) nullCheck(r int) {
	switch g.n(8) {
	case 0:
		l := g.label()
		g.emit("if r%d != 0 goto %s\ngoto %s\n%s:", r, l, g.outs, l)
	case 1:
		g.emit("if r%d == 0 goto %s", r, g.outs)
	case 2:
		if g.one(3) { // wrong, or useless
			g.emit("if %s goto %s", g.pick("r0 != 0", "w0 == 0", "r0 s<= 0", "r0 == 1", "r0 > 0"), g.outs)
			break
		}
		fallthrough
	default:
		g.emit("if r%d == 0 goto %s", r, g.outs)
	}
	for i := range g.regs {
		if g.regs[i].is == maybeValue {
			g.regs[i].is = value
		}
	}
}

// valueVariable adds a bounded number to a value's address.
func (g *generator) valueVariable() {
	p, ok := g.need(value)
	if !ok {
		g.lookup()
		return
	}
	v := g.num()
	room := g.regs[p].size
	size := 1 << g.n(4)
	limit := max(room-size, 0)
	if !g.slip() {
		g.clamp(v, limit)
	}
	q := (p + g.n(2)) % 10
	if q == v {
		q = p
	}
	if q != p {
		g.emit("r%d = r%d", q, p)
		g.regs[q] = g.regs[p]
	}
	if g.one(6) {
		g.emit("r%d += %d\nr%d -= r%d", q, limit, q, v)
	} else {
		g.emit("r%d += r%d", q, v)
	}
	g.regs[q].size = size
	if g.one(3) {
		g.store(q, size)
		return
	}
	r := g.anyReg()
	g.load(r, q, size)
	g.set(r, number, 0)
}

// direct takes the address of an array's first value.
func (g *generator) direct() {
	r, m := g.anyReg(), []int{global, global, rodata}[g.n(3)]
	if g.slip() {
		m = g.n(global)
	}
	size := int(specs[m].ValueSize)
	off := g.n(size)
	if g.slip() {
		off = size + g.n(2)
	}
	g.emit("r%d = map[%s][%d]", r, specs[m].Name, off)
	g.set(r, value, size-off)
}

// spill stores a register, or a part, on the stack.
func (g *generator) spill() {
	r := g.n(10)
	if g.regs[r].is == nothing {
		r = g.num()
	}
	slot := -8 * (1 + g.n(8))
	if g.slip() {
		slot = -8*g.n(68) + g.n(8)
	}
	op, abs := sign(slot)
	if g.regs[r].is == number && g.one(2) {
		size := 1 << g.n(3)
		at := slot + size*g.n(8/size)
		op, abs = sign(at)
		g.emit("*(u%d *)(r10 %s %d) = r%d", size*8, op, abs, r)
		if at == slot && g.one(2) {
			g.load(g.anyReg(), 10, 0)
		}
		return
	}
	g.emit("*(u64 *)(r10 %s %d) = r%d", op, abs, r)
	g.stack[slot] = g.regs[r]
}

// fill loads from the stack.
func (g *generator) fill() {
	slot := -8 * (1 + g.n(8))
	for i := range 8 {
		if s := slot - 8*i; g.stack[s].is != nothing {
			slot = s
			break
		}
	}
	what, known := g.stack[slot]
	if !known && !g.slip() {
		g.emit("*(u64 *)(r10 - %d) = %d", -slot, g.imm())
		g.stack[slot] = reg{is: number}
	}
	r := g.anyReg()
	if what.is == number && g.one(2) || g.slip() {
		size := 1 << g.n(3)
		g.emit("r%d = *(u%d *)(r10 - %d)", r, size*8, -slot-size*g.n(8/size))
		g.set(r, number, 0)
		return
	}
	g.emit("r%d = *(u64 *)(r10 - %d)", r, -slot)
	g.regs[r] = what
	if !known {
		g.set(r, number, 0)
	}
}

// stackVariable accesses the stack at an offset that is not known.
func (g *generator) stackVariable() {
	v, p := g.num(), g.anyReg()
	if v == p {
		p = (p + 1) % 10
	}
	base := 8 * (1 + g.n(6))
	if !g.slip() {
		for off := 8; off <= base; off += 8 {
			if !g.one(6) {
				g.emit("*(u64 *)(r10 - %d) = %d", off, g.imm())
			}
			delete(g.stack, -off)
		}
		g.clamp(v, base-1)
	}
	if g.one(2) {
		g.emit("r%d &= %d", v, []int{0x38, 0x3c, 7, 8, 4}[g.n(5)])
	}
	g.emit("r%d = r10\nr%d += -%d\nr%d += r%d", p, p, base, p, v)
	size := 1 << g.n(4)
	if g.one(2) {
		g.emit("*(u%d *)(r%d + 0) = r%d", size*8, p, g.num())
	}
	r := g.anyReg()
	g.emit("r%d = *(u%d *)(r%d + 0)", r, size*8, p)
	g.regs[p] = reg{}
	g.set(r, number, 0)
}

// target is a pointer that atomics may use, with an offset that is a multiple of size, mostly.
func (g *generator) target(size int) (string, bool) {
	if p, ok := g.find(value); ok && !g.one(3) {
		return g.place8(p, max(g.regs[p].size/size*size-size, 0)/size*size), true
	}
	slot := 8 * (1 + g.n(6))
	if !g.slip() {
		g.emit("*(u64 *)(r10 - %d) = %d", slot, g.imm())
	}
	g.stack[-slot] = reg{is: number}
	if g.slip() {
		slot++
	}
	return "r10 - " + itoa(slot), true
}

func (g *generator) place8(p, limit int) string {
	off := 0
	if limit > 0 {
		off = g.n(limit+1) &^ 7
	}
	return "r" + itoa(p) + " + " + itoa(off)
}

// atomic is a read-modify-write.
func (g *generator) atomic() {
	w, size := "r", 64
	if g.one(2) {
		w, size = "w", 32
	}
	s := g.num()
	at, _ := g.target(size / 8)
	if p, ok := g.find(packet); ok && g.slip() {
		at = g.place8(p, 0)
	}
	suffix := map[int]string{64: "_64", 32: "32_32"}[size]
	switch g.n(4) {
	case 0:
		g.emit("lock *(u%d *)(%s) %s %s%d", size, at, g.pick("+=", "|=", "&=", "^="), w, s)
	case 1:
		g.emit("%s%d = atomic_fetch_%s((u%d *)(%s), %s%d)", w, s, g.pick("add", "or", "and", "xor"), size, at, w, s)
	case 2:
		g.emit("%s%d = xchg%s(%s, %s%d)", w, s, suffix, at, w, s)
	case 3:
		if g.regs[0].is != number && !g.slip() {
			g.emit("r0 = %d", g.imm())
		}
		if at[1] == '0' {
			return // the address is gone
		}
		g.emit("%s0 = cmpxchg%s(%s, %s0, %s%d)", w, suffix, at, w, w, s)
		g.set(0, number, 0)
	}
}

// ordered is a load-acquire and a store-release.
func (g *generator) ordered() {
	size := 8 << g.n(4)
	w := "w"
	if size == 64 {
		w = "r"
	}
	s, r := g.num(), g.anyReg()
	at, _ := g.target(size / 8)
	g.emit("store_release((u%d *)(%s), %s%d)", size, at, w, s)
	g.emit("%s%d = load_acquire((u%d *)(%s))", w, r, size, at)
	g.set(r, number, 0)
}
