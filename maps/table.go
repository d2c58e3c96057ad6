package maps

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/kver"
)

// Type is a kernel map type (Linux: enum bpf_map_type).
type Type uint32

// The map types of Linux 6.18.
const (
	Unspec Type = iota
	Hash
	Array
	ProgArray
	PerfEventArray
	PerCPUHash
	PerCPUArray
	StackTrace
	CgroupArray
	LRUHash
	LRUPerCPUHash
	LPMTrie
	ArrayOfMaps
	HashOfMaps
	DevMap
	SockMap
	CPUMap
	XSKMap
	SockHash
	CgroupStorage
	ReuseportSockArray
	PerCPUCgroupStorage
	Queue
	Stack
	SKStorage
	DevMapHash
	StructOps
	RingBuf
	InodeStorage
	TaskStorage
	BloomFilter
	UserRingBuf
	CgrpStorage
	Arena

	NumTypes = iota
)

// Row is what is known about a map type. The capabilities say which helpers a program may call on it (Linux:
// check_map_func_compatibility).
type Row struct {
	Kernel string // the kernel's name: "BPF_MAP_TYPE_HASH"
	Short  string // skep's and bpftool's: "hash"
	Since  kver.Version

	ByLookup    bool // bpf_map_lookup_elem
	ByUpdate    bool // bpf_map_update_elem
	ByDelete    bool // bpf_map_delete_elem
	ByForEach   bool // bpf_for_each_map_elem
	ByPercpu    bool // bpf_map_lookup_percpu_elem
	ByPush      bool // bpf_map_push_elem
	ByPop       bool // bpf_map_pop_elem
	ByPeek      bool // bpf_map_peek_elem
	ByRedirect  bool // bpf_redirect_map
	PerCPU      bool // each CPU has its own value
	MapInMap    bool // a lookup yields an inner map
	DirectValue bool // value 0 may be addressed by a 64-bit immediate load

	Hashed bool // keys are hashed, elements come and go

	rules rules
	make  func(*core) (Map, error) // nil: known, not implemented
}

// Implemented reports whether New can make such a map.
func (r *Row) Implemented() bool { return r.make != nil }

// Row returns the type's row; that of Unspec when there is no such type.
func (t Type) Row() *Row {
	if t < NumTypes {
		return &Types[t]
	}
	return &Types[Unspec]
}

// String returns the short name, "type 99" for an unknown type.
func (t Type) String() string {
	if t < NumTypes {
		return Types[t].Short
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// TypeOf finds a type by its short or its kernel name, in any case.
func TypeOf(name string) (Type, bool) {
	for t := range Types {
		if strings.EqualFold(name, Types[t].Short) || strings.EqualFold(name, Types[t].Kernel) {
			return Type(t), true
		}
	}
	return 0, false
}

// Sets of creation flags.
const (
	hashFlags  = NoPrealloc | NoCommonLRU | NUMANode | accessMask | ZeroSeed
	arrayFlags = NUMANode | accessMask
)

// Types has a row for each map type, by number. Since is the release that first had it; capabilities are those of 6.18.
var Types = [NumTypes]Row{
	Unspec: {Kernel: "BPF_MAP_TYPE_UNSPEC", Short: "unspec"},
	Hash: {Kernel: "BPF_MAP_TYPE_HASH", Short: "hash", Since: kver.V(3, 19), Hashed: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true,
		rules: rules{key: sizes{1, anySize}, value: sizes{1, anySize}, flags: hashFlags &^ NoCommonLRU},
		make:  newHash},
	Array: {Kernel: "BPF_MAP_TYPE_ARRAY", Short: "array", Since: kver.V(3, 19), DirectValue: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true,
		rules: rules{key: sizes{4, 4}, value: sizes{1, anySize}, flags: arrayFlags | Mmapable | InnerMap},
		make:  newArray},
	ProgArray:      {Kernel: "BPF_MAP_TYPE_PROG_ARRAY", Short: "prog_array", Since: kver.V(4, 2)},
	PerfEventArray: {Kernel: "BPF_MAP_TYPE_PERF_EVENT_ARRAY", Short: "perf_event_array", Since: kver.V(4, 3)},
	PerCPUHash: {Kernel: "BPF_MAP_TYPE_PERCPU_HASH", Short: "percpu_hash", Since: kver.V(4, 6), Hashed: true, PerCPU: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true, ByPercpu: true,
		rules: rules{key: sizes{1, anySize}, value: sizes{1, anySize}, flags: hashFlags &^ NoCommonLRU},
		make:  newHash},
	PerCPUArray: {Kernel: "BPF_MAP_TYPE_PERCPU_ARRAY", Short: "percpu_array", Since: kver.V(4, 6), PerCPU: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true, ByPercpu: true,
		rules: rules{key: sizes{4, 4}, value: sizes{1, anySize}, flags: arrayFlags},
		make:  newArray},
}
