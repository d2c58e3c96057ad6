package verifier

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// Global functions are proved alone, with any arguments that their prototype allows: a call checks the arguments against the
// prototype and knows of the result only that it is a number. What the prototype allows is in the program's BTF; there is none
// in 5.5 and before.

// Releases that changed what global functions may be.
var (
	globalTags      = kver.V(6, 8)  // __arg_ctx, __arg_nonnull, pointers to dynptrs; functions that nobody calls are not proved
	globalTrusted   = kver.V(6, 9)  // __arg_trusted, __arg_nullable, __arg_arena
	globalUntrusted = kver.V(6, 17) // __arg_untrusted
)

// globalArg is what a global function takes.
type globalArg struct {
	kind  globalKind
	flags regFlags
	aux   int32 // struct of argObject, bytes of argMemory
}

type globalKind uint8

const (
	argNumber globalKind = iota
	argCtx
	argMemory
	argDynptr
	argObject
	argArena
)

// enterGlobal is a call of a global function: it is not walked (kernel: check_func_call, btf_check_func_arg_match).
func (v *verifier) enterGlobal(in *insn) *Error {
	fn := int(v.subOf[in.target])
	s := &v.subs[fn]
	if v.cur.lock != 0 {
		return v.fail(LockMisuse, "global function calls are not allowed while holding a lock,\nuse static function instead")
	}
	if s.sleeps && (!v.maySleep() || v.cur.leftRegion() != "") {
		return v.fail(RegionMisuse, "global functions that may sleep are not allowed in non-sleepable context,\n"+
			"i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context")
	}
	args, err := v.globalArgs(fn)
	for i := 0; i < len(args) && err == nil; i++ {
		err = v.checkGlobalArg(i, &args[i])
	}
	if err != nil {
		words := fmt.Sprintf("Caller passes invalid args into func#%d ('%s')", fn, v.funcName(fn))
		if err.Kernel != "" {
			words = err.Kernel + "\n" + words
		}
		err.Kernel = words
		return err
	}
	s.called = true
	clearScratched(v.cur.top())
	v.regs()[0] = unknownReg()
	v.log.note(v, "Func#%d ('%s') is global and assumed valid.\n", fn)
	if s.movesPacket {
		v.forgetPackets()
	}
	v.pc++
	return nil
}

// checkGlobalArg checks an argument of a call of a global function.
func (v *verifier) checkGlobalArg(i int, a *globalArg) *Error {
	n := uint8(i + 1)
	r := &v.regs()[n]
	switch a.kind {
	case argNumber:
		if r.typ != scalar {
			return v.fail(ArgType, "R%d is not a scalar", n)
		}
	case argCtx:
		if err := v.checkArgOff(n, r, 0); err != nil {
			return err
		}
		if r.typ != ptrCtx {
			return v.fail(ArgType, "arg#%d expects pointer to ctx", i)
		}
	case argDynptr:
		return v.globalDynptr(n, r)
	case argArena: // any value would do, but others make no sense
		if r.typ != ptrArena && r.typ != scalar {
			return v.fail(ArgType, "R%d is not a pointer to arena or scalar.", n)
		}
	case argMemory:
		return v.checkGlobalMem(i, n, r, a)
	case argObject:
		switch {
		case a.flags&untrusted != 0:
		case r.isNull() && a.flags&maybeNull != 0:
		default:
			return v.checkGlobalObject(n, r, a)
		}
	}
	return nil
}

// checkGlobalMem checks memory that a global function may read and write (kernel: check_mem_reg).
func (v *verifier) checkGlobalMem(i int, n uint8, r *reg, a *globalArg) *Error {
	if a.flags&untrusted != 0 {
		return nil
	}
	if err := v.checkArgOff(n, r, 0); err != nil {
		return err
	}
	if !r.isNull() {
		saved := *r
		if r.null() {
			r.flags &^= maybeNull
		}
		err := v.checkMemBothWays(memArg{n: n, size: int64(a.aux), zeroOK: true})
		*r = saved
		if err != nil {
			return err
		}
	}
	if a.flags&maybeNull == 0 && r.null() {
		return v.fail(ArgMaybeNull, "arg#%d is expected to be non-NULL", i)
	}
	return nil
}

// checkGlobalObject checks a trusted pointer to an object of the kernel.
func (v *verifier) checkGlobalObject(n uint8, r *reg, a *globalArg) *Error {
	flags := r.flags
	if a.flags&maybeNull != 0 {
		flags &^= maybeNull
	}
	if r.typ != ptrBTF || flags != 0 && flags != trusted && flags != rcu {
		return v.fail(ArgType, "R%d type=%s expected=ptr_, trusted_ptr_, rcu_ptr_", n, r.typeString())
	}
	want := reg{typ: ptrBTF, aux: a.aux}
	if !v.sameStruct(r, a.aux, false) {
		return v.fail(ArgType, "R%d is of type %s but %s is expected", n, v.typeName(r), v.typeName(&want))
	}
	return v.checkArgOff(n, r, 0)
}

// globalArgs are the arguments that a global function takes, by its type (kernel: btf_prepare_func_args).
func (v *verifier) globalArgs(fn int) ([]globalArg, *Error) {
	s := &v.subs[fn]
	if s.args != nil {
		return s.args, nil
	}
	types := v.prog.Types
	f := types.At(s.typ)
	proto := types.At(f.Ref)
	params := types.Members(proto)
	if len(params) > 5 {
		return nil, v.fail(BadPrototype, "Global function %s() with %d > 5 args. Buggy compiler.", f.Name, len(params))
	}
	if k := types.At(types.Resolve(proto.Ref)).Kind; k != btf.Int && k != btf.Enum && k != btf.Enum64 {
		return nil, v.fail(BadPrototype, "Global function %s() doesn't return scalar. Only those are supported.", f.Name)
	}
	args := make([]globalArg, 0, len(params))
	for i, p := range params {
		a, err := v.globalArg(i, f, p.Type, v.argTags(s.typ, i))
		if err != nil {
			return nil, err
		}
		args = append(args, a)
	}
	s.args = args
	return args, nil
}

// argTags are the tags of a parameter that the kernel knows.
func (v *verifier) argTags(fn btf.ID, i int) []string {
	var tags []string
	for _, tag := range v.prog.Types.Tags(fn, i) {
		if t, ok := strings.CutPrefix(tag, "arg:"); ok && v.profile.Kernel.AtLeast(globalTags) {
			tags = append(tags, t)
		}
	}
	return tags
}

func (v *verifier) globalArg(i int, f *btf.Type, id btf.ID, tags []string) (globalArg, *Error) {
	types := v.prog.Types
	set := map[string]bool{}
	for _, t := range tags {
		since := map[string]kver.Version{"ctx": globalTags, "nonnull": globalTags, "trusted": globalTrusted, "nullable": globalTrusted,
			"arena": globalTrusted, "untrusted": globalUntrusted}[t]
		if since == (kver.Version{}) || !v.profile.Kernel.AtLeast(since) {
			return globalArg{}, v.fail(BadPrototype, "arg#%d has unsupported set of tags", i)
		}
		set[t] = true
	}
	t := types.At(types.Resolve(id))
	if t.Kind == btf.Ptr {
		return v.globalPointer(i, f, t, set)
	}
	switch {
	case len(set) > 0:
		return globalArg{}, v.fail(BadPrototype, "arg#%d has pointer tag, but is not a pointer type", i)
	case t.Kind != btf.Int && t.Kind != btf.Enum && t.Kind != btf.Enum64:
		return globalArg{}, v.fail(BadPrototype, "Arg#%d type %s in %s() is not supported yet.", i, t.Kind, f.Name)
	}
	return globalArg{kind: argNumber}, nil
}

func (v *verifier) globalPointer(i int, f, ptr *btf.Type, tags map[string]bool) (globalArg, *Error) {
	types := v.prog.Types
	id := types.Resolve(ptr.Ref)
	to := types.At(id)
	combination := func(others int) *Error {
		if len(tags) > others {
			return v.fail(BadPrototype, "arg#%d has invalid combination of tags", i)
		}
		return nil
	}
	switch {
	case tags["ctx"]:
		if err := combination(1); err != nil {
			return globalArg{}, err
		}
		return globalArg{kind: argCtx}, v.checkCtxType(i, ptr, to)
	case v.isCtx(ptr, to):
		return globalArg{kind: argCtx}, combination(0)
	case to.Name == "bpf_dynptr" && to.Struct() && v.profile.Kernel.AtLeast(globalTags):
		return globalArg{kind: argDynptr}, combination(0)
	case tags["trusted"]:
		if tags["nonnull"] {
			return globalArg{}, combination(0)
		}
		a := globalArg{kind: argObject, flags: trusted}
		if tags["nullable"] {
			a.flags |= maybeNull
		}
		return v.kernelArg(i, a, to)
	case tags["untrusted"]:
		if len(tags) > 1 {
			return globalArg{}, v.fail(BadPrototype, "arg#%d untrusted cannot be combined with any other tags", i)
		}
		if id == 0 || to.Number() {
			return globalArg{kind: argMemory, flags: readOnly | untrusted}, nil
		}
		return v.kernelArg(i, globalArg{kind: argObject, flags: untrusted}, to)
	case tags["arena"]:
		if len(tags) > 1 {
			return globalArg{}, v.fail(BadPrototype, "arg#%d arena cannot be combined with any other tags", i)
		}
		return globalArg{kind: argArena}, nil
	case tags["nullable"]:
		return globalArg{}, v.fail(BadPrototype, "arg#%d has invalid combination of tags", i)
	case !v.profile.GlobalMemory:
		return globalArg{}, v.fail(BadPrototype, "Arg#%d type %s in %s() is not supported yet.", i, btf.Ptr, f.Name)
	}
	size, ok := types.Size(id)
	if !ok {
		return globalArg{}, v.fail(BadPrototype, "arg#%d reference type('%s %s') size cannot be determined: -22", i, to.Kind, typeText(to))
	}
	a := globalArg{kind: argMemory, flags: maybeNull, aux: int32(size)}
	if tags["nonnull"] {
		a.flags = 0
	}
	return a, nil
}

func typeText(t *btf.Type) string {
	if t.Name == "" {
		return "(anon)"
	}
	return t.Name
}

// kernelArg is an argument that is an object of the kernel, by the name of its type (kernel: btf_get_ptr_to_btf_id).
func (v *verifier) kernelArg(i int, a globalArg, to *btf.Type) (globalArg, *Error) {
	name, _, _ := strings.Cut(to.Name, "___")
	if _, ok := v.kernelTypes().Find(to.Kind, name); !ok && v.givenBTF != nil || name == "" {
		return a, v.fail(BadPrototype, "arg#%d reference type('%s %s') does not match any kernel type", i, to.Kind, to.Name)
	}
	a.aux = v.structID(name)
	return a, nil
}

// isCtx reports whether a pointer to that type is the ctx of this program type (kernel: btf_is_prog_ctx_type).
func (v *verifier) isCtx(ptr, to *btf.Type) bool {
	if v.prog.Type == prog.Kprobe && v.prog.Types.At(ptr.Ref).Name == "bpf_user_pt_regs_t" {
		return true
	}
	switch v.prog.Type {
	case prog.Tracepoint, prog.Tracing, prog.LSM, prog.StructOps, prog.Syscall:
		return false
	}
	name := v.row.CtxName
	return to.Struct() && name != "" && (to.Name == name || strings.HasPrefix(to.Name, name+"___"))
}

// checkCtxType checks the type of a parameter with the tag __arg_ctx (kernel: btf_validate_prog_ctx_type).
func (v *verifier) checkCtxType(i int, ptr, to *btf.Type) *Error {
	types := v.prog.Types
	wide := to.Kind == btf.Int && to.Size == 8
	switch {
	case types.Resolve(ptr.Ref) == 0, v.isCtx(ptr, to):
		return nil
	case to.Name == "":
		return v.fail(BadPrototype, "arg#%d type doesn't have a name", i)
	}
	name := v.row.CtxName
	switch v.prog.Type {
	case prog.Kprobe, prog.PerfEvent:
		if types.At(ptr.Ref).Name == "bpf_user_pt_regs_t" || to.Name == "pt_regs" && to.Struct() {
			return nil
		}
	case prog.RawTracepoint, prog.RawTracepointWritable, prog.LSM, prog.StructOps:
		if wide {
			return nil
		}
	case prog.Tracing:
		iter := v.attach == prog.AttachTraceIter
		if !iter && wide || iter && strings.HasPrefix(to.Name, "bpf_iter__") ||
			v.attach == prog.AttachTraceRawTP && to.Name == "bpf_raw_tracepoint_args" {
			return nil
		}
		name = ""
	case prog.Tracepoint, prog.Syscall, prog.Ext:
		return nil
	}
	if name == "" {
		return v.fail(BadPrototype, "arg#%d should be void pointer", i)
	}
	return v.fail(BadPrototype, "arg#%d should be `struct %s *`", i, name)
}

// globalDynptr checks a dynptr that is passed to a global function, which can only look at it.
func (v *verifier) globalDynptr(n uint8, r *reg) *Error {
	return v.processDynptr(n, r, dynptrArg{readOnly: true})
}

// walkGlobals proves the global functions that were called; before 6.8, all of them (kernel: do_check_subprogs).
func (v *verifier) walkGlobals(onlyCalled bool) *Error {
	for again := true; again; {
		again = false
		for fn := 1; fn < len(v.subs); fn++ {
			s := &v.subs[fn]
			if !s.global || s.proved || onlyCalled && !s.called {
				continue
			}
			again, s.proved = true, true
			if err := v.walkGlobal(fn); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) walkGlobal(fn int) *Error {
	v.pc = v.subs[fn].start
	v.log.validating(v, fn)
	args, err := v.globalArgs(fn)
	if err != nil {
		return err
	}
	err = v.walk(fn, func(f *frame) {
		for i := range args {
			f.regs[i+1] = v.globalReg(&args[i])
		}
	})
	if err == nil {
		v.log.note(v, "Func#%d ('%s') is safe for any args that match its prototype\n", fn)
	}
	return err
}

// globalReg is what a global function knows of an argument.
func (v *verifier) globalReg(a *globalArg) reg {
	r := unknownReg()
	switch a.kind {
	case argCtx:
		r = ptrReg(ptrCtx)
	case argMemory:
		r = ptrReg(ptrMem)
	case argObject:
		r = ptrReg(ptrBTF)
	case argDynptr:
		r = ptrReg(ptrDynptr)
		r.aux, r.id = int32(dynptrLocal), v.newID()
		return r
	}
	r.flags, r.aux = a.flags, a.aux
	if a.flags&maybeNull != 0 {
		r.id = v.newID()
	}
	return r
}

// mightSleep reports whether an instruction calls something that sleeps.
func mightSleep(in *insn) bool {
	return in.helper != nil && in.helper.MightSleep || in.kfunc != nil && in.kfunc.Flags.Has(helpers.KfuncSleepable)
}
