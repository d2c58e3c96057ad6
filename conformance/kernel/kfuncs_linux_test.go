package kernel_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// kernelBTF is the running kernel's type information; the test skips without it.
func kernelBTF(t *testing.T) *btf.Spec {
	t.Helper()
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("no BTF of a kernel: %v", err)
	}
	return spec
}

// cKinds are the kinds of C types that declarations have, but for pointers.
func cKind(t btf.Type) (helpers.CKind, string) {
	name := t.TypeName()
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Void:
		return helpers.CVoid, ""
	case *btf.Struct:
		return helpers.CStruct, t.Name
	case *btf.Union:
		return helpers.CUnion, t.Name
	case *btf.FuncProto:
		return helpers.CFunc, ""
	case *btf.Enum:
		return helpers.CScalar, t.Name
	default:
		return helpers.CScalar, name
	}
}

// sameType compares a declaration's type with the kernel's, and with sized also the bytes behind a pointer.
func sameType(t *testing.T, where string, want btf.Type, got helpers.CType, sized bool) {
	t.Helper()
	ptr, isPtr := btf.UnderlyingType(want).(*btf.Pointer)
	if !isPtr {
		kind, _ := cKind(want)
		size, _ := btf.Sizeof(want)
		if kind != got.Kind || kind == helpers.CScalar && size != int(got.Size) {
			t.Errorf("%s: kind %d of %d bytes, the kernel's is %v", where, got.Kind, got.Size, want)
		}
		return
	}
	kind, name := cKind(ptr.Target)
	if got.Kind != helpers.CPtr || got.Ptr != kind || (kind == helpers.CStruct || kind == helpers.CUnion) && got.Name != name {
		t.Errorf("%s: %+v, the kernel's is a pointer to %v", where, got, ptr.Target)
		return
	}
	if !sized || strings.Contains(name, "cpumask") { // those depend on the CPUs that the kernel was configured for
		return
	}
	size := 0
	if plain(ptr.Target, 0) {
		size, _ = btf.Sizeof(ptr.Target)
	}
	if size != int(got.Size) {
		t.Errorf("%s: %d bytes of plain data in %s, %d in the kernel", where, got.Size, name, size)
	}
}

// plain reports whether a type is a scalar or made of scalars only (kernel: __btf_type_is_scalar_struct).
func plain(t btf.Type, depth int) bool {
	var members []btf.Member
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Int, *btf.Enum:
		return true
	case *btf.Array:
		return depth > 0 && t.Nelems > 0 && plain(t.Type, depth)
	case *btf.Struct:
		members = t.Members
	case *btf.Union:
		members = t.Members
	default:
		return false
	}
	return depth <= 3 && !slices.ContainsFunc(members, func(m btf.Member) bool { return !plain(m.Type, depth+1) })
}

// TestKfuncDeclarations compares the declarations of the table with the running kernel's BTF.
func TestKfuncDeclarations(t *testing.T) {
	spec := kernelBTF(t)
	found := 0
	for _, k := range helpers.Kfuncs() {
		var f *btf.Func
		if spec.TypeByName(k.Name, &f) != nil {
			continue // of another kernel, or not configured
		}
		found++
		proto := f.Type.(*btf.FuncProto)
		if len(proto.Params) != len(k.Args) {
			t.Errorf("%s: %d arguments, %d in the kernel", k.Name, len(k.Args), len(proto.Params))
			continue
		}
		sameType(t, k.Name+" result", proto.Return, k.Ret, k.Ret.Ptr == helpers.CScalar)
		for i, p := range proto.Params {
			if p.Name != k.Args[i].Name {
				t.Errorf("%s: argument %d is %s, in the kernel %s", k.Name, i, k.Args[i].Name, p.Name)
			}
			kind := k.Args[i].Kind
			sameType(t, k.Name+" "+p.Name, p.Type, k.Args[i].Type, kind == helpers.KfuncPtr || kind == helpers.KfuncIterator)
		}
		if fast := slices.Contains(f.Tags, "bpf_fastcall"); fast != k.Flags.Has(helpers.KfuncFastCall) {
			t.Errorf("%s: bpf_fastcall %v in the kernel", k.Name, fast)
		}
	}
	if found < 100 {
		t.Skipf("the kernel knows only %d of them", found)
	}
	for typ := range spec.All() {
		f, ok := typ.(*btf.Func)
		if !ok || !slices.Contains(f.Tags, "bpf_kfunc") {
			continue
		}
		if _, ok := helpers.KfuncByName(f.Name); !ok && !structOpsOnly(f.Name) {
			t.Errorf("%s is not in the table", f.Name)
		}
	}
}

// structOpsOnly reports whether a kernel function is for struct_ops programs, for the kernel's tests or no kfunc at all:
// those are not in the table.
func structOpsOnly(name string) bool {
	for _, prefix := range []string{"tcp_", "bbr_", "cubictcp_", "dctcp_", "bpf_fentry_test", "bpf_modify_return_test",
		"bpf_kfunc_call_", "scx_", "hid_bpf_", "bpf_qdisc_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// TestKfuncPrograms compares verdicts, words and counts of clang's programs in testdata/kfuncs.c.
func TestKfuncPrograms(t *testing.T) {
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	elf, err := os.ReadFile("testdata/kfuncs.o")
	require.NoError(t, err)
	o, err := object.LoadBytes(elf, "kfuncs.o", object.Options{})
	require.NoError(t, err)
	verdicts, err := kernel.Verify(elf, 1)
	if errors.Is(err, btf.ErrNotFound) {
		t.Skipf("the kernel lacks a function: %v", err)
	}
	require.NoError(t, err)
	for _, p := range o.Programs {
		t.Run(p.Name, func(t *testing.T) {
			want := verdicts[p.Name]
			v, err := verifier.Verify(p, verifier.Options{})
			if p.Name == "throws_to_handler" {
				require.ErrorContains(t, err, "exception callback handler is not supported")
				return
			}
			require.Equal(t, want.Accepted, err == nil, "here %v, kernel %s", err, want.Words)
			if err != nil {
				words := err.(*verifier.Error).Kernel
				if strings.HasPrefix(want.Words, "invalid func unknown#") {
					return // a loader's number for what it did not find
				}
				require.Equal(t, want.Words, words[strings.LastIndexByte(words, '\n')+1:])
				return
			}
			if p.Name != "in_global" { // a global function is walked with each caller's arguments here
				require.Equal(t, want.Processed, v.Stats().Processed)
			}
		})
	}
}

// TestKfuncTypes asks the kernel about every function of the table in programs of a type of each hook.
func TestKfuncTypes(t *testing.T) {
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	if r := kernel.Release(); !strings.HasPrefix(r, "6.18.") {
		t.Skipf("kernel %s is not the one that the table is of", r)
	}
	spec := kernelBTF(t)
	v := kver.V(6, 18)
	asked := 0
	for _, k := range helpers.Kfuncs() {
		var f *btf.Func
		if spec.TypeByName(k.Name, &f) != nil || k.Name == "bpf_verify_pkcs7_signature" { // in BTF also where it is not configured
			continue
		}
		for _, typ := range []prog.Type{prog.SocketFilter, prog.Kprobe, prog.SchedCLS, prog.SchedACT, prog.Tracepoint, prog.XDP,
			prog.CgroupSKB, prog.LWTIn, prog.SkSKB, prog.SkMsg, prog.RawTracepoint, prog.FlowDissector, prog.Syscall} {
			p := &prog.Program{Type: typ, License: "GPL", Kfuncs: []prog.Kfunc{{Name: k.Name}}}
			var err error
			p.Insns, err = asm.Parse("r1 = 0\nr2 = 0\nr3 = 0\nr4 = 0\nr5 = 0\ncall kfunc 0\nr0 = 1\nexit", asm.ParseOptions{})
			require.NoError(t, err)
			loaded, err := kernel.LoadProgram(p, nil)
			if err == nil {
				loaded.Close()
			}
			allowed := err == nil || !strings.Contains(err.Error(), "calling kernel function "+k.Name+" is not allowed")
			if allowed != k.AllowedIn(typ, "", v) {
				t.Errorf("%s in %v: the kernel allows it %v: %v", k.Name, typ, allowed, err)
			}
			asked++
		}
	}
	t.Logf("%d programs", asked)
}
