package verifier

import (
	"math"
	"strings"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

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
	case scalar, ptrStack, ptrPacket, ptrPacketMeta, ptrMapKey, ptrMapValue, ptrMem, ptrBuf, ptrArena:
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
		if a.write {
			v.storesTo(r, off, a.size)
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
		return v.checkRegion(a.n, r, off, a.size, int64(uint32(r.aux)), a.zeroOK)
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
