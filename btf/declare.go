package btf

import (
	"fmt"
	"strconv"
	"strings"
	"text/scanner"
)

// SyntaxError says why text declares no types.
type SyntaxError struct {
	Line, Col int // from 1
	Reason    string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Reason) }

// Declare makes types of declarations in C, laid out as on 64-bit machines:
//
//	struct node { int key; struct bpf_rb_node at; char text[16]; struct node __kptr *next; unsigned flag : 1; };
//	typedef unsigned long pfn_t;
//	int sum(struct node *n __arg_nonnull, u32 size);
//
// Known are structs and unions, nested and without a name too, bit fields, arrays, pointers, functions and pointers to them,
// typedefs, enums without their values, and the usual names of integers, u32 and __u32 among them. A word in front of a star that
// begins with two underscores is a type tag of what is pointed to (__kptr, __rcu); behind a member or parameter, with arguments or
// without, it is a declaration tag: __contains(node, at) is "contains:node:at", __arg_ctx is "arg:ctx". Structs may be used before
// they are declared. Errors are *SyntaxError.
func Declare(text string) (types *Types, err error) {
	d := &declarer{types: make([]Type, 1), ids: make(map[key]ID), members: make(map[ID][]Member)}
	d.scan.Init(strings.NewReader(text))
	d.scan.Mode = scanner.ScanIdents | scanner.ScanInts | scanner.ScanComments | scanner.SkipComments
	d.scan.Error = func(*scanner.Scanner, string) {}
	defer func() {
		if r := recover(); r != nil {
			e, ours := r.(*SyntaxError)
			if !ours {
				panic(r)
			}
			types, err = nil, e
		}
	}()
	d.next()
	for d.tok != scanner.EOF {
		d.declaration()
	}
	return d.finish(), nil
}

// MustDeclare is Declare of text that has no errors.
func MustDeclare(text string) *Types {
	t, err := Declare(text)
	if err != nil {
		panic(err)
	}
	return t
}

// declarer parses declarations. Errors are panics with a *SyntaxError.
type declarer struct {
	scan    scanner.Scanner
	tok     rune
	text    string
	at      scanner.Position
	depth   int
	types   []Type
	ids     map[key]ID
	members map[ID][]Member
	tagged  []ID // tags of the parameters of the function that is being read
}

// integers are the names of integers and their sizes in bytes.
var integers = map[string]uint32{
	"char": 1, "_Bool": 1, "bool": 1, "short": 2, "int": 4, "long": 8,
	"u8": 1, "u16": 2, "u32": 4, "u64": 8, "s8": 1, "s16": 2, "s32": 4, "s64": 8,
	"__u8": 1, "__u16": 2, "__u32": 4, "__u64": 8, "__s8": 1, "__s16": 2, "__s32": 4, "__s64": 8,
}

func (d *declarer) next() {
	d.tok = d.scan.Scan()
	d.text, d.at = d.scan.TokenText(), d.scan.Position
}

func (d *declarer) fail(format string, args ...any) {
	panic(&SyntaxError{d.at.Line, d.at.Column, fmt.Sprintf(format, args...)})
}

// take reports whether the next token is that one, and goes past it.
func (d *declarer) take(text string) bool {
	if d.text != text || d.tok == scanner.EOF {
		return false
	}
	d.next()
	return true
}

func (d *declarer) want(text string) {
	if !d.take(text) {
		d.fail("%q is expected, not %q", text, d.text)
	}
}

func (d *declarer) ident() string {
	if d.tok != scanner.Ident {
		d.fail("a name is expected, not %q", d.text)
	}
	s := d.text
	d.next()
	return s
}

func (d *declarer) number() uint32 {
	n, err := strconv.ParseUint(d.text, 0, 32)
	if err != nil {
		d.fail("a number is expected, not %q", d.text)
	}
	d.next()
	return uint32(n)
}

// add makes a type.
func (d *declarer) add(t Type) ID {
	d.types = append(d.types, t)
	return ID(len(d.types) - 1)
}

// named returns the type of a kind and name, which it makes when there is none.
func (d *declarer) named(t Type) ID {
	k := key{t.Kind, t.Name}
	id, have := d.ids[k]
	if !have {
		id = d.add(t)
		d.ids[k] = id
	}
	return id
}

// declaration is a type, a typedef or a function, up to its semicolon.
func (d *declarer) declaration() {
	d.tagged = nil
	isTypedef := d.take("typedef")
	base := d.base()
	if d.take(";") {
		return
	}
	name, id := d.declarator(base)
	switch {
	case isTypedef:
		d.ids[key{Typedef, name}] = d.add(Type{Kind: Typedef, Name: name, Ref: id})
	case d.types[id].Kind == FuncProto:
		fn := d.add(Type{Kind: Func, Name: name, Ref: id, Size: 1})
		for _, tag := range d.tagged {
			d.types[tag].Ref = fn
		}
	default:
		d.add(Type{Kind: Var, Name: name, Ref: id, Size: 1})
	}
	d.want(";")
}

// base is what stands before the declarators: an integer, struct, enum or typedef.
func (d *declarer) base() ID {
	isConst := false
	words, size := "", uint32(0)
	for {
		switch name := d.text; {
		case d.take("const"):
			isConst = true
		case d.take("signed"), d.take("unsigned"):
			words, size = name+" int", max(size, 4)
		case integers[name] > 0:
			d.next()
			words, size = name, integers[name]
		case size > 0:
			return d.qualify(d.named(Type{Kind: Int, Name: words, Size: size}), isConst)
		case d.take("struct"):
			return d.qualify(d.composite(Struct), isConst)
		case d.take("union"):
			return d.qualify(d.composite(Union), isConst)
		case d.take("enum"):
			return d.qualify(d.named(Type{Kind: Enum, Name: d.ident(), Size: 4}), isConst)
		case d.take("void"):
			return d.qualify(0, isConst)
		default:
			id, ok := d.ids[key{Typedef, d.ident()}]
			if !ok {
				d.fail("type %q is not known", name)
			}
			return d.qualify(id, isConst)
		}
	}
}

func (d *declarer) qualify(id ID, isConst bool) ID {
	if isConst {
		return d.add(Type{Kind: Const, Ref: id})
	}
	return id
}

// composite is a struct or union after that word: a name, members, or both.
func (d *declarer) composite(kind Kind) ID {
	id := ID(0)
	if d.tok == scanner.Ident {
		id = d.named(Type{Kind: kind, Name: d.ident()})
	} else {
		id = d.add(Type{Kind: kind})
	}
	if !d.take("{") {
		return id
	}
	if d.members[id] != nil {
		d.fail("%s is declared twice", d.types[id].Name)
	}
	if d.depth++; d.depth > maxDepth {
		d.fail("nested too deeply")
	}
	d.members[id] = []Member{}
	for !d.take("}") {
		d.member(id)
	}
	d.depth--
	return id
}

// member is a line of a struct: several members of one base, or a nameless struct.
func (d *declarer) member(in ID) {
	base := d.base()
	if d.take(";") {
		d.members[in] = append(d.members[in], Member{Type: base})
		return
	}
	for {
		m := Member{}
		m.Name, m.Type = d.declarator(base)
		if d.take(":") {
			m.Bits = d.number()
		}
		d.members[in] = append(d.members[in], m)
		d.tags(in, len(d.members[in])-1)
		if !d.take(",") {
			d.want(";")
			return
		}
	}
}

// declarator is a name and what makes another type of its base: stars, tags, dimensions, parameters.
func (d *declarer) declarator(base ID) (name string, id ID) {
	for {
		switch tag := d.text; {
		case d.take("*"):
			base = d.add(Type{Kind: Ptr, Ref: base})
		case d.take("const"):
		case strings.HasPrefix(tag, "__"):
			if d.next(); d.text != "*" && !strings.HasPrefix(d.text, "__") { // it is the name
				return tag, d.suffix(base)
			}
			base = d.add(Type{Kind: TypeTag, Name: tag[2:], Ref: base})
		case d.take("("): // a pointer to a function
			d.want("*")
			name = d.ident()
			d.want(")")
			return name, d.add(Type{Kind: Ptr, Ref: d.parameters(base)})
		default:
			if d.tok == scanner.Ident {
				name = d.ident()
			}
			return name, d.suffix(base)
		}
	}
}

// suffix is what stands behind a name.
func (d *declarer) suffix(base ID) ID {
	if d.text == "(" {
		return d.parameters(base)
	}
	var dims []uint32
	for d.take("[") {
		n := uint32(0)
		if d.text != "]" {
			n = d.number()
		}
		d.want("]")
		dims = append(dims, n)
	}
	for i := len(dims) - 1; i >= 0; i-- {
		base = d.add(Type{Kind: Array, Ref: base, Size: dims[i]})
	}
	return base
}

// parameters is a list in parentheses; it makes a prototype that returns ret.
func (d *declarer) parameters(ret ID) ID {
	d.want("(")
	id := d.add(Type{Kind: FuncProto, Ref: ret})
	if d.take(")") {
		return id
	}
	for {
		m := Member{}
		m.Name, m.Type = d.declarator(d.base())
		d.members[id] = append(d.members[id], m)
		d.tagged = append(d.tagged, d.tags(0, len(d.members[id])-1)...)
		if d.take(")") {
			break
		}
		d.want(",")
	}
	if list := d.members[id]; len(list) == 1 && list[0].Type == 0 && list[0].Name == "" {
		d.members[id] = nil // (void)
	}
	return id
}

// tags reads the declaration tags behind a member or parameter.
func (d *declarer) tags(on ID, component int) (ids []ID) {
	for strings.HasPrefix(d.text, "__") {
		name := strings.Replace(d.text[2:], "arg_", "arg:", 1)
		d.next()
		for sep := "("; d.take(sep); sep = "," {
			name += ":" + d.ident()
			if d.take(")") {
				break
			}
		}
		ids = append(ids, d.add(Type{Kind: DeclTag, Name: name, Ref: on, Component: component}))
	}
	return ids
}

// finish lays out structs, the nested ones first.
func (d *declarer) finish() *Types {
	aligns := make(map[ID]uint32) // of structs that are laid out
	var layout func(id ID, depth int) (size, align uint32)
	layout = func(id ID, depth int) (size, align uint32) {
		t := &d.types[id]
		switch {
		case depth > maxDepth:
			d.fail("a type has itself as a member")
		case t.Kind.modifier():
			return layout(t.Ref, depth+1)
		case t.Kind == Ptr:
			return 8, 8
		case t.Kind == Array:
			size, align = layout(t.Ref, depth+1)
			return size * t.Size, align
		case !t.Struct():
			return t.Size, max(t.Size, 1)
		}
		if align = aligns[id]; align > 0 {
			return t.Size, align
		}
		align = 1
		end := uint32(0) // in bits
		list := d.members[id]
		for i := range list {
			m := &list[i]
			s, a := layout(m.Type, depth+1)
			align = max(align, a)
			if t.Kind == Union {
				end = max(end, s*8)
				continue
			}
			if m.Bits == 0 || m.Bits > 8*s || end/(8*s) != (end+m.Bits-1)/(8*s) {
				end = (end + 8*a - 1) / (8 * a) * (8 * a)
			}
			m.Off = end
			if end += m.Bits; m.Bits == 0 {
				end += 8 * s
			}
		}
		t.Size, aligns[id] = (end+8*align-1)/(8*align)*align, align
		return t.Size, align
	}
	var members []Member
	for id := range d.types {
		t := &d.types[id]
		if t.Struct() {
			layout(ID(id), 0)
			if d.members[ID(id)] == nil && t.Name != "" {
				t.Kind, t.Flag = Fwd, t.Kind == Union
			}
		}
		t.first, t.count = len(members), len(d.members[ID(id)])
		members = append(members, d.members[ID(id)]...)
	}
	return newTypes(d.types, members)
}
