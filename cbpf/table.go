package cbpf

// operand is what an instruction has beside its operation; it decides how it is written, read and checked.
type operand uint8

const (
	opNone  operand = iota
	opX             // the other register
	opA             // the accumulator
	opImm           // #k
	opAbs           // [k]
	opInd           // [x + k]
	opMem           // M[k]
	opMsh           // 4*([k]&0xf)
	opLen           // the length on the wire
	opJa            // target
	opCondK         // #k, two targets
	opCondX         // x, two targets
)

// opRow describes one opcode. Its index in opTable is Op.
type opRow struct {
	name    string // "" where there is no such instruction
	arg     operand
	hex     bool // tcpdump -d writes the immediate in hexadecimal, else as a signed number
	seccomp bool // seccomp has it (kernel: seccomp_check_filter)
}

// opTable has the instructions that libpcap's interpreter and the kernel's chk_code_allowed know: the same ones.
var opTable = [256]opRow{
	ClassLd | SizeW | ModeAbs: {"ld", opAbs, false, true},
	ClassLd | SizeH | ModeAbs: {"ldh", opAbs, false, false},
	ClassLd | SizeB | ModeAbs: {"ldb", opAbs, false, false},
	ClassLd | SizeW | ModeInd: {"ld", opInd, false, false},
	ClassLd | SizeH | ModeInd: {"ldh", opInd, false, false},
	ClassLd | SizeB | ModeInd: {"ldb", opInd, false, false},
	ClassLd | SizeW | ModeLen: {"ld", opLen, false, true},
	ClassLd | ModeImm:         {"ld", opImm, true, true},
	ClassLd | ModeMem:         {"ld", opMem, false, true},

	ClassLdx | ModeImm:         {"ldx", opImm, true, true},
	ClassLdx | ModeMem:         {"ldx", opMem, false, true},
	ClassLdx | SizeW | ModeLen: {"ldx", opLen, false, true},
	ClassLdx | SizeB | ModeMsh: {"ldxb", opMsh, false, false},

	ClassSt:  {"st", opMem, false, true},
	ClassStx: {"stx", opMem, false, true},

	ClassAlu | AluAdd | SrcK: {"add", opImm, false, true},
	ClassAlu | AluSub | SrcK: {"sub", opImm, false, true},
	ClassAlu | AluMul | SrcK: {"mul", opImm, false, true},
	ClassAlu | AluDiv | SrcK: {"div", opImm, false, true},
	ClassAlu | AluOr | SrcK:  {"or", opImm, true, true},
	ClassAlu | AluAnd | SrcK: {"and", opImm, true, true},
	ClassAlu | AluLsh | SrcK: {"lsh", opImm, false, true},
	ClassAlu | AluRsh | SrcK: {"rsh", opImm, false, true},
	ClassAlu | AluMod | SrcK: {"mod", opImm, false, false},
	ClassAlu | AluXor | SrcK: {"xor", opImm, true, true},
	ClassAlu | AluNeg:        {"neg", opNone, false, true},
	ClassAlu | AluAdd | SrcX: {"add", opX, false, true},
	ClassAlu | AluSub | SrcX: {"sub", opX, false, true},
	ClassAlu | AluMul | SrcX: {"mul", opX, false, true},
	ClassAlu | AluDiv | SrcX: {"div", opX, false, true},
	ClassAlu | AluOr | SrcX:  {"or", opX, false, true},
	ClassAlu | AluAnd | SrcX: {"and", opX, false, true},
	ClassAlu | AluLsh | SrcX: {"lsh", opX, false, true},
	ClassAlu | AluRsh | SrcX: {"rsh", opX, false, true},
	ClassAlu | AluMod | SrcX: {"mod", opX, false, false},
	ClassAlu | AluXor | SrcX: {"xor", opX, false, true},

	ClassJmp | JmpJa:         {"ja", opJa, false, true},
	ClassJmp | JmpEq | SrcK:  {"jeq", opCondK, true, true},
	ClassJmp | JmpGt | SrcK:  {"jgt", opCondK, true, true},
	ClassJmp | JmpGe | SrcK:  {"jge", opCondK, true, true},
	ClassJmp | JmpSet | SrcK: {"jset", opCondK, true, true},
	ClassJmp | JmpEq | SrcX:  {"jeq", opCondX, false, true},
	ClassJmp | JmpGt | SrcX:  {"jgt", opCondX, false, true},
	ClassJmp | JmpGe | SrcX:  {"jge", opCondX, false, true},
	ClassJmp | JmpSet | SrcX: {"jset", opCondX, false, true},

	ClassRet | RetK: {"ret", opImm, false, true},
	ClassRet | RetA: {"ret", opA, false, true},

	ClassMisc | MiscTax: {"tax", opNone, false, true},
	ClassMisc | MiscTxa: {"txa", opNone, false, true},
}

// row returns the description of in's opcode; its name is "" when there is no such instruction.
func (in Insn) row() *opRow {
	if in.Op > 255 {
		return &noRow
	}
	return &opTable[in.Op]
}

var noRow opRow

// Ancillary is a fact about a packet that is not in its bytes. A program asks for it with a load from the absolute offset
// AncillaryOff plus one of these, of any size (Linux: SKF_AD_OFF, bpf_anc_helper).
type Ancillary uint32

const (
	AncProtocol    Ancillary = 0  // EtherType of the packet
	AncPktType     Ancillary = 4  // to us 0, broadcast 1, multicast 2, to others 3, outgoing 4 (PACKET_HOST …)
	AncIfIndex     Ancillary = 8  // interface
	AncNlAttr      Ancillary = 12 // offset of the netlink attribute of type X from offset A on; 0 when there is none
	AncNlAttrNest  Ancillary = 16 // the same inside the attribute at offset A
	AncMark        Ancillary = 20
	AncQueue       Ancillary = 24
	AncHaType      Ancillary = 28 // ARPHRD_ type of the interface
	AncRxHash      Ancillary = 32
	AncCPU         Ancillary = 36
	AncXorX        Ancillary = 40 // not a fact: A ^ X
	AncVLANTag     Ancillary = 44 // tag control information that the interface stripped
	AncVLANPresent Ancillary = 48
	AncPayOffset   Ancillary = 52 // where the payload of the transport protocol begins
	AncRandom      Ancillary = 56
	AncVLANProto   Ancillary = 60 // EtherType of the stripped tag
)

// Offsets from which loads count something else than the packet's start (Linux: SKF_AD_OFF, SKF_NET_OFF, SKF_LL_OFF).
const (
	AncillaryOff uint32 = 0xfffff000
	NetOff       uint32 = 0xfff00000 // the network header, in Socket mode
	LinkOff      uint32 = 0xffe00000 // the link-layer header, in Socket mode
)

// ancRow names an ancillary load.
type ancRow struct {
	tcpdump string // in tcpdump -d, between brackets
	asm     string // in bpf_asm
}

// ancTable is indexed by Ancillary / 4.
var ancTable = [16]ancRow{
	AncProtocol / 4:    {"proto", "proto"},
	AncPktType / 4:     {"type", "type"},
	AncIfIndex / 4:     {"ifidx", "ifidx"},
	AncNlAttr / 4:      {"nla", "nla"},
	AncNlAttrNest / 4:  {"nlan", "nlan"},
	AncMark / 4:        {"mark", "mark"},
	AncQueue / 4:       {"queue", "queue"},
	AncHaType / 4:      {"hatype", "hatype"},
	AncRxHash / 4:      {"rxhash", "rxhash"},
	AncCPU / 4:         {"cpu", "cpu"},
	AncXorX / 4:        {"xor_x", ""}, // bpf_asm can't say it
	AncVLANTag / 4:     {"vlan_tci", "vlan_tci"},
	AncVLANPresent / 4: {"vlanp", "vlan_avail"},
	AncPayOffset / 4:   {"poff", "poff"},
	AncRandom / 4:      {"random", "rand"},
	AncVLANProto / 4:   {"vlan_tpid", "vlan_tpid"},
}

// ancillary returns what an absolute load from k asks for; no when k is no offset of that kind.
func ancillary(k uint32) (a Ancillary, ok bool) {
	a = Ancillary(k - AncillaryOff)
	return a, k >= AncillaryOff && a%4 == 0 && int(a/4) < len(ancTable)
}

// Ancillary returns the ancillary load that in is, if it is one.
func (in Insn) Ancillary() (a Ancillary, ok bool) {
	if in.row().arg != opAbs {
		return 0, false
	}
	return ancillary(in.K)
}
