package verifier

import (
	"fmt"
	"math"
	"strings"
)

// regType is what a register holds. (Linux: enum bpf_reg_type.)
type regType uint8

const (
	notInit regType = iota
	scalar
	ptrCtx
	ptrMap // a map itself; reg.aux is its index
	ptrMapValue
	ptrMapKey
	ptrStack // of frame reg.aux
	ptrPacket
	ptrPacketMeta
	ptrPacketEnd
	ptrFlowKeys
	ptrSocket
	ptrSockCommon
	ptrTCPSock
	ptrXDPSock
	ptrTPBuffer
	ptrBTF // object of type reg.aux: one of the kernel's, or ^reg.aux is one of the program's own
	ptrMem // reg.aux bytes
	ptrBuf
	ptrFunc // function reg.aux
	numRegTypes
)

// typeNames are the kernel's (reg_type_str).
var typeNames = [numRegTypes]string{
	"?", "scalar", "ctx", "map_ptr", "map_value", "map_key", "fp", "pkt", "pkt_meta", "pkt_end", "flow_keys", "sock",
	"sock_common", "tcp_sock", "xdp_sock", "tp_buffer", "ptr_", "mem", "buf", "func",
}

// regFlags modify a type.
type regFlags uint16

const (
	maybeNull   regFlags = 1 << iota // must be compared with 0 before use
	readOnly                         // memory that must not be written
	ringMem                          // memory from bpf_ringbuf_reserve
	trusted                          // object that surely lives
	rcu                              // object that lives until the RCU read lock is given back
	untrusted                        // object that may be gone: its memory can be read, and that is all
	alloc                            // object that the program allocated
	nonOwning                        // … and gave to a list or tree, while the lock is held
	perCPU                           // object of which each CPU has one
	userMem                          // object in user memory
	linkedAdd                        // scalar: reg.off above the others of the same id, in 64 bits
	linkedAdd32                      // the same in 32 bits
)

// reg is the abstract value of a register or of a spilled stack slot. It holds no Go pointer, so that copying is a
// move of bytes and the collector does not look at it. (Linux: struct bpf_reg_state.)
type reg struct {
	bounds // of a scalar; of a pointer, the variable part of its offset

	typ     regType
	precise bool // scalar: its value decided something, so pruning must compare it
	flags   regFlags

	off int32  // pointer: fixed part of the offset. linkedAdd, linkedAdd32: what was added
	id  uint32 // equal non-zero ids: the same value (scalars), the same variable part or null-ness (pointers)
	ref uint32 // the reference that it holds or derives from; 0 none
	aux int32  // map index, memory size, function, frame or type id, by type
	// rng is how many bytes from the packet pointer's variable base were compared against the end; for ptrPacketEnd and
	// pointers past it, one of pktAtEnd, pktBeyondEnd.
	rng int32
}

// Special values of reg.rng.
const (
	pktAtEnd     = -1
	pktBeyondEnd = -2
)

// Limits of pointer offsets (kernel: BPF_MAX_VAR_OFF, BPF_MAX_VAR_SIZ, MAX_PACKET_OFF).
const (
	maxVarOff    = 1 << 29
	maxPacketOff = 0xffff
)

func unknownReg() reg         { return reg{typ: scalar, bounds: anyBounds} }
func constReg(v uint64) reg   { return reg{typ: scalar, bounds: constBounds(v)} }
func ptrReg(t regType) reg    { return reg{typ: t, bounds: constBounds(0)} }
func (r *reg) isPtr() bool    { return r.typ > scalar }
func (r *reg) isNull() bool   { return r.typ == scalar && r.tn.Equals(0) }
func (r *reg) null() bool     { return r.flags&maybeNull != 0 }
func (r *reg) isPacket() bool { return r.typ == ptrPacket || r.typ == ptrPacketMeta }

// frame is whose stack a ptrStack points to.
func (r *reg) frame() uint8 { return uint8(r.aux) }

// isSock reports whether r is any sort of socket.
func (r *reg) isSock() bool {
	return r.typ == ptrSocket || r.typ == ptrSockCommon || r.typ == ptrTCPSock || r.typ == ptrXDPSock
}

// width is the number of low bits that may be set.
func (r *reg) width() int {
	n := 0
	for v := r.umax; v != 0; v >>= 1 {
		n++
	}
	return n
}

// typeString is the kernel's name of a type with its flags.
func (r *reg) typeString() string { return typeString(r.typ, r.flags) }

// flagNames are the prefixes that flags give a type's name, in the kernel's order.
var flagNames = [...]struct {
	flag regFlags
	name string
}{{readOnly, "rdonly_"}, {ringMem, "ringbuf_"}, {userMem, "user_"}, {perCPU, "percpu_"}, {rcu, "rcu_"},
	{untrusted, "untrusted_"}, {trusted, "trusted_"}}

func typeString(t regType, f regFlags) string {
	if t == scalar || t == notInit {
		return typeNames[t]
	}
	prefix := ""
	for _, x := range flagNames {
		if f&x.flag != 0 {
			prefix += x.name
		}
	}
	s := prefix + typeNames[t]
	switch {
	case f&maybeNull == 0:
	case t == ptrBTF:
		s += "or_null_"
	default:
		s += "_or_null"
	}
	return s
}

// String is the kernel's notation of a register in its log (print_reg_state).
func (r *reg) String() string {
	if r.typ == scalar && r.isConst() {
		p := ""
		if r.precise {
			p = "P"
		}
		return p + hexOrDec(r.tn.Value)
	}
	var b strings.Builder
	if r.typ == scalar && r.precise {
		b.WriteByte('P')
	}
	if r.typ == ptrStack && r.isConst() {
		return "fp" + hexOrDec(uint64(int64(r.off)+int64(r.tn.Value)))
	}
	b.WriteString(r.typeString())
	b.WriteByte('(')
	b.WriteString(strings.Join(r.attrs(), ","))
	b.WriteByte(')')
	return b.String()
}

// hexOrDec is a signed number, hexOrDecUnsigned an unsigned one, in decimal when it is short.
func hexOrDec(v uint64) string {
	if s := int64(v); s == int64(int16(s)) {
		return fmt.Sprint(s)
	}
	return fmt.Sprintf("%#x", v)
}

func hexOrDecUnsigned(v uint64) string {
	if v < 65536 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", v)
}

// attrs lists what is known beyond the type.
func (r *reg) attrs() []string {
	var a []string
	add := func(format string, args ...any) { a = append(a, fmt.Sprintf(format, args...)) }
	if r.id != 0 {
		s := fmt.Sprintf("id=%d", r.id)
		if r.flags&(linkedAdd|linkedAdd32) != 0 {
			s += fmt.Sprintf("%+d", r.off)
		}
		a = append(a, s)
	}
	if r.ref != 0 {
		add("ref_obj_id=%d", r.ref)
	}
	if r.typ != scalar {
		if r.off != 0 {
			add("off=%s", hexOrDec(uint64(int64(r.off))))
		}
		if r.isPacket() {
			add("r=%d", r.rng)
		}
		if r.isConst() {
			if r.tn.Value != 0 {
				add("imm=%#x", r.tn.Value)
			}
			return a
		}
	}
	return append(a, r.rangeAttrs()...)
}

// rangeAttrs are the ranges that are narrower than any, equal ones together (kernel: print_scalar_ranges).
func (r *reg) rangeAttrs() []string {
	all := [8]struct {
		name string
		v    uint64
		omit bool
	}{
		{"smin", uint64(r.smin), r.smin == math.MinInt64},
		{"smax", uint64(r.smax), r.smax == math.MaxInt64},
		{"umin", r.umin, r.umin == 0},
		{"umax", r.umax, r.umax == math.MaxUint64},
		{"smin32", signed32(r.smin32), r.smin32 == math.MinInt32},
		{"smax32", signed32(r.smax32), r.smax32 == math.MaxInt32},
		{"umin32", uint64(r.umin32), r.umin32 == 0},
		{"umax32", uint64(r.umax32), r.umax32 == math.MaxUint32},
	}
	var a []string
	for i := range all {
		x := &all[i]
		if x.omit {
			continue
		}
		names := x.name + "="
		negative := x.name[0] == 's' && int64(x.v) < 0
		for j := i + 2; j < len(all); j += 2 {
			y := &all[j]
			if !y.omit && y.v == x.v && (y.name[0] == 's' && int64(y.v) < 0) == negative {
				y.omit = true
				names += y.name + "="
			}
		}
		if x.name[0] == 's' {
			names += hexOrDec(x.v)
		} else {
			names += hexOrDecUnsigned(x.v)
		}
		a = append(a, names)
	}
	if !r.tn.IsUnknown() {
		a = append(a, "var_off="+r.tn.String())
	}
	return a
}

// signed32 is a 32-bit value as the kernel prints it: sign-extended when it is printed in decimal.
func signed32(v int32) uint64 {
	if v == int32(int16(v)) {
		return uint64(int64(v))
	}
	return uint64(uint32(v))
}
