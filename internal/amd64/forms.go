package amd64

// Op is a row of the table of instruction forms.
type Op uint8

// The forms. Suffixes name the operands: RM "reg, reg/mem", MR "reg/mem, reg", I8 and I32 "reg/mem, immediate",
// M one "reg/mem", O a register in the opcode, CL a count in CL.
const (
	AddRM Op = iota
	OrRM
	AndRM
	SubRM
	XorRM
	CmpRM
	TestMR
	MovRM
	ImulRM
	MovzxBRM
	MovzxWRM
	MovsxBRM
	MovsxWRM
	MovsxdRM
	LeaRM
	MovbeRM
	MovbeWRM

	MovMR
	MovBMR
	MovWMR
	AddMR
	OrMR
	AndMR
	XorMR
	XaddMR
	CmpxchgMR
	XchgMR

	AddI8
	OrI8
	AndI8
	SubI8
	XorI8
	CmpI8
	AddI32
	OrI32
	AndI32
	SubI32
	XorI32
	CmpI32
	TestI32
	MovI32
	MovBI8
	MovWI16
	RolWI8
	ShlI8
	ShrI8
	SarI8
	ImulI8
	ImulI32

	NotM
	NegM
	MulM
	DivM
	IdivM
	ShlCL
	ShrCL
	SarCL
	JmpM
	CallM

	ShlxVEX
	ShrxVEX
	SarxVEX

	PushO
	PopO
	BswapO
	MovImmO

	MovupsMR
	XorpsRM

	Ret
	Cdq
	Ud2

	numOps
)

// shape says which operands a form has and so which emitting method takes it.
type shape uint8

const (
	shapeReg    shape = iota + 1 // modrm.reg and r/m: RR, RM
	shapeStore                   // the same with r/m as the destination: MR
	shapeDigit                   // opcode extension in modrm.reg, r/m: R, M
	shapeImm                     // the same and an immediate: RI, MI
	shapeRegImm                  // modrm.reg, r/m and an immediate: RRI
	shapeVEX                     // modrm.reg, r/m and VEX.vvvv: RRR
	shapeOpcode                  // register in the opcode: O, OI
	shapeNone                    // no operands: Z
)

// form is one row: everything the encoder knows of an instruction form. (Intel SDM volume 2, section 3.1.)
type form struct {
	name   string // mnemonic as in the SDM
	shape  shape
	prefix byte  // mandatory or operand-size prefix: 0x66, 0xf2, 0xf3 or 0
	escape uint8 // opcode map: 0 one-byte, 1 0F, 2 0F 38
	opcode byte
	digit  byte  // opcode extension, shapeDigit and shapeImm
	imm    uint8 // bytes of immediate
	// byteReg and byteRM mark 8-bit register operands: SPL, BPL, SIL and DIL then need a REX prefix.
	byteReg, byteRM bool
	memOnly         bool // the r/m operand is memory
	lock            bool // a LOCK prefix is legal with a memory operand
	sse             bool // register operands are XMM0..XMM15
	no64            bool // REX.W is never set: 8 and 16-bit forms, and those that are 64-bit anyway
}

var forms = [numOps]form{
	AddRM:    {name: "ADD", shape: shapeReg, opcode: 0x03},
	OrRM:     {name: "OR", shape: shapeReg, opcode: 0x0b},
	AndRM:    {name: "AND", shape: shapeReg, opcode: 0x23},
	SubRM:    {name: "SUB", shape: shapeReg, opcode: 0x2b},
	XorRM:    {name: "XOR", shape: shapeReg, opcode: 0x33},
	CmpRM:    {name: "CMP", shape: shapeReg, opcode: 0x3b},
	TestMR:   {name: "TEST", shape: shapeStore, opcode: 0x85},
	MovRM:    {name: "MOV", shape: shapeReg, opcode: 0x8b},
	ImulRM:   {name: "IMUL", shape: shapeReg, escape: 1, opcode: 0xaf},
	MovzxBRM: {name: "MOVZX", shape: shapeReg, escape: 1, opcode: 0xb6, byteRM: true},
	MovzxWRM: {name: "MOVZX", shape: shapeReg, escape: 1, opcode: 0xb7},
	MovsxBRM: {name: "MOVSX", shape: shapeReg, escape: 1, opcode: 0xbe, byteRM: true},
	MovsxWRM: {name: "MOVSX", shape: shapeReg, escape: 1, opcode: 0xbf},
	MovsxdRM: {name: "MOVSXD", shape: shapeReg, opcode: 0x63},
	LeaRM:    {name: "LEA", shape: shapeReg, opcode: 0x8d, memOnly: true},
	MovbeRM:  {name: "MOVBE", shape: shapeReg, escape: 2, opcode: 0xf0, memOnly: true},
	MovbeWRM: {name: "MOVBE", shape: shapeReg, prefix: 0x66, escape: 2, opcode: 0xf0, memOnly: true, no64: true},

	MovMR:     {name: "MOV", shape: shapeStore, opcode: 0x89},
	MovBMR:    {name: "MOV", shape: shapeStore, opcode: 0x88, byteReg: true, byteRM: true, no64: true},
	MovWMR:    {name: "MOV", shape: shapeStore, prefix: 0x66, opcode: 0x89, no64: true},
	AddMR:     {name: "ADD", shape: shapeStore, opcode: 0x01, lock: true},
	OrMR:      {name: "OR", shape: shapeStore, opcode: 0x09, lock: true},
	AndMR:     {name: "AND", shape: shapeStore, opcode: 0x21, lock: true},
	XorMR:     {name: "XOR", shape: shapeStore, opcode: 0x31, lock: true},
	XaddMR:    {name: "XADD", shape: shapeStore, escape: 1, opcode: 0xc1, lock: true},
	CmpxchgMR: {name: "CMPXCHG", shape: shapeStore, escape: 1, opcode: 0xb1, lock: true},
	XchgMR:    {name: "XCHG", shape: shapeStore, opcode: 0x87},

	AddI8:   {name: "ADD", shape: shapeImm, opcode: 0x83, digit: 0, imm: 1, lock: true},
	OrI8:    {name: "OR", shape: shapeImm, opcode: 0x83, digit: 1, imm: 1},
	AndI8:   {name: "AND", shape: shapeImm, opcode: 0x83, digit: 4, imm: 1},
	SubI8:   {name: "SUB", shape: shapeImm, opcode: 0x83, digit: 5, imm: 1},
	XorI8:   {name: "XOR", shape: shapeImm, opcode: 0x83, digit: 6, imm: 1},
	CmpI8:   {name: "CMP", shape: shapeImm, opcode: 0x83, digit: 7, imm: 1},
	AddI32:  {name: "ADD", shape: shapeImm, opcode: 0x81, digit: 0, imm: 4},
	OrI32:   {name: "OR", shape: shapeImm, opcode: 0x81, digit: 1, imm: 4},
	AndI32:  {name: "AND", shape: shapeImm, opcode: 0x81, digit: 4, imm: 4},
	SubI32:  {name: "SUB", shape: shapeImm, opcode: 0x81, digit: 5, imm: 4},
	XorI32:  {name: "XOR", shape: shapeImm, opcode: 0x81, digit: 6, imm: 4},
	CmpI32:  {name: "CMP", shape: shapeImm, opcode: 0x81, digit: 7, imm: 4},
	TestI32: {name: "TEST", shape: shapeImm, opcode: 0xf7, digit: 0, imm: 4},
	MovI32:  {name: "MOV", shape: shapeImm, opcode: 0xc7, digit: 0, imm: 4},
	MovBI8:  {name: "MOV", shape: shapeImm, opcode: 0xc6, digit: 0, imm: 1, byteRM: true, no64: true},
	MovWI16: {name: "MOV", shape: shapeImm, prefix: 0x66, opcode: 0xc7, digit: 0, imm: 2, no64: true},
	RolWI8:  {name: "ROL", shape: shapeImm, prefix: 0x66, opcode: 0xc1, digit: 0, imm: 1, no64: true},
	ShlI8:   {name: "SHL", shape: shapeImm, opcode: 0xc1, digit: 4, imm: 1},
	ShrI8:   {name: "SHR", shape: shapeImm, opcode: 0xc1, digit: 5, imm: 1},
	SarI8:   {name: "SAR", shape: shapeImm, opcode: 0xc1, digit: 7, imm: 1},
	ImulI8:  {name: "IMUL", shape: shapeRegImm, opcode: 0x6b, imm: 1},
	ImulI32: {name: "IMUL", shape: shapeRegImm, opcode: 0x69, imm: 4},

	NotM:  {name: "NOT", shape: shapeDigit, opcode: 0xf7, digit: 2},
	NegM:  {name: "NEG", shape: shapeDigit, opcode: 0xf7, digit: 3},
	MulM:  {name: "MUL", shape: shapeDigit, opcode: 0xf7, digit: 4},
	DivM:  {name: "DIV", shape: shapeDigit, opcode: 0xf7, digit: 6},
	IdivM: {name: "IDIV", shape: shapeDigit, opcode: 0xf7, digit: 7},
	ShlCL: {name: "SHL", shape: shapeDigit, opcode: 0xd3, digit: 4},
	ShrCL: {name: "SHR", shape: shapeDigit, opcode: 0xd3, digit: 5},
	SarCL: {name: "SAR", shape: shapeDigit, opcode: 0xd3, digit: 7},
	JmpM:  {name: "JMP", shape: shapeDigit, opcode: 0xff, digit: 4, no64: true},
	CallM: {name: "CALL", shape: shapeDigit, opcode: 0xff, digit: 2, no64: true},

	ShlxVEX: {name: "SHLX", shape: shapeVEX, prefix: 0x66, escape: 2, opcode: 0xf7},
	ShrxVEX: {name: "SHRX", shape: shapeVEX, prefix: 0xf2, escape: 2, opcode: 0xf7},
	SarxVEX: {name: "SARX", shape: shapeVEX, prefix: 0xf3, escape: 2, opcode: 0xf7},

	PushO:   {name: "PUSH", shape: shapeOpcode, opcode: 0x50, no64: true},
	PopO:    {name: "POP", shape: shapeOpcode, opcode: 0x58, no64: true},
	BswapO:  {name: "BSWAP", shape: shapeOpcode, escape: 1, opcode: 0xc8},
	MovImmO: {name: "MOV", shape: shapeOpcode, opcode: 0xb8, imm: 4}, // 8 with Q

	MovupsMR: {name: "MOVUPS", shape: shapeStore, escape: 1, opcode: 0x11, sse: true, no64: true},
	XorpsRM:  {name: "XORPS", shape: shapeReg, escape: 1, opcode: 0x57, sse: true, no64: true},

	Ret: {name: "RET", shape: shapeNone, opcode: 0xc3, no64: true},
	Cdq: {name: "CDQ", shape: shapeNone, opcode: 0x99}, // CQO with Q
	Ud2: {name: "UD2", shape: shapeNone, escape: 1, opcode: 0x0b, no64: true},
}
