package arm64

// Op is a row of the table of instruction forms.
type Op uint8

// The forms. A suffix tells forms of one mnemonic apart: R all registers, I an immediate. Loads and stores name the
// size that they access: B 8 bits, H 16, W 32, X 64, and S for sign extension to 64 bits.
const (
	AddR Op = iota
	SubR
	SubsR
	AndR
	OrrR
	OrnR
	EorR
	AndsR
	UdivR
	SdivR
	LslR
	LsrR
	AsrR
	MaddR
	MsubR
	UmulhR
	RevR
	Rev16R

	AddI
	AddsI
	SubI
	SubsI
	AndI
	OrrI
	EorI
	AndsI
	MovnI
	MovzI
	MovkI
	SbfmI
	UbfmI

	LdrB
	LdrH
	LdrW
	LdrX
	LdrSB
	LdrSH
	LdrSW
	StrB
	StrH
	StrW
	StrX
	Stp
	StpPre
	LdpPost

	Ldxr
	Stxr
	Stlxr
	Ldadd
	Ldclr
	Ldeor
	Ldset
	Ldaddal
	Ldclral
	Ldeoral
	Ldsetal
	Swpal
	Casal

	Br
	Blr
	Ret
	DmbIsh
	DmbIshld

	numOps
)

// shape says which operands a form has and so which emitting method takes it.
type shape uint8

const (
	shapeRRR     shape = iota + 1 // Rd, Rn, Rm: RRR
	shapeRRRR                     // Rd, Rn, Rm, Ra: RRRR
	shapeRR                       // Rd, Rn: RR
	shapeArith                    // Rd, Rn and 12 bits, shifted by 12 or not: RRI
	shapeLogic                    // Rd, Rn and a repeated pattern of ones: RRI
	shapeWide                     // Rd and 16 bits at one of four places: Wide
	shapeField                    // Rd, Rn and two bit numbers: Field
	shapeMem                      // Rt and a Mem: RM
	shapePair                     // Rt, Rt2 and a base: Pair
	shapeExLoad                   // Rt and a base: ExLoad
	shapeExStore                  // status, Rt and a base: ExStore
	shapeAtomic                   // Rs, Rt and a base: Atomic
	shapeBranch                   // Rn: R
	shapeNone                     // no operands: Z
)

// form is one row: everything the encoder knows of an instruction form. (Arm ARM, DDI 0487, section C6.2.)
type form struct {
	name  string // mnemonic as in the Arm ARM
	shape shape
	word  uint32 // encoding with all operands zero, 32 bits wide
	wide  uint32 // bits that X sets in it; 0 when the form has one width only
	lse   bool   // needs the large system extensions (FEAT_LSE)
}

const (
	sf     = 1 << 31 // the width of data processing
	sfN    = 1<<31 | 1<<22
	size64 = 1 << 30 // the width of atomics
)

var forms = [numOps]form{
	AddR:   {name: "ADD", shape: shapeRRR, word: 0x0b000000, wide: sf},
	SubR:   {name: "SUB", shape: shapeRRR, word: 0x4b000000, wide: sf},
	SubsR:  {name: "SUBS", shape: shapeRRR, word: 0x6b000000, wide: sf},
	AndR:   {name: "AND", shape: shapeRRR, word: 0x0a000000, wide: sf},
	OrrR:   {name: "ORR", shape: shapeRRR, word: 0x2a000000, wide: sf},
	OrnR:   {name: "ORN", shape: shapeRRR, word: 0x2a200000, wide: sf},
	EorR:   {name: "EOR", shape: shapeRRR, word: 0x4a000000, wide: sf},
	AndsR:  {name: "ANDS", shape: shapeRRR, word: 0x6a000000, wide: sf},
	UdivR:  {name: "UDIV", shape: shapeRRR, word: 0x1ac00800, wide: sf},
	SdivR:  {name: "SDIV", shape: shapeRRR, word: 0x1ac00c00, wide: sf},
	LslR:   {name: "LSL", shape: shapeRRR, word: 0x1ac02000, wide: sf},
	LsrR:   {name: "LSR", shape: shapeRRR, word: 0x1ac02400, wide: sf},
	AsrR:   {name: "ASR", shape: shapeRRR, word: 0x1ac02800, wide: sf},
	MaddR:  {name: "MADD", shape: shapeRRRR, word: 0x1b000000, wide: sf},
	MsubR:  {name: "MSUB", shape: shapeRRRR, word: 0x1b008000, wide: sf},
	UmulhR: {name: "UMULH", shape: shapeRRR, word: 0x9bc07c00},
	RevR:   {name: "REV", shape: shapeRR, word: 0x5ac00800, wide: sf | 1<<10},
	Rev16R: {name: "REV16", shape: shapeRR, word: 0x5ac00400, wide: sf},

	AddI:  {name: "ADD", shape: shapeArith, word: 0x11000000, wide: sf},
	AddsI: {name: "ADDS", shape: shapeArith, word: 0x31000000, wide: sf},
	SubI:  {name: "SUB", shape: shapeArith, word: 0x51000000, wide: sf},
	SubsI: {name: "SUBS", shape: shapeArith, word: 0x71000000, wide: sf},
	AndI:  {name: "AND", shape: shapeLogic, word: 0x12000000, wide: sf},
	OrrI:  {name: "ORR", shape: shapeLogic, word: 0x32000000, wide: sf},
	EorI:  {name: "EOR", shape: shapeLogic, word: 0x52000000, wide: sf},
	AndsI: {name: "ANDS", shape: shapeLogic, word: 0x72000000, wide: sf},
	MovnI: {name: "MOVN", shape: shapeWide, word: 0x12800000, wide: sf},
	MovzI: {name: "MOVZ", shape: shapeWide, word: 0x52800000, wide: sf},
	MovkI: {name: "MOVK", shape: shapeWide, word: 0x72800000, wide: sf},
	SbfmI: {name: "SBFM", shape: shapeField, word: 0x13000000, wide: sfN},
	UbfmI: {name: "UBFM", shape: shapeField, word: 0x53000000, wide: sfN},

	LdrB:    {name: "LDRB", shape: shapeMem, word: 0x38400000},
	LdrH:    {name: "LDRH", shape: shapeMem, word: 0x78400000},
	LdrW:    {name: "LDR", shape: shapeMem, word: 0xb8400000},
	LdrX:    {name: "LDR", shape: shapeMem, word: 0xf8400000},
	LdrSB:   {name: "LDRSB", shape: shapeMem, word: 0x38800000},
	LdrSH:   {name: "LDRSH", shape: shapeMem, word: 0x78800000},
	LdrSW:   {name: "LDRSW", shape: shapeMem, word: 0xb8800000},
	StrB:    {name: "STRB", shape: shapeMem, word: 0x38000000},
	StrH:    {name: "STRH", shape: shapeMem, word: 0x78000000},
	StrW:    {name: "STR", shape: shapeMem, word: 0xb8000000},
	StrX:    {name: "STR", shape: shapeMem, word: 0xf8000000},
	Stp:     {name: "STP", shape: shapePair, word: 0xa9000000},
	StpPre:  {name: "STP", shape: shapePair, word: 0xa9800000},
	LdpPost: {name: "LDP", shape: shapePair, word: 0xa8c00000},

	Ldxr:    {name: "LDXR", shape: shapeExLoad, word: 0x885f7c00, wide: size64},
	Stxr:    {name: "STXR", shape: shapeExStore, word: 0x88007c00, wide: size64},
	Stlxr:   {name: "STLXR", shape: shapeExStore, word: 0x8800fc00, wide: size64},
	Ldadd:   {name: "LDADD", shape: shapeAtomic, word: 0xb8200000, wide: size64, lse: true},
	Ldclr:   {name: "LDCLR", shape: shapeAtomic, word: 0xb8201000, wide: size64, lse: true},
	Ldeor:   {name: "LDEOR", shape: shapeAtomic, word: 0xb8202000, wide: size64, lse: true},
	Ldset:   {name: "LDSET", shape: shapeAtomic, word: 0xb8203000, wide: size64, lse: true},
	Ldaddal: {name: "LDADDAL", shape: shapeAtomic, word: 0xb8e00000, wide: size64, lse: true},
	Ldclral: {name: "LDCLRAL", shape: shapeAtomic, word: 0xb8e01000, wide: size64, lse: true},
	Ldeoral: {name: "LDEORAL", shape: shapeAtomic, word: 0xb8e02000, wide: size64, lse: true},
	Ldsetal: {name: "LDSETAL", shape: shapeAtomic, word: 0xb8e03000, wide: size64, lse: true},
	Swpal:   {name: "SWPAL", shape: shapeAtomic, word: 0xb8e08000, wide: size64, lse: true},
	Casal:   {name: "CASAL", shape: shapeAtomic, word: 0x88e0fc00, wide: size64, lse: true},

	Br:       {name: "BR", shape: shapeBranch, word: 0xd61f0000},
	Blr:      {name: "BLR", shape: shapeBranch, word: 0xd63f0000},
	Ret:      {name: "RET", shape: shapeBranch, word: 0xd65f0000},
	DmbIsh:   {name: "DMB", shape: shapeNone, word: 0xd5033bbf},
	DmbIshld: {name: "DMB", shape: shapeNone, word: 0xd50339bf},
}
