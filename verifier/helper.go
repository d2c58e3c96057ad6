package verifier

import (
	"fmt"
	"math"
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
	if r.MightSleep && !v.sleepable {
		return v.fail(MightSleep, "helper call might sleep in a non-sleepable prog")
	}
	if where := v.cur.atomic(); where != "" && r.MightSleep {
		return v.fail(RegionMisuse, "sleepable helper %s#%d in %s region", r.Name, id, where)
	}
	if err := v.checkProbe(r); err != nil {
		return err
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
	case helperGetFuncIP:
		return v.checkFuncIP()
	case helperSpinLock, helperSpinUnlock:
		return v.spinLock(id == helperSpinLock, &regs[1])
	}
	return nil
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

// checkArg checks argument i, from 0 (kernel: check_func_arg).
func (v *verifier) checkArg(i int) *Error {
	c := &v.call
	arg := c.row.Args[i]
	n := uint8(i + 1)
	c.arg = n
	if err := v.readReg(n); err != nil {
		return err
	}
	r := &v.regs()[n]
	if arg.Base() == helpers.ArgAny {
		if v.leaks(r) {
			return v.fail(PointerLeak, "R%d leaks addr into helper function", n)
		}
		return nil
	}
	if r.isPacket() && !c.row.PktAccess {
		return v.fail(PacketToHelper, "helper access to the packet is not allowed")
	}
	if arg.Base() == helpers.ArgMapValue && c.m != nil {
		var ok bool
		if arg, ok = c.valueArg(arg); !ok {
			return v.fail(MapHelper, "invalid arg_type for sockmap/sockhash")
		}
	}
	if !(r.isNull() && arg.Has(helpers.ArgMaybeNull)) {
		if err := v.checkArgType(n, r, arg); err != nil {
			return err
		}
		if err := v.checkArgOff(n, r, arg); err != nil {
			return err
		}
	}
	if arg.Base() == helpers.ArgDynptr {
		return v.checkDynptrArg(n, r, arg)
	}
	if arg.Has(helpers.ArgRelease) {
		if r.ref == 0 && !r.isNull() {
			return v.fail(BadRelease, "R%d must be referenced when passed to release function", n)
		}
		c.release = n
	}
	if r.ref != 0 {
		if c.ref != 0 && c.ref != r.ref {
			return v.fail(BadRelease, "more than one arg with ref_obj_id R%d %d %d", n, r.ref, c.ref)
		}
		c.ref = r.ref
	}
	return v.checkArgValue(i, n, r, arg)
}

// valueArg is what a map value argument is to the map at hand; false when that map has no such values (kernel:
// resolve_map_arg_type).
func (c *callInfo) valueArg(arg helpers.Arg) (helpers.Arg, bool) {
	switch {
	case isSockMap(c.m):
		return helpers.ArgBTFSock, arg == helpers.ArgMapValue
	case c.m.Type == maps.BloomFilter && c.row.ID == helperMapPeek:
		return helpers.ArgMapValue, true
	}
	return arg, true
}

// argTypes are the register types that an argument kind takes, in the kernel's order of printing.
var argTypes = map[helpers.Arg][]argType{
	helpers.ArgMapPtr:     {{ptrMap, 0}},
	helpers.ArgMapKey:     memTypes,
	helpers.ArgMapValue:   memTypes,
	helpers.ArgMem:        memTypes,
	helpers.ArgFixedMem:   memTypes,
	helpers.ArgSize:       {{scalar, 0}},
	helpers.ArgSizeOrZero: {{scalar, 0}},
	helpers.ArgAllocSize:  {{scalar, 0}},
	helpers.ArgScalar:     {{scalar, 0}},
	helpers.ArgCtx:        {{ptrCtx, 0}},
	helpers.ArgSpinLock:   {{ptrMapValue, 0}, {ptrBTF, alloc}},
	helpers.ArgTimer:      {{ptrMapValue, 0}},
	helpers.ArgKptrDst:    {{ptrMapValue, 0}, {ptrBTF, alloc}},
	helpers.ArgBTF:        {{ptrBTF, 0}, {ptrBTF, trusted}, {ptrBTF, rcu}},
	helpers.ArgPerCPUBTF:  {{ptrBTF, perCPU}, {ptrBTF, perCPU | rcu}, {ptrBTF, perCPU | trusted}},
	helpers.ArgSock:       {{ptrSocket, 0}},
	helpers.ArgSockCommon: {{ptrSockCommon, 0}, {ptrSocket, 0}, {ptrTCPSock, 0}, {ptrXDPSock, 0}},
	helpers.ArgBTFSock: {{ptrSockCommon, 0}, {ptrSocket, 0}, {ptrTCPSock, 0}, {ptrXDPSock, 0}, {ptrBTF, 0},
		{ptrBTF, trusted}},
	helpers.ArgRingMem:  {{ptrMem, ringMem}},
	helpers.ArgFunc:     {{ptrFunc, 0}},
	helpers.ArgStack:    {{ptrStack, 0}},
	helpers.ArgConstStr: {{ptrMapValue, 0}},
	helpers.ArgDynptr:   {{ptrStack, 0}, {ptrDynptr, 0}},
}

type argType struct {
	typ   regType
	flags regFlags
}

var memTypes = []argType{{ptrStack, 0}, {ptrPacket, 0}, {ptrPacketMeta, 0}, {ptrMapKey, 0}, {ptrMapValue, 0}, {ptrMem, 0},
	{ptrMem, ringMem}, {ptrBuf, 0}, {ptrBTF, trusted}}

func (v *verifier) checkArgType(n uint8, r *reg, arg helpers.Arg) *Error {
	want, ok := argTypes[arg.Base()]
	if !ok {
		return v.fail(Unsupported, "argument %d of helper %s is of a kind that is not supported", n, v.call.row.Name)
	}
	for _, t := range want {
		flags := r.flags
		if arg.Has(helpers.ArgReadOnly) {
			flags &^= readOnly
		}
		if arg.Has(helpers.ArgMaybeNull) {
			flags &^= maybeNull
		}
		if base := arg.Base(); base == helpers.ArgMem || base == helpers.ArgFixedMem {
			flags &^= dynptrSlice | packetSlice
		}
		if v.call.row.ID == helperKptrXchg && n == 2 && flags&alloc != 0 {
			flags &^= alloc | perCPU
		}
		if r.typ == t.typ && (flags == t.flags || r.typ == scalar) {
			return v.checkArgBTF(n, r, arg)
		}
	}
	names := make([]string, len(want))
	for i, t := range want {
		names[i] = typeString(t.typ, t.flags)
	}
	e := v.fail(ArgType, "R%d type=%s expected=%s", n, r.typeString(), strings.Join(names, ", "))
	if r.null() {
		e.Code = ArgMaybeNull
	}
	return e
}

// checkArgBTF checks what a BTF pointer points to (kernel: check_reg_type, below found).
func (v *verifier) checkArgBTF(n uint8, r *reg, arg helpers.Arg) *Error {
	if r.typ != ptrBTF {
		return nil
	}
	name := v.call.row.Name
	base := arg.Base()
	switch base {
	case helpers.ArgMem, helpers.ArgFixedMem, helpers.ArgMapKey, helpers.ArgMapValue:
		if !arg.Has(helpers.ArgReadOnly) {
			return v.fail(ReadOnlyMem, "%s() may write into memory pointed by R%d type=%s", name, n, r.typeString())
		}
		return nil
	case helpers.ArgPerCPUBTF, helpers.ArgSpinLock, helpers.ArgKptrDst:
		return nil
	}
	if r.null() && (!arg.Has(helpers.ArgMaybeNull) || arg.Has(helpers.ArgRelease)) && r.flags&alloc == 0 {
		return v.fail(ArgMaybeNull, "Possibly NULL pointer passed to helper arg%d", n)
	}
	if v.call.row.ID == helperKptrXchg {
		return v.checkKptrValue(n, r, v.call.kptr)
	}
	want := "sock_common"
	if base == helpers.ArgBTF {
		want = v.call.row.BTFType[n-1]
	}
	strict := arg.Has(helpers.ArgRelease) && name != "bpf_sk_release"
	for w := range strings.SplitSeq(want, "|") {
		if v.sameStruct(r, v.structID(w), strict) {
			return nil
		}
	}
	return v.fail(ArgType, "R%d is of type %s but %s is expected", n, v.typeName(r), want)
}

// checkArgOff checks that pointers which must not be moved were not (kernel: check_func_arg_reg_off).
func (v *verifier) checkArgOff(n uint8, r *reg, arg helpers.Arg) *Error {
	if arg.Has(helpers.ArgRelease) {
		if arg.Base() == helpers.ArgDynptr && r.typ == ptrStack {
			return nil
		}
		if r.off != 0 {
			return v.fail(BadRelease, "R%d must have zero offset when passed to release func or trusted arg to kfunc", n)
		}
		return v.checkOffReg(n, r)
	}
	switch r.typ {
	case scalar, ptrStack, ptrPacket, ptrPacketMeta, ptrMapKey, ptrMapValue, ptrMem, ptrBuf:
		return nil
	case ptrBTF: // a member may be passed
		if r.off >= 0 && r.tn.Equals(0) {
			return nil
		}
	}
	return v.checkOffReg(n, r)
}

// checkArgValue checks what the argument's kind asks of its value.
func (v *verifier) checkArgValue(i int, n uint8, r *reg, arg helpers.Arg) *Error {
	c := &v.call
	write := arg.Has(helpers.ArgWrite) || arg.Has(helpers.ArgUninit)
	mem := memArg{n: n, write: write, raw: arg.Has(helpers.ArgUninit)}
	switch arg.Base() {
	case helpers.ArgMapPtr:
		if c.m != nil && c.mapAux != r.aux {
			return v.fail(SpecialMisuse, "timer pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0")
		}
		c.m, c.mapAux = v.mapOf(r), r.aux
		if c.m == nil {
			return v.fail(BadMap, "map in map without description of its inner map")
		}
	case helpers.ArgMapKey:
		if c.m == nil {
			return v.fail(HelperArg, "invalid map_ptr to access map->key")
		}
		mem.size = int64(c.m.KeySize)
		if err := v.checkMem(mem); err != nil {
			return err
		}
		if c.m.KeySize == 4 && c.row.ID == helperMapLookup && (c.m.Type == maps.Array || c.m.Type == maps.PerCPUArray) && v.profile.ConstKeyMaps {
			if key, ok := v.constKey(r); ok {
				c.constKey = int64(key)
			}
		}
	case helpers.ArgMapValue:
		if r.isNull() {
			return nil
		}
		if c.m == nil {
			return v.fail(HelperArg, "invalid map_ptr to access map->value")
		}
		mem.size = int64(c.m.ValueSize)
		if c.m.Type == maps.BloomFilter { // "peek" asks whether it has the value
			mem.write, mem.raw = false, false
		}
		return v.checkMem(mem)
	case helpers.ArgFixedMem:
		if r.isNull() {
			return nil
		}
		mem.size = int64(c.row.FixedSize[i])
		if mem.size == 0 {
			return v.fail(Unsupported, "argument %d of helper %s is of a kind that is not supported", n, c.row.Name)
		}
		if err := v.checkMem(mem); err != nil || !arg.Has(helpers.ArgAligned) {
			return err
		}
		return v.checkAlign(&access{n: n, size: int(mem.size), strict: true}, r)
	case helpers.ArgSize, helpers.ArgSizeOrZero:
		return v.checkSize(i, n, r, arg.Base() == helpers.ArgSizeOrZero)
	case helpers.ArgAllocSize:
		if !r.isConst() {
			return v.fail(NotConstant, "R%d is not a known constant'", n)
		}
		if r.tn.Value > math.MaxInt32 {
			return v.fail(HelperArg, "R%d is too large to allocate", n)
		}
		v.markPrecise(n)
		c.memSize = int64(r.tn.Value)
	case helpers.ArgFunc:
		c.fn = int(r.aux)
	case helpers.ArgTimer:
		return v.timer(n, r, btf.Timer)
	case helpers.ArgKptrDst:
		return v.kptrDest(n, r)
	case helpers.ArgConstStr:
		return v.checkConstStr(n, r)
	}
	return nil
}

// memArg is memory that a helper gets.
type memArg struct {
	n      uint8
	size   int64
	write  bool
	raw    bool // written before it is read
	zeroOK bool
}

// checkSize checks a size argument and the memory argument before it (kernel: check_mem_size_reg).
func (v *verifier) checkSize(i int, n uint8, r *reg, zeroOK bool) *Error {
	memory := v.call.row.Args[i-1]
	write := memory.Has(helpers.ArgWrite) || memory.Has(helpers.ArgUninit)
	if err := v.checkSizeReg(n, r, zeroOK); err != nil {
		return err
	}
	v.call.sizeMax = int64(r.umax)
	m := memArg{n: n - 1, size: int64(r.umax), write: write, raw: memory.Has(helpers.ArgUninit) && r.isConst(), zeroOK: zeroOK}
	if err := v.checkMem(m); err != nil {
		return err
	}
	v.markPrecise(n)
	return nil
}

// checkMem checks memory that a helper reads or writes (kernel: check_helper_mem_access).
func (v *verifier) checkMem(a memArg) *Error {
	r := &v.regs()[a.n]
	off := int64(r.off)
	switch r.typ {
	case ptrPacket, ptrPacketMeta:
		if a.write && !v.row.PktWrite {
			return v.fail(ReadOnlyMem, "cannot write into packet")
		}
		return v.checkPacket(a.n, r, off, a.size, a.zeroOK)
	case ptrMapKey:
		if a.write {
			return v.fail(ReadOnlyMem, "R%d cannot write into %s", a.n, r.typeString())
		}
		return v.checkRegion(a.n, r, off, a.size, int64(v.mapOf(r).KeySize), a.zeroOK)
	case ptrMapValue:
		m := v.mapOf(r)
		if err := v.checkMapAccess(m, off, int(a.size), a.write); err != nil {
			return err
		}
		return v.checkMapRange(a.n, r, m, off, a.size, a.zeroOK, false)
	case ptrBTF:
		return v.accessBTF(&access{n: a.n, size: int(a.size), value: noValue}, r, off)
	case ptrMem:
		if a.write && r.flags&readOnly != 0 {
			return v.fail(ReadOnlyMem, "R%d cannot write into %s", a.n, r.typeString())
		}
		return v.checkRegion(a.n, r, off, a.size, int64(r.aux), a.zeroOK)
	case ptrStack:
		return v.checkStackMem(a, r)
	case ptrCtx:
		if v.prog.Type == prog.Syscall && a.size > 0 { // its ctx is plain memory of unknown size
			return v.access(&access{n: a.n, off: int32(a.size - 1), size: 1, write: a.write, value: noValue})
		}
	}
	if a.zeroOK && a.size == 0 && r.isNull() {
		return nil
	}
	return v.fail(ArgType, "R%d type=%s expected=fp", a.n, r.typeString())
}

// checkStackMem checks stack that a helper reads or fills.
func (v *verifier) checkStackMem(a memArg, r *reg) *Error {
	if a.size == 0 && !a.zeroOK {
		return v.fail(ZeroSize, "invalid zero-sized read")
	}
	what := readFrom
	if a.write {
		what = writeTo
	}
	if err := v.checkStackRange(a.n, r, 0, a.size, what); err != nil {
		return v.ofHelper(err)
	}
	if !r.isConst() && !v.profile.PointerLeaks {
		return v.fail(Speculation, "R%d variable stack access prohibited for !root, var_off=%v", a.n, r.tn)
	}
	if !r.isConst() && !v.profile.VarStackArgs {
		return v.fail(StackAccess, "invalid variable stack read R%d var_off=%v", a.n, r.tn)
	}
	if a.raw && r.isConst() {
		lo := int(r.off) + int(r.tn.Value)
		for off := lo; off < lo+int(a.size); off++ {
			if *v.cur.frames[r.frame()].byteAt(off) == stackDynptr {
				return v.fail(DynptrMisuse, "potential write to dynptr at off=%d disallowed", off)
			}
		}
		v.call.raw, v.call.rawSize = a.n, a.size
		return nil
	}
	return v.ofHelper(v.checkStackInit(a.n, r, 0, a.size, a.write))
}

// checkConstStr checks a constant string in a map that nobody changes.
func (v *verifier) checkConstStr(n uint8, r *reg) *Error {
	m := v.mapOf(r)
	switch {
	case !m.Frozen || m.ProgWrites():
		return v.fail(ConstString, "R%d does not point to a readonly map'", n)
	case !r.isConst():
		return v.fail(NotConstant, "R%d is not a constant address'", n)
	case len(m.Contents) != 1:
		return v.fail(ConstString, "no direct value access support for this map type")
	}
	off := int64(r.off) + int64(r.tn.Value)
	if err := v.checkMapRange(n, r, m, int64(r.off), 1, false, false); err != nil {
		return err
	}
	if data := m.Contents[0].Value; off >= int64(len(data)) || !strings.Contains(string(data[off:]), "\x00") {
		return v.fail(ConstString, "string is not zero-terminated")
	}
	return nil
}
