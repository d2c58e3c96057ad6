package maps

// Layout describes a C type in neutral terms, as far as printing a value needs it. Loaders make it from BTF.
type Layout struct {
	Kind   LayoutKind
	Name   string // of the type; "" when it has none
	Size   uint32 // bytes
	Signed bool   // of Int, Enum and Char
	Fields []Field
	Elem   *Layout // of Array
	Len    uint32  // of Array: elements
	Enum   map[int64]string
}

// LayoutKind says which sort of type a Layout is.
type LayoutKind uint8

// Kinds of Layout.
const (
	Int LayoutKind = iota
	Bool
	Char
	Enum
	Float
	Pointer
	Struct
	Union
	ArrayOf
)

// Field is a member of a struct or union. BitSize is 0 for a member that is no bit field.
type Field struct {
	Name    string // "" for an anonymous struct or union
	BitOff  uint32 // from the start of the struct
	BitSize uint32
	Type    *Layout
}

// beginsWith reports whether a struct of that name lies at offset 0, at any depth.
func (l *Layout) beginsWith(name string) bool {
	if l == nil || l.Kind != Struct {
		return false
	}
	return l.Name == name || len(l.Fields) > 0 && l.Fields[0].Type.beginsWith(name)
}
