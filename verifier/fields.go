package verifier

import (
	"slices"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// fieldSince are the releases that brought the special fields. An older kernel sees plain data.
var fieldSince = map[btf.FieldKind]kver.Version{
	btf.SpinLock: kver.V(5, 1), btf.Timer: kver.V(5, 15), btf.KptrUntrusted: kver.V(5, 19), btf.Kptr: kver.V(5, 19),
	btf.ListHead: kver.V(6, 2), btf.ListNode: kver.V(6, 2), btf.RBRoot: kver.V(6, 3), btf.RBNode: kver.V(6, 3),
	btf.Refcount: kver.V(6, 4), btf.KptrPerCPU: kver.V(6, 7), btf.Workqueue: kver.V(6, 10), btf.Uptr: kver.V(6, 13),
	btf.ResSpinLock: kver.V(6, 15), btf.TaskWork: kver.V(6, 18),
}

const kptrKinds btf.FieldKinds = 1<<btf.KptrUntrusted | 1<<btf.Kptr | 1<<btf.KptrPerCPU | 1<<btf.Uptr

// findFields finds the special fields of every map's values, by map and by the map inside it.
func (v *verifier) findFields() {
	n := len(v.prog.Maps)
	v.mapFields, v.innerFields = make([][]btf.Field, n), make([][]btf.Field, n)
	for i, m := range v.prog.Maps {
		v.mapFields[i] = v.specialFields(m)
		if m.Inner != nil {
			v.innerFields[i] = v.specialFields(m.Inner)
		}
	}
}

func (v *verifier) specialFields(m *maps.Spec) []btf.Field {
	all := m.Fields
	if m.Types == nil { // the map was not read from an object
		if off, ok := m.Lock(); ok {
			all = append(all, btf.Field{Kind: btf.SpinLock, Off: uint32(off), Size: 4})
		}
		if off, ok := m.Timer(); ok {
			all = append(all, btf.Field{Kind: btf.Timer, Off: uint32(off), Size: 16})
		}
	}
	var known []btf.Field
	for _, f := range all {
		if v.profile.Kernel.AtLeast(fieldSince[f.Kind]) {
			known = append(known, f)
		}
	}
	return known
}

// fieldMaps are the map types whose values may have a field of a kind (kernel: map_check_btf).
var fieldMaps = func() map[btf.FieldKind][]maps.Type {
	plain := []maps.Type{maps.Hash, maps.LRUHash, maps.Array}
	storage := []maps.Type{maps.SKStorage, maps.InodeStorage, maps.TaskStorage, maps.CgrpStorage}
	locked := append([]maps.Type{maps.Hash, maps.Array, maps.CgroupStorage}, storage...)
	pointers := append(append([]maps.Type{maps.PerCPUHash, maps.LRUPerCPUHash, maps.PerCPUArray}, plain...), storage...)
	return map[btf.FieldKind][]maps.Type{
		btf.SpinLock: locked, btf.ResSpinLock: locked, btf.Timer: plain, btf.Workqueue: plain, btf.TaskWork: plain,
		btf.ListHead: plain, btf.RBRoot: plain, btf.KptrUntrusted: pointers, btf.Kptr: pointers, btf.KptrPerCPU: pointers,
		btf.Refcount: pointers, btf.Uptr: {maps.TaskStorage},
	}
}()

// tracingWords name the fields that programs of the kprobe family can't use (kernel: check_map_prog_compatibility).
var tracingWords = map[btf.FieldKind]string{
	btf.ListHead: "bpf_{list_head,rb_root}", btf.RBRoot: "bpf_{list_head,rb_root}", btf.SpinLock: "bpf_spin_lock",
	btf.ResSpinLock: "bpf_spin_lock", btf.Timer: "bpf_timer", btf.Workqueue: "bpf_wq",
}

// checkMapUse checks that such a map can be made, and that programs of this type may use it.
func (v *verifier) checkMapUse(pc int, m *maps.Spec, fields []btf.Field) *Error {
	for _, f := range fields {
		words, refused := tracingWords[f.Kind]
		switch {
		case !slices.Contains(fieldMaps[f.Kind], m.Type):
			return v.failAt(pc, BadMap, "map %s: values of its type cannot have %s", m.Name, f.Kind)
		case !m.ProgReads() || !m.ProgWrites():
			return v.failAt(pc, BadMap, "map %s: a map with %s must be writable and readable", m.Name, f.Kind)
		case refused && v.kprobeLike():
			return v.failAt(pc, MapMisuse, "tracing progs cannot use %s yet", words)
		case locks.Has(f.Kind) && v.prog.Type == prog.SocketFilter:
			return v.failAt(pc, MapMisuse, "socket filter progs cannot use bpf_spin_lock yet")
		}
	}
	return nil
}

// kprobeLike reports whether the program may run anywhere in the kernel (kernel: is_tracing_prog_type).
func (v *verifier) kprobeLike() bool {
	switch v.prog.Type {
	case prog.Kprobe, prog.Tracepoint, prog.PerfEvent, prog.RawTracepoint, prog.RawTracepointWritable:
		return true
	}
	return false
}

// fields are the special fields of the value or object that r points to.
func (v *verifier) fields(r *reg) []btf.Field {
	switch {
	case r.typ == ptrBTF:
		return v.objectFields(r.aux)
	case r.aux >= 0:
		return v.mapFields[r.aux]
	}
	return v.innerFields[^r.aux]
}

// objectFields are the special fields of a struct of the program that aux of a pointer names.
func (v *verifier) objectFields(aux int32) []btf.Field {
	if aux >= 0 || v.prog.Types == nil {
		return nil
	}
	list, known := v.structFields[aux]
	if !known {
		list, _ = btf.Fields(v.prog.Types, btf.ID(^aux), btf.ObjectFields)
		if v.structFields == nil {
			v.structFields = make(map[int32][]btf.Field)
		}
		v.structFields[aux] = list
	}
	return list
}

// fieldOf returns the first field of one of the kinds.
func fieldOf(fields []btf.Field, kinds btf.FieldKinds) (btf.Field, bool) {
	for _, f := range fields {
		if kinds.Has(f.Kind) {
			return f, true
		}
	}
	return btf.Field{}, false
}

// fieldAt returns the field of one of the kinds at an offset.
func fieldAt(fields []btf.Field, kinds btf.FieldKinds, off int64) (btf.Field, bool) {
	for _, f := range fields {
		if kinds.Has(f.Kind) && int64(f.Off) == off {
			return f, true
		}
	}
	return btf.Field{}, false
}

// locks are the fields that a map value gets an id of its own for, which tells whose lock it is.
var locks = btf.Set(btf.SpinLock, btf.ResSpinLock)

func (v *verifier) hasLock(r *reg) bool {
	_, ok := fieldOf(v.fields(r), locks)
	return ok
}

// checkFields checks that an access to a map's value does not touch its special fields, but whole kptrs by themselves
// (kernel: check_map_access). direct says that it is a load or store of the program.
func (v *verifier) checkFields(r *reg, off, size int64, direct bool) *Error {
	for _, f := range v.fields(r) {
		at := int64(f.Off)
		if off+r.smin >= at+int64(f.Size) || at >= off+int64(r.umax)+size {
			continue
		}
		switch {
		case !kptrKinds.Has(f.Kind):
			return v.fail(SpecialField, "%s cannot be accessed directly by load/store", f.Kind)
		case !direct:
			return v.fail(SpecialField, "%s cannot be accessed indirectly by helper", f.Kind)
		case !r.isConst():
			return v.fail(SpecialField, "%s access cannot have variable offset", f.Kind)
		case off+int64(r.tn.Value) != at:
			return v.fail(SpecialField, "%s access misaligned expected=%d off=%d", f.Kind, at, off+int64(r.tn.Value))
		case size != 8:
			return v.fail(SpecialField, "%s access size must be BPF_DW", f.Kind)
		}
	}
	return nil
}

// accessKptr is a load or store of a kptr in a map's value (kernel: check_map_kptr_access).
func (v *verifier) accessKptr(a *access, f btf.Field) *Error {
	owns := f.Kind == btf.Kptr || f.Kind == btf.KptrPerCPU
	switch {
	case a.signed || a.strict:
		return v.fail(SpecialField, "kptr in map can only be accessed using BPF_MEM instruction mode")
	case a.write && owns:
		return v.fail(SpecialField, "store to referenced kptr disallowed")
	case a.write && f.Kind == btf.Uptr:
		return v.fail(SpecialField, "store to uptr disallowed")
	case a.isImm && a.imm != 0:
		return v.fail(SpecialField, "BPF_ST imm must be 0 when storing to kptr at off=%d", f.Off)
	case a.write && a.value != noValue && !v.regs()[a.value].isNull():
		return v.checkKptrValue(uint8(a.value), &v.regs()[a.value], f)
	case a.write || a.value == noValue:
		return nil
	}
	dst := &v.regs()[a.value]
	if f.Kind == btf.Uptr {
		size, _ := v.prog.Types.Size(f.Type)
		*dst = ptrReg(ptrMem)
		dst.flags, dst.aux, dst.id = maybeNull, int32(size), v.newID()
		return nil
	}
	*dst = ptrReg(ptrBTF)
	dst.aux, dst.id = v.kptrType(f), v.newID()
	dst.flags = maybeNull | untrusted
	if v.protectedByRCU(f, dst.aux) && v.inRCU() {
		dst.flags = maybeNull | rcu
		switch {
		case f.Kind == btf.KptrPerCPU:
			dst.flags |= perCPU
		case dst.aux < 0:
			dst.flags |= alloc
		}
	}
	return nil
}

// destructors are the kernel's types that a kptr may own (kernel: register_btf_id_dtor_kfuncs). Those with true are protected
// by RCU.
var destructors = map[string]bool{"task_struct": true, "cgroup": true, "bpf_cpumask": true, "bpf_crypto_ctx": true, "nf_conn": false}

// kptrType is aux of a pointer that a kptr holds: the kernel's struct of that name, else the program's own
// (kernel: btf_parse_kptr).
func (v *verifier) kptrType(f btf.Field) int32 {
	t := v.prog.Types.At(f.Type)
	_, known := destructors[t.Name]
	if id, ok := v.kernelTypes().Find(t.Kind, t.Name); ok {
		return int32(id)
	}
	if v.givenBTF == nil && (known || f.Kind == btf.KptrUntrusted) {
		return v.structID(t.Name)
	}
	return ^int32(f.Type)
}

func (v *verifier) protectedByRCU(f btf.Field, aux int32) bool {
	switch {
	case f.Kind == btf.KptrPerCPU:
		return true
	case f.Kind != btf.Kptr:
		return false
	}
	return aux < 0 || destructors[v.prog.Types.At(f.Type).Name]
}

// checkKptrValue checks that what is put into a kptr is of its type (kernel: map_kptr_match_type).
func (v *verifier) checkKptrValue(n uint8, r *reg, f btf.Field) *Error {
	want := reg{typ: ptrBTF, aux: v.kptrType(f)}
	good := maybeNull | trusted | rcu
	switch {
	case r.aux < 0:
		good = maybeNull | alloc
		if f.Kind == btf.KptrPerCPU {
			good |= perCPU
		}
	case f.Kind == btf.KptrUntrusted:
		good |= untrusted
	}
	name := ""
	if r.typ == ptrBTF && r.flags&^good == 0 {
		name = v.typeName(r)
		if err := v.checkOffReg(n, r); f.Kind != btf.KptrUntrusted && err != nil {
			return err
		}
		if !r.tn.Equals(0) || r.off < 0 {
			return v.checkOffReg(n, r)
		}
		if v.sameStruct(r, want.aux, f.Kind != btf.KptrUntrusted) {
			return nil
		}
	}
	words, more := typeNames[ptrBTF]+v.typeName(&want), ""
	if f.Kind == btf.KptrUntrusted {
		more = " or untrusted_" + words
	}
	return v.fail(ArgType, "invalid kptr access, R%d type=%s%s expected=%s%s", n, r.typeString(), name, words, more)
}

// sameStruct reports whether a pointer points to a struct of that type; unless strict, to one that lies in the struct where it
// points, too (kernel: btf_struct_ids_match).
func (v *verifier) sameStruct(r *reg, aux int32, strict bool) bool {
	if r.off == 0 && r.aux == aux {
		return true
	}
	if strict || (r.aux < 0) != (aux < 0) {
		return false
	}
	types, id := v.typesOf(r)
	w, off := walked{id: id}, int64(r.off)
	for range maxNesting {
		if err := v.walkStruct(types, off, 1, r.flags&alloc == 0, &w); err != nil || w.kind != walkStruct {
			return false
		}
		id = w.id
		if int32(id) == aux || int32(^id) == aux {
			return true
		}
		off = 0
	}
	return false
}

// timer checks the timer argument of a helper (kernel: process_timer_func).
func (v *verifier) timer(n uint8, r *reg, kind btf.FieldKind) *Error {
	m := v.mapOf(r)
	f, ok := fieldOf(v.fields(r), btf.Set(kind))
	off := int64(r.off) + int64(r.tn.Value)
	switch {
	case !r.isConst():
		return v.fail(SpecialMisuse, "R%d doesn't have constant offset. %s has to be at the constant offset", n, kind)
	case m.Types == nil && !ok:
		return v.fail(SpecialMisuse, "map '%s' has to have BTF in order to use %s", m.Name, kind)
	case !ok:
		return v.fail(SpecialMisuse, "map '%s' has no valid %s", m.Name, kind)
	case off != int64(f.Off):
		return v.fail(SpecialMisuse, "off %d doesn't point to 'struct %s' that is at %d", off, kind, f.Off)
	case r.aux < 0:
		return v.fail(Unsupported, "%s in the value of an inner map is not supported", kind)
	}
	v.call.m, v.call.mapAux = m, r.aux
	return nil
}

// kptrDest checks where bpf_kptr_xchg puts its pointer (kernel: process_kptr_func).
func (v *verifier) kptrDest(n uint8, r *reg) *Error {
	if r.typ == ptrMapValue {
		if m := v.mapOf(r); m.Types == nil {
			return v.fail(SpecialMisuse, "map '%s' has to have BTF in order to use bpf_kptr_xchg", m.Name)
		}
	}
	fields := v.fields(r)
	off := int64(r.off) + int64(r.tn.Value)
	_, any := fieldOf(fields, kptrKinds)
	f, ok := fieldAt(fields, kptrKinds, off)
	switch {
	case !r.isConst():
		return v.fail(SpecialMisuse, "R%d doesn't have constant offset. kptr has to be at the constant offset", n)
	case !any:
		return v.fail(SpecialMisuse, "R%d has no valid kptr", n)
	case !ok:
		return v.fail(SpecialMisuse, "off=%d doesn't point to kptr", off)
	case f.Kind != btf.Kptr && f.Kind != btf.KptrPerCPU:
		return v.fail(SpecialMisuse, "off=%d kptr isn't referenced kptr", off)
	}
	v.call.kptr = f
	return nil
}
