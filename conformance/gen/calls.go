package gen

import (
	"encoding/binary"

	"github.com/skepvm/skep/prog"
)

// helper calls one of the helpers, with arguments that are right, mostly.
func (g *generator) helper() {
	calls := []func(*generator){(*generator).update, (*generator).remove, (*generator).random, (*generator).compare,
		(*generator).trace, (*generator).queue, (*generator).ring}
	switch g.typ {
	case prog.XDP:
		calls = append(calls, (*generator).adjust, (*generator).adjust, (*generator).loadBytes, (*generator).csum)
	case prog.SchedCLS:
		calls = append(calls, (*generator).loadBytes, (*generator).storeBytes, (*generator).pull, (*generator).csum)
	default:
		calls = append(calls, (*generator).loadBytes)
	}
	calls[g.n(len(calls))](g)
}

// memory puts into r an address with size bytes.
func (g *generator) memory(r, size int) {
	if p, ok := g.find([]content{value, packet}[g.n(2)]); ok && g.regs[p].size >= size && g.one(2) {
		if p != r {
			g.emit("r%d = r%d", r, p)
		}
		return
	}
	at := (size + 7) / 8 * 8
	for off := 8; off <= at; off += 8 {
		if !g.slip() {
			g.emit("*(u64 *)(r10 - %d) = %d", off, g.imm())
		}
		delete(g.stack, -off)
	}
	if g.slip() {
		at -= 1 + g.n(8)
	}
	g.emit("r%d = r10\nr%d += -%d", r, r, at)
}

// uses notes that the program uses map m.
func (g *generator) uses(m int) {
	g.prog.Local = g.prog.Local || local(m)
}

func (g *generator) update() {
	m := g.table()
	g.memory(3, int(specs[m].ValueSize))
	g.key(2, m)
	g.emit("r4 = %d\nr1 = map[%s]\ncall bpf_map_update_elem", []int{0, 0, 0, 1, 2}[g.n(5)], specs[m].Name)
	g.called(number)
}

func (g *generator) remove() {
	m := g.table()
	g.key(2, m)
	g.emit("r1 = map[%s]\ncall bpf_map_delete_elem", specs[m].Name)
	g.called(number)
}

// trace prints a line of up to three numbers.
func (g *generator) trace() {
	format := g.pick("r:%d\n", "%x%llx", "%u%d", "e%c", "%u")
	g.prog.Traces = true
	for r := 3; r <= 5; r++ {
		if n := g.num(); n != r {
			g.emit("r%d = r%d", r, n)
		}
		g.set(r, number, 0)
	}
	g.emit("r1 = %#x ll\n*(u64 *)(r10 - 8) = r1\nr1 = r10\nr1 += -8", binary.LittleEndian.Uint64(append([]byte(format), make([]byte, 8)...)))
	delete(g.stack, -8)
	size := len(format) + 1
	if g.slip() {
		size--
	}
	g.emit("r2 = %d\ncall bpf_trace_printk", size)
	g.called(number)
}

// queue pushes to or takes from a map without keys.
func (g *generator) queue() {
	m := []int{queue, stack, bloom}[g.n(3)]
	g.uses(m)
	g.memory(2, 8)
	name := g.pick("bpf_map_push_elem", "bpf_map_push_elem", "bpf_map_peek_elem", "bpf_map_pop_elem")
	if m == bloom && name == "bpf_map_pop_elem" && !g.slip() {
		name = "bpf_map_peek_elem"
	}
	g.emit("r3 = %d\nr1 = map[%s]\ncall %s", []int{0, 0, 0, 2}[g.n(4)], specs[m].Name, name)
	g.called(number)
}

// ring sends a record through a ring buffer.
func (g *generator) ring() {
	g.uses(ring)
	size := 8 * (1 + g.n(3))
	if g.one(2) {
		g.memory(2, size)
		g.emit("r3 = %d\nr4 = 0\nr1 = map[ring]\ncall bpf_ringbuf_output", size)
		g.called(number)
		return
	}
	g.emit("r1 = map[ring]\nr2 = %d\nr3 = 0\ncall bpf_ringbuf_reserve", size)
	g.called(nothing)
	l := g.label()
	g.emit("if r0 == 0 goto %s", l)
	g.set(0, value, size)
	before := g.save()
	g.store(0, size)
	g.emit("r1 = r0\nr2 = 0")
	if !g.slip() {
		g.emit("call %s", g.pick("bpf_ringbuf_submit", "bpf_ringbuf_submit", "bpf_ringbuf_discard"))
	}
	g.called(nothing)
	g.place(l)
	g.join(before)
	g.set(0, nothing, 0)
}

// length puts a length of at most limit into r; it may be variable.
func (g *generator) length(r, limit int) {
	if g.one(2) {
		g.emit("r%d = %d", r, 4*(g.n(limit/4+1)))
		return
	}
	v := g.num()
	if v != r {
		g.emit("r%d = r%d", r, v)
	}
	g.set(r, number, 0)
	g.clamp(r, limit)
}

func (g *generator) csum() {
	size := 4 * (1 + g.n(6))
	g.memory(1, size)
	g.set(1, nothing, 0)
	g.length(2, size)
	if g.one(2) {
		g.emit("r3 = 0\nr4 = 0")
	} else {
		g.emit("r3 = r1\nr4 = r2")
	}
	g.emit("r5 = %d\ncall bpf_csum_diff", g.n(3))
	g.called(number)
}

func (g *generator) random() {
	g.prog.Local = true
	g.emit("call %s", g.pick("bpf_get_prandom_u32", "bpf_ktime_get_ns"))
	g.called(number)
}

func (g *generator) compare() {
	g.memory(1, 8)
	g.set(1, nothing, 0)
	g.length(2, 8)
	g.emit("r3 = map[%s][%d]\ncall bpf_strncmp", g.pick("rodata", "rodata", "rodata", "global"), g.n(20))
	g.called(number)
}

// packetMoved is what helpers that may move the packet leave of the pointers. Slips keep stale ones.
func (g *generator) packetMoved() {
	g.called(number)
	if g.one(3) && g.slip() {
		return
	}
	for i := range g.regs {
		if is := g.regs[i].is; is == packet || is == packetEnd {
			g.regs[i] = reg{}
		}
	}
	for at, r := range g.stack {
		if r.is == packet || r.is == packetEnd {
			delete(g.stack, at)
		}
	}
}

func (g *generator) withContext() bool {
	c, ok := g.need(context)
	if ok && c != 1 {
		g.emit("r1 = r%d", c)
	}
	return ok
}

func (g *generator) adjust() {
	g.emit("r2 = %d", g.n(40)-20)
	if !g.withContext() {
		return
	}
	g.emit("call %s", g.pick("bpf_xdp_adjust_head", "bpf_xdp_adjust_tail"))
	g.packetMoved()
	if !g.one(4) {
		g.loadPacket(7, 8)
	}
}

func (g *generator) pull() {
	g.emit("r2 = %d", g.n(64))
	if !g.withContext() {
		return
	}
	g.emit("call bpf_skb_pull_data")
	g.packetMoved()
	if !g.one(4) {
		g.loadPacket(7, 8)
	}
}

func (g *generator) loadBytes() {
	size := 8 * (1 + g.n(4))
	g.memory(3, size)
	g.set(3, nothing, 0)
	g.length(4, size)
	g.emit("r2 = %d", g.n(70))
	g.set(4, nothing, 0)
	if !g.withContext() {
		return
	}
	name := "bpf_skb_load_bytes"
	if g.typ == prog.XDP {
		name = "bpf_xdp_load_bytes"
	}
	g.emit("call %s", name)
	g.called(number)
}

func (g *generator) storeBytes() {
	size := 8 * (1 + g.n(4))
	g.memory(3, size)
	g.set(3, nothing, 0)
	g.length(4, size)
	g.emit("r2 = %d\nr5 = %d", g.n(70), g.n(2))
	g.set(4, nothing, 0)
	if !g.withContext() {
		return
	}
	g.emit("call bpf_skb_store_bytes")
	g.packetMoved()
}
