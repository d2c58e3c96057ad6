package maps

// rules are the kernel's demands on a Spec, as data (Linux: the map types' map_alloc_check and map_alloc).
type rules struct {
	key, value sizes
	flags      uint32 // that may be given
	need       uint32 // that must be given
	refused    uint32 // that are known but give ENOTSUPP
	keyStep    uint32 // key size is a multiple of it; 0 is any
	valueStep  uint32 // value size is a multiple of it; 0 is any
	keyLimit   uint32 // a larger key gives E2BIG; 0 is no limit
	valueLimit uint32 // a larger value gives E2BIG; 0 is no limit
	noEntries  bool   // max_entries may be 0
	maxEntries uint32 // 0 is no limit; more gives E2BIG
	mustBeZero bool   // max_entries is 0
	pages      bool   // max_entries is a power of two and a multiple of the page size
	extra      uint64 // bits of map_extra that may be given
	sizesFirst bool   // sizes are checked before flags
	noAccess   bool   // ReadOnlyProg and WriteOnlyProg give EINVAL
}

// sizes is an inclusive range.
type sizes struct{ min, max uint32 }

const (
	anySize       = 1<<32 - 1
	intMax        = 1<<31 - 1
	kmallocMax    = 4 << 20  // KMALLOC_MAX_SIZE with 4 KiB pages
	htabElem      = 48       // sizeof(struct htab_elem)
	perCPUUnit    = 32 << 10 // PCPU_MIN_UNIT_SIZE
	kernelPage    = 4096
	maxCPUs       = 8192 // NR_CPUS of distributions' kernels
	lpmKeyMin     = 5
	lpmKeyMax     = 260
	cpuMapQueue   = 16384
	lpmNode       = 40 // sizeof(struct lpm_trie_node)
	lpmDataMax    = 256
	lpmValueMax   = kmallocMax - lpmDataMax - lpmNode
	bloomHashMask = 0xf
	stackDepthMax = 127 // sysctl_perf_event_max_stack
	sockKeyMax    = 512 // MAX_BPF_STACK
	// A storage element is allocated as a whole and its size is kept in 16 bits (Linux: BPF_LOCAL_STORAGE_MAX_VALUE_SIZE).
	storageValueMax = 1<<16 - 1 - 144
)

// check returns what creation fails with, 0 when the Spec is fine.
func (r *rules) check(s *Spec, row *Row) (Errno, string) {
	flags, need := s.Flags, r.need
	switch {
	case flags&ReadOnly != 0 && flags&WriteOnly != 0:
		return EINVAL, "neither readable nor writable by user space"
	case s.Extra&^r.extra != 0:
		return EINVAL, "map_extra that this map type does not have"
	case r.sizesFirst && r.keyFits(s) && s.ValueSize > r.valueLimit:
		return E2BIG, "value too large"
	case flags&^(r.flags|r.refused) != 0:
		return EINVAL, "flags that this map type does not have"
	case flags&need != need:
		return EINVAL, "flags that this map type needs are missing"
	case flags&ReadOnlyProg != 0 && flags&WriteOnlyProg != 0:
		return EINVAL, "neither readable nor writable by programs"
	case r.noAccess && flags&(ReadOnlyProg|WriteOnlyProg) != 0:
		return EINVAL, "read-only and write-only are not for this map type"
	case flags&r.refused != 0:
		return ENOTSUPP, "flags that this map type does not support"
	case flags&NUMANode != 0 && row.PerCPU && !r.mustBeZero: // cgroup storage takes one, and ignores it
		return EINVAL, "a NUMA node for a per-CPU map"
	case !r.keyFits(s):
		return EINVAL, "key size out of range"
	case s.MaxEntries == 0 && !r.noEntries:
		return EINVAL, "max_entries is 0"
	case s.MaxEntries != 0 && r.mustBeZero:
		return EINVAL, "max_entries is not 0"
	case r.pages && (s.MaxEntries&(s.MaxEntries-1) != 0 || s.MaxEntries%kernelPage != 0):
		return EINVAL, "max_entries is not a power of two of whole pages"
	case !r.value.has(s.ValueSize), r.valueStep != 0 && s.ValueSize%r.valueStep != 0:
		return EINVAL, "value size out of range"
	}
	return r.checkLimits(s, row)
}

func (r *rules) keyFits(s *Spec) bool {
	return r.key.has(s.KeySize) && (r.keyStep == 0 || s.KeySize%r.keyStep == 0)
}

// checkLimits is the part of check that gives E2BIG.
func (r *rules) checkLimits(s *Spec, row *Row) (Errno, string) {
	switch {
	case r.keyLimit != 0 && s.KeySize > r.keyLimit:
		return E2BIG, "key too large"
	case r.valueLimit != 0 && s.ValueSize > r.valueLimit:
		return E2BIG, "value too large"
	case row.Hashed && uint64(s.KeySize)+uint64(s.ValueSize) >= kmallocMax-htabElem:
		return E2BIG, "key and value too large"
	case row.PerCPU && s.ValueSize > perCPUUnit:
		return E2BIG, "value too large for a per-CPU map"
	case r.maxEntries != 0 && s.MaxEntries > r.maxEntries:
		return E2BIG, "max_entries too large"
	}
	return 0, ""
}

func (s sizes) has(n uint32) bool { return s.min <= n && n <= s.max }
