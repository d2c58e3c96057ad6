package btf

import (
	"fmt"
	"slices"
	"strings"
)

// FieldKind is a sort of field that a kernel looks after itself: no program may access it as plain memory
// (Linux: enum btf_field_type).
type FieldKind uint8

// The kinds of fields.
const (
	SpinLock FieldKind = iota
	ResSpinLock
	Timer
	Workqueue
	TaskWork
	KptrUntrusted // pointer to an object of the kernel that may be gone
	Kptr          // pointer that owns an object
	KptrPerCPU    // pointer that owns a per-CPU object
	Uptr          // pointer to user memory that is pinned
	ListHead
	ListNode
	RBRoot
	RBNode
	Refcount
	numFieldKinds
)

// FieldKinds is a set of kinds.
type FieldKinds uint32

// Set makes a set of kinds.
func Set(kinds ...FieldKind) FieldKinds {
	var s FieldKinds
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Has reports whether k is in the set.
func (s FieldKinds) Has(k FieldKind) bool { return s>>k&1 != 0 }

// Sets of kinds by where the kernel looks for them.
var (
	// MapFields can be in the values of maps (kernel: map_check_btf).
	MapFields = Set(SpinLock, ResSpinLock, Timer, Workqueue, TaskWork, KptrUntrusted, Kptr, KptrPerCPU, Uptr, ListHead, RBRoot, Refcount)
	// ObjectFields can be in objects that programs allocate (kernel: btf_parse_struct_metas).
	ObjectFields = Set(SpinLock, ResSpinLock, KptrUntrusted, Kptr, KptrPerCPU, ListHead, ListNode, RBRoot, RBNode, Refcount)
)

const kptrs FieldKinds = 1<<KptrUntrusted | 1<<Kptr | 1<<KptrPerCPU | 1<<Uptr

// fieldRow describes a kind: the struct that is the field, else the tag of its pointer; size and alignment in bytes.
type fieldRow struct {
	structName, tag, name string
	size, align           uint32
	unique, repeats       bool // there may be one at most; it may be in an array
}

var fieldRows = [numFieldKinds]fieldRow{
	SpinLock:      {structName: "bpf_spin_lock", size: 4, align: 4, unique: true},
	ResSpinLock:   {structName: "bpf_res_spin_lock", size: 4, align: 4, unique: true},
	Timer:         {structName: "bpf_timer", size: 16, align: 8, unique: true},
	Workqueue:     {structName: "bpf_wq", size: 16, align: 8, unique: true},
	TaskWork:      {structName: "bpf_task_work", size: 8, align: 8, unique: true},
	KptrUntrusted: {tag: "kptr_untrusted", name: "kptr", size: 8, align: 8, repeats: true},
	Kptr:          {tag: "kptr", name: "kptr", size: 8, align: 8, repeats: true},
	KptrPerCPU:    {tag: "percpu_kptr", name: "percpu_kptr", size: 8, align: 8, repeats: true},
	Uptr:          {tag: "uptr", name: "uptr", size: 8, align: 8, repeats: true},
	ListHead:      {structName: "bpf_list_head", size: 16, align: 8, repeats: true},
	ListNode:      {structName: "bpf_list_node", size: 24, align: 8},
	RBRoot:        {structName: "bpf_rb_root", size: 16, align: 8, repeats: true},
	RBNode:        {structName: "bpf_rb_node", size: 32, align: 8},
	Refcount:      {structName: "bpf_refcount", size: 4, align: 4, unique: true},
}

// String is the kernel's name of the kind.
func (k FieldKind) String() string {
	r := &fieldRows[k]
	return r.structName + r.name
}

// Field is a field of a map's value or of an object.
type Field struct {
	Kind      FieldKind
	Off, Size uint32 // in bytes
	// Type is the struct that a kptr points to, or that is in a list or tree; 0 for the others.
	Type ID
	// NodeOff is where the node of a list or tree is in that struct.
	NodeOff uint32
}

// maxFields is the most fields of a value (Linux: BTF_FIELDS_MAX).
const maxFields = 11

// Fields finds the fields of these kinds in a Struct or Union, by offset. The error says why the kernel refuses such a
// type (kernel: btf_parse_fields).
func Fields(t *Types, id ID, kinds FieldKinds) ([]Field, error) {
	if !t.At(id).Struct() {
		return nil, nil
	}
	f := finder{t: t, kinds: kinds}
	return f.finish(f.inStruct(id, 0, 0))
}

// VarFields is Fields for a section of variables: each a Var and where it lies.
func VarFields(t *Types, vars []Member, kinds FieldKinds) ([]Field, error) {
	f := finder{t: t, kinds: kinds}
	for _, v := range vars {
		if err := f.member(v.Type, -1, t.At(v.Type).Ref, v.Off/8, 0); err != nil {
			return nil, err
		}
	}
	return f.finish(nil)
}

// finder collects fields.
type finder struct {
	t     *Types
	kinds FieldKinds
	seen  FieldKinds
	found []Field
	work  int // members looked at
}

// maxWork bounds the members that are looked at, those of nested structs again for each.
const maxWork = 1 << 18

func (f *finder) inStruct(id ID, base uint32, depth int) error {
	if depth >= maxDepth {
		return fmt.Errorf("structs are nested too deeply")
	}
	for i, m := range f.t.Members(f.t.At(id)) {
		if m.Off%8 != 0 && m.Bits == 0 {
			return fmt.Errorf("member %s does not begin at a byte", m.Name)
		}
		if err := f.member(id, i, m.Type, base+m.Off/8, depth); err != nil {
			return err
		}
	}
	return nil
}

// member looks at a member or variable: number i of what is tagged, of type id, at off (kernel: btf_find_field_one).
func (f *finder) member(tagged ID, i int, id ID, off uint32, depth int) error {
	if f.work++; f.work > maxWork {
		return fmt.Errorf("there are more than %d members", maxWork)
	}
	n := uint64(1)
	for d := 0; f.t.At(id).Kind == Array; d++ {
		if n *= uint64(f.t.At(id).Size); d == maxDepth || n > 1<<31 {
			return fmt.Errorf("an array has too many dimensions or elements")
		}
		id = f.t.At(id).Ref
	}
	if n == 0 {
		return nil
	}
	ty := f.t.At(id)
	first := len(f.found)
	kind, ok := f.kindOf(ty)
	size := ty.Size
	switch {
	case ok:
		if f.seen.Has(kind) {
			return fmt.Errorf("there is more than one %s", kind)
		}
		if fieldRows[kind].unique {
			f.seen |= Set(kind)
		}
		size = fieldRows[kind].size
		if err := f.add(tagged, i, id, kind, off); err != nil {
			return err
		}
	case ty.Struct():
		if err := f.inStruct(id, off, depth+1); err != nil {
			return err
		}
	case f.kinds&kptrs != 0:
		size = 8
		if err := f.addKptr(id, off); err != nil {
			return err
		}
	}
	return f.repeat(first, n, size)
}

// kindOf is the kind of field that a struct of that name is.
func (f *finder) kindOf(ty *Type) (FieldKind, bool) {
	for k := range numFieldKinds {
		if f.kinds.Has(k) && ty.Name != "" && ty.Name == fieldRows[k].structName {
			return k, true
		}
	}
	return 0, false
}

// repeat adds the fields from first on for the other n-1 elements of an array.
func (f *finder) repeat(first int, n uint64, size uint32) error {
	fields := f.found[first:]
	if n == 1 || len(fields) == 0 {
		return f.count()
	}
	for _, x := range fields {
		if !fieldRows[x.Kind].repeats {
			return fmt.Errorf("an array has %s", x.Kind)
		}
	}
	if n*uint64(len(fields)) > maxFields {
		return errTooMany
	}
	fields = slices.Clone(fields)
	for i := uint32(1); i < uint32(n); i++ {
		for _, x := range fields {
			x.Off += i * size
			f.found = append(f.found, x)
		}
	}
	return f.count()
}

var errTooMany = fmt.Errorf("there are more than %d special fields", maxFields)

func (f *finder) count() error {
	if len(f.found) > maxFields {
		return errTooMany
	}
	return nil
}

// add adds a field that is a struct.
func (f *finder) add(tagged ID, i int, id ID, kind FieldKind, off uint32) error {
	row := &fieldRows[kind]
	ty := f.t.At(id)
	if off%row.align != 0 || !ty.Struct() || ty.Size != row.size {
		return nil
	}
	x := Field{Kind: kind, Off: off, Size: row.size}
	if kind == ListHead || kind == RBRoot {
		if err := f.root(&x, tagged, i); err != nil {
			return err
		}
	}
	f.found = append(f.found, x)
	return nil
}

// root finds what a list or tree contains: its tag is "contains:STRUCT:MEMBER".
func (f *finder) root(x *Field, tagged ID, i int) error {
	node := ListNode
	if x.Kind == RBRoot {
		node = RBNode
	}
	var tags []string
	for _, tag := range f.t.Tags(tagged, i) {
		if s, ok := strings.CutPrefix(tag, "contains:"); ok {
			tags = append(tags, s)
		}
	}
	if len(tags) != 1 {
		return fmt.Errorf("%s has %d tags that say what it contains", x.Kind, len(tags))
	}
	name, member, _ := strings.Cut(tags[0], ":")
	id, ok := f.t.Find(Struct, name)
	if !ok {
		return fmt.Errorf("%s contains struct %s, which does not exist", x.Kind, name)
	}
	for _, m := range f.t.Members(f.t.At(id)) {
		if m.Name != member {
			continue
		}
		if f.t.At(m.Type).Name != fieldRows[node].structName || m.Off%64 != 0 {
			return fmt.Errorf("member %s of struct %s is no %s", member, name, node)
		}
		x.Type, x.NodeOff = id, m.Off/8
		return nil
	}
	return fmt.Errorf("struct %s has no member %s", name, member)
}

// addKptr adds a field that is a pointer with a tag (kernel: btf_find_kptr).
func (f *finder) addKptr(id ID, off uint32) error {
	ty := f.t.At(id)
	if ty.Kind == Volatile {
		ty = f.t.At(ty.Ref)
	}
	if ty.Kind != Ptr || off%8 != 0 {
		return nil
	}
	tag := f.t.At(ty.Ref)
	if tag.Kind != TypeTag {
		return nil
	}
	kind := slices.IndexFunc(fieldRows[:], func(r fieldRow) bool { return r.tag != "" && r.tag == tag.Name })
	to := f.t.Resolve(tag.Ref)
	if kind < 0 || f.t.At(tag.Ref).Kind == TypeTag || !f.t.At(to).Struct() {
		return fmt.Errorf("a pointer has the tag %q", tag.Name)
	}
	f.found = append(f.found, Field{Kind: FieldKind(kind), Off: off, Size: 8, Type: to})
	return nil
}

// finish checks the fields together.
func (f *finder) finish(err error) ([]Field, error) {
	if err == nil && len(f.found) > 0 {
		err = f.check()
	}
	if err != nil {
		return nil, err
	}
	return f.found, nil
}

func (f *finder) check() error {
	var have FieldKinds
	end := uint32(0)
	for _, x := range f.found {
		if x.Off < end {
			return fmt.Errorf("%s at offset %d overlaps another field", x.Kind, x.Off)
		}
		end = x.Off + x.Size
		have |= Set(x.Kind)
	}
	switch {
	case have&Set(ListHead, RBRoot) != 0 && have&Set(SpinLock, ResSpinLock) == 0:
		return fmt.Errorf("a list or tree needs a bpf_spin_lock beside it")
	case have.Has(ListNode) && have.Has(RBNode) && !have.Has(Refcount):
		return fmt.Errorf("what is in a list and in a tree needs a bpf_refcount")
	}
	return nil
}
