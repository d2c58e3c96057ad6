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
	maxFieldOffset = 1 << 28 // bytes; in bits it fits 32 bits
)

// layouts makes descriptions of types, one for each type.
type layouts struct {
	done map[btf.Type]described
}

type described struct {
	layout *maps.Layout // nil when it cannot be described
	nodes  int          // descriptions that printing it visits
}

func describes(l *maps.Layout) described { return described{layout: l, nodes: 1} }

// undescribed is the answer for what is no type of values, or out of bounds.
var undescribed described

// section makes the variables of a data section the fields of the value of spec.
func (ls *layouts) section(spec *maps.Spec, ds *btf.Datasec) {
	size := spec.ValueSize
	spec.Value = &maps.Layout{Kind: maps.Struct, Name: ds.Name, Size: size}
	for _, vsi := range ds.Vars {
		v, ok := vsi.Type.(*btf.Var)
		if !ok {
			continue
		}
		d := ls.describe(v.Type, 0)
		if d.layout == nil || uint64(vsi.Offset)+uint64(d.layout.Size) > uint64(size) || vsi.Offset > maxFieldOffset {
			continue
		}
		spec.Value.Fields = append(spec.Value.Fields, maps.Field{Name: v.Name, BitOff: vsi.Offset * 8, Type: d.layout})
	}
}

func (ls *layouts) describe(t btf.Type, depth int) described {
	if d, ok := ls.done[t]; ok {
		return d
	}
	if depth > maxLayoutDepth {
		return undescribed
	}
	if ls.done == nil {
		ls.done = make(map[btf.Type]described)
	}
	ls.done[t] = undescribed // a type that contains itself cannot be described
	d := ls.make(btf.UnderlyingType(t), depth)
	if d.nodes > maxLayoutNodes {
		d = undescribed
	}
	ls.done[t] = d
	return d
}

func (ls *layouts) make(t btf.Type, depth int) described {
	switch t := t.(type) {
	case *btf.Int:
		return describes(integer(t))
	case *btf.Float:
		return describes(&maps.Layout{Kind: maps.Float, Name: t.Name, Size: t.Size})
	case *btf.Pointer:
		return describes(&maps.Layout{Kind: maps.Pointer, Size: 8})
	case *btf.Enum:
		return describes(enum(t))
	case *btf.Struct:
		return ls.members(&maps.Layout{Kind: maps.Struct, Name: t.Name, Size: t.Size}, t.Members, depth)
	case *btf.Union:
		return ls.members(&maps.Layout{Kind: maps.Union, Name: t.Name, Size: t.Size}, t.Members, depth)
	case *btf.Array:
		elem := ls.describe(t.Type, depth+1)
		if elem.layout == nil {
			return undescribed
		}
		size := uint64(elem.layout.Size) * uint64(t.Nelems)
		if size > MaxData || size == 0 && t.Nelems > maxLayoutNodes {
			return undescribed
		}
		d := describes(&maps.Layout{Kind: maps.ArrayOf, Size: uint32(size), Elem: elem.layout, Len: t.Nelems})
		d.nodes += elem.nodes
		return d
	}
	return undescribed
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
	out := describes(l)
	for _, m := range members {
		d := ls.describe(m.Type, depth+1)
		bits := uint64(m.BitfieldSize)
		if d.layout != nil && bits == 0 {
			bits = uint64(d.layout.Size) * 8
		}
		if d.layout == nil || uint64(m.Offset)+bits > uint64(l.Size)*8 {
			return undescribed
		}
		out.nodes += d.nodes
		l.Fields = append(l.Fields, maps.Field{Name: m.Name, BitOff: uint32(m.Offset), BitSize: uint32(m.BitfieldSize), Type: d.layout})
	}
	return out
}
