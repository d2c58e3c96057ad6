package cbpf

import "encoding/binary"

// Step is the state of a run before an instruction, for those who watch.
type Step struct {
	PC   int
	A, X uint32
	M    *[MemWords]uint32
}

// Run runs the program on a packet by libpcap's rules and returns its answer. It is Trace without a watcher; for many
// packets make a Filter.
func (p Program) Run(pkt Packet) uint32 { return p.Trace(Pcap, pkt, nil) }

// Trace runs the program and calls watch, unless it is nil, before each instruction. Registers and scratch memory are
// 0 at first. The program needs not be valid: an instruction that can't be run, or running past the end, gives 0.
//
// The modes differ where libpcap and the kernel do. In Pcap mode offsets are unsigned and do not wrap; a shift by 32 or
// more gives 0. In Socket mode an offset below 0 counts from the network or the link-layer header (the first byte),
// X + k wraps, shifts count modulo 32. In Seccomp mode a word is little-endian, all others are big-endian, and the length is 64.
func (p Program) Trace(mode Mode, pkt Packet, watch func(Step)) uint32 {
	var m [MemWords]uint32
	r := run{mode: mode, pkt: &pkt, m: &m}
	for pc := 0; pc < len(p); {
		if watch != nil {
			watch(Step{PC: pc, A: r.a, X: r.x, M: r.m})
		}
		in := p[pc]
		pc++
		switch in.Op & 7 {
		case ClassRet:
			return r.ret(in)
		case ClassJmp:
			pc += r.jump(in)
		case ClassAlu:
			if !r.alu(in) {
				return 0
			}
		default:
			if !r.move(in) {
				return 0
			}
		}
	}
	return 0
}

// run is the state of a run.
type run struct {
	mode Mode
	pkt  *Packet
	a, x uint32
	m    *[MemWords]uint32
}

func (r *run) ret(in Insn) uint32 {
	switch in.row().arg {
	case opImm:
		return in.K
	case opA:
		return r.a
	}
	return 0
}

// jump returns how many instructions to skip; behind the end when in is no jump.
func (r *run) jump(in Insn) int {
	row := in.row()
	right := in.K
	switch row.arg {
	case opJa:
		return int(min(in.K, 1<<30)) // behind the end all the same, and no int32 overflows
	case opCondX:
		right = r.x
	case opCondK:
	default:
		return 1 << 20
	}
	var is bool
	switch in.Op & 0xf0 {
	case JmpEq:
		is = r.a == right
	case JmpGt:
		is = r.a > right
	case JmpGe:
		is = r.a >= right
	case JmpSet:
		is = r.a&right != 0
	}
	if is {
		return int(in.Jt)
	}
	return int(in.Jf)
}

// alu computes; no when the program ends there.
func (r *run) alu(in Insn) bool {
	row := in.row()
	right := in.K
	if row.arg == opX {
		right = r.x
	}
	if row.name == "" {
		return false
	}
	switch in.Op & 0xf0 {
	case AluAdd:
		r.a += right
	case AluSub:
		r.a -= right
	case AluMul:
		r.a *= right
	case AluOr:
		r.a |= right
	case AluAnd:
		r.a &= right
	case AluXor:
		r.a ^= right
	case AluNeg:
		r.a = -r.a
	case AluLsh:
		r.a <<= r.shift(right)
	case AluRsh:
		r.a >>= r.shift(right)
	case AluDiv, AluMod:
		if right == 0 {
			return false
		}
		if in.Op&0xf0 == AluDiv {
			r.a /= right
		} else {
			r.a %= right
		}
	}
	return true
}

// shift returns the width of a shift, which Go, as libpcap, takes for what it says.
func (r *run) shift(by uint32) uint32 {
	if r.mode == Pcap {
		return by
	}
	return by & 31
}

// move runs loads, stores and transfers; no when the program ends there.
func (r *run) move(in Insn) bool {
	row := in.row()
	var v uint32
	ok := true
	switch row.arg {
	case opImm:
		v = in.K
	case opLen:
		v = r.length()
	case opMem:
		return r.memory(in)
	case opAbs:
		v, ok = r.abs(in)
	case opInd:
		v, ok = r.ind(in)
	case opMsh:
		v, ok = r.load(r.offset(in.K), 1)
		v = v & 0xf * 4
	default:
		switch {
		case row.name == "":
			return false
		case in.Op == ClassMisc|MiscTxa:
			r.a = r.x
		default:
			r.x = r.a
		}
		return true
	}
	if in.Op&7 == ClassLdx {
		r.x = v
	} else {
		r.a = v
	}
	return ok
}

func (r *run) length() uint32 {
	if r.mode == Seccomp {
		return SeccompDataSize
	}
	return r.pkt.WireLen
}

func (r *run) memory(in Insn) bool {
	if in.K >= MemWords {
		return false
	}
	switch in.Op & 7 {
	case ClassLd:
		r.a = r.m[in.K]
	case ClassLdx:
		r.x = r.m[in.K]
	case ClassSt:
		r.m[in.K] = r.a
	case ClassStx:
		r.m[in.K] = r.x
	}
	return true
}

// size returns how many bytes a load reads.
func (in Insn) size() int {
	switch in.Op & 0x18 {
	case SizeB:
		return 1
	case SizeH:
		return 2
	}
	return 4
}

func (r *run) abs(in Insn) (v uint32, ok bool) {
	if r.mode == Seccomp {
		if uint64(in.K)+4 > uint64(len(r.pkt.Data)) {
			return 0, false
		}
		return binary.LittleEndian.Uint32(r.pkt.Data[in.K:]), true
	}
	if which, is := ancillary(in.K); is {
		return r.pkt.ancillary(which, r.a, r.x), true
	}
	return r.load(r.offset(in.K), in.size())
}

func (r *run) ind(in Insn) (v uint32, ok bool) {
	if r.mode == Pcap {
		return r.load(int64(r.x)+int64(in.K), in.size())
	}
	return r.load(r.offset(r.x+in.K), in.size())
}

// offset returns the place in the packet that k means, below 0 when none (kernel: bpf_internal_load_pointer_neg_helper).
func (r *run) offset(k uint32) int64 {
	switch {
	case r.mode == Pcap || k < 1<<31:
		return int64(k)
	case k >= NetOff:
		var net uint32
		if r.pkt.Meta != nil {
			net = r.pkt.Meta.NetOff
		}
		return int64(net) + int64(k-NetOff)
	case k >= LinkOff:
		return int64(k - LinkOff)
	}
	return -1
}

// load reads size bytes, big-endian; no when they are not all there.
func (r *run) load(at int64, size int) (v uint32, ok bool) {
	if at < 0 || at+int64(size) > int64(len(r.pkt.Data)) {
		return 0, false
	}
	b := r.pkt.Data[at:]
	switch size {
	case 1:
		return uint32(b[0]), true
	case 2:
		return uint32(binary.BigEndian.Uint16(b)), true
	}
	return binary.BigEndian.Uint32(b), true
}
