package expr

import (
	"strconv"
	"strings"
)

func (n *Binary) String() string { return string(appendNode(nil, n)) }
func (n *Not) String() string    { return string(appendNode(nil, n)) }

// appendNode appends a node's text: operators nest to the left without end, so that each must append to what there is.
func appendNode(b []byte, n Node) []byte {
	switch n := n.(type) {
	case *Binary:
		b = appendNode(b, n.X)
		if n.Or {
			b = append(b, " or "...)
		} else {
			b = append(b, " and "...)
		}
		return appendOperand(b, n.Y)
	case *Not:
		return appendOperand(append(b, "not "...), n.X)
	}
	return append(b, n.String()...)
}

// appendOperand is appendNode with parentheses where the node has operands itself.
func appendOperand(b []byte, n Node) []byte {
	if _, ok := n.(*Binary); ok {
		return append(appendNode(append(b, '('), n), ')')
	}
	return appendNode(b, n)
}

func (n *ID) String() string {
	if q := n.Qual.String(); q != "" {
		return q + " " + n.Val.String()
	}
	return n.Val.String()
}

// String gives the qualifiers as they are written before a value.
func (q Qual) String() string {
	var parts []string
	if q.Proto != None {
		parts = append(parts, q.Proto.String())
	}
	if q.Dir != AnyDir {
		parts = append(parts, q.Dir.String())
	}
	if q.Type != AnyType {
		parts = append(parts, q.Type.String())
	}
	return strings.Join(parts, " ")
}

func (v Value) String() string {
	switch v.Kind {
	case Number:
		return strconv.FormatUint(uint64(v.Num), 10)
	case Prefix, Prefix6:
		return v.Text + "/" + strconv.FormatUint(uint64(v.Num), 10)
	case Masked:
		return v.Text + " mask " + v.Mask
	case Name:
		return escape(v.Text)
	}
	return v.Text
}

// escape puts a backslash before a name that would be read as something else without.
func escape(name string) string {
	l := lexer{src: name}
	if t := l.next(); t.kind == tID && t.pos == 0 && t.end == len(name) && name[0] != '\\' {
		return name
	}
	return `\` + name
}

func (n *Abbrev) String() string { return n.Proto.String() }

func (n *Cast) String() string {
	s := "broadcast"
	if n.Multi {
		s = "multicast"
	}
	if n.Proto != None {
		return n.Proto.String() + " " + s
	}
	return s
}

func (n *Primitive) String() string {
	s := n.Word.String()
	switch {
	case n.Op != 0:
		return s + " " + strconv.FormatUint(uint64(n.Num), 10) + " " + string(n.Op) + " " + strconv.FormatUint(uint64(n.Value), 10)
	case n.HasNum:
		return s + " " + strconv.FormatUint(uint64(n.Num), 10)
	case n.Name == "rnr":
		return s + " rnr"
	case n.Name != "":
		return s + " " + escape(n.Name)
	}
	return s
}

func (n *WLAN) String() string {
	switch {
	case n.Dir:
		return "dir " + strconv.Itoa(int(n.Value))
	case n.Mask == 0x0c:
		return "type " + strconv.Itoa(int(n.Value))
	}
	return "type " + strconv.Itoa(int(n.Value&0x0c)) + " subtype " + strconv.Itoa(int(n.Value&0xf0))
}

func (n *Relation) String() string { return n.X.String() + " " + n.Op.String() + " " + n.Y.String() }

func (n *Num) String() string { return strconv.FormatUint(uint64(n.Val), 10) }

func (n *Len) String() string { return "len" }

func (n *Neg) String() string  { return string(appendArith(nil, n)) }
func (n *Calc) String() string { return string(appendArith(nil, n)) }

// appendArith appends arithmetic.
func appendArith(b []byte, a Arith) []byte {
	switch a := a.(type) {
	case *Calc:
		b = appendTerm(b, a.X)
		b = append(append(append(b, ' '), a.Op.String()...), ' ')
		return appendTerm(b, a.Y)
	case *Neg:
		return appendTerm(append(b, "- "...), a.X)
	}
	return append(b, a.String()...)
}

// appendTerm is appendArith with parentheses around operations, so that no precedence is needed to read them.
func appendTerm(b []byte, a Arith) []byte {
	switch a.(type) {
	case *Calc, *Neg:
		return append(appendArith(append(b, '('), a), ')')
	}
	return appendArith(b, a)
}

func (n *Load) String() string {
	s := n.Proto.String() + "[" + n.Off.String()
	if n.Size != 1 {
		s += ":" + strconv.Itoa(int(n.Size))
	}
	return s + "]"
}
