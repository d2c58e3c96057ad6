// Package btf has type information as tables: BTF as kernels and compiled programs carry it, or declarations in C.
//
// Types are numbered as in the file they come from, so that an id is all that another package has to remember. That ids are in
// range is checked when they are read; that chains of types end, by those who follow them.
package btf

import "sync"

// ID is the number of a type in a Types; 0 is void.
type ID int32

// Kind is the sort of a type (Linux: BTF_KIND_*).
type Kind uint8

// The kinds.
const (
	Void Kind = iota
	Int
	Ptr
	Array
	Struct
	Union
	Enum
	Fwd
	Typedef
	Volatile
	Const
	Restrict
	Func
	FuncProto
	Var
	Datasec
	Float
	DeclTag
	TypeTag
	Enum64
	numKinds
)

// kindNames are the kernel's (btf_kind_str).
var kindNames = [numKinds]string{
	"UNKNOWN", "INT", "PTR", "ARRAY", "STRUCT", "UNION", "ENUM", "FWD", "TYPEDEF", "VOLATILE", "CONST", "RESTRICT", "FUNC",
	"FUNC_PROTO", "VAR", "DATASEC", "FLOAT", "DECL_TAG", "TYPE_TAG", "ENUM64",
}

func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return kindNames[0]
}

// modifier reports whether a type of the kind is the type it refers to, in other words.
func (k Kind) modifier() bool {
	switch k {
	case Typedef, Volatile, Const, Restrict, TypeTag:
		return true
	}
	return false
}

// Type is one type.
type Type struct {
	Kind Kind
	Name string // "" when it has none
	// Flag is the kind_flag: a Fwd is of a union, a tag is an attribute.
	Flag bool
	// Size is in bytes; of an Array the number of elements, of a Func the linkage (0 static, 1 global, 2 extern), of a Var as well.
	Size uint32
	// Ref is what a Ptr points to, a modifier modifies, an Array consists of, a FuncProto returns, a DeclTag is on, the prototype
	// of a Func, the type of a Var.
	Ref ID
	// Component is the member or parameter that a DeclTag is on, -1 for the whole.
	Component int

	first, count int // of the members
}

// Member is a member of a Struct or Union, a parameter of a FuncProto, or a variable of a Datasec.
type Member struct {
	Name string
	Type ID
	Off  uint32 // in bits
	Bits uint32 // of a bit field; 0 when it is none
}

// Types is a set of types. It does not change.
type Types struct {
	types   []Type
	members []Member

	once  sync.Once
	index *index // see find
}

// index finds types.
type index struct {
	byName map[key]ID
	tags   map[ID][]ID // DeclTags by what they are on
}

type key struct {
	kind Kind
	name string
}

// maxDepth bounds chains of modifiers and nesting (kernel: MAX_RESOLVE_DEPTH).
const maxDepth = 32

func newTypes(types []Type, members []Member) *Types {
	return &Types{types: types, members: members}
}

// find makes the index when it is first wanted.
func (t *Types) find() *index {
	t.once.Do(func() { t.index = t.makeIndex() })
	return t.index
}

func (t *Types) makeIndex() *index {
	x := &index{byName: make(map[key]ID, len(t.types)), tags: make(map[ID][]ID)}
	for i := range t.types {
		ty := &t.types[i]
		if ty.Kind == DeclTag {
			x.tags[ty.Ref] = append(x.tags[ty.Ref], ID(i))
			continue
		}
		k := key{ty.Kind, ty.Name}
		if _, have := x.byName[k]; !have && ty.Name != "" {
			x.byName[k] = ID(i)
		}
	}
	return x
}

// Len is one more than the largest id.
func (t *Types) Len() int { return len(t.types) }

// At returns a type; void when there is none of that id.
func (t *Types) At(id ID) *Type {
	if id < 0 || int(id) >= len(t.types) {
		return &t.types[0]
	}
	return &t.types[id]
}

// Find returns the first type of a kind and name.
func (t *Types) Find(kind Kind, name string) (ID, bool) {
	id, ok := t.find().byName[key{kind, name}]
	return id, ok
}

// Members returns the members of a Struct or Union, the parameters of a FuncProto, or the variables of a Datasec.
func (t *Types) Members(ty *Type) []Member { return t.members[ty.first : ty.first+ty.count] }

// Tags returns the names of the DeclTags on a type: on its member or parameter of that number, or with -1 on the whole.
func (t *Types) Tags(id ID, component int) []string {
	var names []string
	for _, tag := range t.find().tags[id] {
		if ty := t.At(tag); ty.Component == component {
			names = append(names, ty.Name)
		}
	}
	return names
}

// Resolve skips modifiers: typedefs, qualifiers and type tags (kernel: btf_type_skip_modifiers).
func (t *Types) Resolve(id ID) ID {
	for range maxDepth {
		ty := t.At(id)
		if !ty.Kind.modifier() {
			return id
		}
		id = ty.Ref
	}
	return 0
}

// Struct reports whether the type is a Struct or Union.
func (ty *Type) Struct() bool { return ty.Kind == Struct || ty.Kind == Union }

// Number reports whether values of the type are numbers of at most 8 bytes (kernel: btf_type_is_small_int, btf_is_any_enum).
func (ty *Type) Number() bool {
	switch ty.Kind {
	case Int, Enum, Enum64:
		return ty.Size <= 8
	}
	return false
}

// Elem is what an array consists of in the end, and how many: those of all dimensions. Of any other type it is one of itself.
type Elem struct {
	Type  ID
	Count uint32
	Size  uint32 // of all together, in bytes
}

// Elements looks through the dimensions of an array (kernel: btf_resolve_size). It is false for what has no size.
func (t *Types) Elements(id ID) (Elem, bool) {
	id = t.Resolve(id)
	n := uint64(1)
	for range maxDepth {
		ty := t.At(id)
		size := uint64(ty.Size)
		switch ty.Kind {
		case Array:
			n *= size
			if n > 1<<31 {
				return Elem{}, false
			}
			id = t.Resolve(ty.Ref)
			continue
		case Ptr:
			size = 8
		case Int, Struct, Union, Enum, Enum64, Float:
		default:
			return Elem{}, false
		}
		if n*size > 1<<31 {
			return Elem{}, false
		}
		return Elem{id, uint32(n), uint32(n * size)}, true
	}
	return Elem{}, false
}

// Size is the bytes of a value of the type; false for what has no size.
func (t *Types) Size(id ID) (uint32, bool) {
	e, ok := t.Elements(id)
	return e.Size, ok
}
