package helpers

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// Own is what an embedder adds to the kernel's helpers and kernel functions.
type Own struct {
	Helpers []OwnHelper
	Kfuncs  []OwnKfunc
}

// OwnHelper is a helper of an embedder's. Its Row has the ID, a Name, the prototype (Args, FixedSize, Ret) that the verifier enforces, and the
// Types of the programs that may call it, prog.Own among them for those of the embedder's own types. Exactly one of Row.Fn and Go is set.
type OwnHelper struct {
	Row
	// Go is a Go function that fits the prototype: see Bind.
	Go any
}

// OwnKfunc is a kernel function of an embedder's. Exactly one of Fn and Go is set.
type OwnKfunc struct {
	// Decl declares it in C, as the kernel would: "int my_sum(const u8 *data, u32 data__sz)". Names of arguments may end in the kernel's
	// suffixes: __sz the size in bytes of the memory before it, __k a known constant, __str a constant string, __map a map, __ign anything,
	// __nullable. A struct that is not the ctx is an object of the embedder's: programs can pass pointers to it on, and nothing else.
	Decl  string
	Flags KfuncFlags // of KfuncAcquire, KfuncRelease, KfuncRetNull, KfuncTrusted and KfuncSleepable
	Types TypeSet
	Fn    Func
	Go    any // a Go function that fits the declaration: see Bind
}

// Ids of own helpers: the kernel will have no more than it has.
const (
	FirstOwn = 512     // least id of an own helper
	LastOwn  = 1 << 16 // greatest
	firstOwn = 3 << 20 // the id by which engines call the first own kernel function
)

// Tables are the helpers and kernel functions that there are: the kernel's, and an embedder's. nil has the kernel's alone. They never
// change. A verifier and the machine on which the program then runs must have the same.
type Tables struct {
	byID   map[int32]*Row
	byName map[string]*Row
	kfuncs map[string]*Kfunc
	runs   map[string]*Row // of kernel functions
	called []*Row          // by id - firstOwn
}

// OwnError says what is wrong with an own helper or kernel function.
type OwnError struct {
	Name   string // of the helper, or the declaration
	Reason string
}

func (e *OwnError) Error() string { return e.Name + ": " + e.Reason }

// NewTables makes tables of the kernel's helpers and kernel functions and those of o. The error is an *OwnError: a prototype that makes no sense,
// a Go function that does not fit it, a name or an id that is taken.
func NewTables(o Own) (*Tables, error) {
	t := &Tables{byID: map[int32]*Row{}, byName: map[string]*Row{}, kfuncs: map[string]*Kfunc{}, runs: map[string]*Row{}}
	for i := range o.Helpers {
		if err := t.addHelper(&o.Helpers[i]); err != nil {
			return nil, err
		}
	}
	for i := range o.Kfuncs {
		if err := t.addKfunc(&o.Kfuncs[i]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

var cName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (t *Tables) addHelper(h *OwnHelper) error {
	row := h.Row
	fail := func(format string, args ...any) error {
		return &OwnError{cmpName(row.Name, row.ID), fmt.Sprintf(format, args...)}
	}
	_, kernels := ByName(row.Name)
	switch {
	case !cName.MatchString(row.Name):
		return fail("%q is no name of a C function", row.Name)
	case row.ID < FirstOwn || row.ID > LastOwn:
		return fail("id %d: want %d to %d", row.ID, FirstOwn, LastOwn)
	case kernels || t.byName[row.Name] != nil:
		return fail("there is a helper of that name")
	case t.byID[row.ID] != nil:
		return fail("id %d is that of %s", row.ID, t.byID[row.ID].Name)
	case row.Engine || len(row.Variants) > 0 || len(row.Opened) > 0 || len(row.Limits) > 0:
		return fail("Engine, Variants, Opened and Limits are for the kernel's helpers")
	case row.Types == 0:
		return fail("no program may call it")
	}
	if reason := checkPrototype(&row); reason != "" {
		return fail("%s", reason)
	}
	fn, err := chooseFn(row.Fn, h.Go, &row)
	if err != nil {
		return fail("%v", err)
	}
	row.Fn = fn
	t.byID[row.ID], t.byName[row.Name] = &row, &row
	return nil
}

func cmpName(name string, id int32) string {
	if name == "" {
		return fmt.Sprintf("helper %d", id)
	}
	return name
}

// chooseFn is the implementation: fn, or what Bind makes of a Go function.
func chooseFn(fn Func, function any, row *Row) (Func, error) {
	switch {
	case fn != nil && function != nil:
		return nil, fmt.Errorf("both Fn and Go are set")
	case fn != nil:
		return fn, nil
	case function == nil:
		return nil, fmt.Errorf("neither Fn nor Go is set")
	}
	return Bind(row, function)
}

// ownArgs are the kinds of arguments that own helpers may have, and the flags that make sense with them.
var ownArgs = map[Arg]Arg{
	ArgAny: 0, ArgScalar: 0, ArgMapPtr: 0, ArgMapKey: 0, ArgMapValue: ArgMaybeNull | ArgUninit | ArgWrite, ArgCtx: 0,
	ArgMem: ArgMaybeNull | ArgUninit | ArgReadOnly | ArgWrite, ArgSize: 0, ArgSizeOrZero: 0,
	ArgFixedMem: ArgMaybeNull | ArgUninit | ArgReadOnly | ArgWrite | ArgAligned, ArgConstStr: 0,
}

// checkPrototype says what is wrong with the prototype of an own helper, "" when nothing is.
func checkPrototype(r *Row) string {
	n, hasMap, hasMem := r.NumArgs(), false, false
	for i, a := range r.Args {
		flags, known := ownArgs[a.Base()]
		isSize := a.Base() == ArgSize || a.Base() == ArgSizeOrZero
		switch {
		case a == ArgNone && i < n, a != ArgNone && i >= n:
			return fmt.Sprintf("argument %d follows one that is none", i+1)
		case a == ArgNone:
			continue
		case !known:
			return fmt.Sprintf("argument %d is of a kind that own helpers cannot have", i+1)
		case a&^argBaseMask&^flags != 0:
			return fmt.Sprintf("argument %d has a flag that its kind does not take", i+1)
		case a.Base() == ArgMem && (i+1 == n || r.Args[i+1].Base() != ArgSize && r.Args[i+1].Base() != ArgSizeOrZero):
			return fmt.Sprintf("argument %d is memory, and no size follows", i+1)
		case isSize && !hasMem:
			return fmt.Sprintf("argument %d is a size, and no memory is before it", i+1)
		case (a.Base() == ArgFixedMem) != (r.FixedSize[i] != 0):
			return fmt.Sprintf("FixedSize[%d] goes with ArgFixedMem, and is not 0", i)
		case (a.Base() == ArgMapKey || a.Base() == ArgMapValue) && !hasMap:
			return fmt.Sprintf("argument %d wants a map before it", i+1)
		}
		hasMap = hasMap || a.Base() == ArgMapPtr
		hasMem = a.Base() == ArgMem
	}
	switch r.Ret {
	case RetInteger, RetVoid:
	case RetMapValue, RetMapValue | RetMaybeNull:
		if !hasMap {
			return "a result in a map's value wants a map among the arguments"
		}
	case RetMem, RetMem | RetMaybeNull:
		if r.RetSize == 0 {
			return "RetMem wants RetSize"
		}
	default:
		return "the result is of a kind that own helpers cannot have"
	}
	return ""
}

// ByID finds a helper by its id, as ByID does.
func (t *Tables) ByID(id int32) *Row {
	if t != nil && id >= FirstOwn {
		return t.byID[id]
	}
	return ByID(id)
}

// ByName finds a helper by its name, as ByName does.
func (t *Tables) ByName(name string) (*Row, bool) {
	if t != nil && t.byName[name] != nil {
		return t.byName[name], true
	}
	return ByName(name)
}

// ID returns the id of the helper of that name: what asm.ParseOptions wants.
func (t *Tables) ID(name string) (int32, bool) {
	row, ok := t.ByName(name)
	if !ok {
		return 0, false
	}
	return row.ID, true
}

// Callable is what engines call by an id, as Callable.
func (t *Tables) Callable(id int32) *Row {
	switch {
	case t == nil || id < FirstOwn:
	case id <= LastOwn:
		return t.byID[id]
	case id >= firstOwn:
		if int(id-firstOwn) < len(t.called) {
			return t.called[id-firstOwn]
		}
		return nil
	}
	return Callable(id)
}

// Kfunc finds a kernel function, as KfuncByName.
func (t *Tables) Kfunc(name string) (*Kfunc, bool) {
	if t != nil && t.kfuncs[name] != nil {
		return t.kfuncs[name], true
	}
	return KfuncByName(name)
}

// KfuncID is the id by which engines call a kernel function; false when none can.
func (t *Tables) KfuncID(name string) (int32, bool) {
	if t != nil && t.runs[name] != nil {
		return t.runs[name].ID, true
	}
	return KfuncID(name)
}

// CallsOwn reports whether programs of an own type may list a helper of the kernel's: not when it works on a ctx of the kernel's.
func CallsOwn(r *Row) bool {
	if r.Name == "bpf_tail_call" || r.Name == "bpf_perf_event_output" {
		return true
	}
	for _, a := range r.Args {
		if a.Base() == ArgCtx {
			return false
		}
	}
	return !r.ChangesPacket && r.Variants == nil && !strings.Contains(r.Name, "redirect")
}

// kfuncOwnFlags are what own kernel functions may be.
const kfuncOwnFlags = KfuncAcquire | KfuncRelease | KfuncRetNull | KfuncTrusted | KfuncSleepable

func (t *Tables) addKfunc(o *OwnKfunc) error {
	fail := func(format string, args ...any) error { return &OwnError{o.Decl, fmt.Sprintf(format, args...)} }
	if reason := checkDecl(o.Decl); reason != "" {
		return fail("%s", reason)
	}
	k := &Kfunc{Decl: o.Decl, Flags: o.Flags, Types: o.Types, Own: true}
	k.parse()
	_, kernels := KfuncByName(k.Name)
	switch {
	case kernels || t.kfuncs[k.Name] != nil:
		return fail("there is a kernel function of that name")
	case o.Flags&^kfuncOwnFlags != 0:
		return fail("a flag that own kernel functions cannot have")
	case o.Types == 0:
		return fail("no program may call it")
	case o.Flags.Any(KfuncAcquire|KfuncRetNull) && k.Ret.Kind != CPtr:
		return fail("KfuncAcquire and KfuncRetNull are for functions that return a pointer")
	case o.Flags.Has(KfuncAcquire) && k.Ret.Ptr != CStruct:
		return fail("what is acquired must be a struct")
	}
	row, reason := kfuncPrototype(k)
	if reason != "" {
		return fail("%s", reason)
	}
	fn, err := chooseFn(o.Fn, o.Go, &row)
	if err != nil {
		return fail("%v", err)
	}
	if k.Ret.Kind == CScalar && k.Ret.Size < 8 {
		fn = truncated(fn, k.Ret.Size)
	}
	row.Name, row.ID, row.Fn = k.Name, firstOwn+int32(len(t.called)), fn
	t.called = append(t.called, &row)
	t.kfuncs[k.Name], t.runs[k.Name] = k, &row
	return nil
}

// truncated makes the result one of size bytes, the others zero: what C leaves in R0, and the verifier counts on.
func truncated(fn Func, size uint32) Func {
	mask := uint64(1)<<(8*size) - 1
	return func(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
		r0, err := fn(e, r1, r2, r3, r4, r5)
		return r0 & mask, err
	}
}

var (
	declForm  = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_ ]*[ *])([A-Za-z_][A-Za-z0-9_]*)\((.*)\)$`)
	paramForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_ ]*( \*?|\*)[A-Za-z_][A-Za-z0-9_]*$`)
)

// checkDecl says what is wrong with the form of a declaration, "" when nothing is.
func checkDecl(decl string) string {
	m := declForm.FindStringSubmatch(decl)
	if m == nil {
		return "want TYPE NAME(ARGUMENTS) in C, without a semicolon"
	}
	if m[3] == "void" {
		return ""
	}
	params := strings.Split(m[3], ", ")
	if len(params) > 5 {
		return fmt.Sprintf("%d arguments, at most 5", len(params))
	}
	for i, p := range params {
		if !paramForm.MatchString(p) {
			return fmt.Sprintf("argument %d: %q: want TYPE NAME or TYPE *NAME", i+1, p)
		}
	}
	return ""
}

// kfuncPrototype is the prototype of an own kernel function as engines and Bind see it, or what is wrong with it.
func kfuncPrototype(k *Kfunc) (row Row, reason string) {
	known := func(t CType) bool { return t.Kind != CScalar || t.Size != 0 }
	switch {
	case !known(k.Ret):
		return row, "no type " + k.Ret.Name
	case k.Ret.Kind == CPtr && k.Ret.Ptr != CStruct:
		return row, "a pointer that it returns must be one to a struct"
	case k.Ret.Kind == CStruct || k.Ret.Kind == CUnion:
		return row, "it cannot return a struct"
	case k.Ret.Kind == CVoid:
		row.Ret = RetVoid
	}
	for i := range k.Args {
		a := &k.Args[i]
		if !known(a.Type) {
			return row, fmt.Sprintf("argument %d: no type %s", i+1, a.Type.Name)
		}
		arg, size, reason := kfuncArg(k, i)
		if reason != "" {
			return row, fmt.Sprintf("argument %d %s", i+1, reason)
		}
		row.Args[i], row.FixedSize[i] = arg, size
	}
	return row, ""
}

func kfuncArg(k *Kfunc, i int) (arg Arg, size uint32, reason string) {
	a := &k.Args[i]
	null := Arg(0)
	if a.Nullable {
		null = ArgMaybeNull
	}
	sized := i+1 < len(k.Args) && (k.Args[i+1].Kind == KfuncSize || k.Args[i+1].Kind == KfuncConstSize)
	switch a.Kind {
	case KfuncScalar, KfuncConst, KfuncIgnored:
		return ArgAny, 0, ""
	case KfuncSize, KfuncConstSize:
		if i == 0 || k.Args[i-1].Type.Kind != CPtr {
			return 0, 0, "is a size, and no memory is before it"
		}
		return ArgSizeOrZero, 0, ""
	case KfuncStr:
		return ArgConstStr, 0, ""
	case KfuncMap:
		return ArgMapPtr, 0, ""
	case KfuncDynptr:
		return ArgFixedMem | ArgWrite, 16, ""
	case KfuncPtr:
		switch {
		case sized && (a.Type.Ptr == CVoid || a.Type.Size != 0):
			return ArgMem | ArgWrite | null, 0, ""
		case a.Type.Size != 0:
			return ArgFixedMem | ArgWrite | null, a.Type.Size, ""
		case a.Type.Ptr == CStruct:
			return ArgAny, 0, "" // the ctx, or an object
		}
	}
	return 0, 0, "is of a kind that own kernel functions cannot have"
}

// Bind makes an implementation of a Go function whose parameters and result fit a prototype:
//
//	*Env                             first, when the function wants it
//	numbers, a pointer to the ctx    uint64, int64, uint32, int32, or another integer type: what is left of the register
//	memory and its size              one []byte, in guest memory; nil for NULL
//	memory of a fixed size           []byte; nil for NULL
//	a map                            maps.Map
//	its key, or a value of it        []byte
//	a constant string                string
//	result                           an integer, nothing for void, and in each case an error behind it, which stops the program with a fault
//
// A call through Bind takes some hundred nanoseconds; a Func takes none.
func Bind(row *Row, function any) (Func, error) {
	v := reflect.ValueOf(function)
	if v.Kind() != reflect.Func || v.IsNil() {
		return nil, fmt.Errorf("Go is %T, want a function", function)
	}
	b := &binding{fn: v}
	t := v.Type()
	if t.IsVariadic() {
		return nil, fmt.Errorf("the Go function is variadic")
	}
	in := 0
	if t.NumIn() > 0 && t.In(0) == reflect.TypeFor[*Env]() {
		b.env, in = true, 1
	}
	for i := 0; i < row.NumArgs(); i++ {
		if in == t.NumIn() {
			return nil, fmt.Errorf("the Go function has too few parameters: none for argument %d", i+1)
		}
		p, err := bindParam(row, i, t.In(in))
		if err != nil {
			return nil, err
		}
		b.params = append(b.params, p)
		if row.Args[i].Base() == ArgMem {
			i++
		}
		in++
	}
	if in != t.NumIn() {
		return nil, fmt.Errorf("the Go function has a parameter of type %s more than the prototype", t.In(in))
	}
	if err := b.bindResult(row, t); err != nil {
		return nil, err
	}
	return b.call, nil
}
