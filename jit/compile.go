package jit

import (
	"bytes"
	"fmt"
	"math"
	"sync"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/vm"
)

// Processor is what machine code is generated for.
type Processor struct {
	Arch  string // as GOARCH: "amd64" or "arm64"
	BMI2  bool   // amd64: shifts by any register
	MOVBE bool   // amd64: loads that swap bytes
	LSE   bool   // arm64: atomics that are one instruction
}

// Host is the processor that this process runs on. It has no Arch where there is no machine code.
func Host() Processor { return host }

// target is what code generation needs to know of the machine that the code will run on. It is plain data, so the
// same program and target give the same bytes anywhere.
type target struct {
	Processor
	id       uint32 // of the program
	mask     uint32 // of guest addresses
	zero     bool   // frames begin zeroed: vm.Linked.ZeroesFrames
	verified bool   // vm.Linked.Verified: R1-R5 are dead behind a call
	stretch  uint8  // logarithm of how many slots control may pass without a look at the fuel; 0 for no limit
	tables   *helpers.Tables
	array    func(handle uint32) (arrayMap, bool)
	hash     func(handle uint32) (hashMap, bool)
	arena    func(pc int) bool // Go does that instruction: vm.Linked.ThroughArena; nil when it does none
	covered  *vm.Linked        // has counters of executions; nil when it has none
}

// counter is the guest address of the count of how often control came to pc.
func (t *target) counter(pc int) (addr uint32, ok bool) {
	if t.covered == nil {
		return 0, false
	}
	return t.covered.CoverAt(pc)
}

// arrayMap is what an inlined lookup needs to know of an array.
type arrayMap struct {
	data      uint32 // guest address of element 0, of virtual CPU 0
	stride    uint32 // bytes between elements
	entries   uint32
	cpuStride uint32 // bytes between the same element of two CPUs; 0 when all share one
}

// code is the machine code of one program, position-independent, and all that Go must know to run it.
type code struct {
	arch   string
	bytes  []byte
	stubs  stubOffsets
	slots  []int32 // offset of each slot's code; -1 for the second slot of a 64-bit load
	sites  []site
	leader []bool // by slot: a basic block, and with it a charge to the fuel, begins there
	kinds  []asm.Kind
	insns  []asm.Insn
}

// stubOffsets are the ways in and, for listings, what else is behind the instructions' code; -1 is what there is not.
type stubOffsets struct{ run, batch, callback, resume, ret, leave, zero, cold, hashes int }

// label is a place in the code, of either encoder.
type label = int32

// gen makes the code of one program: what the instructions mean, where fuel is charged, when machine code leaves.
// How that is said to the processor is emit's business.
type gen struct {
	emit    emitter
	out     assembler // what emit writes to
	t       target
	insns   []asm.Insn
	kinds   []asm.Kind
	second  []bool // by slot: the other half of a 64-bit load
	leader  []bool // by slot: a basic block begins here
	slots   label
	saved   asm.RegSet // of R6-R9, those that a call of a local function must keep
	loops   bool       // there is a may_goto
	backs   bool       // there may be callbacks, which can begin anywhere
	left    int32      // instructions of the block behind the current one
	swapped int        // slot of the last swap that a load has done; 0 for none
	flow    flow
	sites   []pendingSite
	cold    []coldPath
	hashes  []hashFunc
	ways
}

// ways are the ways in and out of machine code: see x64.stubs and a64.stubs.
type ways struct{ leave, leaveDone, run, batch, callback, resume, ret, zero, coldStart, hashStart label }

type pendingSite struct {
	site
	label label // resume
}

// emitter makes machine instructions for one architecture: x64 and a64 do. All state is in BPF registers, the fuel and
// memory between any two of its methods but loopsLeftGo and countLoop.
type emitter interface {
	charge(n int32)       // fuel -= n
	count(counter uint32) // add 1 to what is at a guest address
	alu(in asm.Insn, info *asm.Info)
	neg(in asm.Insn, info *asm.Info)
	movsx(in asm.Insn, info *asm.Info)
	swap(in asm.Insn, info *asm.Info)
	constant(dst asm.Reg, v uint64)
	truncate(dst, src asm.Reg) // dst = uint32(src)
	load(in asm.Insn, info *asm.Info)
	// loadSwapped is load and a swap of the bytes that it loads, in which case it is true.
	loadSwapped(in asm.Insn, info *asm.Info) bool
	store(in asm.Insn, info *asm.Info)
	// atomicOp goes to the label that misaligned makes when the address may not be, and isn't, a multiple of the size.
	atomicOp(in asm.Insn, info *asm.Info, misaligned func() label)

	goTo(l label)
	goFuelled(l label) // goTo, while there is fuel
	// compareGo goes to l when in's condition holds, or when it doesn't.
	compareGo(in asm.Insn, info *asm.Info, holds bool, l label)
	// loopsLeftGo goes to l when the activation has may_gotos left, or when it hasn't. When it does not go there,
	// countLoop may follow.
	loopsLeftGo(left bool, l label)
	countLoop()
	// callFunc calls a function. Out of fuel, it goes to yield, which comes back to again; in the last frame, to depth.
	callFunc(to, yield, again, depth label)
	exit()
	leaveAt(site int32) // to the leave stub

	cpuNumber()
	// lookUp is R0 = address of m's element with the index that R2 points to. It goes to outside when the index isn't
	// wholly in guest memory, and to null when it is too large.
	lookUp(m arrayMap, outside, null label)

	// callHash calls a hash function, and goes to ask when it says so. The function consists of the others: hashStart hashes the
	// key and finds the first slot; hashSlot goes on when the key is in the slot, to other when the slot has another hash, and
	// to next when it has another key; hashHit returns the value's address; hashWalk looks for the key from the first slot on.
	callHash(f, ask label)
	hashStart(f *hashFunc)
	hashSlot(f *hashFunc, other, next label)
	hashHit(f *hashFunc)
	hashWalk(f *hashFunc)

	coldPath(c coldPath) // but for its jump back
	stubs()
}

// assembler is what both encoders do.
type assembler interface {
	Reset()
	Grow(n int)
	Labels(n int) label
	Bind(l label)
	Finish() []byte
	Offset(l label) int
	Offsets(dst []int32, first label)
}

// workspace is what one compilation needs and the next can use again.
type workspace struct {
	gen gen
	x64 x64
	a64 a64
}

var workspaces = sync.Pool{New: func() any {
	w := &workspace{}
	w.x64.gen, w.a64.gen = &w.gen, &w.gen
	return w
}}

// begin makes the workspace's gen ready for a program, keeping nothing of the last one but memory.
func (w *workspace) begin(insns []asm.Insn, t target) (*gen, error) {
	g := &w.gen
	*g = gen{t: t, insns: insns, second: g.second, sites: g.sites[:0], cold: g.cold[:0],
		hashes: g.hashes[:0], flow: g.flow}
	switch t.Arch {
	case "amd64":
		g.emit, g.out = &w.x64, &w.x64.a
	case "arm64":
		g.emit, g.out = &w.a64, &w.a64.a
	default:
		return nil, ErrUnsupported
	}
	g.out.Reset()
	g.out.Grow(len(insns) * 16)
	return g, nil
}

// compile makes the machine code of a linked program. An error is a program that vm.Link would not have let through.
func compile(insns []asm.Insn, t target) (*code, error) {
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	g, err := w.begin(insns, t)
	if err != nil {
		return nil, err
	}
	if err := g.findBlocks(); err != nil {
		return nil, err
	}
	g.slots = g.out.Labels(len(insns))
	for _, l := range []*label{&g.leave, &g.leaveDone, &g.run, &g.batch, &g.callback, &g.resume, &g.ret, &g.zero, &g.coldStart, &g.hashStart} {
		*l = g.out.Labels(1)
	}
	g.sites = append(g.sites, pendingSite{label: g.run}) // siteDone
	for pc := 0; pc < len(insns); pc += width(g.kinds[pc]) {
		if err := g.insn(pc); err != nil {
			return nil, &Error{PC: pc, Insn: insns[pc], Reason: err.Error()}
		}
	}
	g.out.Bind(g.coldStart)
	g.coldPaths()
	g.out.Bind(g.hashStart)
	g.hashFuncs()
	g.emit.stubs()
	return g.finish(), nil
}

func (g *gen) finish() *code {
	c := &code{arch: g.t.Arch, bytes: bytes.Clone(g.out.Finish()), leader: g.leader, kinds: g.kinds, insns: g.insns}
	at := g.out.Offset
	c.stubs = stubOffsets{run: at(g.run), batch: at(g.batch), callback: at(g.callback), resume: at(g.resume), ret: at(g.ret),
		leave: at(g.leave), zero: at(g.zero), cold: at(g.coldStart), hashes: at(g.hashStart)}
	c.slots = make([]int32, len(g.insns))
	g.out.Offsets(c.slots, g.slots)
	c.sites = make([]site, len(g.sites))
	for i, s := range g.sites {
		c.sites[i] = s.site
		c.sites[i].resume = int32(at(s.label))
	}
	return c
}

// Error is a program that cannot be compiled: vm.Link accepts none.
type Error struct {
	PC     int // slot
	Insn   asm.Insn
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("jit: pc %d: %s", e.PC, e.Reason) }

// width is the number of slots of an instruction.
func width(k asm.Kind) int {
	if k == asm.LdImm64 {
		return 2
	}
	return 1
}

// startBlock charges the fuel for the block that begins at pc.
func (g *gen) startBlock(pc int) {
	g.flow.begin(pc)
	if pc > 0 && g.stretch(pc) != g.stretch(g.before(pc)) {
		g.left = 0
		here := g.out.Labels(1)
		g.pause(pc, here)
		g.out.Bind(here)
	}
	g.left = blockRest(g.kinds, g.leader, pc)
	g.emit.charge(g.left)
	if counter, ok := g.t.counter(pc); ok {
		g.emit.count(counter)
	}
}

// before is the slot of the instruction in front of the one at pc.
func (g *gen) before(pc int) int {
	if g.second[pc-1] {
		return pc - 2
	}
	return pc - 1
}

// insn emits the code of the instruction at pc.
func (g *gen) insn(pc int) error {
	g.out.Bind(g.slot(pc))
	if g.leader[pc] {
		g.startBlock(pc)
	}
	g.left--
	in, k := g.insns[pc], g.kinds[pc]
	info := k.Info()
	if g.t.arena != nil && g.t.arena(pc) {
		g.exitAt(exitArena, pc)
		g.follow(pc, in, info)
		return nil
	}
	switch info.Class {
	case asm.ClassALU:
		g.alu(in, info)
	case asm.ClassNeg:
		g.emit.neg(in, info)
	case asm.ClassMovsx:
		g.emit.movsx(in, info)
	case asm.ClassSwap:
		if pc == 0 || pc != g.swapped {
			g.emit.swap(in, info)
		}
	case asm.ClassImm64:
		g.emit.constant(in.Dst, asm.Imm64(in, g.insns[pc+1]))
	case asm.ClassLoad, asm.ClassLoadAcq:
		g.load(pc, in, info)
	case asm.ClassStore, asm.ClassStoreRel:
		g.emit.store(in, info)
	case asm.ClassAtomic:
		g.atomic(pc, info)
	case asm.ClassJump:
		g.jump(pc, k.Target(in, pc))
	case asm.ClassBranch:
		g.branch(pc, info)
	case asm.ClassMayGoto:
		g.mayGoto(pc)
	case asm.ClassExit:
		g.emit.exit()
	case asm.ClassCall:
		g.call(pc)
	case asm.ClassAbs, asm.ClassInd:
		g.exitAt(exitPacket, pc)
	case asm.ClassAddrCast:
		g.emit.truncate(in.Dst, in.Src) // both address spaces are the guest's
	default:
		return fmt.Errorf("no such instruction: opcode %#02x", in.Op)
	}
	g.follow(pc, in, info)
	return nil
}

// follow notes what is known behind the instruction at pc.
func (g *gen) follow(pc int, in asm.Insn, info *asm.Info) {
	var next *asm.Insn
	if info.Class == asm.ClassImm64 {
		next = &g.insns[pc+1]
	}
	g.flow.after(in, info, next)
	if controls[g.kinds[pc]].final {
		g.flow.falls = false
	}
}

// load emits a load, with the swap of all its bytes that follows if the processor has such loads.
func (g *gen) load(pc int, in asm.Insn, info *asm.Info) {
	next := pc + 1 // there is one: a load is not the last instruction
	swap := g.kinds[next].Info()
	swaps := swap.Class == asm.ClassSwap && swap.Swap != asm.ToLE && swap.Size == info.Size && g.insns[next].Dst == in.Dst
	if swaps && !info.Signed && info.Class == asm.ClassLoad && !g.leader[next] && !g.backs && g.emit.loadSwapped(in, info) {
		g.swapped = next
		return
	}
	g.emit.load(in, info)
}

// alu emits an ALU operation, unless its result is known, and notes what is known of it.
func (g *gen) alu(in asm.Insn, info *asm.Info) {
	result := g.flow.alu(in, info)
	v, known := result.constant()
	switch {
	case !g.trusts():
		g.emit.alu(in, info)
	case known && info.ALU != asm.Mov:
		g.emit.constant(in.Dst, uint64(v))
	case zeroExtends(in, info) && g.flow.ranges[in.Dst].within(0, math.MaxUint32):
	default:
		g.emit.alu(in, info)
	}
	g.flow.ranges[in.Dst] = result
}

// zeroExtends reports whether all that in does is to clear the upper half of its register.
func zeroExtends(in asm.Insn, info *asm.Info) bool {
	return info.ALU == asm.Mov && info.Width == 32 && info.UseSrc && in.Dst == in.Src
}

// trusts reports whether control goes where the instructions say. A callback of a program that nobody verified may
// begin in the middle of a block.
func (g *gen) trusts() bool { return !g.backs || g.t.verified }

// bounded reports whether reg+off, as it stands, is an address that cannot leave the space and its margins. The
// interpreter makes another one of it in the margins, which is why only verified programs have it so; and where a callback
// begins is data, which is not to be relied on for the host's sake.
func (g *gen) bounded(reg asm.Reg, off int16) bool {
	const slack = mem.Margin - 8 // an access has 8 bytes at most
	return g.t.verified && !g.backs && g.t.mask == math.MaxUint32 &&
		g.flow.ranges[reg].within(-slack-int64(off), math.MaxUint32+slack-int64(off))
}

// newSite makes a site that continues at resume and returns its number.
func (g *gen) newSite(kind siteKind, pc int, resume label) int32 {
	g.sites = append(g.sites, pendingSite{site{kind: kind, pc: int32(pc), over: g.left}, resume})
	return int32(len(g.sites) - 1)
}

// exitAt emits an exit to Go that continues with the next instruction.
func (g *gen) exitAt(kind siteKind, pc int) {
	next := g.out.Labels(1)
	g.leaveFor(kind, pc, next)
	g.out.Bind(next)
}

// leaveFor emits the exit to Go that continues at resume.
func (g *gen) leaveFor(kind siteKind, pc int, resume label) {
	g.emit.leaveAt(g.newSite(kind, pc, resume))
}

// coldPath is code that hardly ever runs, emitted behind everything else.
type coldPath struct {
	kind  coldKind
	label label
	back  label
	site  int32 // coldLeave
	// The division.
	op  asm.ALUOp
	w64 bool
	reg asm.Reg
}

type coldKind uint8

const (
	coldLeave    coldKind = iota // leave at site
	coldNull                     // R0 = 0
	coldDivZero                  // reg op= 0
	coldDivMinus                 // reg op= -1
)

// later puts a cold path off and returns its label.
func (g *gen) later(c coldPath) label {
	c.label = g.out.Labels(1)
	g.cold = append(g.cold, c)
	return c.label
}

// leaveLater is a cold path that leaves for Go and continues at resume.
func (g *gen) leaveLater(kind siteKind, pc int, resume label) label {
	return g.later(coldPath{kind: coldLeave, site: g.newSite(kind, pc, resume)})
}

func (g *gen) coldPaths() {
	for _, c := range g.cold {
		g.out.Bind(c.label)
		if c.kind == coldLeave {
			g.emit.leaveAt(c.site)
			continue
		}
		g.emit.coldPath(c)
		g.emit.goTo(c.back)
	}
}
