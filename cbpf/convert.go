package cbpf

// rawInsn is the shape of golang.org/x/net/bpf.RawInstruction and of Insn, pcapInsn that of gopacket's pcap.BPFInstruction.
type (
	rawInsn = struct {
		Op     uint16
		Jt, Jf uint8
		K      uint32
	}
	pcapInsn = struct {
		Code   uint16
		Jt, Jf uint8
		K      uint32
	}
)

// FromRaw takes instructions of a type such as golang.org/x/net/bpf.RawInstruction.
func FromRaw[T ~struct {
	Op     uint16
	Jt, Jf uint8
	K      uint32
}](raw []T) Program {
	p := make(Program, len(raw))
	for i, in := range raw {
		p[i] = Insn(rawInsn(in))
	}
	return p
}

// ToRaw gives the program as a type such as golang.org/x/net/bpf.RawInstruction.
func ToRaw[T ~struct {
	Op     uint16
	Jt, Jf uint8
	K      uint32
}](p Program) []T {
	raw := make([]T, len(p))
	for i, in := range p {
		raw[i] = T(rawInsn(in))
	}
	return raw
}

// FromPcap takes instructions of a type such as pcap.BPFInstruction of gopacket.
func FromPcap[T ~struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}](insns []T) Program {
	p := make(Program, len(insns))
	for i, in := range insns {
		in := pcapInsn(in)
		p[i] = Insn{Op: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return p
}

// ToPcap gives the program as a type such as pcap.BPFInstruction of gopacket, which its handles take as a filter.
func ToPcap[T ~struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}](p Program) []T {
	insns := make([]T, len(p))
	for i, in := range p {
		insns[i] = T(pcapInsn{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K})
	}
	return insns
}
