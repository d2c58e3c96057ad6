package helpers

import (
	"strings"
	"sync"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// Kfunc is all that the project knows about a kernel function that programs call by its BTF id. What its arguments must
// be follows from the declaration, as in the kernel: from their types and from the suffixes of their names.
type Kfunc struct {
	Decl  string // the declaration: "int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)"
	Flags KfuncFlags
	Types TypeSet // program types that may call it, on the newest kernel
	Since kver.Version
	// Only names the sections of the programs that may call it, where the kernel's set has a filter: "iter/tcp". nil is all.
	Only []string

	// Own says that it is an embedder's, not the kernel's.
	Own bool

	// What Decl says, once KfuncByName or Kfuncs has returned the row.
	Name string
	Args []KfuncArg
	Ret  CType
}

// KfuncFlags are the properties that a kernel function is registered with. (Linux: KF_*.)
type KfuncFlags uint16

// The flags.
const (
	KfuncAcquire       KfuncFlags = 1 << iota // R0 is a reference that must be released
	KfuncRelease                              // the reference among the arguments is released
	KfuncRetNull                              // R0 may be NULL
	KfuncTrusted                              // pointers to kernel objects must be referenced or trusted, and none may be NULL
	KfuncRCU                                  // … or protected by RCU
	KfuncRCUProtected                         // only inside an RCU read-side critical section
	KfuncSleepable                            // only for sleepable programs
	KfuncDestructive                          // only for loaders with CAP_SYS_BOOT
	KfuncIterNew                              // constructor, …
	KfuncIterNext                             // … step, …
	KfuncIterDestroy                          // … and destructor of an open-coded iterator
	KfuncFastCall                             // R1-R5 survive if the program spills them by the rules of bpf_fastcall
	KfuncDeviceBound                          // only for programs bound to a device
	KfuncChangesPacket                        // packet pointers are invalid after it
)

// Has reports whether f has all of the flags.
func (f KfuncFlags) Has(flags KfuncFlags) bool { return f&flags == flags }

// Any reports whether f has one of the flags.
func (f KfuncFlags) Any(flags KfuncFlags) bool { return f&flags != 0 }

// TrustedArgs reports whether arguments that point to kernel objects must be trusted (kernel: is_kfunc_trusted_args).
func (f KfuncFlags) TrustedArgs() bool { return f.Any(KfuncTrusted | KfuncRelease) }

// Iter reports whether the function is one of an iterator's three.
func (f KfuncFlags) Iter() bool { return f.Any(KfuncIterNew | KfuncIterNext | KfuncIterDestroy) }

// CType is the type of an argument or a result, as far as the verifier looks at it.
type CType struct {
	Kind CKind
	// Name is that of a struct, union or scalar type; of a pointer, that of the type that it points to.
	Name string
	Ptr  CKind // of a pointer: what it points to
	// Size is the bytes of a scalar; of a pointer, those behind it when they are plain data, else 0: a scalar, or a struct
	// of nothing but scalars.
	Size uint32
}

// CKind is the kind of a CType.
type CKind uint8

// Kinds of types.
const (
	CVoid CKind = iota
	CScalar
	CStruct
	CUnion
	CFunc
	CPtr
)

// KfuncArg is an argument of a kernel function.
type KfuncArg struct {
	Name     string
	Type     CType
	Kind     KfuncArgKind
	Nullable bool // NULL is allowed
	Uninit   bool // KfuncDynptr: the function constructs it
}

// KfuncArgKind says what is demanded of an argument. (Linux: enum kfunc_ptr_arg_type and the suffixes of names.)
type KfuncArgKind uint8

// Kinds of arguments.
const (
	KfuncScalar     KfuncArgKind = iota
	KfuncConst                   // known constant: __k
	KfuncSize                    // size of the memory before it: __sz
	KfuncConstSize               // the same, a known constant: __szk
	KfuncIgnored                 // anything: __ign, and __prog, which the kernel supplies
	KfuncPtr                     // the ctx, a kernel object, or memory, by its type and by what is passed
	KfuncDynptr                  // struct bpf_dynptr
	KfuncIterator                // struct bpf_iter_NAME on the stack
	KfuncListHead                // struct bpf_list_head
	KfuncListNode                // struct bpf_list_node
	KfuncRBRoot                  // struct bpf_rb_root
	KfuncRBNode                  // struct bpf_rb_node
	KfuncStr                     // constant string: __str
	KfuncMap                     // map: __map
	KfuncAllocated               // object from bpf_obj_new: __alloc
	KfuncRefcounted              // the same with a refcount: __refcounted_kptr
	KfuncWorkqueue               // struct bpf_wq
	KfuncTaskWork                // struct bpf_task_work
	KfuncIRQFlag                 // word of stack with the interrupt state: __irq_flag
	KfuncResLock                 // struct bpf_res_spin_lock
	KfuncCallback                // function of the program
)

// argSuffixes are the suffixes of argument names that say what the argument is.
var argSuffixes = []struct {
	suffix string
	kind   KfuncArgKind
}{
	{"__ign", KfuncIgnored}, {"__prog", KfuncIgnored}, {"__k", KfuncConst}, {"__sz", KfuncSize}, {"__szk", KfuncConstSize},
	{"__str", KfuncStr}, {"__map", KfuncMap}, {"__alloc", KfuncAllocated}, {"__refcounted_kptr", KfuncRefcounted},
	{"__irq_flag", KfuncIRQFlag}, {"__iter", KfuncIterator},
}

// argStructs are the types of pointers that say what the argument is.
var argStructs = map[string]KfuncArgKind{
	"bpf_dynptr": KfuncDynptr, "bpf_list_head": KfuncListHead, "bpf_list_node": KfuncListNode, "bpf_rb_root": KfuncRBRoot,
	"bpf_rb_node": KfuncRBNode, "bpf_wq": KfuncWorkqueue, "bpf_task_work": KfuncTaskWork, "bpf_res_spin_lock": KfuncResLock,
}

// IterSlots is the number of 8-byte stack slots of an iterator, by the name of its struct.
func IterSlots(name string) int { return int(dataSizes[name] / 8) }

// dataSizes are the structs and unions of nothing but scalars, and their sizes. Deviation: struct cpumask has the size of
// a kernel for 8192 CPUs.
var dataSizes = map[string]uint32{
	"bpf_sock_tuple": 36, "bpf_ct_opts": 16, "bpf_xfrm_state_opts": 36, "bpf_tcp_req_attrs": 20, "bpf_crypto_params": 408,
	"xdp_md": 24, "bpf_fou_encap": 4, "bpf_xfrm_info": 8, "bpf_flowtable_opts": 4, "bpf_fib_lookup": 64, "nf_inet_addr": 16,
	"bpf_iter_num": 8, "bpf_iter_bits": 16, "bpf_iter_task": 24, "bpf_iter_css": 24, "bpf_iter_css_task": 8,
	"bpf_iter_task_vma": 8, "bpf_iter_dmabuf": 8, "bpf_iter_kmem_cache": 8, "cpumask": 1024, "bpf_cpumask": 1032,
	"prog_test_member": 8,
}

// scalarSizes are the scalar types that declarations name. Enums have 4 bytes.
var scalarSizes = map[string]uint32{
	"bool": 1, "char": 1, "u8": 1, "u16": 2, "__be16": 2, "int": 4, "s32": 4, "u32": 4, "__u32": 4, "unsigned int": 4,
	"long": 8, "unsigned long": 8, "s64": 8, "u64": 8, "__u64": 8, "size_t": 8,
}

var kfuncIndex = sync.OnceValue(func() map[string]*Kfunc {
	m := make(map[string]*Kfunc, len(kfuncTable))
	for i := range kfuncTable {
		k := &kfuncTable[i]
		k.parse()
		m[k.Name] = k
	}
	return m
})

// KfuncByName finds a kernel function; false when the project knows none of the name.
func KfuncByName(name string) (*Kfunc, bool) {
	k, ok := kfuncIndex()[name]
	return k, ok
}

// Kfuncs returns all rows. They are not to be changed.
func Kfuncs() []Kfunc {
	kfuncIndex()
	return kfuncTable
}

// AllowedIn reports whether a program of type t, from that section, may call k on kernel v. (Linux: the kfunc id sets and
// their filters.)
func (k *Kfunc) AllowedIn(t prog.Type, section string, v kver.Version) bool {
	if k.Own {
		return k.Types.Has(t)
	}
	if !k.Types.Has(t) || !v.AtLeast(k.Since) || !v.AtLeast(kfuncTypesSince(t)) {
		return false
	}
	if k.Only == nil {
		return true
	}
	for _, s := range k.Only {
		if section == s || strings.HasPrefix(section, s+"/") {
			return true
		}
	}
	return false
}

// parse fills what Decl says. The table's declarations are well-formed: a test compares them with a kernel's BTF.
func (k *Kfunc) parse() {
	head, params, _ := strings.Cut(strings.TrimSuffix(k.Decl, ")"), "(")
	ret, name := cutName(head)
	k.Name, k.Ret = name, parseType(ret)
	if params == "void" {
		return
	}
	for i, p := range strings.Split(params, ", ") {
		typ, name := cutName(p)
		a := KfuncArg{Name: name, Type: parseType(typ)}
		a.Kind = a.kind(k.Flags.Iter() && i == 0)
		a.Uninit = strings.HasSuffix(name, "__uninit")
		a.Nullable = strings.HasSuffix(name, "__nullable") || strings.HasSuffix(name, "__opt")
		k.Args = append(k.Args, a)
	}
}

// kind derives what is demanded (kernel: get_kfunc_ptr_arg_type).
func (a *KfuncArg) kind(iter bool) KfuncArgKind {
	if iter {
		return KfuncIterator
	}
	for _, s := range argSuffixes {
		if strings.HasSuffix(a.Name, s.suffix) {
			return s.kind
		}
	}
	switch {
	case a.Type.Kind != CPtr:
		return KfuncScalar
	case a.Type.Ptr == CFunc:
		return KfuncCallback
	}
	if kind, ok := argStructs[a.Type.Name]; ok {
		return kind
	}
	return KfuncPtr
}

// cutName splits a declarator into type and name.
func cutName(decl string) (typ, name string) {
	i := strings.LastIndexAny(decl, " *") + 1
	return strings.TrimSpace(decl[:i]), decl[i:]
}

func parseType(c string) CType {
	base, ptr := strings.CutSuffix(c, "*")
	base = strings.TrimSpace(strings.TrimPrefix(base, "const "))
	t := CType{Kind: CScalar, Name: base}
	switch word, name, _ := strings.Cut(base, " "); word {
	case "void":
		t.Kind = CVoid
	case "struct":
		t.Kind, t.Name, t.Size = CStruct, name, dataSizes[name]
	case "union":
		t.Kind, t.Name, t.Size = CUnion, name, dataSizes[name]
	case "enum":
		t.Name, t.Size = name, 4
	case "callback":
		t.Kind = CFunc
	default:
		t.Size = scalarSizes[base]
	}
	if ptr {
		t.Kind, t.Ptr = CPtr, t.Kind
	}
	return t
}

// String is what the kernel calls the type, or of a pointer the type that it points to: "STRUCT task_struct".
func (t CType) String() string {
	kind := t.Kind
	if kind == CPtr {
		kind = t.Ptr
	}
	switch kind {
	case CStruct:
		return "STRUCT " + t.Name
	case CUnion:
		return "UNION " + t.Name
	case CScalar:
		if t.Size == 4 && scalarSizes[t.Name] == 0 {
			return "ENUM " + t.Name
		}
		return "INT " + intNames[t.Name]
	case CFunc:
		return "FUNC_PROTO "
	}
	return "UNKNOWN "
}

// intNames are the types that scalar types stand for, as BTF names them.
var intNames = map[string]string{
	"bool": "_Bool", "char": "char", "u8": "unsigned char", "u16": "short unsigned int", "__be16": "short unsigned int", "int": "int",
	"s32": "int", "u32": "unsigned int", "__u32": "unsigned int", "unsigned int": "unsigned int", "long": "long int",
	"unsigned long": "long unsigned int", "s64": "long long int", "u64": "long long unsigned int", "__u64": "long long unsigned int",
	"size_t": "long unsigned int",
}
