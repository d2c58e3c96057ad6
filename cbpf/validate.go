package cbpf

// Mode says by whose rules a program is checked and run.
type Mode uint8

const (
	Pcap    Mode = iota // libpcap's, what tcpdump does with a capture file
	Socket              // Linux's: SO_ATTACH_FILTER, tc's and iptables' bytecode
	Seccomp             // Linux's for filters of system calls; the data are the 64 bytes of struct seccomp_data
	numModes
)

var modeNames = [numModes]string{"pcap", "socket", "seccomp"}

func (m Mode) String() string {
	if m < numModes {
		return modeNames[m]
	}
	return "unknown mode"
}

// SeccompDataSize is the size in bytes of struct seccomp_data, and the length that seccomp's programs see.
const SeccompDataSize = 64

// Validate reports the first instruction that the mode's owner would refuse, as an *Error: libpcap's bpf_validate, the
// kernel's bpf_check_classic, with seccomp_check_filter for seccomp.
//
// Deviation: libpcap takes opcodes that its interpreter aborts at, shifts by 32 and more, and backward jumps, which its own
// compiler makes for protochain only. No kernel takes any of them, and they are refused in every mode. So are programs of more
// than MaxInsns.
func (p Program) Validate(mode Mode) error {
	if len(p) == 0 {
		return &Error{Insn: -1, Msg: "the program has no instructions"}
	}
	if len(p) > MaxInsns {
		return insnError(MaxInsns, "the program has %d instructions, more than %d", len(p), MaxInsns)
	}
	for pc, in := range p {
		if err := p.checkInsn(pc, in, mode); err != nil {
			return err
		}
	}
	if last := len(p) - 1; p[last].Op&7 != ClassRet {
		return insnError(last, "the last instruction is no ret")
	}
	if mode != Pcap {
		return p.checkMemory()
	}
	return nil
}

// checkInsn checks one instruction (kernel: bpf_check_classic, seccomp_check_filter).
func (p Program) checkInsn(pc int, in Insn, mode Mode) error {
	row := in.row()
	left := len(p) - pc - 1 // instructions after this one
	switch {
	case row.name == "":
		return insnError(pc, "unknown opcode %#x", in.Op)
	case mode == Seccomp && !row.seccomp:
		return insnError(pc, "seccomp has no %s (opcode %#x)", row.name, in.Op)
	case row.arg == opMem && in.K >= MemWords:
		return insnError(pc, "no scratch memory M[%d]", in.K)
	case row.arg == opJa && in.K >= 1<<31:
		return insnError(pc, "jump backwards, to %d", pc+1+int(int32(in.K)))
	case row.arg == opJa && int64(in.K) >= int64(left):
		return insnError(pc, "jump by %d leaves the program", in.K)
	case (row.arg == opCondK || row.arg == opCondX) && int(max(in.Jt, in.Jf)) >= left:
		return insnError(pc, "jump by %d leaves the program", max(in.Jt, in.Jf))
	case in.Op == ClassAlu|AluDiv|SrcK || in.Op == ClassAlu|AluMod|SrcK:
		if in.K == 0 {
			return insnError(pc, "division by zero")
		}
	case in.Op == ClassAlu|AluLsh|SrcK || in.Op == ClassAlu|AluRsh|SrcK:
		if in.K >= 32 {
			return insnError(pc, "shift by %d of a 32-bit value", in.K)
		}
	case row.arg == opAbs && mode == Seccomp:
		if in.K >= SeccompDataSize || in.K%4 != 0 {
			return insnError(pc, "offset %d is no word of struct seccomp_data", int32(in.K))
		}
	case row.arg == opAbs && mode == Socket:
		if _, known := ancillary(in.K); in.K >= AncillaryOff && !known {
			return insnError(pc, "unknown ancillary load %d", int32(in.K-AncillaryOff))
		}
	}
	return nil
}

// checkMemory refuses loads from scratch memory that some path reaches without a store before it (kernel:
// check_load_and_stores, whose answer this gives, down to code behind a return, which it takes for reachable from there).
func (p Program) checkMemory() error {
	unset := make([]uint16, len(p)) // by pc: words that some jump to it leaves unset
	stored := uint16(0)             // words that are set here
	for pc, in := range p {
		stored &^= unset[pc]
		switch row := in.row(); {
		case in.Op == ClassSt || in.Op == ClassStx:
			stored |= 1 << in.K
		case row.arg == opMem:
			if stored>>in.K&1 == 0 {
				return insnError(pc, "M[%d] is read, and not always set before", in.K)
			}
		case row.arg == opJa:
			unset[pc+1+int(in.K)] |= ^stored
			stored = 0xffff
		case row.arg == opCondK || row.arg == opCondX:
			unset[pc+1+int(in.Jt)] |= ^stored
			unset[pc+1+int(in.Jf)] |= ^stored
			stored = 0xffff
		}
	}
	return nil
}
