package helpers

import (
	"slices"
	"strings"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// TypeSet is a set of program types, one bit each.
type TypeSet uint64

// SetOf makes a set.
func SetOf(types ...prog.Type) TypeSet {
	var s TypeSet
	for _, t := range types {
		s |= 1 << t
	}
	return s
}

// Has reports whether t is in the set.
func (s TypeSet) Has(t prog.Type) bool { return s>>t&1 != 0 }

// Row is all that the project knows about a helper.
type Row struct {
	ID   int32
	Name string // "bpf_map_lookup_elem"

	Args      [5]Arg
	FixedSize [5]uint32 // bytes behind ArgFixedMem arguments
	BTFType   [5]string // kernel type that ArgBTF arguments point to; several are joined by "|"
	Ret       Ret
	RetSize   uint32 // bytes behind RetMem
	RetBTF    string // kernel type that RetBTF points to

	Since  kver.Version
	Types  TypeSet   // program types that may call it, on the newest kernel
	Opened []Opening // those among them that could not from the first
	Limits []Limit   // those among them that may not at every attach point

	Needs prog.Caps // of the loader, beyond what the program type needs

	GPL           bool // only for GPL-compatible programs
	ChangesPacket bool // packet pointers are invalid after it
	Acquires      bool // R0 is a reference that must be released
	MightSleep    bool // only for sleepable programs
	PktAccess     bool // memory arguments may point into the packet
	FastCall      bool // bpf_fastcall: R1-R5 survive if the program spills them by its rules (6.12)

	// Variants are prototypes that differ for some program types.
	Variants []Variant

	// Fn is the implementation. nil with Engine set: engines do it themselves (calls back into the program, or
	// changes the program). nil without: known to the verifier, missing at run time.
	Fn     Func
	Engine bool
}

// Opening says that a helper, older than that, was opened to program types in a kernel release.
type Opening struct {
	Since kver.Version
	Types TypeSet
}

// Limit says where programs of a type must be attached to call a helper.
type Limit struct {
	Type prog.Type
	At   []prog.Attach
	// Hooks are the kernel's functions, separated by spaces; "" is all.
	Hooks string
}

// Allows reports whether a program that is attached at an attach point, and to a function if that has several, may call the helper.
func (l *Limit) Allows(at prog.Attach, hook string) bool {
	return slices.Contains(l.At, at) && (l.Hooks == "" || slices.Contains(strings.Fields(l.Hooks), hook))
}

// LimitOf is the limit for programs of type t; nil when there is none.
func (r *Row) LimitOf(t prog.Type) *Limit {
	for i := range r.Limits {
		if r.Limits[i].Type == t {
			return &r.Limits[i]
		}
	}
	return nil
}

// Variant is another prototype of the same helper.
type Variant struct {
	Types   TypeSet
	Args    [5]Arg
	BTFType [5]string
	Ret     Ret
	RetBTF  string
}

// Implemented reports whether a run can call the helper.
func (r *Row) Implemented() bool { return r.Fn != nil || r.Engine }

// For returns the row as programs of type t see it: r itself, or a copy with the prototype of a variant.
func (r *Row) For(t prog.Type) *Row {
	for i := range r.Variants {
		v := &r.Variants[i]
		if v.Types.Has(t) {
			row := *r
			row.Args, row.BTFType, row.Ret, row.RetBTF = v.Args, v.BTFType, v.Ret, v.RetBTF
			return &row
		}
	}
	return r
}

// NumArgs counts the argument registers that the helper looks at.
func (r *Row) NumArgs() int {
	n := 0
	for n < len(r.Args) && r.Args[n] != ArgNone {
		n++
	}
	return n
}

// Since returns the first kernel on which a program of type t may call r, false when none is.
func Since(r *Row, t prog.Type) (kver.Version, bool) {
	if !r.Types.Has(t) && t != prog.Ext { // Ext may what its target may, which is not known here
		return kver.Version{}, false
	}
	k := r.Since
	if s := t.Row().Since; s.AtLeast(k) {
		k = s
	}
	for _, o := range r.Opened {
		if o.Types.Has(t) && o.Since.AtLeast(k) {
			k = o.Since
		}
	}
	return k, true
}

// Allowed reports whether a program of type t may call r on kernel k.
func Allowed(r *Row, t prog.Type, k kver.Version) bool {
	since, ok := Since(r, t)
	return ok && k.AtLeast(since)
}

var byName = func() map[string]*Row {
	m := make(map[string]*Row, len(Table))
	for i := range Table {
		m[Table[i].Name] = &Table[i]
	}
	return m
}()

// ByName finds a helper by its full name: "bpf_map_lookup_elem".
func ByName(name string) (*Row, bool) {
	r, ok := byName[name]
	return r, ok
}

// ID returns the id of the helper of that name: what asm.ParseOptions wants.
func ID(name string) (int32, bool) {
	row, ok := ByName(name)
	if !ok {
		return 0, false
	}
	return row.ID, true
}

// ByID returns a helper's row, or nil when the kernel has none of that id. Id 0, bpf_unspec, has no row either.
func ByID(id int32) *Row {
	if id <= 0 || int(id) >= len(Table) || Table[id].Name == "" {
		return nil
	}
	return &Table[id]
}
