package cbpf

import (
	"fmt"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// EBPFOptions says what a program is converted to.
type EBPFOptions struct {
	Mode Mode
	// Type of the result. Unspec is prog.Classic, whose ctx answers everything that a program can ask but for netlink
	// attributes, or in Seccomp mode prog.Seccomp; no other is possible there. Kernels load XDP, SchedCLS, SchedACT and
	// SocketFilter. There "len" is the length that the program type knows: skb->len, and of XDP what lies between
	// data and data_end. What their ctx has not got, such as "hatype", is an error.
	Type prog.Type
	Name string // of the result; "" is "filter"
	// Direct makes SchedCLS and SchedACT read the packet through pointers instead of with LD_ABS and LD_IND. It is faster, and
	// of packets in several pieces sees only the first. XDP and Classic are always so, SocketFilter never.
	Direct bool
	// Verdict replaces the program's own value; nil keeps it.
	Verdict *Verdict
}

// Verdict is what a converted program returns in the place of its value. With a NoMatch other than 0 no load succeeds
// beyond the first 65,535 bytes.
type Verdict struct {
	Match   int32 // for a value other than 0
	NoMatch int32
}

// EBPF converts the program, which is validated first, to one of eBPF that gives the same value for every packet. Loads
// beyond the packet, and divisions by an X of 0, end it with 0. Checks that a packet is long enough are made once
// for all loads that need them. The error is an *Error.
//
// Deviation: in XDP, which has no network header, and nothing before the packet, a sum X + k below 0 gives 0 in Socket mode.
func (p Program) EBPF(o EBPFOptions) (*prog.Program, error) {
	if err := p.Validate(o.Mode); err != nil {
		return nil, err
	}
	form, err := formOf(&o)
	if err != nil {
		return nil, err
	}
	c := converter{p: p, o: &o, form: form, direct: form.direct || o.Direct, need: p.needs(o.Mode)}
	c.loads = form.loads && (o.Verdict == nil || o.Verdict.NoMatch == 0) // they return 0 when they fail
	if err := c.analyse(); err != nil {
		return nil, err
	}
	if !c.convert() {
		c.far = true
		if !c.convert() {
			return nil, &Error{Insn: -1, Msg: "the converted program has jumps that are too far"}
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	name := o.Name
	if name == "" {
		name = "filter"
	}
	return &prog.Program{Name: name, Section: form.section, Type: form.typ, Insns: c.insns, Lines: c.lines,
		Funcs: []prog.Func{{Name: name, End: len(c.insns)}}}, nil
}

// ebpfForm is how a program type gives what classic programs ask for.
type ebpfForm struct {
	typ     prog.Type
	section string
	direct  bool   // through data and data_end always
	mayWalk bool   // through data and data_end if asked
	loads   bool   // has LD_ABS and LD_IND
	length  string // ctx field for "len"; "" is data_end - data
	anc     [16]ctxSource
}

// ctxSource is where an ancillary value comes from: a ctx field, or a helper.
type ctxSource struct {
	field  string
	swap   bool // it is in network order, 16 bits
	helper int32
}

// Ids of helpers.
const (
	helperRandom = 7 // bpf_get_prandom_u32
	helperCPU    = 8 // bpf_get_smp_processor_id
)

var skbSources = [16]ctxSource{
	AncProtocol / 4:    {field: "protocol", swap: true},
	AncPktType / 4:     {field: "pkt_type"},
	AncIfIndex / 4:     {field: "ifindex"},
	AncMark / 4:        {field: "mark"},
	AncQueue / 4:       {field: "queue_mapping"},
	AncRxHash / 4:      {field: "hash"},
	AncCPU / 4:         {helper: helperCPU},
	AncVLANTag / 4:     {field: "vlan_tci"},
	AncVLANPresent / 4: {field: "vlan_present"},
	AncRandom / 4:      {helper: helperRandom},
	AncVLANProto / 4:   {field: "vlan_proto", swap: true},
}

// ebpfForms are the types that programs can be converted to. The first is the default.
var ebpfForms = []ebpfForm{
	{typ: prog.Classic, direct: true, loads: true, length: "wire_len", anc: [16]ctxSource{
		AncProtocol / 4:    {field: "protocol"},
		AncPktType / 4:     {field: "pkt_type"},
		AncIfIndex / 4:     {field: "ifindex"},
		AncMark / 4:        {field: "mark"},
		AncQueue / 4:       {field: "queue"},
		AncHaType / 4:      {field: "hatype"},
		AncRxHash / 4:      {field: "hash"},
		AncCPU / 4:         {field: "cpu"},
		AncVLANTag / 4:     {field: "vlan_tci"},
		AncVLANPresent / 4: {field: "vlan_present"},
		AncPayOffset / 4:   {field: "pay_offset"},
		AncRandom / 4:      {helper: helperRandom},
		AncVLANProto / 4:   {field: "vlan_proto"},
	}},
	{typ: prog.XDP, section: "xdp", direct: true, anc: [16]ctxSource{
		AncIfIndex / 4: {field: "ingress_ifindex"},
		AncCPU / 4:     {helper: helperCPU},
		AncRandom / 4:  {helper: helperRandom},
	}},
	{typ: prog.SchedCLS, section: "tc", mayWalk: true, loads: true, length: "len", anc: skbSources},
	{typ: prog.SchedACT, section: "action", mayWalk: true, loads: true, length: "len", anc: skbSources},
	{typ: prog.SocketFilter, section: "socket", loads: true, length: "len", anc: skbSources},
}

var seccompForm = ebpfForm{typ: prog.Seccomp}

// formOf returns the form that the options ask for.
func formOf(o *EBPFOptions) (*ebpfForm, error) {
	if o.Mode == Seccomp {
		if o.Type != prog.Unspec && o.Type != prog.Seccomp {
			return nil, &Error{Insn: -1, Msg: fmt.Sprintf("seccomp's programs can't be of type %s", o.Type)}
		}
		return &seccompForm, nil
	}
	for i := range ebpfForms {
		form := &ebpfForms[i]
		if form.typ != o.Type && o.Type != prog.Unspec {
			continue
		}
		if o.Direct && !form.direct && !form.mayWalk {
			return nil, &Error{Insn: -1, Msg: fmt.Sprintf("programs of type %s can't read the packet through pointers", o.Type)}
		}
		if v := o.Verdict; v != nil && v.NoMatch != 0 && !form.direct && !o.Direct {
			return nil, &Error{Insn: -1, Msg: "packet loads beyond the end return 0, so no match can't be something else"}
		}
		return form, nil
	}
	return nil, &Error{Insn: -1, Msg: fmt.Sprintf("nothing is converted to type %s", o.Type)}
}

// Registers of converted programs. R1 and R2 are free; packet loads and helpers destroy them.
const (
	ebpfA    = asm.R0
	ebpfTmp  = asm.R1
	ebpfEnd  = asm.R2
	ebpfCtx  = asm.R6
	ebpfX    = asm.R7
	ebpfData = asm.R8 // the packet's first byte, with pointers; else what A was while it is needed for a load
	ebpfLast = asm.R9 // one past its last byte
)

// converter makes one program.
type converter struct {
	p      Program
	o      *EBPFOptions
	form   *ebpfForm
	direct bool     // the packet is read through pointers
	loads  bool     // LD_ABS and LD_IND may be used
	far    bool     // returns are near every check, as the end is too far from some
	at     []facts  // before each instruction
	need   []uint32 // see needs
	err    *Error

	insns []asm.Insn
	lines []prog.Line
	start []int // slot of each instruction
	fixes []fixup
}

// fixup is a jump whose distance is not known yet.
type fixup struct {
	slot   int
	target int // instruction of the classic program; toMiss for the end that returns 0
}

const toMiss = -1

// packetPlace says how a load at a constant offset is done.
type packetPlace uint8

const (
	placeNowhere packetPlace = iota // it ends the program
	placeDirect                     // through a pointer
	placeLoad                       // with LD_ABS
)

// place returns how to load size bytes at k, and the offset from the first byte if through a pointer.
func (c *converter) place(pc int) (packetPlace, uint32) {
	in := c.p[pc]
	size := uint32(1)
	if in.row().arg == opAbs {
		size = uint32(in.size())
	}
	switch end, near := in.reach(c.o.Mode); {
	case near && c.direct:
		return placeDirect, end - size
	case in.K >= 1<<31 && c.o.Mode == Pcap:
		return placeNowhere, 0
	case c.loads:
		return placeLoad, 0
	case in.K >= NetOff:
		c.fail(pc, "%s has no network header", c.form.typ)
	}
	return placeNowhere, 0
}

func (c *converter) fail(pc int, format string, args ...any) {
	if c.err == nil {
		c.err = insnError(pc, format, args...)
	}
}

// analyse finds out what holds before each instruction.
func (c *converter) analyse() error {
	c.at = make([]facts, len(c.p))
	c.at[0] = facts{reached: true}
	for pc, in := range c.p {
		f := c.at[pc]
		if !f.reached {
			continue
		}
		a, b, ok := in.targets(pc)
		if !ok || c.endsProgram(pc) {
			continue
		}
		if c.direct {
			f.have = max(f.have, c.guard(pc))
		}
		f.set |= in.writes()
		if in.writes()&setX != 0 {
			f.xmax = in.boundX()
		}
		c.at[a].join(f)
		c.at[b].join(f)
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

// endsProgram reports whether the instruction is a load that no packet is long enough for.
func (c *converter) endsProgram(pc int) bool {
	in := c.p[pc]
	switch in.row().arg {
	case opAbs:
		if _, anc := ancillary(in.K); anc || c.o.Mode == Seccomp {
			return false
		}
		place, _ := c.place(pc)
		return place == placeNowhere
	case opMsh:
		place, _ := c.place(pc)
		return place == placeNowhere
	case opInd:
		return c.o.Mode == Pcap && (in.K >= 1<<31 || !c.loads && in.K > maxDirect-uint32(in.size()))
	}
	return false
}

// guard returns how many bytes to look for before the load at pc, 0 when it is none or needs no look.
func (c *converter) guard(pc int) uint32 {
	end, ok := c.p[pc].reach(c.o.Mode)
	if !ok || end <= c.at[pc].have {
		return 0
	}
	if n := c.need[pc+1]; n < maxDirect {
		end = max(end, n)
	}
	return end
}

// convert writes the program; no when a jump does not fit.
func (c *converter) convert() bool {
	c.insns, c.lines, c.fixes = nil, nil, nil
	c.start = make([]int, len(c.p))
	c.prologue()
	for pc, in := range c.p {
		c.start[pc] = len(c.insns)
		if !c.at[pc].reached {
			continue
		}
		c.lines = append(c.lines, prog.Line{PC: len(c.insns), Line: pc + 1, Text: string(in.appendDisasm(nil, pc))})
		c.insn(pc, in)
	}
	last := len(c.p) - 1
	if c.at[last].reached && c.p[last] == (Insn{Op: ClassRet | RetK}) {
		return c.resolve(c.start[last])
	}
	miss := len(c.insns)
	for _, f := range c.fixes {
		if f.target == toMiss {
			c.ret(0)
			break
		}
	}
	return c.resolve(miss)
}

// resolve fills in distances; no when one does not fit.
func (c *converter) resolve(miss int) bool {
	for _, f := range c.fixes {
		to := miss
		if f.target != toMiss {
			to = c.start[f.target]
		}
		in, skip := &c.insns[f.slot], to-f.slot-1
		switch {
		case skip <= 1<<15-1:
			in.Off = int16(skip)
		case in.Op == asm.Table[asm.Ja].Opcode:
			*in = asm.Insn{Op: asm.Table[asm.Ja32].Opcode, Imm: int32(skip)}
		default:
			return false
		}
	}
	return true
}

// prologue sets up the registers that the program uses.
func (c *converter) prologue() {
	var unset uint32
	var usesCtx, usesPacket bool
	for pc, in := range c.p {
		if !c.at[pc].reached {
			continue
		}
		reads := in.reads()
		switch in.row().arg {
		case opLen:
			usesCtx = usesCtx || c.form.length != ""
			usesPacket = usesPacket || c.form.length == "" && c.o.Mode != Seccomp
		case opAbs, opMsh:
			if _, ok := in.reach(c.o.Mode); ok && c.direct {
				usesPacket = true
			} else {
				usesCtx = true
			}
			if in.row().arg == opMsh {
				reads |= setA // which is put aside
			}
		case opInd:
			usesCtx, usesPacket = usesCtx || c.loads, true
		}
		unset |= reads &^ c.at[pc].set
	}
	if usesPacket && c.direct {
		c.ctxField(ebpfData, asm.R1, "data")
		c.ctxField(ebpfLast, asm.R1, "data_end")
	}
	if usesCtx {
		c.emit(asm.Mov64X, ebpfCtx, asm.R1, 0, 0)
	}
	if unset&setA != 0 {
		c.emit(asm.Mov32K, ebpfA, 0, 0, 0)
	}
	if unset&setX != 0 {
		c.emit(asm.Mov32K, ebpfX, 0, 0, 0)
	}
	for i := range uint32(MemWords) {
		if unset>>i&1 != 0 {
			c.emit(asm.St32, asm.R10, 0, memSlot(i), 0)
		}
	}
}

// memSlot is where M[i] is on the stack.
func memSlot(i uint32) int16 { return int16(4*i) - 4*MemWords }

// savedA is where A is on the stack while a load destroys it.
const savedA = -4*MemWords - 8

func (c *converter) emit(k asm.Kind, dst, src asm.Reg, off int16, imm int32) {
	in := k.Example()
	in.Dst, in.Src, in.Off = dst, src, off
	if k != asm.Be16 && k != asm.Be32 { // whose immediate is the width
		in.Imm = imm
	}
	c.insns = append(c.insns, in)
}

// ctxField loads a field of the ctx.
func (c *converter) ctxField(dst, ctx asm.Reg, name string) {
	f, ok := c.form.typ.Row().Field(name)
	if !ok {
		panic("cbpf: " + c.form.typ.String() + " has no " + name)
	}
	c.emit(asm.Ldx32, dst, ctx, int16(f.Off), 0)
}

// jump appends a jump to an instruction of the classic program.
func (c *converter) jump(k asm.Kind, dst, src asm.Reg, imm int32, target int) {
	c.fixes = append(c.fixes, fixup{len(c.insns), target})
	c.emit(k, dst, src, 0, imm)
}

// missIf ends the program with 0 when the condition holds; unless is its opposite.
func (c *converter) missIf(k, unless asm.Kind, dst, src asm.Reg, imm int32) {
	if c.far {
		skip := len(c.insns)
		c.emit(unless, dst, src, 0, imm)
		c.ret(0)
		c.land(skip)
		return
	}
	c.jump(k, dst, src, imm, toMiss)
}

// miss ends the program with 0.
func (c *converter) miss() {
	if c.far {
		c.ret(0)
		return
	}
	c.jump(asm.Ja, 0, 0, 0, toMiss)
}

// land makes the jump at slot go to what comes next.
func (c *converter) land(slot int) { c.insns[slot].Off = int16(len(c.insns) - slot - 1) }

// ret returns a constant.
func (c *converter) ret(value uint32) {
	if v := c.o.Verdict; v != nil {
		if value != 0 {
			value = uint32(v.Match)
		} else {
			value = uint32(v.NoMatch)
		}
	}
	c.emit(asm.Mov32K, ebpfA, 0, 0, int32(value))
	c.emit(asm.Exit, 0, 0, 0, 0)
}

// insn converts an instruction.
func (c *converter) insn(pc int, in Insn) {
	switch in.Op & 7 {
	case ClassRet:
		switch {
		case in.row().arg == opImm:
			c.ret(in.K)
		case c.o.Verdict != nil:
			c.emit(asm.Jeq64K, ebpfA, 0, 2, 0)
			c.ret(1)
			c.ret(0)
		default:
			c.emit(asm.Exit, 0, 0, 0, 0)
		}
	case ClassJmp:
		c.branch(pc, in)
	case ClassAlu:
		c.alu(in)
	case ClassMisc:
		if in.Op == ClassMisc|MiscTxa {
			c.emit(asm.Mov32X, ebpfA, ebpfX, 0, 0)
		} else {
			c.emit(asm.Mov32X, ebpfX, ebpfA, 0, 0)
		}
	case ClassSt:
		c.emit(asm.Stx32, asm.R10, ebpfA, memSlot(in.K), 0)
	case ClassStx:
		c.emit(asm.Stx32, asm.R10, ebpfX, memSlot(in.K), 0)
	default:
		c.load(pc, in)
	}
}
