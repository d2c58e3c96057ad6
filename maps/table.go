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
	Sockets     bool // elements are sockets, by their guest address: a lookup yields one
	DirectValue bool // value 0 may be addressed by a 64-bit immediate load

	Hashed bool // keys are hashed, elements come and go

	rules rules
	host  hostRules
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
	hashFlags  = NoPrealloc | NUMANode | accessMask | ZeroSeed
	arrayFlags = NUMANode | accessMask
)

// Types has a row for each map type, by number. Since is the release that first had it; capabilities are those of 6.18.
// An update or delete that is not allowed to programs may still be open to the host.
var Types = [NumTypes]Row{
	Unspec: {Kernel: "BPF_MAP_TYPE_UNSPEC", Short: "unspec"},
	Hash: {Kernel: "BPF_MAP_TYPE_HASH", Short: "hash", Since: kver.V(3, 19), Hashed: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true,
		rules: rules{key: sizes{1, anySize}, value: sizes{1, anySize}, flags: hashFlags},
		host:  hostRules{take: true, batch: hashBatches},
		make:  newHash},
	Array: {Kernel: "BPF_MAP_TYPE_ARRAY", Short: "array", Since: kver.V(3, 19), DirectValue: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true,
		rules: rules{key: sizes{4, 4}, value: sizes{1, anySize}, flags: arrayFlags | Mmapable | InnerMap, valueLimit: intMax},
		host:  hostRules{batch: arrayBatches},
		make:  newArray},
	ProgArray: {Kernel: "BPF_MAP_TYPE_PROG_ARRAY", Short: "prog_array", Since: kver.V(4, 2),
		rules: rules{key: sizes{4, 4}, value: sizes{4, 4}, flags: arrayFlags, noAccess: true},
		make:  newRefArray},
	PerfEventArray: {Kernel: "BPF_MAP_TYPE_PERF_EVENT_ARRAY", Short: "perf_event_array", Since: kver.V(4, 3),
		rules: rules{key: sizes{4, 4}, value: sizes{4, 4}, flags: arrayFlags | PreserveElems, noAccess: true, noEntries: true},
		host:  hostRules{lookup: ENOTSUPP},
		make:  newPerfEvents},
	PerCPUHash: {Kernel: "BPF_MAP_TYPE_PERCPU_HASH", Short: "percpu_hash", Since: kver.V(4, 6), Hashed: true, PerCPU: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true, ByPercpu: true,
		rules: rules{key: sizes{1, anySize}, value: sizes{1, anySize}, flags: hashFlags},
		host:  hostRules{take: true, batch: hashBatches},
		make:  newHash},
	PerCPUArray: {Kernel: "BPF_MAP_TYPE_PERCPU_ARRAY", Short: "percpu_array", Since: kver.V(4, 6), PerCPU: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true, ByPercpu: true,
		rules: rules{key: sizes{4, 4}, value: sizes{1, anySize}, flags: arrayFlags, valueLimit: intMax},
		host:  hostRules{batch: arrayBatches},
		make:  newArray},
	StackTrace: {Kernel: "BPF_MAP_TYPE_STACK_TRACE", Short: "stack_trace", Since: kver.V(4, 6),
		rules: rules{key: sizes{4, 4}, value: sizes{8, buildIDSize * stackDepthMax}, valueStep: 8,
			flags: NUMANode | ReadOnly | WriteOnly | StackBuildID},
		host: hostRules{update: EINVAL, take: true},
		make: newStackTraces},
	CgroupArray: {Kernel: "BPF_MAP_TYPE_CGROUP_ARRAY", Short: "cgroup_array", Since: kver.V(4, 8),
		rules: rules{key: sizes{4, 4}, value: sizes{4, 4}, flags: arrayFlags, noAccess: true},
		host:  hostRules{lookup: ENOTSUPP},
		make:  newRefArray},
	LRUHash: {Kernel: "BPF_MAP_TYPE_LRU_HASH", Short: "lru_hash", Since: kver.V(4, 10), Hashed: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true,
		rules: rules{key: sizes{1, anySize}, value: sizes{1, anySize}, flags: hashFlags | NoCommonLRU, refused: NoPrealloc},
		host:  hostRules{take: true, batch: hashBatches},
		make:  newLRU},
	LRUPerCPUHash: {Kernel: "BPF_MAP_TYPE_LRU_PERCPU_HASH", Short: "lru_percpu_hash", Since: kver.V(4, 10), Hashed: true, PerCPU: true,
		ByLookup: true, ByUpdate: true, ByDelete: true, ByForEach: true, ByPercpu: true,
		rules: rules{key: sizes{1, anySize}, value: sizes{1, anySize}, flags: hashFlags | NoCommonLRU, refused: NoPrealloc},
		host:  hostRules{take: true, batch: hashBatches},
		make:  newLRU},
	LPMTrie: {Kernel: "BPF_MAP_TYPE_LPM_TRIE", Short: "lpm_trie", Since: kver.V(4, 11), Hashed: true,
		ByLookup: true, ByUpdate: true, ByDelete: true,
		rules: rules{key: sizes{lpmKeyMin, lpmKeyMax}, value: sizes{1, lpmValueMax},
			flags: NoPrealloc | NUMANode | accessMask, need: NoPrealloc},
		host: hostRules{batch: lookupBatch | updateBatch | deleteBatch},
		make: newLPM},
	ArrayOfMaps: {Kernel: "BPF_MAP_TYPE_ARRAY_OF_MAPS", Short: "array_of_maps", Since: kver.V(4, 12), MapInMap: true,
		ByLookup: true,
		rules:    rules{key: sizes{4, 4}, value: sizes{4, 4}, flags: arrayFlags, noAccess: true},
		host:     hostRules{batch: arrayBatches},
		make:     newRefArray},
	HashOfMaps: {Kernel: "BPF_MAP_TYPE_HASH_OF_MAPS", Short: "hash_of_maps", Since: kver.V(4, 12), Hashed: true, MapInMap: true,
		ByLookup: true,
		rules:    rules{key: sizes{1, anySize}, value: sizes{4, 4}, flags: hashFlags},
		host:     hostRules{batch: hashBatches},
		make:     newHashOfRefs},
	DevMap: {Kernel: "BPF_MAP_TYPE_DEVMAP", Short: "devmap", Since: kver.V(4, 14),
		ByLookup: true, ByRedirect: true,
		rules: rules{key: sizes{4, 4}, value: sizes{4, 8}, valueStep: 4, flags: NUMANode | ReadOnly | WriteOnly},
		make:  newRefArray},
	SockMap: {Kernel: "BPF_MAP_TYPE_SOCKMAP", Short: "sockmap", Since: kver.V(4, 14), Sockets: true,
		ByLookup: true, ByUpdate: true, ByDelete: true,
		rules: rules{key: sizes{4, 4}, value: sizes{4, 8}, valueStep: 4, flags: NUMANode | ReadOnly | WriteOnly, maxEntries: intMax},
		host:  hostRules{cookie: true},
		make:  newRefArray},
	CPUMap: {Kernel: "BPF_MAP_TYPE_CPUMAP", Short: "cpumap", Since: kver.V(4, 15),
		ByRedirect: true,
		rules:      rules{key: sizes{4, 4}, value: sizes{4, 8}, valueStep: 4, flags: NUMANode, maxEntries: maxCPUs},
		make:       newRefArray},
	XSKMap: {Kernel: "BPF_MAP_TYPE_XSKMAP", Short: "xskmap", Since: kver.V(4, 18),
		ByLookup: true, ByRedirect: true,
		rules: rules{key: sizes{4, 4}, value: sizes{4, 4}, flags: NUMANode | ReadOnly | WriteOnly},
		host:  hostRules{lookup: EOPNOTSUPP},
		make:  newRefArray},
	SockHash: {Kernel: "BPF_MAP_TYPE_SOCKHASH", Short: "sockhash", Since: kver.V(4, 18), Hashed: true, Sockets: true,
		ByLookup: true, ByUpdate: true, ByDelete: true,
		rules: rules{key: sizes{1, anySize}, keyLimit: sockKeyMax, value: sizes{4, 8}, valueStep: 4, flags: NUMANode | ReadOnly | WriteOnly},
		host:  hostRules{cookie: true},
		make:  newHashOfRefs},
	CgroupStorage: {Kernel: "BPF_MAP_TYPE_CGROUP_STORAGE", Short: "cgroup_storage", Since: kver.V(4, 19),
		rules: rules{key: sizes{cgroupKey, cgroupAttachKey}, keyStep: 8, value: sizes{1, anySize}, valueLimit: storageValueMax, flags: NUMANode | accessMask,
			noEntries: true, mustBeZero: true, sizesFirst: true},
		host: hostRules{del: EINVAL},
		make: newCgroupStorage},
	ReuseportSockArray: {Kernel: "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY", Short: "reuseport_sockarray", Since: kver.V(4, 19), Sockets: true,
		rules: rules{key: sizes{4, 4}, value: sizes{4, 8}, valueStep: 4, flags: arrayFlags},
		host:  hostRules{cookie: true},
		make:  newRefArray},
	PerCPUCgroupStorage: {Kernel: "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE", Short: "percpu_cgroup_storage", Since: kver.V(4, 20), PerCPU: true,
		rules: rules{key: sizes{cgroupKey, cgroupAttachKey}, keyStep: 8, value: sizes{1, anySize}, valueLimit: perCPUUnit, flags: NUMANode | accessMask,
			noEntries: true, mustBeZero: true, sizesFirst: true},
		host: hostRules{del: EINVAL},
		make: newCgroupStorage},
	Queue: {Kernel: "BPF_MAP_TYPE_QUEUE", Short: "queue", Since: kver.V(4, 20),
		ByPush: true, ByPop: true, ByPeek: true,
		rules: rules{value: sizes{1, anySize}, valueLimit: kmallocMax, flags: NUMANode | accessMask},
		host:  hostRules{take: true, del: EINVAL, next: EINVAL},
		make:  newQueue},
	Stack: {Kernel: "BPF_MAP_TYPE_STACK", Short: "stack", Since: kver.V(4, 20),
		ByPush: true, ByPop: true, ByPeek: true,
		rules: rules{value: sizes{1, anySize}, valueLimit: kmallocMax, flags: NUMANode | accessMask},
		host:  hostRules{take: true, del: EINVAL, next: EINVAL},
		make:  newQueue},
	SKStorage: {Kernel: "BPF_MAP_TYPE_SK_STORAGE", Short: "sk_storage", Since: kver.V(5, 2),
		rules: rules{key: sizes{4, 4}, value: sizes{1, anySize}, valueLimit: storageValueMax, flags: NoPrealloc | Clone, need: NoPrealloc,
			noEntries: true, mustBeZero: true},
		host: hostRules{next: ENOTSUPP},
		make: newStorage},
	DevMapHash: {Kernel: "BPF_MAP_TYPE_DEVMAP_HASH", Short: "devmap_hash", Since: kver.V(5, 4), Hashed: true,
		ByLookup: true, ByRedirect: true,
		rules: rules{key: sizes{4, 4}, value: sizes{4, 8}, valueStep: 4, flags: NUMANode | ReadOnly | WriteOnly},
		make:  newDevHash},
	StructOps: {Kernel: "BPF_MAP_TYPE_STRUCT_OPS", Short: "struct_ops", Since: kver.V(5, 6)},
	RingBuf: {Kernel: "BPF_MAP_TYPE_RINGBUF", Short: "ringbuf", Since: kver.V(5, 8),
		rules: rules{flags: NUMANode, pages: true},
		host:  hostRules{lookup: ENOTSUPP, update: ENOTSUPP, del: ENOTSUPP, next: ENOTSUPP},
		make:  newRing},
	InodeStorage: {Kernel: "BPF_MAP_TYPE_INODE_STORAGE", Short: "inode_storage", Since: kver.V(5, 10),
		rules: rules{key: sizes{4, 4}, value: sizes{1, anySize}, valueLimit: storageValueMax, flags: NoPrealloc | Clone, need: NoPrealloc,
			noEntries: true, mustBeZero: true},
		host: hostRules{next: ENOTSUPP},
		make: newStorage},
	TaskStorage: {Kernel: "BPF_MAP_TYPE_TASK_STORAGE", Short: "task_storage", Since: kver.V(5, 11),
		rules: rules{key: sizes{4, 4}, value: sizes{1, anySize}, valueLimit: storageValueMax, flags: NoPrealloc | Clone, need: NoPrealloc,
			noEntries: true, mustBeZero: true},
		host: hostRules{next: ENOTSUPP},
		make: newStorage},
	BloomFilter: {Kernel: "BPF_MAP_TYPE_BLOOM_FILTER", Short: "bloom_filter", Since: kver.V(5, 16),
		ByPush: true, ByPeek: true,
		rules: rules{value: sizes{1, anySize}, valueLimit: kmallocMax, flags: NUMANode | ZeroSeed | accessMask, extra: bloomHashMask},
		host:  hostRules{lookup: EINVAL, del: EOPNOTSUPP, next: EOPNOTSUPP},
		make:  newBloom},
	UserRingBuf: {Kernel: "BPF_MAP_TYPE_USER_RINGBUF", Short: "user_ringbuf", Since: kver.V(6, 1),
		rules: rules{flags: NUMANode, pages: true},
		host:  hostRules{lookup: ENOTSUPP, update: ENOTSUPP, del: ENOTSUPP, next: ENOTSUPP},
		make:  newUserRing},
	CgrpStorage: {Kernel: "BPF_MAP_TYPE_CGRP_STORAGE", Short: "cgrp_storage", Since: kver.V(6, 2),
		rules: rules{key: sizes{4, 4}, value: sizes{1, anySize}, valueLimit: storageValueMax, flags: NoPrealloc | Clone, need: NoPrealloc,
			noEntries: true, mustBeZero: true},
		host: hostRules{next: ENOTSUPP},
		make: newStorage},
	Arena: {Kernel: "BPF_MAP_TYPE_ARENA", Short: "arena", Since: kver.V(6, 9),
		rules: rules{flags: Mmapable | SegvOnFault | NoUserConv, need: Mmapable, extra: ^uint64(kernelPage - 1)},
		host:  hostRules{lookup: EINVAL, update: EOPNOTSUPP, del: EOPNOTSUPP, next: EOPNOTSUPP},
		make:  newPages},
}
