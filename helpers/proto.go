// Package helpers has one row for each helper function of the kernel: id, name, prototype, where it may be called,
// since when, what it does to the verifier's state, and the Go code that does it.
package helpers

// Arg is what a helper demands of an argument register: a base kind and flags.
// (Linux: enum bpf_arg_type.)
type Arg uint32

// Base kinds of Arg.
const (
	ArgNone       Arg = iota // not an argument; the register may hold anything, also nothing
	ArgAny                   // any initialised value
	ArgMapPtr                // a map
	ArgMapKey                // memory of the map's key size
	ArgMapValue              // memory of the map's value size
	ArgMem                   // memory, its size in the next argument
	ArgFixedMem              // memory of Row.FixedSize bytes (pointers to int, long, struct)
	ArgSize                  // size of the memory argument before it, > 0
	ArgSizeOrZero            // the same, may be 0
	ArgAllocSize             // constant size of what the helper returns
	ArgCtx                   // the program's ctx
	ArgSpinLock              // map value at a bpf_spin_lock
	ArgTimer                 // map value at a bpf_timer
	ArgKptr                  // map value at a kptr
	ArgSock                  // struct sock pointer of any sort
	ArgSockCommon            // sock_common or more
	ArgBTFSock               // PTR_TO_BTF_ID sock_common
	ArgBTF                   // PTR_TO_BTF_ID of Row's type
	ArgRingMem               // memory from bpf_ringbuf_reserve, exactly its start
	ArgFunc                  // callback: address of a local function
	ArgStack                 // pointer to stack (callback ctx) or NULL
	ArgConstStr              // constant NUL-terminated string in a read-only map
	ArgDynptr                // dynptr on the stack
	ArgPerCPUBTF             // per-CPU kernel variable
	ArgKptrDst               // as ArgKptr, destination of bpf_kptr_xchg
	ArgScalar                // a number, no pointer
	argBaseMask   Arg = 0xff
)

// Flags of Arg.
const (
	ArgMaybeNull Arg = 0x100 << iota // NULL is allowed
	ArgUninit                        // memory is written before it is read: uninitialised stack is fine
	ArgReadOnly                      // memory is only read, so read-only memory is fine
	ArgRelease                       // the reference is released
	ArgWrite                         // the helper writes the memory
	ArgAligned                       // memory must be aligned to its size
	ArgRingbuf                       // dynptr over a ring buffer record
)

// Base strips the flags.
func (a Arg) Base() Arg { return a & argBaseMask }

// Has reports whether a has the flag f.
func (a Arg) Has(f Arg) bool { return a&f != 0 }

// Ret is what a helper leaves in R0. (Linux: enum bpf_return_type.)
type Ret uint16

// Base kinds of Ret.
const (
	RetInteger Ret = iota
	RetVoid        // R0 becomes unreadable
	RetMapValue
	RetSocket
	RetTCPSock
	RetSockCommon
	RetAllocMem // memory of the size in ArgAllocSize
	RetMem      // memory of Row.FixedSize bytes
	RetBTF
	RetMemOrBTF     // per-CPU pointer: memory or BTF object, as the argument says
	retBaseMask Ret = 0xff
)

// RetMaybeNull marks a pointer that must be checked before use.
const RetMaybeNull Ret = 0x100

// Base strips the flag.
func (r Ret) Base() Ret { return r & retBaseMask }

// MaybeNull reports whether R0 may be NULL.
func (r Ret) MaybeNull() bool { return r&RetMaybeNull != 0 }
