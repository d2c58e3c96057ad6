package verifier

// regType is what a register holds. (Linux: enum bpf_reg_type.)
type regType uint8

const (
	notInit regType = iota
	scalar
	ptrCtx
	ptrMap      // a map itself; reg.aux is its index, ^reg.aux that of the map whose inner map it is
	ptrMapValue // of map reg.aux
	ptrMapKey   // of map reg.aux
	ptrStack    // of frame reg.aux
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
	ptrMem // reg.aux bytes, unsigned
	ptrBuf
	ptrFunc   // function reg.aux
	ptrDynptr // const struct bpf_dynptr, and on the stack a dynptr
	ptrIter   // on the stack only: an open-coded iterator
	ptrIRQ    // on the stack only: saved state of interrupts
	ptrArena  // anything that was cast to the arena's address space: 32 bits of an address
	numRegTypes
)

// typeNames are the kernel's (reg_type_str).
var typeNames = [numRegTypes]string{
	"?", "scalar", "ctx", "map_ptr", "map_value", "map_key", "fp", "pkt", "pkt_meta", "pkt_end", "flow_keys", "sock",
	"sock_common", "tcp_sock", "xdp_sock", "tp_buffer", "ptr_", "mem", "buf", "func", "dynptr_ptr", "", "", "arena",
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
	dynptrSlice                      // memory of a slice of the dynptr with the id in reg.rng
	packetSlice                      // … that dies when the packet moves
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
	// pointers past it, one of pktAtEnd, pktBeyondEnd. Of memory behind a dynptr, the dynptr's id.
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
