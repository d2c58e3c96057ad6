package asm

import (
	"fmt"

	"github.com/skepvm/skep/kver"
)

// Parts of opcodes (RFC 9669 §3.3, §4, §5).
const (
	classLD    = 0x00
	classLDX   = 0x01
	classST    = 0x02
	classSTX   = 0x03
	classALU   = 0x04
	classJMP   = 0x05
	classJMP32 = 0x06
	classALU64 = 0x07
	classMask  = 0x07

	modeIMM    = 0x00
	modeABS    = 0x20
	modeIND    = 0x40
	modeMEM    = 0x60
	modeMEMSX  = 0x80
	modeATOMIC = 0xc0
	modeMask   = 0xe0

	sourceX   = 0x08
	sizeDW    = 0x18
	fetchFlag = 0x01
)

// sizeBits maps bytes of memory to the size field of a load or store opcode.
var sizeBits = map[uint8]uint8{1: 0x10, 2: 0x08, 4: 0x00, 8: sizeDW}

// aluFamily: the rows of ClassALU, by ALUOp. Off tells the signed division forms from the unsigned ones, and
// the moves from the sign-extending moves.
var aluFamily = [...]struct {
	name     string
	code     uint8
	selected bool
	off      int32
	divmul   bool
}{
	Add:  {name: "Add", code: 0x00},
	Sub:  {name: "Sub", code: 0x10},
	Mul:  {name: "Mul", code: 0x20, divmul: true},
	Div:  {name: "Div", code: 0x30, selected: true, divmul: true},
	SDiv: {name: "SDiv", code: 0x30, selected: true, off: 1, divmul: true},
	Or:   {name: "Or", code: 0x40},
	And:  {name: "And", code: 0x50},
	Lsh:  {name: "Lsh", code: 0x60},
	Rsh:  {name: "Rsh", code: 0x70},
	Mod:  {name: "Mod", code: 0x90, selected: true, divmul: true},
	SMod: {name: "SMod", code: 0x90, selected: true, off: 1, divmul: true},
	Xor:  {name: "Xor", code: 0xa0},
	Mov:  {name: "Mov", code: 0xb0},
	Arsh: {name: "Arsh", code: 0xc0},
}

// condFamily: the rows of ClassBranch, by Cond.
var condFamily = [...]struct {
	name string
	code uint8
	isa  ISA
}{
	Jeq:  {"Jeq", 0x10, ISAv1},
	Jgt:  {"Jgt", 0x20, ISAv1},
	Jge:  {"Jge", 0x30, ISAv1},
	Jset: {"Jset", 0x40, ISAv1},
	Jne:  {"Jne", 0x50, ISAv1},
	Jsgt: {"Jsgt", 0x60, ISAv1},
	Jsge: {"Jsge", 0x70, ISAv1},
	Jlt:  {"Jlt", 0xa0, ISAv2},
	Jle:  {"Jle", 0xb0, ISAv2},
	Jslt: {"Jslt", 0xc0, ISAv2},
	Jsle: {"Jsle", 0xd0, ISAv2},
}

// atomicFamily: the rows of ClassAtomic, in the order of their kinds.
var atomicFamily = [...]struct {
	name string
	op   AtomicOp
	imm  int32
}{
	{"AtomicAdd", AtomicAdd, 0x00},
	{"AtomicOr", AtomicOr, 0x40},
	{"AtomicAnd", AtomicAnd, 0x50},
	{"AtomicXor", AtomicXor, 0xa0},
	{"AtomicFetchAdd", AtomicAdd, 0x00 | fetchFlag},
	{"AtomicFetchOr", AtomicOr, 0x40 | fetchFlag},
	{"AtomicFetchAnd", AtomicAnd, 0x50 | fetchFlag},
	{"AtomicFetchXor", AtomicXor, 0xa0 | fetchFlag},
	{"AtomicXchg", AtomicXchg, 0xe0 | fetchFlag},
	{"AtomicCmpxchg", AtomicCmpxchg, 0xf0 | fetchFlag},
}

// Kernel releases that widened the instruction set.
var (
	linuxV2      = kver.V(4, 14) // jlt and its kin
	linuxLocal   = kver.V(4, 16) // bpf-to-bpf calls
	linuxShift32 = kver.V(5, 0)  // 32-bit arithmetic shifts right
	linuxV3      = kver.V(5, 1)  // 32-bit comparisons
	linuxAtomics = kver.V(5, 12)
	linuxKfunc   = kver.V(5, 13)
	linuxV4      = kver.V(6, 6)
	linuxArena   = kver.V(6, 9) // may_goto and address space casts
	linuxAcquire = kver.V(6, 15)
)

const (
	wordsALU    = "BPF_ALU uses reserved fields"
	wordsMov    = "BPF_MOV uses reserved fields"
	wordsNeg    = "BPF_NEG uses reserved fields"
	wordsEnd    = "BPF_END uses reserved fields"
	wordsJa     = "BPF_JA uses reserved fields"
	wordsBranch = "BPF_JMP/JMP32 uses reserved fields"
	wordsCall   = "BPF_CALL uses reserved fields"
	wordsExit   = "BPF_EXIT uses reserved fields"
	wordsLdx    = "BPF_LDX uses reserved fields"
	wordsSt     = "BPF_ST uses reserved fields"
	wordsStx    = "BPF_STX uses reserved fields"
	wordsAtomic = "BPF_ATOMIC uses invalid atomic opcode %02x"
	wordsPacket = "BPF_LD_[ABS|IND] uses reserved fields"
	wordsImm64  = "BPF_LD_IMM64 uses reserved fields"
	wordsGoto   = "invalid may_goto imm %d"
	wordsCast   = "addr_space_cast insn can only convert between address space 1 and 0"
)

func buildTable() (t [NumKinds]Info) {
	t[Invalid] = Info{Name: "Invalid"}
	aluRows(&t)
	unaryRows(&t)
	branchRows(&t)
	controlRows(&t)
	memoryRows(&t)
	atomicRows(&t)
	packetRows(&t)
	return t
}

func aluRows(t *[NumKinds]Info) {
	for op := Add; op <= Arsh; op++ {
		f := aluFamily[op]
		for x := range Kind(2) {
			for i, width := range [...]uint8{64, 32} {
				row := Info{
					Name: fmt.Sprintf("%s%d%s", f.name, width, [...]string{"K", "X"}[x]), Class: ClassALU,
					Opcode: f.code | [...]uint8{classALU64, classALU}[i] | uint8(x)*sourceX,
					Width:  width, UseSrc: x == 1, ALU: op,
					Legal: Rules{Dst: WriteReg, Imm: AnyValue}, Select: f.off, Words: wordsALU,
					Access: ReadsDst | WritesDst, Section: "4.1",
					Group: [...]Group{Base64, Base32}[i], ISA: [...]ISA{ISAv1, ISAv3}[i],
				}
				if x == 1 {
					row.Legal.Src, row.Legal.Imm = ReadReg, Reserved
					row.Access |= ReadsSrc
				}
				if f.selected || op == Mov && x == 1 {
					row.Legal.Off = Selector
				}
				if f.off != 0 {
					row.ISA, row.Since = ISAv4, linuxV4
				}
				if op == Arsh && width == 32 {
					row.Since = linuxShift32
				}
				if f.divmul {
					row.Group = [...]Group{DivMul64, DivMul32}[i]
				}
				if op == Mov {
					row.Words = wordsMov
					row.Access &^= ReadsDst
				}
				t[[...]Kind{Add64K, Add32K}[i]+2*Kind(op)+x] = row
			}
		}
	}
}

func unaryRows(t *[NumKinds]Info) {
	rw := ReadsDst | WritesDst
	t[Neg64] = Info{Name: "Neg64", Class: ClassNeg, Opcode: 0x80 | classALU64, Width: 64,
		Legal: Rules{Dst: WriteReg}, Words: wordsNeg, Access: rw, Section: "4.1", Group: Base64, ISA: ISAv1}
	t[Neg32] = Info{Name: "Neg32", Class: ClassNeg, Opcode: 0x80 | classALU, Width: 32,
		Legal: Rules{Dst: WriteReg}, Words: wordsNeg, Access: rw, Section: "4.1", Group: Base32, ISA: ISAv3}

	for i, size := range [...]uint8{1, 2, 4, 1, 2} {
		row := Info{Class: ClassMovsx, Opcode: 0xb0 | sourceX | classALU64, Width: 64, Size: size, UseSrc: true, Signed: true,
			Legal: Rules{Dst: WriteReg, Src: ReadReg, Off: Selector}, Select: 8 * int32(size), Words: wordsMov,
			Access: ReadsSrc | WritesDst, Section: "4.1", Group: Base64, ISA: ISAv4, Since: linuxV4}
		if k := Movsx64B + Kind(i); k >= Movsx32B {
			row.Opcode, row.Width, row.Group = 0xb0|sourceX|classALU, 32, Base32
		}
		row.Name = fmt.Sprintf("Movsx%d%c", row.Width, sizeLetter(size))
		t[Movsx64B+Kind(i)] = row
	}

	for i, name := range [...]string{"Le", "Be", "Bswap"} {
		for j, size := range [...]uint8{2, 4, 8} {
			row := Info{Name: fmt.Sprintf("%s%d", name, 8*size), Class: ClassSwap, Size: size, Swap: SwapOp(i),
				Opcode: [...]uint8{0xd0 | classALU, 0xd0 | classALU | sourceX, 0xd0 | classALU64}[i], Width: 64,
				Legal: Rules{Dst: WriteReg, Imm: Selector}, Select: 8 * int32(size), Words: wordsEnd,
				Access: rw, Section: "4.2", Group: Base32, ISA: ISAv1}
			if size == 8 {
				row.Group = Base64
			}
			if SwapOp(i) == Bswap {
				row.ISA, row.Since = ISAv4, linuxV4
			}
			t[Le16+Kind(3*i+j)] = row
		}
	}

	t[AddrCast] = Info{Name: "AddrCast", Class: ClassAddrCast, Opcode: 0xb0 | sourceX | classALU64, Width: 64, UseSrc: true,
		Legal: Rules{Dst: WriteReg, Src: ReadReg, Off: Selector, Imm: CastSpace}, Select: 1, Words: wordsCast,
		Access: ReadsSrc | WritesDst, ISA: ISALinux, Since: linuxArena}
}

func sizeLetter(size uint8) byte { return map[uint8]byte{1: 'B', 2: 'H', 4: 'W', 8: 'D'}[size] }

func branchRows(t *[NumKinds]Info) {
	for c := Jeq; c <= Jsle; c++ {
		f := condFamily[c]
		for x := range Kind(2) {
			for i, width := range [...]uint8{64, 32} {
				row := Info{
					Name: fmt.Sprintf("%s%d%s", f.name, width, [...]string{"K", "X"}[x]), Class: ClassBranch,
					Opcode: f.code | [...]uint8{classJMP, classJMP32}[i] | uint8(x)*sourceX,
					Width:  width, UseSrc: x == 1, Cond: c,
					Legal: Rules{Dst: ReadReg, Off: AnyValue, Imm: AnyValue}, Words: wordsBranch,
					Access: ReadsDst, Section: "4.3", Group: [...]Group{Base64, Base32}[i], ISA: f.isa,
				}
				if x == 1 {
					row.Legal.Src, row.Legal.Imm = ReadReg, Reserved
					row.Access |= ReadsSrc
				}
				if f.isa == ISAv2 {
					row.Since = linuxV2
				}
				if width == 32 {
					row.ISA, row.Since = ISAv3, linuxV3
				}
				t[[...]Kind{Jeq64K, Jeq32K}[i]+2*Kind(c)+x] = row
			}
		}
	}
}

func controlRows(t *[NumKinds]Info) {
	t[Ja] = Info{Name: "Ja", Class: ClassJump, Opcode: 0x00 | classJMP, Legal: Rules{Off: AnyValue},
		Words: wordsJa, Section: "4.3", Group: Base32, ISA: ISAv1}
	t[Ja32] = Info{Name: "Ja32", Class: ClassJump, Opcode: 0x00 | classJMP32, Legal: Rules{Imm: AnyValue},
		Words: wordsJa, Section: "4.3", Group: Base32, ISA: ISAv4, Since: linuxV4}
	t[MayGoto] = Info{Name: "MayGoto", Class: ClassMayGoto, Opcode: 0xe0 | classJMP, Legal: Rules{Off: AnyValue},
		Words: wordsGoto, ISA: ISALinux, Since: linuxArena}
	t[Exit] = Info{Name: "Exit", Class: ClassExit, Opcode: 0x90 | classJMP, Legal: Rules{Off: Unchecked},
		Words: wordsExit, Access: ReadsR0, Section: "4.3", Group: Base32, ISA: ISAv1}

	call := Info{Class: ClassCall, Opcode: 0x80 | classJMP, Legal: Rules{Src: Selector, Imm: AnyValue},
		Words: wordsCall, Access: WritesR0 | ClobbersArgs, Section: "4.3", Group: Base32, ISA: ISAv1}
	for _, v := range [...]struct {
		kind    Kind
		name    string
		src     Reg
		section string
		since   kver.Version
	}{
		{CallHelper, "CallHelper", CallHelperID, "4.3.1", kver.Version{}},
		{CallLocal, "CallLocal", CallLocalFunc, "4.3.2", linuxLocal},
		{CallKfunc, "CallKfunc", CallKfuncID, "4.3.1", linuxKfunc},
	} {
		row := call
		row.Name, row.Select, row.Section, row.Since = v.name, int32(v.src), v.section, v.since
		if v.kind == CallKfunc {
			row.Legal.Off = AnyValue // which module's BTF
		}
		t[v.kind] = row
	}
	t[CallReg] = Info{Name: "CallReg", Class: ClassCall, Opcode: 0x80 | sourceX | classJMP, UseSrc: true,
		Legal: Rules{Dst: ReadReg, Imm: CalleeImm}, Words: wordsCall, Access: ReadsDst | WritesR0 | ClobbersArgs,
		Group: CallX, ISA: ISAv1, Since: Never}
}

func memoryRows(t *[NumKinds]Info) {
	for i, size := range [...]uint8{1, 2, 4, 8} {
		k, bits, group := Kind(i), sizeBits[size], Base32
		if size == 8 {
			group = Base64
		}
		t[Ldx8+k] = Info{Name: fmt.Sprintf("Ldx%d", 8*size), Class: ClassLoad, Opcode: modeMEM | bits | classLDX, Size: size, UseSrc: true,
			Legal: Rules{Dst: WriteReg, Src: ReadReg, Off: AnyValue}, Words: wordsLdx,
			Access: ReadsSrc | WritesDst, Section: "5.1", Group: group, ISA: ISAv1}
		t[St8+k] = Info{Name: fmt.Sprintf("St%d", 8*size), Class: ClassStore, Opcode: modeMEM | bits | classST, Size: size,
			Legal: Rules{Dst: ReadReg, Off: AnyValue, Imm: AnyValue}, Words: wordsSt,
			Access: ReadsDst, Section: "5.1", Group: group, ISA: ISAv1}
		t[Stx8+k] = Info{Name: fmt.Sprintf("Stx%d", 8*size), Class: ClassStore, Opcode: modeMEM | bits | classSTX, Size: size, UseSrc: true,
			Legal: Rules{Dst: ReadReg, Src: ReadReg, Off: AnyValue}, Words: wordsStx,
			Access: ReadsDst | ReadsSrc, Section: "5.1", Group: group, ISA: ISAv1}
		if size < 8 {
			row := t[Ldx8+k]
			row.Name, row.Opcode, row.Signed = fmt.Sprintf("Ldsx%d", 8*size), modeMEMSX|bits|classLDX, true
			row.Section, row.ISA, row.Since = "5.2", ISAv4, linuxV4
			t[Ldsx8+k] = row
		}
	}
	t[LdImm64] = Info{Name: "LdImm64", Class: ClassImm64, Opcode: modeIMM | sizeDW | classLD, Width: 64, Size: 8,
		Legal: Rules{Dst: WriteReg, Src: PseudoSrc, Imm: AnyValue}, Words: wordsImm64,
		Access: WritesDst, Section: "5.4", Group: Base64, ISA: ISAv1}
}

func atomicRows(t *[NumKinds]Info) {
	for i, size := range [...]uint8{4, 8} {
		for j, f := range atomicFamily {
			row := Info{
				Name: fmt.Sprintf("%s%d", f.name, 8*size), Class: ClassAtomic, Opcode: modeATOMIC | sizeBits[size] | classSTX,
				Width: 8 * size, Size: size, UseSrc: true, Fetch: f.imm&fetchFlag != 0, Atomic: f.op,
				Legal: Rules{Dst: ReadReg, Src: ReadReg, Off: AnyValue, Imm: Selector}, Select: f.imm, Words: wordsAtomic,
				Access: ReadsDst | ReadsSrc, Section: "5.3",
				Group: [...]Group{Atomic32, Atomic64}[i], ISA: ISAv3, Since: linuxAtomics,
			}
			switch {
			case f.op == AtomicCmpxchg:
				row.Access |= ReadsR0 | WritesR0
			case row.Fetch:
				row.Access |= WritesSrc
				row.Legal.Src = WriteReg
			case f.op == AtomicAdd:
				row.ISA, row.Since = ISAv1, kver.Version{}
			}
			t[[...]Kind{AtomicAdd32, AtomicAdd64}[i]+Kind(j)] = row
		}
	}
	for i, size := range [...]uint8{1, 2, 4, 8} {
		row := Info{
			Name: fmt.Sprintf("LoadAcq%d", 8*size), Class: ClassLoadAcq, Opcode: modeATOMIC | sizeBits[size] | classSTX, Size: size, UseSrc: true,
			Legal: Rules{Dst: WriteReg, Src: ReadReg, Off: AnyValue, Imm: Selector}, Select: 0x100, Words: wordsAtomic,
			Access: ReadsSrc | WritesDst, ISA: ISALinux, Since: linuxAcquire,
		}
		t[LoadAcq8+Kind(i)] = row
		row.Name, row.Class, row.Select = fmt.Sprintf("StoreRel%d", 8*size), ClassStoreRel, 0x110
		row.Legal.Dst, row.Access = ReadReg, ReadsDst|ReadsSrc
		t[StoreRel8+Kind(i)] = row
	}
}

func packetRows(t *[NumKinds]Info) {
	for i, size := range [...]uint8{1, 2, 4} {
		row := Info{
			Name: fmt.Sprintf("LdAbs%d", 8*size), Class: ClassAbs, Opcode: modeABS | sizeBits[size] | classLD, Size: size,
			Legal: Rules{Imm: AnyValue}, Words: wordsPacket, Access: ReadsR6 | WritesR0 | ClobbersArgs,
			Section: "5.5", Group: Packet, ISA: ISAv1,
		}
		t[LdAbs8+Kind(i)] = row
		row.Name, row.Class, row.Opcode = fmt.Sprintf("LdInd%d", 8*size), ClassInd, modeIND|sizeBits[size]|classLD
		row.UseSrc, row.Legal.Src = true, ReadReg
		row.Access |= ReadsSrc
		t[LdInd8+Kind(i)] = row
	}
}
