package maps

import "github.com/skepvm/skep/kver"

import "github.com/skepvm/skep/btf"

// Spec describes a map before it exists: what an object file or a caller wants. It is plain data; New makes a Map of it.
type Spec struct {
	Name       string
	Type       Type
	KeySize    uint32 // bytes
	ValueSize  uint32 // bytes, of one CPU's value
	MaxEntries uint32
	Flags      uint32 // NoPrealloc, ReadOnlyProg, ... (Linux: BPF_F_*)
	NUMANode   uint32 // meaningful with the flag NUMANode only; remembered, without effect
	Pinned     bool   // LIBBPF_PIN_BY_NAME

	Inner    *Spec   // what the inner maps of a map-in-map look like
	Contents []Entry // what it holds at first: see Fill

	// Key and Value describe the C types for output; nil when the object has no BTF.
	Key, Value *Layout

	Frozen      bool // constant for the program's life (.rodata): the verifier may read its contents
	DataSection bool // .data, .bss, .rodata and the like: one value, addressed directly

	// Types has the C types, ValueType is that of the values; nil and 0 when the object has no BTF, ValueType is 0 for a data section.
	// Fields are what the kernel looks after itself in a value.
	Types     *btf.Types
	ValueType btf.ID
	Fields    []btf.Field

	// LockOff and TimerOff are the offsets in the value of a struct bpf_spin_lock and a struct bpf_timer, -1 for
	// none. Use Lock and Timer to read them: so that a Spec literal need not set them, 0 only counts when Value has
	// that struct there.
	LockOff, TimerOff int

	Extra  uint64 // map_extra: hash functions of a bloom filter, or the user address of an arena
	Broken string // why the map cannot be made, for messages; "" when it can
}

// Entry is one element of a Spec's initial contents. Exactly one of Value, ProgName and MapName is set.
type Entry struct {
	Key      []byte
	Value    []byte
	ProgName string // for a program array: the program of that name
	MapName  string // for a map-in-map: the map of that name
}

// Flags of a Spec (Linux: BPF_F_*, include/uapi/linux/bpf.h).
const (
	NoPrealloc    uint32 = 1 << 0
	NoCommonLRU   uint32 = 1 << 1
	NUMANode      uint32 = 1 << 2
	ReadOnly      uint32 = 1 << 3 // for user space
	WriteOnly     uint32 = 1 << 4 // for user space
	StackBuildID  uint32 = 1 << 5
	ZeroSeed      uint32 = 1 << 6
	ReadOnlyProg  uint32 = 1 << 7 // programs may not write
	WriteOnlyProg uint32 = 1 << 8 // programs may not read
	Clone         uint32 = 1 << 9
	Mmapable      uint32 = 1 << 10
	PreserveElems uint32 = 1 << 11
	InnerMap      uint32 = 1 << 12
	SegvOnFault   uint32 = 1 << 17
	NoUserConv    uint32 = 1 << 18

	accessMask = ReadOnly | WriteOnly | ReadOnlyProg | WriteOnlyProg
)

// FlagRow is a creation flag that a kernel release brought. Older ones refuse it.
type FlagRow struct {
	Flag  uint32
	Name  string // the kernel's, without BPF_F_, in lower case
	Since kver.Version
}

// FlagRows are the flags that came after the first map types had any, the oldest first.
var FlagRows = []FlagRow{
	{NUMANode, "numa_node", kver.V(4, 14)},
	{ReadOnly, "rdonly", kver.V(4, 15)},
	{WriteOnly, "wronly", kver.V(4, 15)},
	{StackBuildID, "stack_build_id", kver.V(4, 17)},
	{ZeroSeed, "zero_seed", kver.V(5, 0)},
	{ReadOnlyProg, "rdonly_prog", kver.V(5, 2)},
	{WriteOnlyProg, "wronly_prog", kver.V(5, 2)},
	{Clone, "clone", kver.V(5, 4)},
	{Mmapable, "mmapable", kver.V(5, 5)},
	{PreserveElems, "preserve_elems", kver.V(5, 10)},
	{InnerMap, "inner_map", kver.V(5, 10)},
	{SegvOnFault, "segv_on_fault", kver.V(6, 9)},
	{NoUserConv, "no_user_conv", kver.V(6, 9)},
}

// NewFlags are the rows of the flags that s has. Loaders leave Mmapable out of data sections where the kernel has it not.
func (s *Spec) NewFlags() []FlagRow {
	var rows []FlagRow
	for _, r := range FlagRows {
		if s.Flags&r.Flag != 0 && !(s.DataSection && r.Flag == Mmapable) {
			rows = append(rows, r)
		}
	}
	return rows
}

// Flags of Update (Linux: BPF_ANY, BPF_NOEXIST, BPF_EXIST, BPF_F_LOCK).
const (
	Any     uint64 = 0 // create or replace
	NoExist uint64 = 1 // create only
	Exist   uint64 = 2 // replace only
	Lock    uint64 = 4 // under the value's spin lock; may be added to the others
)

// Lock returns the offset of the value's spin lock, false when it has none.
func (s *Spec) Lock() (off int, ok bool) { return specialAt(s.LockOff, s.Value, "bpf_spin_lock") }

// Timer returns the offset of the value's timer, false when it has none.
func (s *Spec) Timer() (off int, ok bool) { return specialAt(s.TimerOff, s.Value, "bpf_timer") }

// Workqueue returns the offset of the value's work queue, false when it has none.
func (s *Spec) Workqueue() (off int, ok bool) {
	for _, f := range s.Fields {
		if f.Kind == btf.Workqueue {
			return int(f.Off), true
		}
	}
	return 0, false
}

func specialAt(off int, value *Layout, name string) (int, bool) {
	return off, off > 0 || off == 0 && value.beginsWith(name)
}

// HostValueSize returns the bytes of a value as HostLookup and HostUpdate have it: for a per-CPU map one value a CPU,
// each rounded up to 8 bytes (Linux: bpf_map_value_size).
func (s *Spec) HostValueSize(cpus int) int {
	if s.Type.Row().PerCPU {
		return cpus * int(round8(s.ValueSize))
	}
	return int(s.ValueSize)
}

// ProgWrites reports whether programs may change the map's values.
func (s *Spec) ProgWrites() bool { return s.Flags&ReadOnlyProg == 0 }

// ProgReads reports whether programs may read the map's values.
func (s *Spec) ProgReads() bool { return s.Flags&WriteOnlyProg == 0 }

func round8(n uint32) uint32 { return (n + 7) &^ 7 }
