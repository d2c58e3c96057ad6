package object

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skepvm/skep/maps"
)

// Bounds on descriptions of types. C programs stay far below; hostile BTF makes structures of structures that double
// at each level.
const (
	maxLayoutDepth = 32
	maxLayoutNodes = 1 << 16
)

// layouts makes descriptions of types, one for each type.
type layouts struct {
	done map[btf.Type]described
}

type described struct {
	layout *maps.Layout // nil when it cannot be described
	nodes  int          // descriptions that printing it visits
}

// of describes t; nil when t is no type of values, or out of bounds.
func (ls *layouts) of(t btf.Type) *maps.Layout { return ls.describe(t, 0).layout }

// section describes the variables of a data section as the fields of a struct of size bytes.
func (ls *layouts) section(ds *btf.Datasec, size uint32) *maps.Layout {
	out := &maps.Layout{Kind: maps.Struct, Name: ds.Name, Size: size}
	for _, vsi := range ds.Vars {
		v, ok := vsi.Type.(*btf.Var)
		if !ok {
			continue
		}
		t := ls.of(v.Type)
		if t == nil || uint64(vsi.Offset)+uint64(t.Size) > uint64(size) || vsi.Offset > 1<<28 {
			continue
		}
		out.Fields = append(out.Fields, maps.Field{Name: v.Name, BitOff: vsi.Offset * 8, Type: t})
	}
	return out
}

func (ls *layouts) describe(t btf.Type, depth int) described {
	if d, ok := ls.done[t]; ok {
		return d
	}
	if depth > maxLayoutDepth {
		return described{}
	}
	if ls.done == nil {
		ls.done = make(map[btf.Type]described)
	}
	ls.done[t] = described{} // a type that contains itself cannot be described
	d := ls.make(btf.UnderlyingType(t), depth)
	if d.nodes > maxLayoutNodes {
		d = described{}
	}
	ls.done[t] = d
	return d
}

func (ls *layouts) make(t btf.Type, depth int) described {
	switch t := t.(type) {
	case *btf.Int:
		return described{integer(t), 1}
	case *btf.Float:
		return described{&maps.Layout{Kind: maps.Float, Name: t.Name, Size: t.Size}, 1}
	case *btf.Pointer:
		return described{&maps.Layout{Kind: maps.Pointer, Size: 8}, 1}
	case *btf.Enum:
		return described{enum(t), 1}
	case *btf.Struct:
		return ls.members(&maps.Layout{Kind: maps.Struct, Name: t.Name, Size: t.Size}, t.Members, depth)
	case *btf.Union:
		return ls.members(&maps.Layout{Kind: maps.Union, Name: t.Name, Size: t.Size}, t.Members, depth)
	case *btf.Array:
		elem := ls.describe(t.Type, depth+1)
		if elem.layout == nil {
			return described{}
		}
		size := uint64(elem.layout.Size) * uint64(t.Nelems)
		if size > MaxData || size == 0 && t.Nelems > maxLayoutNodes {
			return described{}
		}
		return described{&maps.Layout{Kind: maps.ArrayOf, Size: uint32(size), Elem: elem.layout, Len: t.Nelems}, 1 + elem.nodes}
	}
	return described{}
}

func integer(t *btf.Int) *maps.Layout {
	l := &maps.Layout{Kind: maps.Int, Name: t.Name, Size: t.Size, Signed: t.Encoding == btf.Signed}
	switch {
	case t.Encoding == btf.Bool:
		l.Kind = maps.Bool
	case t.Encoding == btf.Char, t.Name == "char": // LLVM has no mark for char but its name
		l.Kind = maps.Char
	}
	return l
}

func enum(t *btf.Enum) *maps.Layout {
	l := &maps.Layout{Kind: maps.Enum, Name: t.Name, Size: t.Size, Signed: t.Signed, Enum: make(map[int64]string)}
	for _, v := range t.Values {
		n := int64(v.Value)
		if t.Signed && t.Size == 4 {
			n = int64(int32(v.Value))
		}
		if _, ok := l.Enum[n]; !ok {
			l.Enum[n] = v.Name
		}
	}
	return l
}

func (ls *layouts) members(l *maps.Layout, members []btf.Member, depth int) described {
	nodes := 1
	for _, m := range members {
		d := ls.describe(m.Type, depth+1)
		bits := uint64(m.BitfieldSize)
		if d.layout != nil && bits == 0 {
			bits = uint64(d.layout.Size) * 8
		}
		if d.layout == nil || uint64(m.Offset)+bits > uint64(l.Size)*8 {
			return described{}
		}
		nodes += d.nodes
		l.Fields = append(l.Fields, maps.Field{Name: m.Name, BitOff: uint32(m.Offset), BitSize: uint32(m.BitfieldSize), Type: d.layout})
	}
	return described{l, nodes}
}

// special returns the offset in t of a struct of the given name, which the kernel treats in a special way; -1 when
// there is none. (kernel: btf_find_struct_field)
func special(t btf.Type, name string) int { return specialAt(t, name, 0) }

func specialAt(t btf.Type, name string, depth int) int {
	s, ok := btf.As[*btf.Struct](t)
	if !ok || depth > maxLayoutDepth {
		return -1
	}
	if s.Name == name {
		return 0
	}
	for _, m := range s.Members {
		if off := specialAt(m.Type, name, depth+1); off >= 0 {
			return int(m.Offset.Bytes()) + off
		}
	}
	return -1
}

// specialIn is special for the variables of a data section (kernel: btf_find_datasec_var).
func specialIn(ds *btf.Datasec, name string) int {
	for _, vsi := range ds.Vars {
		if v, ok := vsi.Type.(*btf.Var); ok {
			if off := special(v.Type, name); off >= 0 {
				return int(vsi.Offset) + off
			}
		}
	}
	return -1
}
