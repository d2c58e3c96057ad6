package verifier

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// kfuncInfo is what the arguments of the current call of a kernel function say to the rest of the check
// (kernel: bpf_kfunc_call_arg_meta).
type kfuncInfo struct {
	row      *helpers.Kfunc
	constant int64  // value of the constant argument, -1 without one
	release  uint8  // register whose reference is released; 0 none
	ref      uint32 // reference among the arguments
	dynptr   reg    // the initialised dynptr among the arguments
	iter     iterPlace
	fn       int // callback, -1 without one
	work     bool
	workMap  int32 // whose value has the work queue among the arguments, when work is set
}

// kfuncOf finds the row of the kernel function that a call or load refers to; nil when the profile's kernel has none.
func (v *verifier) kfuncOf(imm int32) *helpers.Kfunc {
	f, _ := v.prog.Kfunc(imm)
	if f.Weak && v.outside && !v.runs(f.Name) {
		return nil
	}
	if row, ok := v.tables.Kfunc(f.Name); ok && v.profile.Kernel.AtLeast(row.Since) {
		return row
	}
	return nil
}

// checkKfuncs checks every reference to a kernel function, also those that no path reaches: a loader resolves them all
// (kernel: add_kfunc_call; libbpf: bpf_object__resolve_ksym_func_btf_id).
func (v *verifier) checkKfuncs() *Error {
	if name := v.exceptionCallback(); name != "" {
		return v.failAt(-1, Unsupported, "exception callback %s is not supported", name)
	}
	for pc := range v.insns {
		in := &v.insns[pc]
		addr := in.kind == asm.LdImm64 && asm.Reg(in.src) == asm.PseudoBTFID
		if in.kind != asm.CallKfunc && !addr {
			continue
		}
		if err := v.checkKfuncRef(pc); err != nil {
			return err
		}
		if in.kfunc == nil || addr {
			continue
		}
		switch {
		case !v.prog.GPL() && !in.kfunc.Own:
			return v.failAt(pc, NeedsGPL, "cannot call kernel function from non-GPL compatible program")
		case in.kfunc.Flags.Has(helpers.KfuncDeviceBound) && !v.outside:
			return v.failAt(pc, KfuncUnavailable, "metadata kfuncs require device-bound program")
		}
	}
	return nil
}

// checkKfuncRef checks that what an instruction refers to exists, or may be absent.
func (v *verifier) checkKfuncRef(pc int) *Error {
	raw := v.prog.Insns[pc]
	f, ok := v.prog.Kfunc(raw.Imm)
	switch {
	case !ok:
		return v.failAt(pc, KfuncUnknown, "kernel btf_id %d is not a function", raw.Imm)
	case raw.Op == opCall && raw.Off != 0:
		return v.failAt(pc, Unsupported, "kernel function %s of a module (%d) is not supported", f.Name, raw.Off)
	case !v.profile.Capable:
		return v.failAt(pc, NotPrivileged, "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN")
	case v.insns[pc].kfunc != nil || f.Weak:
		return nil
	}
	e := v.failAt(pc, KfuncUnknown, "extern (func ksym) '%s': not found in kernel or module BTFs", f.Name)
	if row, ok := helpers.KfuncByName(f.Name); ok {
		e.needs(NeedKfunc, f.Name, row.Since)
	}
	return e
}

// throws reports whether the path ends with the instruction, a call of bpf_throw.
func (in *insn) throws() bool { return in.kfunc != nil && in.kfunc.Name == kfuncThrow }

// lockSafe reports whether a kernel function may be called while a lock is held (kernel: kfunc_spin_allowed).
func lockSafe(k *helpers.Kfunc) bool {
	for _, prefix := range lockSafePrefixes {
		if strings.HasPrefix(k.Name, prefix) {
			return true
		}
	}
	return false
}

var lockSafePrefixes = []string{"bpf_iter_num_", "bpf_list_", "bpf_rbtree_", "bpf_refcount_acquire", "bpf_res_spin_", "bpf_arena_",
	"bpf_stream_"}

// opCall is the opcode of every call.
const opCall = 0x85

// loadKfuncAddr loads the address of a kernel function: memory of no bytes, or 0 when there is no such function.
func (v *verifier) loadKfuncAddr(in *insn) {
	dst := &v.regs()[in.dst]
	if in.kfunc == nil {
		*dst = constReg(0)
		return
	}
	if !v.runs(in.kfunc.Name) {
		v.noteKernel()
	}
	*dst = ptrReg(ptrMem)
	dst.flags = readOnly
}

// runs reports whether engines have a kernel function.
func (v *verifier) runs(kfunc string) bool {
	_, ok := v.tables.KfuncID(kfunc)
	return ok
}

// noteKernel remembers that the program needs a kernel for the current instruction.
func (v *verifier) noteKernel() {
	if v.kernelPC < 0 {
		v.kernelPC = v.pc
	}
}

// callKfunc checks a call of a kernel function and leaves in R0 what it returns (kernel: check_kfunc_call).
func (v *verifier) callKfunc(in *insn) *Error {
	k := in.kfunc
	if k == nil {
		f, _ := v.prog.Kfunc(int32(in.imm))
		return v.fail(KfuncUnknown, "kfunc '%s' is referenced but wasn't resolved", f.Name)
	}
	listed := v.prog.Type == prog.Own && slices.Contains(v.row.Calls, k.Name)
	if !listed && !k.AllowedIn(v.prog.Type, v.prog.Section, v.profile.Kernel) {
		return v.fail(KfuncUnavailable, "calling kernel function %s is not allowed", k.Name)
	}
	if k.Flags.Has(helpers.KfuncSleepable) && !v.maySleep() {
		return v.fail(MightSleep, "program must be sleepable to call sleepable kfunc %s", k.Name)
	}
	if k.Name == kfuncTrap {
		return v.fail(KfuncUnavailable, "unexpected __bpf_trap() due to uninitialized variable?")
	}
	if !v.runs(k.Name) {
		v.noteKernel()
	}
	v.kcall = kfuncInfo{row: k, constant: -1, fn: -1}
	if err := v.checkKfuncArgs(); err != nil {
		return err
	}
	if err := v.enterRegion(k); err != nil {
		return err
	}
	if err := v.releaseKfunc(); err != nil {
		return err
	}
	if k.Flags.Has(helpers.KfuncChangesPacket) {
		v.forgetPackets()
	}
	if k.Name == kfuncThrow {
		return v.checkThrow()
	}
	if v.kcall.fn >= 0 {
		if err := v.kfuncCallback(); err != nil {
			return err
		}
	}
	clearScratched(v.cur.top())
	if err := v.setKfuncReturn(); err != nil {
		return err
	}
	if k.Flags.Has(helpers.KfuncIterNext) {
		if err := v.iterNext(); err != nil {
			return err
		}
	}
	v.pc++
	return nil
}

// Kernel functions with rules of their own.
const (
	kfuncThrow          = "bpf_throw"
	kfuncTrap           = "__bpf_trap"
	kfuncCastToKernCtx  = "bpf_cast_to_kern_ctx"
	kfuncRdonlyCast     = "bpf_rdonly_cast"
	kfuncDynptrSlice    = "bpf_dynptr_slice"
	kfuncDynptrSliceRW  = "bpf_dynptr_slice_rdwr"
	kfuncDynptrClone    = "bpf_dynptr_clone"
	kfuncIterCSSTaskNew = "bpf_iter_css_task_new"
	kfuncGetKmemCache   = "bpf_get_kmem_cache"
)

// checkKfuncArgs checks the arguments one by one (kernel: check_kfunc_args).
func (v *verifier) checkKfuncArgs() *Error {
	c := &v.kcall
	for i := 0; i < len(c.row.Args); i++ {
		a := &c.row.Args[i]
		if a.Kind == helpers.KfuncIgnored {
			continue
		}
		n := uint8(i + 1)
		r := &v.regs()[n]
		if a.Type.Kind != helpers.CPtr {
			if err := v.checkKfuncScalar(n, r, a); err != nil {
				return err
			}
			continue
		}
		withSize, err := v.checkKfuncPtr(i, n, r, a)
		if err != nil {
			return err
		}
		if withSize {
			i++
		}
	}
	if c.row.Flags.Has(helpers.KfuncRelease) && c.release == 0 {
		return v.fail(BadRelease, "release kernel function %s expects refcounted PTR_TO_BTF_ID", c.row.Name)
	}
	return nil
}

func (v *verifier) checkKfuncScalar(n uint8, r *reg, a *helpers.KfuncArg) *Error {
	if r.typ != scalar {
		return v.fail(ArgType, "R%d is not a scalar", n)
	}
	if a.Kind != helpers.KfuncConst {
		return nil
	}
	if !r.isConst() {
		return v.fail(NotConstant, "R%d must be a known constant", n)
	}
	v.markPrecise(n)
	v.kcall.constant = int64(r.tn.Value)
	return nil
}

// checkKfuncPtr checks a pointer argument; withSize says that the next argument, its size, was checked with it.
func (v *verifier) checkKfuncPtr(i int, n uint8, r *reg, a *helpers.KfuncArg) (withSize bool, err *Error) {
	c := &v.kcall
	flags := c.row.Flags
	if (flags.TrustedArgs() || flags.Has(helpers.KfuncRCU)) && (r.isNull() || r.null()) && !a.Nullable {
		return false, v.fail(ArgMaybeNull, "Possibly NULL pointer passed to trusted arg%d", i).aboutReg(n)
	}
	if r.ref != 0 {
		if flags.Has(helpers.KfuncRelease) && c.ref != 0 {
			return false, v.fail(BadRelease, "more than one arg with ref_obj_id R%d %d %d", n, r.ref, c.ref)
		}
		c.ref = r.ref
		if flags.Has(helpers.KfuncRelease) {
			c.release = n
		}
	}
	sized := v.sizedMemory(i)
	switch {
	case c.row.Name == kfuncCastToKernCtx || a.Kind == helpers.KfuncPtr && a.Type.Name == v.row.CtxName && a.Type.Ptr == helpers.CStruct:
		return false, v.checkKfuncCtx(i, n, r)
	case a.Nullable && r.isNull() && !sized:
		return false, nil
	case a.Kind != helpers.KfuncPtr:
		return false, v.checkKfuncSpecial(i, n, r, a)
	case isObject(r):
		return false, v.checkKfuncObject(i, n, r, a)
	}
	return sized, v.checkKfuncMem(i, n, r, a, sized)
}

// sizedMemory reports whether argument i is memory whose size is the next argument.
func (v *verifier) sizedMemory(i int) bool {
	args := v.kcall.row.Args
	if i+1 >= len(args) || args[i+1].Kind != helpers.KfuncSize && args[i+1].Kind != helpers.KfuncConstSize {
		return false
	}
	return v.regs()[i+2].typ == scalar
}

func (v *verifier) checkKfuncCtx(i int, n uint8, r *reg) *Error {
	if err := v.checkKfuncOff(n, r); err != nil {
		return err
	}
	if r.typ != ptrCtx {
		return v.fail(ArgType, "arg#%d expected pointer to ctx, but got %s", i, r.typeString())
	}
	return nil
}

// checkKfuncOff checks that pointers which must not be moved were not.
func (v *verifier) checkKfuncOff(n uint8, r *reg) *Error {
	arg := helpers.ArgAny
	if v.kcall.row.Flags.Has(helpers.KfuncRelease) && r.ref != 0 {
		arg |= helpers.ArgRelease
	}
	return v.checkArgOff(n, r, arg)
}

// checkKfuncSpecial checks the arguments that are of one kind whatever is passed.
func (v *verifier) checkKfuncSpecial(i int, n uint8, r *reg, a *helpers.KfuncArg) *Error {
	if a.Kind == helpers.KfuncMap {
		if r.typ != ptrMap {
			return v.fail(ArgType, "pointer in R%d isn't map pointer", n)
		}
		if c := &v.kcall; c.work && c.workMap != r.aux {
			return v.fail(SpecialMisuse, "workqueue pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0")
		}
		return v.checkKfuncOff(n, r)
	}
	if err := v.checkKfuncOff(n, r); err != nil {
		return err
	}
	switch a.Kind {
	case helpers.KfuncDynptr:
		return v.checkKfuncDynptr(i, n, r, a)
	case helpers.KfuncIterator:
		return v.checkIter(i, n, r, a)
	case helpers.KfuncIRQFlag:
		return v.checkIRQFlag(i, n, r)
	case helpers.KfuncStr:
		if r.typ != ptrMapValue {
			return v.fail(ArgType, "arg#%d doesn't point to a const string", i)
		}
		return v.checkConstStr(n, r)
	case helpers.KfuncWorkqueue:
		if r.typ != ptrMapValue || r.null() {
			return v.fail(ArgType, "arg#%d doesn't point to a map value", i)
		}
		v.kcall.work, v.kcall.workMap = true, r.aux
		return v.timer(n, r, btf.Workqueue)
	case helpers.KfuncCallback:
		if r.typ != ptrFunc {
			return v.fail(ArgType, "arg%d expected pointer to func", i)
		}
		v.kcall.fn = int(r.aux)
		return nil
	}
	return v.fail(Unsupported, "argument %d of kernel function %s is of a kind that is not supported", i, v.kcall.row.Name)
}

// objectStructs are the kernel's structs behind pointers that have a type of their own (kernel: reg2btf_ids).
var objectStructs = map[regType]string{ptrSocket: "sock", ptrSockCommon: "sock_common", ptrTCPSock: "tcp_sock", ptrMap: "bpf_map"}

// isObject reports whether r points to an object of the kernel.
func isObject(r *reg) bool { return r.typ == ptrBTF || objectStructs[r.typ] != "" }

// objectType is the struct that r points to.
func (v *verifier) objectType(r *reg) string {
	if r.typ == ptrBTF {
		return v.typeName(r)
	}
	return objectStructs[r.typ]
}

// structID is the number of a struct of the kernel, for reg.aux: its id in the kernel's types, or one beyond those when they
// don't have it.
func (v *verifier) structID(name string) int32 {
	types := v.kernelTypes()
	if id, ok := types.Find(btf.Struct, name); ok {
		return int32(id)
	}
	i := slices.Index(v.structs, name)
	if i < 0 {
		i = len(v.structs)
		v.structs = append(v.structs, name)
	}
	return int32(types.Len() + i)
}

// structName is the name of the struct with a number.
func (v *verifier) structName(id int32) string {
	types := v.kernelTypes()
	if i := int(id) - types.Len(); i >= 0 && i < len(v.structs) {
		return v.structs[i]
	}
	return types.At(btf.ID(id)).Name
}

// begins are structs that begin with another one, which they may stand for.
var begins = map[string]string{"bpf_cpumask": "cpumask", "sock": "sock_common", "tcp_sock": "sock"}

// checkKfuncObject checks a pointer to an object of the kernel (kernel: process_kf_arg_ptr_to_btf_id).
func (v *verifier) checkKfuncObject(i int, n uint8, r *reg, a *helpers.KfuncArg) *Error {
	flags := v.kcall.row.Flags
	if a.Type.Ptr != helpers.CStruct && a.Type.Ptr != helpers.CUnion {
		return v.fail(ArgType, "kernel function %s args#%d pointer type %s is not supported", v.kcall.row.Name, i, a.Type)
	}
	if (flags.TrustedArgs() || flags.Has(helpers.KfuncRCU)) && !r.trusted() && r.typ != ptrMap {
		if !flags.Has(helpers.KfuncRCU) {
			return v.fail(ArgType, "R%d must be referenced or trusted", n)
		}
		if r.flags&rcu == 0 {
			return v.fail(ArgType, "R%d must be a rcu pointer", n)
		}
	}
	if err := v.checkKfuncOff(n, r); err != nil {
		return err
	}
	if r.flags&untrusted != 0 || r.null() && r.typ == ptrBTF {
		return v.fail(ArgType, "arg#%d is %s expected %s or socket", i, r.typeString(), typeString(r.typ, r.flags&trusted))
	}
	have := v.objectType(r)
	if have == "" {
		return v.fail(Unsupported, "argument %d of kernel function %s points to a kernel object of unknown type", i, v.kcall.row.Name)
	}
	strict := flags.Has(helpers.KfuncRelease) && r.ref != 0
	for t := have; ; t = begins[t] {
		switch {
		case r.off == 0 && (t == a.Type.Name || a.Type.Name == "__sk_buff" && t == "sk_buff" || a.Type.Name == "xdp_md" && t == "xdp_buff"):
			return nil
		case t == "" || strict || r.off != 0: // no struct is inside of one of its kind
			return v.fail(ArgType, "kernel function %s args#%d expected pointer to %s but R%d has a pointer to STRUCT %s",
				v.kcall.row.Name, i, a.Type, n, have)
		}
	}
}

// checkKfuncMem checks memory: with a size in the next argument, or of the size of what its type points to. The kernel
// function may read and write it.
func (v *verifier) checkKfuncMem(i int, n uint8, r *reg, a *helpers.KfuncArg, sized bool) *Error {
	if a.Type.Size == 0 && !(sized && a.Type.Ptr == helpers.CVoid) {
		or := ""
		if sized {
			or = "void, "
		}
		return v.fail(ArgType, "arg#%d pointer type %s must point to %sscalar, or struct with scalar", i, a.Type, or)
	}
	if err := v.checkKfuncOff(n, r); err != nil {
		return err
	}
	if sized {
		return v.checkKfuncSized(i, n, r, a)
	}
	if r.isNull() {
		return nil
	}
	return v.checkMemBothWays(memArg{n: n, size: int64(a.Type.Size), zeroOK: true})
}

// checkMemBothWays checks memory that is read and written.
func (v *verifier) checkMemBothWays(m memArg) *Error {
	if err := v.checkMem(m); err != nil {
		return err
	}
	m.write = true
	return v.checkMem(m)
}

// checkKfuncSized checks memory and its size, the next argument (kernel: check_kfunc_mem_size_reg).
func (v *verifier) checkKfuncSized(i int, n uint8, r *reg, a *helpers.KfuncArg) *Error {
	size := &v.regs()[n+1]
	optional := len(a.Name) > 5 && a.Name[len(a.Name)-5:] == "__opt"
	if !optional || !r.isNull() {
		err := v.checkSizeReg(n+1, size, true)
		if err == nil {
			err = v.checkMemBothWays(memArg{n: n, size: int64(size.umax), zeroOK: true})
		}
		if err != nil {
			err.Kernel += fmt.Sprintf("\narg#%d arg#%d memory, len pair leads to invalid memory access", i, i+1)
			return err
		}
		v.markPrecise(n + 1)
	}
	if v.kcall.row.Args[i+1].Kind != helpers.KfuncConstSize {
		return nil
	}
	if !size.isConst() {
		return v.fail(NotConstant, "R%d must be a known constant", n+1)
	}
	v.markPrecise(n + 1)
	v.kcall.constant = int64(size.tn.Value)
	return nil
}

// releaseKfunc gives back the reference among the arguments of a releasing function.
func (v *verifier) releaseKfunc() *Error {
	c := &v.kcall
	if c.release == 0 {
		return nil
	}
	if ref := v.regs()[c.release].ref; !v.releaseAll(ref) {
		return v.fail(BadRelease, "kfunc %s reference has not been acquired before", c.row.Name)
	}
	return nil
}

// releaseAll gives a reference back and makes numbers of all pointers that carry it; false when it is not held.
func (v *verifier) releaseAll(ref uint32) bool {
	if !v.cur.releaseRef(ref) {
		return false
	}
	v.cur.eachReg(func(r *reg) {
		if r.ref == ref {
			*r = v.invalid()
		}
	})
	return true
}

// setKfuncReturn puts what the kernel function returns into R0.
func (v *verifier) setKfuncReturn() *Error {
	c := &v.kcall
	k := c.row
	r0 := &v.regs()[0]
	switch k.Ret.Kind {
	case helpers.CVoid:
		return nil
	case helpers.CScalar:
		*r0 = unknownReg()
		return nil
	}
	*r0 = ptrReg(ptrBTF)
	switch {
	case k.Name == kfuncCastToKernCtx:
		r0.flags = trusted
		r0.aux = v.structID(kernelCtx(v.row.CtxName))
	case k.Name == kfuncRdonlyCast:
		return v.castReadOnly(r0)
	case k.Name == kfuncDynptrSlice || k.Name == kfuncDynptrSliceRW:
		if err := v.setSlice(r0); err != nil {
			return err
		}
	case k.Ret.Ptr == helpers.CVoid:
		*r0 = unknownReg() // as the kernel takes void *
		return nil
	case k.Ret.Ptr == helpers.CStruct:
		r0.aux = v.structID(k.Ret.Name)
		r0.flags = v.objectFlags()
	default:
		r0.typ, r0.flags, r0.aux, r0.ref = ptrMem, readOnly, int32(k.Ret.Size), c.ref
		if k.Name == "bpf_session_cookie" {
			r0.flags = 0
		}
	}
	if k.Flags.Has(helpers.KfuncRetNull) {
		r0.flags |= maybeNull
		r0.id = v.newID()
	}
	if k.Flags.Has(helpers.KfuncAcquire) {
		r0.ref = v.acquire()
		if k.Flags.Has(helpers.KfuncRetNull) {
			r0.id = r0.ref
		}
	}
	return nil
}

// castReadOnly makes R0 the result of bpf_rdonly_cast: an object of the type whose id is the constant argument, or, of type 0,
// memory of unknown size.
func (v *verifier) castReadOnly(r0 *reg) *Error {
	types, id := v.givenBTF, v.kcall.constant
	r0.flags = untrusted
	switch {
	case id == 0 && v.profile.Kernel.AtLeast(voidCast):
		r0.typ = ptrMem
		r0.flags |= readOnly
		return nil
	case types == nil:
		return v.needBTF("what type %d is", id)
	case int64(int32(id)) != id || types.At(btf.ID(id)).Kind != btf.Struct:
		return v.fail(HelperArg, "kfunc bpf_rdonly_cast type ID argument must be of a struct%s", orVoid[v.profile.Kernel.AtLeast(voidCast)])
	}
	r0.aux = int32(id)
	return nil
}

// voidCast is the kernel in which bpf_rdonly_cast began to take void.
var voidCast = kver.V(6, 17)

var orVoid = map[bool]string{true: " or void"}

// objectFlags says how far a kernel object that a kernel function returns may be trusted.
func (v *verifier) objectFlags() regFlags {
	k := v.kcall.row
	switch {
	case k.Name == kfuncGetKmemCache:
		return untrusted
	case k.Flags.Has(helpers.KfuncIterNext):
		if v.iterAt(v.cur, v.kcall.iter).reg.flags&rcu != 0 {
			return rcu
		}
		return trusted
	}
	return 0
}

// acquire makes a reference that must be released.
func (v *verifier) acquire() uint32 {
	id := v.newID()
	v.cur.refs = append(v.cur.refs, ref{id: id, pc: int32(v.pc)})
	return id
}

// kernelCtx is the kernel's own struct behind a ctx.
func kernelCtx(ctx string) string {
	switch ctx {
	case "__sk_buff":
		return "sk_buff"
	case "xdp_md":
		return "xdp_buff"
	}
	return ctx + "_kern"
}

// checkSizeReg checks a register that holds the size of memory (kernel: check_mem_size_reg).
func (v *verifier) checkSizeReg(n uint8, r *reg, zeroOK bool) *Error {
	switch {
	case r.smin < 0:
		return v.fail(NegativeSize, "R%d min value is negative, either use unsigned or 'var &= const'", n)
	case r.umin == 0 && !zeroOK:
		return v.fail(ZeroSize, "R%d invalid zero-sized read: u64=[%d,%d]", n, int64(r.umin), int64(r.umax))
	case r.umax >= maxVarOff:
		return v.fail(UnboundedSize, "R%d unbounded memory access, use 'var &= const' or 'if (var < const)'", n)
	}
	return nil
}
