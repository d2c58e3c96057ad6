package vm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// access says what memory a kind of instruction touches.
type access struct {
	size        uint8 // 0: none
	read, write bool
	viaDst      bool // address in dst, else in src
}

var accesses = func() (t [asm.NumKinds]access) {
	for k := range t {
		info := asm.Kind(k).Info()
		switch info.Class {
		case asm.ClassLoad, asm.ClassLoadAcq:
			t[k] = access{size: info.Size, read: true}
		case asm.ClassStore, asm.ClassStoreRel:
			t[k] = access{size: info.Size, write: true, viaDst: true}
		case asm.ClassAtomic:
			t[k] = access{size: info.Size, read: true, write: true, viaDst: true}
		}
	}
	return t
}()

// checker keeps the shadow of one checked run: everything that the program may touch is granted piece by piece and
// forbidden again when the run ends.
type checker struct {
	space   *mem.Space
	row     *prog.TypeRow
	ctxSize uint32
	ctx     []span // fields that may be used, addresses relative to the ctx
	objects []ctxObject
	granted []span
	packets span // the packet, as granted now
	// readsNull says that loads through pointers to kernel objects may fail: they give 0 (Linux: BPF_PROBE_MEM).
	readsNull bool

	ringMem map[uint32]uint32 // ring buffer reservations: size by address
}

// ctxObject is a field of a ctx that holds the address of an object.
type ctxObject struct {
	off, size uint32
	write     bool
	addr      uint32 // of the object that is granted; 0: none
}

// Sizes of the objects that ctx fields and helpers give pointers to (Linux: struct bpf_sock, bpf_tcp_sock, bpf_flow_keys).
const (
	nullPage       = 4096 // bytes at address 0, which nobody is given: they are zero
	sizeofSock     = 80
	sizeofTCPSock  = 112
	sizeofFlowKeys = 56
)

func newChecker(space *mem.Space, row *prog.TypeRow, ctxSize uint32) *checker {
	c := &checker{space: space, row: row, readsNull: row.Type == prog.Netfilter, ringMem: map[uint32]uint32{}}
	if row.CtxSize != 0 {
		ctxSize = uint32(row.CtxSize)
	}
	c.ctxSize = ctxSize
	if len(row.Fields) == 0 {
		c.ctx = []span{{0, ctxSize, true}}
		return c
	}
	for i := range row.Fields {
		c.addField(&row.Fields[i])
	}
	// Where fields overlap, what one of them lets be written can be.
	slices.SortStableFunc(c.ctx, func(a, b span) int { return cmp.Compare(toInt(a.write), toInt(b.write)) })
	return c
}

func toInt(set bool) int {
	if set {
		return 1
	}
	return 0
}

func (c *checker) addField(f *prog.CtxField) {
	off := uint32(f.Off)
	switch f.Yields {
	case prog.Sock, prog.SockOrNull, prog.SockCommonOrNull:
		c.objects = append(c.objects, ctxObject{off: off, size: sizeofSock})
	case prog.FlowKeys:
		c.objects = append(c.objects, ctxObject{off: off, size: sizeofFlowKeys, write: true})
	}
	if f.Access == 0 {
		return
	}
	next := span{off, uint32(f.Size), f.Access&prog.Write != 0}
	if n := len(c.ctx); n > 0 {
		last := &c.ctx[n-1]
		if last.write == next.write && last.addr+last.size == next.addr {
			last.size += next.size
			return
		}
	}
	c.ctx = append(c.ctx, next)
}

// grant lets the program touch s until the end of the run.
func (c *checker) grant(s span) {
	c.granted = append(c.granted, s)
	c.space.Allow(s.addr, s.size, s.write)
}

// begin grants what a program has from the start: ctx, packet, frame 0, and the data sections.
func (c *checker) begin(x *Interpreter) {
	ctx := x.env.Ctx
	c.space.Forbid(ctx, c.ctxSize) // whoever filled it may have allowed more
	for _, s := range c.ctx {
		c.grant(span{ctx + s.addr, s.size, s.write})
	}
	for i := range c.objects {
		c.objects[i].addr = 0
	}
	c.allowObjects(ctx)
	c.allowPacket(ctx)
	c.allowFrame(x.cpu, 0)
	c.allowData(x.entry)
}

// beginFunction grants what a function that runs by itself has from the start: its frame and the data sections.
func (c *checker) beginFunction(x *Interpreter) {
	c.allowFrame(x.cpu, 0)
	c.allowData(x.entry)
}

// end forbids everything again.
func (c *checker) end(cpu *CPU) {
	for _, s := range c.granted {
		c.space.Forbid(s.addr, s.size)
	}
	c.granted = c.granted[:0]
	c.space.Forbid(c.packets.addr, c.packets.size)
	c.packets = span{}
	c.space.Forbid(cpu.StackTop-stackSize, stackSize)
	clear(c.ringMem)
}

// allowObjects grants what fields of the ctx point to. Helpers may make them point elsewhere (bpf_sk_assign).
func (c *checker) allowObjects(ctx uint32) {
	for i := range c.objects {
		o := &c.objects[i]
		if addr := c.space.Load32(ctx + o.off); addr != 0 && addr != o.addr {
			c.grant(span{addr, o.size, o.write})
			o.addr = addr
		}
	}
}

func (c *checker) allowFrame(cpu *CPU, depth int) {
	c.space.Allow(cpu.FrameTop(depth)-FrameSize, FrameSize, true)
}

func (c *checker) forbidFrame(cpu *CPU, depth int) {
	c.space.Forbid(cpu.FrameTop(depth)-FrameSize, FrameSize)
}

// allowData grants the values that l addresses directly.
func (c *checker) allowData(l *Linked) {
	for _, s := range l.data {
		c.grant(s)
	}
}

// allowPacket grants [data, data_end), from data_meta where there is one, and takes back the packet as it was before.
func (c *checker) allowPacket(ctx uint32) {
	c.space.Forbid(c.packets.addr, c.packets.size)
	c.packets = span{}
	if !c.row.Packet && !c.row.Type.HasData() {
		return
	}
	offData, offEnd, offMeta := c.row.DataOffsets()
	from, end := c.space.Load32(ctx+offData), c.space.Load32(ctx+offEnd)
	if meta := c.space.Load32(ctx + offMeta); meta != 0 && meta < from {
		from = meta
	}
	if from >= end {
		return
	}
	c.packets = span{from, end - from, c.row.PktWrite}
	if c.row.PktRead {
		c.space.Allow(from, end-from, c.row.PktWrite)
	} else {
		c.space.Forbid(from, end-from)
	}
}

// mayAccess reports whether the program may touch the memory that in is about to touch.
func (x *Interpreter) mayAccess(in *insn) bool {
	if in.op >= asm.NumKinds {
		return true
	}
	a := &accesses[in.op]
	if a.size == 0 {
		return true
	}
	addr := x.accessAddr(in, a)
	if x.check.readsNull && !a.write && addr < nullPage {
		return true
	}
	return addr>>32 == 0 &&
		(!a.read || x.space.Readable(uint32(addr), a.size)) && (!a.write || x.space.Writable(uint32(addr), a.size))
}

func (x *Interpreter) accessAddr(in *insn, a *access) uint64 {
	if a.viaDst {
		return x.regs[in.dst&15] + uint64(in.off)
	}
	return x.regs[in.src&15] + uint64(in.off)
}

func (x *Interpreter) badInsnAccess(in *insn) *Fault {
	a := &accesses[in.op]
	return x.badAccess(x.accessAddr(in, a), uint64(a.size), a.write, "")
}

func (x *Interpreter) badAccess(addr, size uint64, write bool, helper string) *Fault {
	f := x.fault(BadAccess)
	f.Addr, f.Size, f.Write, f.Helper = addr, int(size), write, helper
	return f
}

// checkArgs looks at the arguments of a helper call as its prototype wants them, so that the helper
// touches no memory that the program may not.
func (x *Interpreter) checkArgs(row *helpers.Row) *Fault {
	row = row.For(x.env.Type)
	var m maps.Map
	for n := range row.NumArgs() {
		arg, v := row.Args[n], x.regs[1+n]
		switch arg.Base() {
		case helpers.ArgMapPtr:
			if m = x.mapOf(v); m == nil {
				return x.badArg(row, n, "is no map")
			}
			continue
		case helpers.ArgCtx:
			if v != uint64(x.env.Ctx) && (v != 0 || !arg.Has(helpers.ArgMaybeNull)) {
				return x.badArg(row, n, "is not the ctx")
			}
			continue
		case helpers.ArgRingMem:
			if _, ok := x.check.ringMem[uint32(v)]; !ok || v>>32 != 0 {
				return x.badArg(row, n, "is no ring buffer reservation")
			}
			continue
		}
		if v == 0 && arg.Has(helpers.ArgMaybeNull) {
			continue
		}
		size, ok := argSize(row, n, m, x.regs[2+n])
		if !ok {
			continue
		}
		write := arg.Has(helpers.ArgUninit) || arg.Has(helpers.ArgWrite)
		if !x.touchable(v, size, write) {
			return x.badAccess(v, size, write, row.Name)
		}
	}
	return nil
}

// mapOf returns the map that a register points to, nil when it doesn't.
func (x *Interpreter) mapOf(v uint64) maps.Map { return x.cpu.mapOf(v) }

func (c *CPU) mapOf(v uint64) maps.Map {
	if v>>32 != 0 {
		return nil
	}
	return c.Env.Maps.Get(uint32(v))
}

// argSize is the size of the memory behind argument n, false when that argument is not memory. m is the map among the arguments
// before it, next the value of the argument after it.
func argSize(row *helpers.Row, n int, m maps.Map, next uint64) (uint64, bool) {
	switch row.Args[n].Base() {
	case helpers.ArgMapKey:
		if m != nil {
			return uint64(m.Spec().KeySize), true
		}
	case helpers.ArgMapValue:
		if m != nil {
			return uint64(m.Spec().ValueSize), true
		}
	case helpers.ArgMem:
		return next, true
	case helpers.ArgFixedMem:
		return uint64(row.FixedSize[n]), true
	}
	return 0, false
}

func (x *Interpreter) touchable(addr, size uint64, write bool) bool {
	if size == 0 {
		return true
	}
	if addr>>32 != 0 || size>>32 != 0 {
		return false
	}
	if write {
		return x.space.RangeWritable(uint32(addr), uint32(size))
	}
	return x.space.RangeReadable(uint32(addr), uint32(size))
}

func (x *Interpreter) badArg(row *helpers.Row, n int, reason string) *Fault {
	f := x.fault(HelperError)
	f.Helper, f.Err = row.Name, fmt.Errorf("r%d = %#x %s", n+1, x.regs[1+n], reason)
	return f
}

// afterHelper grants what a helper returned, and follows what it did to the packet and to reservations.
func (c *checker) afterHelper(x *Interpreter, row *helpers.Row, args [5]uint64) {
	row = row.For(x.env.Type)
	if row.ChangesPacket {
		c.allowPacket(x.env.Ctx)
	}
	c.allowObjects(x.env.Ctx)
	for n, arg := range row.Args {
		if arg.Base() == helpers.ArgRingMem && arg.Has(helpers.ArgRelease) {
			addr := uint32(args[n])
			c.space.Forbid(addr, c.ringMem[addr])
			delete(c.ringMem, addr)
		}
	}
	r0 := x.regs[0]
	if r0 == 0 || r0>>32 != 0 {
		return
	}
	addr := uint32(r0)
	switch row.Ret.Base() {
	case helpers.RetMapValue:
		c.grantValue(x, row, addr, args)
	case helpers.RetAllocMem:
		for n, arg := range row.Args {
			if arg.Base() == helpers.ArgAllocSize {
				c.grant(span{addr, uint32(args[n]), true})
				if row.Acquires {
					c.ringMem[addr] = uint32(args[n])
				}
			}
		}
	case helpers.RetMem:
		c.grant(span{addr, row.RetSize, true})
	case helpers.RetBTF:
		c.grant(span{addr, x.env.Described(addr), false})
	case helpers.RetSocket, helpers.RetSockCommon:
		c.grant(span{addr, sizeofSock, false})
	case helpers.RetTCPSock:
		c.grant(span{addr, sizeofTCPSock, false})
	}
}

// grantValue grants a value that a lookup in the map among args found.
func (c *checker) grantValue(x *Interpreter, row *helpers.Row, addr uint32, args [5]uint64) {
	for n, arg := range row.Args {
		if arg.Base() != helpers.ArgMapPtr {
			continue
		}
		m := x.mapOf(args[n])
		if m == nil {
			return
		}
		c.grantElement(m, addr)
	}
}

func (c *checker) grantElement(m maps.Map, addr uint32) {
	spec := m.Spec()
	switch spec.Type {
	case maps.ArrayOfMaps, maps.HashOfMaps:
		return // a map, not memory
	}
	c.grant(span{addr, spec.ValueSize, spec.ProgWrites()}) // the shadow knows no write-only memory
}

var errNoShadow = errors.New("checked mode needs a machine with a shadow (Config.Space.Shadow)")
