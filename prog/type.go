package prog

import (
	"slices"
	"strconv"

	"github.com/skepvm/skep/kver"
)

// Type is a program type: a kernel's, with its number (enum bpf_prog_type), or one of this project's own.
type Type uint16

// The program types.
const (
	Unspec Type = iota
	SocketFilter
	Kprobe
	SchedCLS
	SchedACT
	Tracepoint
	XDP
	PerfEvent
	CgroupSKB
	CgroupSock
	LWTIn
	LWTOut
	LWTXmit
	SockOps
	SkSKB
	CgroupDevice
	SkMsg
	RawTracepoint
	CgroupSockAddr
	LWTSeg6Local
	LircMode2
	SkReuseport
	FlowDissector
	CgroupSysctl
	RawTracepointWritable
	CgroupSockopt
	Tracing
	StructOps
	Ext
	LSM
	SkLookup
	Syscall
	Netfilter
	NumTypes
)

// Types that no kernel has: what classic BPF becomes when package cbpf converts it, for the engines here, and embedders' own. Their numbers are
// far from the kernel's, which grow.
const (
	Classic Type = 48 + iota // filters of packets
	Seccomp                  // filters of system calls
	Own                      // programs of an embedder: Program.Own says what they are
	endOwn
)

// TypeRow is all that the project knows about a program type.
type TypeRow struct {
	Type    Type
	Name    string // "sched_cls": the kernel's constant without BPF_PROG_TYPE_, in lower case
	CtxName string // C type of the ctx: "__sk_buff"; "" when it is raw memory
	CtxSize int    // bytes of ctx; 0 when it depends on the attach point
	Fields  []CtxField
	// Hidden are fields behind the ctx that programs cannot reach: what the kernel knows besides, and what helpers leave. They
	// are set and read by name as the others are.
	Hidden   []CtxField
	Verdicts []Verdict
	// Ret is the range that the verifier demands of R0 at exit; nil when any value will do. Attach points that
	// demand something else are in Section.Ret.
	Ret       *Range
	Since     kver.Version
	Packet    bool // the ctx describes a packet, and a frame (see SetFrame) carries it
	Supported bool // Buffer makes contexts of it, so it can run; the others can only be verified, or run on events
	// PktRead and PktWrite say whether the packet may be read and written through pointers.
	PktRead, PktWrite bool
	Needs             Caps // to load programs of the type
	// Calls are the helpers and kernel functions of the kernel's that programs of an own type may call: see NewType.
	Calls []string
}

// Verdict names a return value.
type Verdict struct {
	Value int32
	Name  string
}

// Range is an inclusive range of return values, as signed 32-bit numbers.
type Range struct{ Min, Max int32 }

// Access says what a program may do with a ctx field.
type Access uint8

// Bits of Access.
const (
	Read   Access = 1 << iota
	Write         // store of the full unit
	Narrow        // load of a naturally aligned part of the unit
	Half          // as Narrow, of 2 bytes at least
	First         // as Narrow, from the unit's first byte
	Wide          // 8-byte access across two 4-byte units
	Any           // access of any size, naturally aligned, that stays within the field
)

// Yield says what a load of a ctx field gives.
type Yield uint8

// Values of Yield.
const (
	Scalar           Yield = iota
	PktData                // pointer to the packet's first byte
	PktEnd                 // pointer one past its last byte
	PktMeta                // pointer to the metadata before it
	SockCommonOrNull       // struct sock_common, may be NULL
	SockOrNull             // struct bpf_sock, may be NULL
	Sock                   // struct bpf_sock
	FlowKeys               // struct bpf_flow_keys
	TrustedBTF             // kernel object of the type in CtxField.BTF
	TPBuffer               // what a tracepoint lets programs write
)

// CtxField is a field of a ctx.
type CtxField struct {
	Name string
	Off  int
	Size int // bytes of the whole field, arrays included
	Unit int // bytes of an element: Size when it is no array
	// Access is what the program type allows; 0 marks a field that exists but is forbidden to it.
	Access Access
	Yields Yield
	BTF    string       // kernel type for TrustedBTF
	Since  kver.Version // zero when as old as the ctx
	// SinceWrite is Since of stores, where they came later.
	SinceWrite kver.Version
	Only       []Attach // attach types that may use it; nil is all
	// OnlyWrite is Only for stores, where they differ.
	OnlyWrite []Attach
	// NeedsBPF are the accesses that only loaders with CAP_BPF may have.
	NeedsBPF Access
	// Text says that the bytes are shown as a string, up to the first 0.
	Text bool
}

// end is one past the field's last byte.
func (f *CtxField) end() int { return f.Off + f.Size }

// AllowsLoader reports whether a program whose loader has these capabilities may load from the field, or store to it.
func (f *CtxField) AllowsLoader(c Caps, write bool) bool {
	need := Read
	if write {
		need = Write
	}
	return f.NeedsBPF&need == 0 || c.Has(CapBPF)
}

// Allows reports whether an access of size bytes at off (relative to the ctx) is legal for the field. The caller has
// checked that it lies within.
func (f *CtxField) Allows(off, size int, write bool) bool {
	need := Read
	if write {
		need = Write
	}
	switch {
	case f.Access&need == 0, off%size != 0:
		return false
	case f.Access&Any != 0, size == f.Unit:
		return true
	case size == 8 && f.Unit == 4:
		return f.Access&Wide != 0
	}
	if write || size > f.Unit {
		return false
	}
	first := (off-f.Off)%f.Unit == 0
	return f.Access&Narrow != 0 || f.Access&Half != 0 && size >= 2 || f.Access&First != 0 && first
}

// FieldAt returns the first field that [off, off+size) lies in, whatever its access.
func (r *TypeRow) FieldAt(off, size int) (*CtxField, bool) {
	for i := range r.Fields {
		if r.Fields[i].covers(off, size) {
			return &r.Fields[i], true
		}
	}
	return nil, false
}

func (f *CtxField) covers(off, size int) bool { return off >= f.Off && off+size <= f.end() }

// Field returns the field of a name, hidden ones included.
func (r *TypeRow) Field(name string) (*CtxField, bool) {
	for _, list := range [][]CtxField{r.Fields, r.Hidden} {
		for i := range list {
			if list[i].Name == name {
				return &list[i], true
			}
		}
	}
	return nil, false
}

// FrameSize is how many bytes the ctx takes in a frame, its hidden fields included.
func (r *TypeRow) FrameSize() int {
	size := r.CtxSize
	for _, list := range [][]CtxField{r.Fields, r.Hidden} {
		for i := range list {
			size = max(size, list[i].end())
		}
	}
	return size
}

// Access returns the field that an access of size bytes (1, 2, 4 or 8) at off uses, and whether it is legal for a
// program of this type attached as at on kernel k (the kernel's *_is_valid_access functions).
func (r *TypeRow) Access(off, size int, write bool, at Attach, k kver.Version) (*CtxField, bool) {
	return access(r.Fields, off, size, write, at, k)
}

func access(fields []CtxField, off, size int, write bool, at Attach, k kver.Version) (*CtxField, bool) {
	if off < 0 || size <= 0 {
		return nil, false
	}
	var seen *CtxField
	for i := range fields {
		f := &fields[i]
		if !f.covers(off, size) {
			continue
		}
		seen = f
		if f.Allows(off, size, write) && f.allowsAttach(at, write) && k.AtLeast(f.since(write)) {
			return f, true
		}
	}
	return seen, false
}

// since is the first kernel that allows a load or a store.
func (f *CtxField) since(write bool) kver.Version {
	if write && f.SinceWrite.AtLeast(f.Since) {
		return f.SinceWrite
	}
	return f.Since
}

func (f *CtxField) allowsAttach(at Attach, write bool) bool {
	list := f.Only
	if write && f.OnlyWrite != nil {
		list = f.OnlyWrite
	}
	return list == nil || slices.Contains(list, at)
}

// Row returns the type's row; that of Unspec when t is not a program type.
func (t Type) Row() *TypeRow {
	switch {
	case t < NumTypes:
		return &Types[t]
	case t >= Classic && t < endOwn:
		return &ownTypes[t-Classic]
	}
	return &Types[Unspec]
}

func (t Type) String() string {
	if row := t.Row(); row.Type == t {
		return row.Name
	}
	return "prog_type(" + strconv.Itoa(int(t)) + ")"
}

// TypeOf finds a type by its name, or by the name of a section that makes it: "sched_cls", "tc", "xdp".
func TypeOf(name string) (Type, bool) {
	for t := Unspec + 1; t < NumTypes; t++ {
		if Types[t].Name == name {
			return t, true
		}
	}
	for i := range ownTypes {
		if ownTypes[i].Name == name {
			return ownTypes[i].Type, true
		}
	}
	if s := strictSection(name); s != nil {
		return s.Type, true
	}
	return Unspec, false
}

// Verdict names the return value ret of a program of type t. Values without a name come back as a number.
func (t Type) Verdict(ret uint32) string {
	for _, v := range t.Row().Verdicts {
		if uint32(v.Value) == ret {
			return v.Name
		}
	}
	if t == SocketFilter || t == Classic {
		return "ACCEPT " + strconv.FormatUint(uint64(ret), 10)
	}
	return strconv.FormatInt(int64(int32(ret)), 10)
}
