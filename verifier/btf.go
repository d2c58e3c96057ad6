package verifier

import (
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
)

// Without a BTF file the verifier knows of struct bpf_map what all kernels of a series have in common: its first members.
var builtinTypes = []struct {
	since kver.Version
	types *btf.Types
}{
	{kver.V(6, 18), builtin("u8 sha[32]; u32 excl;" + mapHead + "u64 map_extra; u32 map_flags; u32 id;")},
	{kver.V(6, 2), builtin(mapHead + "u64 map_extra; u32 map_flags; u32 id;")},
	{kver.V(5, 16), builtin(mapHead + "u64 map_extra; u32 map_flags;")},
	{kver.V(5, 9), builtin(mapHead + "u32 map_flags;")},
}

const mapHead = `const struct bpf_map_ops *ops; struct bpf_map *inner_map_meta; void *security;
	enum bpf_map_type map_type; u32 key_size; u32 value_size; u32 max_entries;`

// sockets are structs that begin with others, which they may stand for. Of their members nothing else is known.
const sockets = `
	struct sock_common { u8 state; };
	struct sock { struct sock_common common; };
	struct unix_sock { struct sock sk; };
	struct inet_sock { struct sock sk; };
	struct udp_sock { struct inet_sock inet; };
	struct udp6_sock { struct udp_sock udp; };
	struct inet_connection_sock { struct inet_sock inet; };
	struct mptcp_sock { struct inet_connection_sock sk; };
	struct tcp_sock { struct inet_connection_sock conn; };
	struct tcp6_sock { struct tcp_sock tcp; };
	struct request_sock { struct sock_common common; };
	struct inet_request_sock { struct request_sock req; };
	struct tcp_request_sock { struct inet_request_sock req; };
	struct inet_timewait_sock { struct sock_common common; };
	struct tcp_timewait_sock { struct inet_timewait_sock tw; };`

func builtin(bpfMap string) *btf.Types {
	return btf.MustDeclare("struct bpf_map { " + bpfMap + " };" + sockets)
}

// mapStructs are the structs that the kernel makes maps of (map_btf_id of the map's operations).
var mapStructs = map[maps.Type]string{
	maps.Hash: "bpf_htab", maps.PerCPUHash: "bpf_htab", maps.LRUHash: "bpf_htab", maps.LRUPerCPUHash: "bpf_htab", maps.HashOfMaps: "bpf_htab",
	maps.Array: "bpf_array", maps.PerCPUArray: "bpf_array", maps.ProgArray: "bpf_array", maps.PerfEventArray: "bpf_array",
	maps.CgroupArray: "bpf_array", maps.ArrayOfMaps: "bpf_array",
	maps.StackTrace: "bpf_stack_map", maps.LPMTrie: "lpm_trie", maps.DevMap: "bpf_dtab", maps.DevMapHash: "bpf_dtab",
	maps.SockMap: "bpf_stab", maps.SockHash: "bpf_shtab", maps.CPUMap: "bpf_cpu_map", maps.XSKMap: "xsk_map",
	maps.CgroupStorage: "bpf_cgroup_storage_map", maps.PerCPUCgroupStorage: "bpf_cgroup_storage_map",
	maps.ReuseportSockArray: "reuseport_array", maps.Queue: "bpf_queue_stack", maps.Stack: "bpf_queue_stack",
	maps.SKStorage: "bpf_local_storage_map", maps.InodeStorage: "bpf_local_storage_map", maps.TaskStorage: "bpf_local_storage_map",
	maps.CgrpStorage: "bpf_local_storage_map", maps.StructOps: "bpf_struct_ops_map", maps.RingBuf: "bpf_ringbuf_map",
	maps.UserRingBuf: "bpf_ringbuf_map", maps.BloomFilter: "bpf_bloom_filter", maps.Arena: "bpf_arena",
}

// kernelTypes are the types of the profile's kernel: those of the given BTF, else the few that are known without.
func (v *verifier) kernelTypes() *btf.Types {
	if v.kernel == nil {
		v.kernel = v.givenBTF
		for i := len(builtinTypes) - 1; i >= 0 && v.givenBTF == nil; i-- {
			if v.kernel == nil || v.profile.Kernel.AtLeast(builtinTypes[i].since) {
				v.kernel = builtinTypes[i].types
			}
		}
	}
	return v.kernel
}

// typesOf are the types that a BTF pointer's type is one of, and its id there.
func (v *verifier) typesOf(r *reg) (*btf.Types, btf.ID) {
	if r.aux < 0 {
		return v.prog.Types, btf.ID(^r.aux)
	}
	return v.kernelTypes(), btf.ID(r.aux)
}

// typeName is the name of the type that a BTF pointer points to.
func (v *verifier) typeName(r *reg) string {
	if r.aux < 0 {
		return v.prog.Types.At(btf.ID(^r.aux)).Name
	}
	return v.structName(r.aux)
}

// needBTF refuses what cannot be known without the kernel's types.
func (v *verifier) needBTF(format string, args ...any) *Error {
	return v.fail(NeedsBTF, format+" is not known without BTF of the kernel", args...)
}

// accessMapPtr checks a load from a map itself, as from a struct of the kernel (kernel: check_ptr_to_map_access).
func (v *verifier) accessMapPtr(a *access, r *reg, off int64) *Error {
	m := v.mapOf(r)
	name, known := mapStructs[m.Type]
	switch {
	case !v.profile.MapStructs:
		return v.failMemType(a, r)
	case !known:
		return v.fail(MapMisuse, "map_ptr access not supported for map type %d", m.Type)
	case !v.profile.PointerLeaks:
		return v.fail(PointerLeak, "'struct %s' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", name)
	case off < 0:
		return v.fail(MapMisuse, "R%d is %s invalid negative access: off=%d", a.n, name, off)
	case a.write:
		return v.fail(MapMisuse, "only read from %s is supported", name)
	}
	from := reg{typ: ptrBTF}
	types := v.kernelTypes()
	if v.givenBTF == nil {
		name = "bpf_map" // which they all begin with
	}
	id, ok := types.Find(btf.Struct, name)
	if size, _ := types.Size(id); !ok || v.givenBTF == nil && off+int64(a.size) > int64(size) {
		return v.needBTF("what struct %s has at offset %d", mapStructs[m.Type], off)
	}
	from.aux = int32(id)
	w, err := v.structAccess(&from, off, a.size)
	if err != nil {
		return err
	}
	v.loadedBTF(a, &from, w, w.flags)
	return nil
}

// walked is what lies in a struct at an offset.
type walked struct {
	kind  walkKind
	id    btf.ID   // walkPtr: the struct that is pointed to; walkStruct: the one that begins there
	flags regFlags // of the pointer
	field string   // name of the pointer
}

type walkKind uint8

const (
	walkScalar walkKind = iota
	walkPtr             // pointer to a struct
	walkMem             // pointer to something else
	walkStruct
)

// structAccess says what a load of size bytes at off yields: a scalar or a pointer (kernel: btf_struct_access).
func (v *verifier) structAccess(r *reg, off int64, size int) (walked, *Error) {
	types, id := v.typesOf(r)
	w := walked{id: id}
	for range maxNesting {
		err := v.walkStruct(types, off, size, r.flags&alloc == 0, &w)
		if err != nil || w.kind != walkStruct {
			if r.flags&alloc != 0 {
				w.kind = walkScalar
			}
			return w, err
		}
		off = 0
	}
	return w, v.fail(BTFAccess, "struct %s is nested too deeply", types.At(id).Name)
}

// maxNesting bounds structs within structs.
const maxNesting = 32

// walkStruct finds what the struct w.id has at [off, off+size): the innermost member, or a struct that begins there
// (kernel: btf_struct_walk).
func (v *verifier) walkStruct(types *btf.Types, off int64, size int, flex bool, w *walked) *Error {
	for range maxNesting {
		w.id = types.Resolve(w.id)
		t := types.At(w.id)
		switch {
		case t.Kind == btf.Fwd || w.id == 0:
			return v.needBTF("struct %s", t.Name)
		case !t.Struct():
			return v.fail(BTFAccess, "Type '%s' is not a struct", t.Name)
		}
		members := types.Members(t)
		if t.Kind == btf.Union && len(members) != 1 {
			w.flags |= untrusted
		}
		end := off + int64(size)
		if end > int64(t.Size) {
			elem, ok := flexible(types, members, off)
			if !flex || !ok {
				return v.fail(BTFAccess, "access beyond struct %s at off %d size %d", t.Name, off, size)
			}
			w.id = elem.Type
			if types.At(elem.Type).Kind == btf.Int {
				w.kind = walkScalar
				return nil
			}
			off = (off - int64(members[len(members)-1].Off/8)) % int64(elem.Size)
			continue
		}
		inner, at, err := v.walkMembers(types, t, off, size, w)
		if err != nil || inner == 0 {
			return err
		}
		w.id, off = inner, off-at
		if off == 0 {
			w.kind = walkStruct
			return nil
		}
	}
	return v.fail(BTFAccess, "struct %s is nested too deeply", types.At(w.id).Name)
}

// flexible finds the element of an array without a length that ends a struct: a number or a struct.
func flexible(types *btf.Types, members []btf.Member, off int64) (btf.Elem, bool) {
	if len(members) == 0 {
		return btf.Elem{}, false
	}
	last := members[len(members)-1]
	array := types.At(types.Resolve(last.Type))
	if array.Kind != btf.Array || array.Size != 0 || off < int64(last.Off/8) {
		return btf.Elem{}, false
	}
	id := types.Resolve(array.Ref)
	t := types.At(id)
	if t.Kind != btf.Int && !(t.Struct() && t.Size > 0) {
		return btf.Elem{}, false
	}
	return btf.Elem{Type: id, Size: t.Size}, true
}

// walkMembers looks for [off, off+size) among the members of t. It returns the struct inside t that has it and where that
// lies, or 0 and leaves in w what was found.
func (v *verifier) walkMembers(types *btf.Types, t *btf.Type, off int64, size int, w *walked) (inner btf.ID, at int64, err *Error) {
	end := off + int64(size)
	for _, m := range types.Members(t) {
		at := int64(m.Off / 8)
		if end <= at {
			break
		}
		if m.Bits != 0 {
			if off <= at && int64(m.Off+m.Bits+7)/8 <= end {
				w.kind = walkScalar
				return 0, 0, nil
			}
			continue
		}
		if off < at {
			break // a hole
		}
		elem, ok := types.Elements(m.Type)
		if !ok {
			return 0, 0, v.fail(BTFAccess, "field %s doesn't have size", m.Name)
		}
		trueEnd := at + int64(elem.Size)
		if off >= trueEnd {
			continue
		}
		one := int64(elem.Size / elem.Count) // an array is like so many members
		at += (off - at) / one * one
		e := types.At(elem.Type)
		if e.Struct() {
			return elem.Type, at, nil
		}
		if e.Kind == btf.Ptr {
			if one != int64(size) || off != at {
				return 0, 0, v.fail(BTFAccess, "cannot access ptr member %s with moff %d in struct %s with off %d size %d",
					m.Name, at, t.Name, off, size)
			}
			w.pointer(types, e, m.Name)
			return 0, 0, nil
		}
		if end > trueEnd && w.flags&untrusted == 0 {
			return 0, 0, v.fail(BTFAccess, "access beyond the end of member %s (mend:%d) in struct %s with off %d size %d",
				m.Name, trueEnd, t.Name, off, size)
		}
		w.kind = walkScalar
		return 0, 0, nil
	}
	return 0, 0, v.fail(BTFAccess, "struct %s doesn't have field at offset %d", t.Name, off)
}

// pointer notes what a member that is a pointer points to.
func (w *walked) pointer(types *btf.Types, ptr *btf.Type, field string) {
	to := types.Resolve(ptr.Ref)
	if !types.At(to).Struct() && types.At(to).Kind != btf.Fwd {
		w.kind = walkMem
		return
	}
	w.kind, w.id, w.field = walkPtr, to, field
	if tag := types.At(ptr.Ref); tag.Kind == btf.TypeTag {
		w.flags |= tagFlags[tag.Name]
	}
}

// tagFlags are the type tags that say something of a pointer.
var tagFlags = map[string]regFlags{"user": userMem, "percpu": perCPU, "rcu": rcu}

// loadedBTF puts what a load from a struct of the kernel yields into the register that it goes to (kernel: mark_btf_ld_reg).
func (v *verifier) loadedBTF(a *access, from *reg, w walked, flags regFlags) {
	if a.write || a.value == noValue {
		return
	}
	if !v.laidOut(from) {
		v.noteKernel() // also when nobody looks at what was read: checked mode finds the access
	}
	dst := &v.regs()[a.value]
	*dst = unknownReg()
	switch {
	case w.kind == walkPtr:
		*dst = ptrReg(ptrBTF)
		dst.flags = flags
		if dst.aux = int32(w.id); from.aux < 0 {
			dst.aux = int32(^w.id)
		}
	case w.kind == walkMem && v.profile.Kernel.AtLeast(kver.V(6, 17)):
		*dst = ptrReg(ptrMem)
		dst.flags = readOnly | untrusted
	}
	if dst.null() {
		dst.id = v.newID()
	}
}

// accessBTF checks an access to an object of the kernel, or of a type of the program (kernel: check_ptr_to_btf_access).
func (v *verifier) accessBTF(a *access, r *reg, off int64) *Error {
	name := v.typeName(r)
	fail := func(code Code, format string, args ...any) *Error {
		return v.fail(code, "R%d is ptr_%s "+format, append([]any{a.n, name}, args...)...)
	}
	switch {
	case !v.profile.PointerLeaks:
		return v.fail(PointerLeak, "'struct %s' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", name)
	case r.aux >= 0 && v.givenBTF == nil:
		return v.needBTF("struct %s", name)
	case !v.prog.GPL() && r.aux >= 0:
		return v.fail(NeedsGPL, "Cannot access kernel 'struct %s' from non-GPL compatible program", name)
	case off < 0:
		return fail(BTFAccess, "invalid negative access: off=%d", off)
	case !r.tn.Equals(0):
		return fail(BTFAccess, "invalid variable offset: off=%d, var_off=%v", off, r.tn)
	case r.flags&userMem != 0:
		return fail(BTFAccess, "access user memory: off=%d", off)
	case r.flags&perCPU != 0:
		return fail(BTFAccess, "access percpu memory: off=%d", off)
	case a.write && (r.flags&untrusted != 0 || r.flags&alloc == 0):
		return v.fail(ReadOnlyMem, "only read is supported")
	}
	if types, id := v.typesOf(r); int(id) >= types.Len() || id == 0 {
		return v.needBTF("what struct %s has at offset %d", name, off)
	}
	w, err := v.structAccess(r, off, a.size)
	if err != nil {
		return err
	}
	from := *r // the load may go to the same register
	v.loadedBTF(a, &from, w, v.inherited(&from, w))
	return nil
}

// inherited is what a pointer that was loaded through another has of its trust.
func (v *verifier) inherited(from *reg, w walked) regFlags {
	const trust = trusted | rcu
	switch {
	case from.flags&untrusted != 0:
		return untrusted
	case !v.profile.Kernel.AtLeast(kver.V(6, 2)) || !from.trusted() && from.flags&rcu == 0:
		return w.flags &^ (trust | untrusted)
	case v.safeField(from, w, "__safe_trusted"):
		return w.flags | trusted
	case v.safeField(from, w, "__safe_trusted_or_null"):
		return w.flags | trusted | maybeNull
	case !v.inRCU() || from.null():
		return untrusted
	case v.safeField(from, w, "__safe_rcu"):
		return w.flags | rcu
	case v.safeField(from, w, "__safe_rcu_or_null"):
		return (w.flags | rcu | maybeNull) &^ untrusted
	case w.flags&rcu != 0:
		return w.flags | maybeNull
	case w.flags&(perCPU|userMem) != 0:
		return w.flags
	}
	return w.flags &^ (trust | untrusted)
}

// trusted reports whether a pointer's object surely lives (kernel: is_trusted_reg).
func (r *reg) trusted() bool {
	const good, bad = trusted | alloc | nonOwning, maybeNull | readOnly | rcu | untrusted | perCPU | userMem
	return r.ref != 0 || r.isSock() || r.flags&good != 0 && r.flags&bad == 0
}

// safeField reports whether the kernel says that a pointer in a struct may be trusted as far as the struct: it lists such
// members in a struct of that name and suffix (kernel: btf_nested_type_is_trusted).
func (v *verifier) safeField(from *reg, w walked, suffix string) bool {
	types := v.kernelTypes()
	id, ok := types.Find(btf.Struct, v.typeName(from)+suffix)
	if !ok || from.aux < 0 {
		return false
	}
	for _, m := range types.Members(types.At(id)) {
		if m.Name == w.field && types.Resolve(types.At(types.Resolve(m.Type)).Ref) == w.id {
			return true
		}
	}
	return false
}
