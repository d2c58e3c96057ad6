package verifier

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Ids of helpers that have rules of their own.
const (
	helperMapLookup          = 1
	helperMapUpdate          = 2
	helperMapDelete          = 3
	helperSMPProcessor       = 8
	helperTailCall           = 12
	helperProbeReadStr       = 45
	helperGetStack           = 67
	helperGetLocalStorage    = 81
	helperGetFuncIP          = 173
	helperSpinLock           = 93
	helperSpinUnlock         = 94
	helperMapPeek            = 89
	helperSkFullsock         = 95
	helperTCPSock            = 96
	helperProbeReadUserStr   = 114
	helperProbeReadKernelStr = 115
	helperGetTaskStack       = 141
	helperGetCurrentTaskBTF  = 158
	helperForEach            = 164
	helperSnprintf           = 165
	helperTimerSetCallback   = 170
	helperLoop               = 181
	helperKptrXchg           = 194
	helperDynptrFromMem      = 197
	helperDynptrWrite        = 202
	helperDynptrData         = 203
	helperUserRingbufDrain   = 209
)

const (
	maxErrno = 4095 // errors are returned as -1 … -maxErrno
	maxCPUs  = 8192 // no kernel is built for more
)

// callInfo is what the arguments of the current call say to the rest of the check (kernel: bpf_call_arg_meta).
type callInfo struct {
	row      *helpers.Row
	arg      uint8 // register that is being checked; 0 none
	m        *maps.Spec
	mapAux   int32
	raw      uint8 // register of memory that the helper fills; 0 none
	rawSize  int64
	release  uint8  // register whose reference is released; 0 none
	ref      uint32 // reference among the arguments
	memSize  int64
	sizeMax  int64 // largest size of the memory that the helper fills
	fn       int   // callback
	constKey int64
	dynptr   reg       // the initialised dynptr among the arguments
	kptr     btf.Field // where bpf_kptr_xchg puts its pointer
}

// callHelper checks a call and leaves in R0 what the helper returns (kernel: check_helper_call).
func (v *verifier) callHelper(in *insn) *Error {
	id := int32(in.imm)
	r := in.helper
	if r == nil {
		return v.fail(HelperUnknown, "invalid func unknown#%d", id)
	}
	if !v.available(r) {
		e := v.fail(HelperUnavailable, "program of this type cannot use helper %s#%d", r.Name, id)
		if !v.inPlace(r) {
			e.Reason = misplaced(r.Name, r.LimitOf(v.prog.Type))
		} else if helpers.Allowed(r, v.prog.Type, v.profile.Kernel) {
			e.Reason = v.lacks(r.Name, r.Needs)
		} else if since, ok := helpers.Since(r, v.prog.Type); ok {
			e.needs(NeedHelper, r.Name, since)
		}
		return e
	}
	if r.GPL && !v.prog.GPL() {
		return v.fail(NeedsGPL, "cannot call GPL-restricted function from non-GPL compatible program")
	}
	if r.MightSleep && !v.maySleep() {
		return v.fail(MightSleep, "helper call might sleep in a non-sleepable prog")
	}
	if where := v.cur.atomic(); where != "" && r.MightSleep {
		return v.fail(RegionMisuse, "sleepable helper %s#%d in %s region", r.Name, id, where)
	}
	if err := v.checkProbe(r); err != nil {
		return err
	}
	if !r.Implemented() {
		v.noteKernel()
	}
	v.call = callInfo{row: r, fn: -1, constKey: -1}
	for i := range r.NumArgs() {
		if err := v.checkArg(i); err != nil {
			return err
		}
	}
	if err := v.checkMapFits(id); err != nil {
		return err
	}
	if err := v.fillRaw(); err != nil {
		return err
	}
	if err := v.release(id); err != nil {
		return err
	}
	if err := v.special(id); err != nil {
		return err
	}
	if v.call.fn >= 0 {
		if err := v.callback(id); err != nil {
			return err
		}
	}
	clearScratched(v.cur.top())
	if err := v.setReturn(id); err != nil {
		return err
	}
	if id == helperTailCall && v.cur.depth > 0 {
		return v.tailCallReturns()
	}
	moves := r.ChangesPacket || id == helperDynptrWrite && dynptrType(v.call.dynptr.aux).skb()
	if moves && id != helperTailCall { // a tail call that comes back has failed and moved nothing
		v.forgetPackets()
	}
	v.pc++
	return nil
}

// fillRaw writes the memory that the helper fills.
func (v *verifier) fillRaw() *Error {
	c := &v.call
	if c.raw == 0 {
		return nil
	}
	r := v.regs()[c.raw]
	if r.typ != ptrStack {
		return nil
	}
	f := v.cur.frames[r.frame()]
	base := int(r.off) + int(r.tn.Value)
	for i := range int(c.rawSize) {
		off := base + i
		s := &f.stack[slotOf(off)]
		v.log.touchSlot(slotOf(off))
		if !v.profile.PointerLeaks && s.spilled() && !s.spilledScalar() {
			return v.fail(NotPrivileged, "attempt to corrupt spilled pointer on stack")
		}
		if v.mitigations != nil {
			v.noteStore(f, off, 1, nil)
		}
		s.scrub()
		*f.byteAt(off) = stackMisc
	}
	return nil
}

// release gives back the reference that an argument carries.
func (v *verifier) release(id int32) *Error {
	c := &v.call
	if c.release == 0 {
		return nil
	}
	if c.row.Args[c.release-1].Base() == helpers.ArgDynptr {
		v.releaseDynptr(&v.regs()[c.release])
		return nil
	}
	if c.ref == 0 {
		return nil // NULL
	}
	if id == helperKptrXchg && v.inRCU() {
		v.sharePerCPU(c.ref)
	}
	if !v.releaseAll(c.ref) {
		return v.fail(BadRelease, "func %s#%d reference has not been acquired before", c.row.Name, id)
	}
	return nil
}

// sharePerCPU lets the program go on using a per-CPU object that it gives to a map: RCU protects it.
func (v *verifier) sharePerCPU(ref uint32) {
	const perCPUAlloc = perCPU | alloc
	v.cur.eachReg(func(r *reg) {
		if r.ref == ref && r.flags&perCPUAlloc == perCPUAlloc {
			r.ref, r.flags = 0, r.flags&^alloc|rcu
		}
	})
}

// misplaced says where programs that call a helper must be attached.
func misplaced(name string, l *helpers.Limit) string {
	var at []string
	for _, a := range l.At {
		at = append(at, a.String())
	}
	what := fmt.Sprintf("%s programs may call %s at %s only", l.Type, name, strings.Join(at, ", "))
	if l.Hooks != "" {
		what += ", at the hooks " + l.Hooks
	}
	return what
}

// special has the rules of single helpers.
func (v *verifier) special(id int32) *Error {
	regs := v.regs()
	switch id {
	case helperTailCall:
		if len(v.subs) > 1 && !v.profile.TailCallsMix {
			return v.fail(MapHelper, "tail_calls are not allowed in programs with bpf-to-bpf calls")
		}
		if v.mitigations != nil {
			v.noteTailCall(v.call.mapAux)
		}
		if regs[3].isConst() && regs[3].tn.Value < uint64(v.call.m.MaxEntries) { // the jump may be made a direct one
			v.markPrecise(3)
		}
		return v.checkHeld("tail_call")
	case helperGetLocalStorage:
		if !regs[2].isNull() {
			return v.fail(HelperArg, "get_local_storage() doesn't support non-zero flags")
		}
	case helperDynptrFromMem:
		if regs[1].typ != ptrMapValue {
			return v.fail(ArgType, "Unsupported reg type %s for bpf_dynptr_from_mem data", regs[1].typeString())
		}
	case helperSnprintf:
		return v.checkFormat()
	case helperGetFuncIP:
		return v.checkFuncIP()
	case helperSpinLock, helperSpinUnlock:
		return v.spinLock(id == helperSpinLock, &regs[1])
	}
	return nil
}

// checkFormat refuses what bpf_snprintf cannot print: a format that is wrong, or that wants more arguments than there are
// (kernel: check_bpf_snprintf_call).
func (v *verifier) checkFormat() *Error {
	format, size := &v.regs()[3], v.regs()[5].tn.Value
	text := v.mapOf(format).Contents[0].Value[int64(format.off)+int64(format.tn.Value):]
	reason := ""
	switch {
	case size%8 != 0: // the kernel says nothing at all
		reason = fmt.Sprintf("the arguments are %d bytes, no array of u64", size)
	case !helpers.FormatOK(text, int(size/8)):
		reason = fmt.Sprintf("bpf_snprintf cannot print %q with %d arguments", text[:strings.IndexByte(string(text), 0)], size/8)
	default:
		return nil
	}
	e := v.fail(HelperArg, "Invalid format string")
	e.Reason = reason
	return e
}

// checkFuncIP refuses bpf_get_func_ip where there is no function (kernel: check_get_func_ip).
func (v *verifier) checkFuncIP() *Error {
	name, t := v.call.row.Name, v.prog.Type
	switch {
	case t == prog.Kprobe, t == prog.Tracing && trampolines[v.attach]:
		return nil
	case t == prog.Tracing:
		return v.fail(HelperUnavailable, "func %s#%d supported only for fentry/fexit/fmod_ret programs", name, helperGetFuncIP)
	}
	return v.fail(HelperUnavailable, "func %s#%d not supported for program type %d", name, helperGetFuncIP, t)
}

// trampolines are the attach types of programs that are called around a function of the kernel (kernel: bpf_prog_has_trampoline).
var trampolines = map[prog.Attach]bool{prog.AttachTraceFentry: true, prog.AttachTraceFexit: true, prog.AttachModifyReturn: true}

// spinLock takes or gives back the lock of a map value or of an object (kernel: process_spin_lock).
func (v *verifier) spinLock(take bool, r *reg) *Error {
	owner, name := "local", "kptr"
	f, ok := fieldOf(v.fields(r), btf.Set(btf.SpinLock))
	if r.typ == ptrMapValue {
		m := v.mapOf(r)
		owner, name = "map", m.Name
		if m.Types == nil && m.Value == nil && !ok && r.isConst() {
			return v.fail(LockMisuse, "map '%s' has to have BTF in order to use bpf_spin_lock", name)
		}
	}
	off := int64(r.tn.Value) + int64(r.off)
	switch {
	case !r.isConst():
		return v.fail(LockMisuse, "R1 doesn't have constant offset. bpf_spin_lock has to be at the constant offset")
	case !ok:
		return v.fail(LockMisuse, "%s '%s' has no valid bpf_spin_lock", owner, name)
	case off != int64(f.Off):
		return v.fail(LockMisuse, "off %d doesn't point to 'struct bpf_spin_lock' that is at %d", off, f.Off)
	case take && v.cur.lock != 0:
		return v.fail(LockMisuse, "Locking two bpf_spin_locks are not allowed")
	case !take && v.cur.lock == 0:
		return v.fail(LockMisuse, "bpf_spin_unlock without taking a lock")
	case !take && (v.cur.lock != r.id || v.cur.lockMap != r.aux):
		return v.fail(LockMisuse, "bpf_spin_unlock of different lock")
	}
	v.cur.lock, v.cur.lockMap = 0, 0
	if take {
		v.cur.lock, v.cur.lockMap = r.id, r.aux
		return nil
	}
	v.cur.eachReg(func(r *reg) {
		if r.typ == ptrBTF && r.flags&nonOwning != 0 {
			*r = v.invalid()
		}
	})
	return nil
}

// setReturn puts what the helper returns into R0.
func (v *verifier) setReturn(id int32) *Error {
	c := &v.call
	r0 := &v.regs()[0]
	flags := regFlags(0)
	if c.row.Ret.MaybeNull() {
		flags = maybeNull
	}
	switch c.row.Ret.Base() {
	case helpers.RetInteger:
		*r0 = unknownReg()
		c.refineReturn(v.profile, id, r0)
		return nil
	case helpers.RetVoid:
		return nil
	case helpers.RetMapValue:
		if c.m == nil {
			return v.fail(HelperArg, "kernel subsystem misconfigured verifier")
		}
		*r0 = ptrReg(ptrMapValue)
		r0.aux = c.mapAux
		if id == helperMapLookup && v.profile.ConstKeyMaps && c.constKey >= 0 && c.constKey < int64(c.m.MaxEntries) &&
			(c.m.Type == maps.Array || c.m.Type == maps.PerCPUArray) {
			flags = 0
		}
		if flags&maybeNull == 0 && v.hasLock(r0) {
			r0.id = v.newID()
		}
	case helpers.RetSocket:
		*r0 = ptrReg(ptrSocket)
	case helpers.RetSockCommon:
		*r0 = ptrReg(ptrSockCommon)
	case helpers.RetTCPSock:
		*r0 = ptrReg(ptrTCPSock)
	case helpers.RetAllocMem:
		*r0 = ptrReg(ptrMem)
		r0.aux = int32(c.memSize)
		if id == helperDynptrData {
			r0.rng, r0.ref = int32(c.dynptr.id), c.dynptr.ref
		} else {
			flags |= ringMem
		}
	case helpers.RetMem:
		*r0 = ptrReg(ptrMem)
		r0.aux = int32(c.row.RetSize)
	case helpers.RetBTF:
		*r0 = ptrReg(ptrBTF)
		switch id {
		case helperKptrXchg:
			if r0.aux = v.kptrType(c.kptr); r0.aux < 0 {
				flags |= alloc
				if c.kptr.Kind == btf.KptrPerCPU {
					flags |= perCPU
				}
			}
		default:
			r0.aux = v.structID(c.row.RetBTF)
		}
		if id == helperGetCurrentTaskBTF {
			flags |= trusted
		}
	default:
		return v.fail(Unsupported, "helper %s#%d returns a kind of pointer that is not supported", c.row.Name, id)
	}
	r0.flags = flags
	if flags&maybeNull != 0 {
		r0.id = v.newID()
	}
	if c.acquires(id) {
		r0.ref = v.acquire()
		r0.id = r0.ref
	} else if id == helperSkFullsock || id == helperTCPSock || strings.HasPrefix(c.row.Name, "bpf_skc_to_") {
		r0.ref = c.ref
	}
	return nil
}

// acquires reports whether the call makes a reference: by the row, or, for lookups, by the map.
func (c *callInfo) acquires(id int32) bool {
	return c.row.Acquires || id == helperMapLookup && c.m != nil && isSockMap(c.m)
}

// refineReturn narrows R0 of helpers whose result is bounded (kernel: do_refine_retval_range).
func (c *callInfo) refineReturn(p *Profile, id int32, r0 *reg) {
	lo, hi := int64(0), int64(0)
	switch id {
	case helperSMPProcessor:
		hi = maxCPUs - 1
	case helperProbeReadStr, helperGetStack, helperProbeReadUserStr, helperProbeReadKernelStr, helperGetTaskStack:
		lo, hi = -maxErrno, c.sizeMax // bytes written, or an error
	default:
		return
	}
	r0.smin, r0.smin32, r0.smax, r0.smax32 = lo, int32(lo), hi, int32(hi)
	p.syncNumber(&r0.bounds)
}
