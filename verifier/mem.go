package verifier

import (
	"encoding/binary"
	"math"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/tnum"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// access is one access to memory: size bytes at register n plus off.
type access struct {
	n      uint8
	off    int32
	size   int
	write  bool
	value  int    // register that is loaded or stored, noValue when none
	imm    uint64 // stored when value is noValue and isImm
	isImm  bool
	signed bool // sign-extending load
	strict bool // must be aligned, whatever the profile says
}

const noValue = -1

func (v *verifier) stepLoad(in *insn) *Error {
	if err := v.readReg(in.src); err != nil {
		return err
	}
	src := v.regs()[in.src]
	a := access{n: in.src, off: in.off, size: int(in.size), value: int(in.dst), signed: in.signed}
	if in.class == asm.ClassLoadAcq {
		if err := v.checkAtomicType(in.src, &src, "loads from"); err != nil {
			return err
		}
		a.strict = true
	}
	if err := v.access(&a); err != nil {
		return err
	}
	return v.samePointer(in, src.typ)
}

func (v *verifier) stepStore(in *insn) *Error {
	if in.useSrc || in.class == asm.ClassStoreRel {
		if err := v.readReg(in.src); err != nil {
			return err
		}
	}
	if err := v.readReg(in.dst); err != nil {
		return err
	}
	dst := &v.regs()[in.dst]
	typ := dst.typ
	a := access{n: in.dst, off: in.off, size: int(in.size), write: true, value: int(in.src)}
	if in.class == asm.ClassStoreRel {
		if err := v.checkAtomicType(in.dst, dst, "stores into"); err != nil {
			return err
		}
		a.strict = true
	} else if !in.useSrc {
		if dst.typ == ptrCtx && !v.profile.CtxImmStores {
			return v.fail(CtxAccess, "BPF_ST stores into R%d %s is not allowed", in.dst, dst.typeString())
		}
		a.value, a.imm, a.isImm = noValue, in.imm, true
	}
	if err := v.access(&a); err != nil {
		return err
	}
	return v.samePointer(in, typ)
}

// stepAtomic is a load and a store of the same place (kernel: check_atomic_rmw).
func (v *verifier) stepAtomic(in *insn) *Error {
	regs := v.regs()
	if err := v.readReg(in.src); err != nil {
		return err
	}
	if err := v.readReg(in.dst); err != nil {
		return err
	}
	loaded := noValue
	if in.fetch {
		loaded = int(in.src)
	}
	if asm.AtomicOp(in.op) == asm.AtomicCmpxchg {
		if err := v.readReg(0); err != nil {
			return err
		}
		loaded = 0
		if v.leaks(&regs[0]) {
			return v.fail(PointerLeak, "R0 leaks addr into mem")
		}
	}
	if v.leaks(&regs[in.src]) {
		return v.fail(PointerLeak, "R%d leaks addr into mem", in.src)
	}
	if err := v.checkAtomicType(in.dst, &regs[in.dst], "stores into"); err != nil {
		return err
	}
	a := access{n: in.dst, off: in.off, size: int(in.size), value: noValue, strict: true}
	if err := v.access(&a); err != nil {
		return err
	}
	if loaded != noValue {
		a.value = loaded
		if err := v.access(&a); err != nil {
			return err
		}
	}
	if err := v.sameArena(in, regs[in.dst].typ); err != nil {
		return err
	}
	a.write, a.value = true, noValue // fails when the load went to the register that addresses the place, as in the kernel
	return v.access(&a)
}

// checkAtomicType rejects atomic access to memory that is only rewritten to real memory at load time.
func (v *verifier) checkAtomicType(n uint8, r *reg, what string) *Error {
	if r.typ == ptrCtx || r.isPacket() || r.typ == ptrFlowKeys || r.isSock() || r.typ == ptrArena && !v.arenaAtomic() {
		return v.fail(BadAtomic, "BPF_ATOMIC %s R%d %s is not allowed", what, n, r.typeString())
	}
	return nil
}

// samePointer checks that an instruction goes through the same sort of pointer on every path, where the kernel
// rewrites it by that sort (kernel: save_aux_ptr_type).
func (v *verifier) samePointer(in *insn, t regType) *Error {
	rewritten := func(t regType) bool {
		return t == ptrCtx || t == ptrBTF || t == ptrSocket || t == ptrSockCommon || t == ptrTCPSock || t == ptrXDPSock ||
			t == ptrArena
	}
	if in.memTyp == notInit {
		in.memTyp = t
	} else if in.memTyp != t && (rewritten(t) || rewritten(in.memTyp)) {
		return v.fail(MixedPointers, "same insn cannot be used with different pointers")
	}
	return nil
}

// access checks a load or store and does what it does to the state (kernel: check_mem_access).
func (v *verifier) access(a *access) *Error {
	r := &v.regs()[a.n]
	if err := v.checkAlign(a, r); err != nil {
		return err
	}
	if err := v.accessType(a, r); err != nil {
		return err
	}
	if a.write || a.value == noValue {
		return nil
	}
	if dst := &v.regs()[a.value]; dst.typ == scalar && a.size < 8 {
		switch {
		case a.signed:
			if dst.umax >= 1<<(a.size*8-1) { // the fill is another value than what was spilled
				dst.unlink()
			}
			dst.signExtend(uint8(a.size))
		default:
			v.profile.cut(&dst.bounds, uint8(a.size))
		}
	}
	return nil
}

// accessType dispatches on what the pointer points to.
func (v *verifier) accessType(a *access, r *reg) *Error {
	off := int64(a.off) + int64(r.off)
	if r.null() {
		return v.failMemType(a, r)
	}
	switch r.typ {
	case ptrStack:
		return v.accessStack(a, r)
	case ptrCtx:
		return v.accessCtx(a, r)
	case ptrMapValue:
		return v.accessMapValue(a, r, off)
	case ptrMapKey:
		if a.write {
			return v.fail(ReadOnlyMem, "write to change key R%d not allowed", a.n)
		}
		if err := v.checkRegion(a.n, r, off, int64(a.size), int64(v.mapOf(r).KeySize), false); err != nil {
			return err
		}
	case ptrMem:
		if a.write && r.flags&readOnly != 0 {
			return v.fail(ReadOnlyMem, "R%d cannot write into %s", a.n, r.typeString())
		}
		if a.write && v.leaksValue(a) {
			return v.fail(PointerLeak, "R%d leaks addr into mem", a.value)
		}
		if r.flags&untrusted != 0 { // any address may be read: a fault yields 0
			v.noteKernel()
			break
		}
		if err := v.checkRegion(a.n, r, off, int64(a.size), int64(uint32(r.aux)), false); err != nil {
			return err
		}
	case ptrPacket, ptrPacketMeta:
		if a.write {
			if !v.row.PktWrite {
				return v.fail(ReadOnlyMem, "cannot write into packet")
			}
			if v.leaksValue(a) {
				return v.fail(PointerLeak, "R%d leaks addr into packet", a.value)
			}
			v.storesTo(r, off, int64(a.size))
		}
		if err := v.checkPacket(a.n, r, off, int64(a.size), false); err != nil {
			return err
		}
	case ptrFlowKeys:
		if a.write && v.leaksValue(a) {
			return v.fail(PointerLeak, "R%d leaks addr into flow keys", a.value)
		}
		if off < 0 || off+int64(a.size) > flowKeysSize {
			return v.fail(FlowKeysBounds, "invalid access to flow keys off=%d size=%d", off, a.size)
		}
	case ptrSocket, ptrSockCommon, ptrTCPSock, ptrXDPSock:
		if a.write {
			return v.fail(ReadOnlyMem, "R%d cannot write into %s", a.n, r.typeString())
		}
		if err := v.checkSock(a.n, r, off, a.size); err != nil {
			return err
		}
	case ptrTPBuffer:
		if err := v.checkBuffer(a, r, "tracepoint"); err != nil {
			return err
		}
	case ptrMap:
		return v.accessMapPtr(a, r, off)
	case ptrBTF:
		return v.accessBTF(a, r, off)
	case ptrArena: // any address will do: a fault yields 0, or nothing is written
	default:
		return v.failMemType(a, r)
	}
	v.loaded(a)
	return nil
}

// loaded leaves an unknown scalar in the register that a load went to.
func (v *verifier) loaded(a *access) {
	if !a.write && a.value != noValue {
		v.regs()[a.value] = unknownReg()
	}
}

func (v *verifier) leaksValue(a *access) bool {
	return a.value != noValue && v.leaks(&v.regs()[a.value])
}

func (v *verifier) failMemType(a *access, r *reg) *Error {
	code := MemType
	switch {
	case r.null():
		code = MaybeNull
	case r.typ == scalar:
		code = MemScalar
	}
	return v.fail(code, "R%d invalid mem access '%s'", a.n, r.typeString()).aboutBytes(a.n, int64(r.off)+int64(a.off), int64(a.size), 0)
}

// checkAlign checks the alignment rule of an access (kernel: check_ptr_alignment).
func (v *verifier) checkAlign(a *access, r *reg) *Error {
	strict := v.profile.StrictAlign || a.strict
	what := ""
	switch r.typ {
	case ptrArena:
		return nil
	case ptrPacket, ptrPacketMeta:
		return v.checkPacketAlign(a, r, strict)
	case ptrFlowKeys:
		what = "flow keys "
	case ptrMapKey:
		what = "key "
	case ptrMapValue:
		what = "value "
	case ptrCtx:
		what = "context "
	case ptrStack:
		what, strict = "stack ", true // spills are tracked by slot
	case ptrSocket:
		what = "sock "
	case ptrSockCommon:
		what = "sock_common "
	case ptrTCPSock:
		what = "tcp_sock "
	case ptrXDPSock:
		what = "xdp_sock "
	}
	if !strict || a.size == 1 {
		return nil
	}
	at := r.tn.Add(tnum.Const(uint64(int64(r.off) + int64(a.off))))
	if !at.Aligned(uint64(a.size)) {
		return v.fail(Misaligned, "misaligned %saccess off %s+%d+%d size %d", what, v.profile.bits(r.tn), r.off, a.off, a.size)
	}
	return nil
}

// checkPacketAlign assumes that packets begin 2 bytes past alignment, as the kernel does (NET_IP_ALIGN).
func (v *verifier) checkPacketAlign(a *access, r *reg, strict bool) *Error {
	const ipAlign = 2
	if !strict || a.size == 1 {
		return nil
	}
	at := r.tn.Add(tnum.Const(uint64(ipAlign + int64(r.off) + int64(a.off))))
	if !at.Aligned(uint64(a.size)) {
		return v.fail(Misaligned, "misaligned packet access off %d+%s+%d+%d size %d", ipAlign, v.profile.bits(r.tn), r.off, a.off, a.size)
	}
	return nil
}

// checkRegion checks an access to a region of memSize bytes through a pointer with a variable offset
// (kernel: check_mem_region_access).
func (v *verifier) checkRegion(n uint8, r *reg, off, size, memSize int64, zeroOK bool) *Error {
	if r.smin < 0 && (r.smin == math.MinInt64 || off+r.smin != int64(int32(off+r.smin)) || r.smin+off < 0) {
		return v.fail(NegativeOffset,
			"R%d min value is negative, either use unsigned index or do a if (index >=0) check.", n).aboutBytes(n, off, size, memSize)
	}
	if words := regionWords(r, n, r.smin+off, size, memSize, zeroOK); words != "" {
		return v.fail(regionCode(r), "%s\nR%d min value is outside of the allowed memory range", words, n).aboutBytes(n, off, size, memSize)
	}
	if r.umax >= maxVarOff {
		return v.fail(Unbounded, "R%d unbounded memory access, make sure to bounds check any such access", n).aboutBytes(n, off, size, memSize)
	}
	if words := regionWords(r, n, int64(r.umax)+off, size, memSize, zeroOK); words != "" {
		return v.fail(regionCode(r), "%s\nR%d max value is outside of the allowed memory range", words, n).aboutBytes(n, off, size, memSize)
	}
	return nil
}

func regionCode(r *reg) Code {
	switch {
	case r.typ == ptrMapValue:
		return MapValueBounds
	case r.isPacket():
		return PacketBounds
	}
	return MemBounds
}

// storesTo notes a store to the packet.
func (v *verifier) storesTo(r *reg, off, size int64) {
	v.packetStores = max(v.packetStores, uint32(min(uint64(max(off+size, 0))+min(r.umax, math.MaxUint16), math.MaxUint32)))
}

// checkPacket checks an access to the packet: all of it must lie in what was compared with the packet's end
// (kernel: check_packet_access).
func (v *verifier) checkPacket(n uint8, r *reg, off, size int64, zeroOK bool) *Error {
	if r.smin < 0 {
		return v.fail(NegativeOffset,
			"R%d min value is negative, either use unsigned index or do a if (index >=0) check.", n).aboutBytes(n, off, size, int64(r.rng))
	}
	words := "invalid access to packet"
	if r.rng >= 0 {
		words = regionWords(r, n, off, size, int64(r.rng), zeroOK)
	}
	if words == "" {
		return nil
	}
	return v.fail(PacketBounds, "%s\nR%d offset is outside of the packet", words, n).aboutBytes(n, off, size, max(int64(r.rng), 0))
}

// accessMapValue checks an access to a map's value; loads from constant maps yield constants.
func (v *verifier) accessMapValue(a *access, r *reg, off int64) *Error {
	if a.write && v.leaksValue(a) {
		return v.fail(PointerLeak, "R%d leaks addr into map", a.value)
	}
	m := v.mapOf(r)
	if err := v.checkMapAccess(m, off, a.size, a.write); err != nil {
		return err
	}
	if err := v.checkMapRange(a.n, r, m, off, int64(a.size), false, true); err != nil {
		return err
	}
	if f, ok := fieldAt(v.fields(r), kptrKinds, off+int64(r.tn.Value)); ok {
		return v.accessKptr(a, f)
	}
	if val, ok := frozenValue(m, a, off+int64(r.tn.Value)); ok && r.isConst() && !a.write && a.value != noValue {
		v.regs()[a.value] = constReg(val)
		return nil
	}
	v.loaded(a)
	return nil
}

// checkMapAccess checks that programs may read or write the map's values (kernel: check_map_access_type).
func (v *verifier) checkMapAccess(m *maps.Spec, off int64, size int, write bool) *Error {
	if write && !m.ProgWrites() {
		return v.fail(ReadOnlyMem, "write into map forbidden, value_size=%d off=%d size=%d", m.ValueSize, off, size)
	}
	if !write && !m.ProgReads() {
		return v.fail(WriteOnlyMem, "read from map forbidden, value_size=%d off=%d size=%d", m.ValueSize, off, size)
	}
	return nil
}

// checkMapRange checks that an access lies in the value and off its special fields (kernel: check_map_access). direct says that
// it is a load or store of the program.
func (v *verifier) checkMapRange(n uint8, r *reg, m *maps.Spec, off, size int64, zeroOK, direct bool) *Error {
	if err := v.checkRegion(n, r, off, size, int64(m.ValueSize), zeroOK); err != nil {
		return err
	}
	return v.checkFields(r, off, size, direct)
}

// frozenValue reads from a map whose contents nobody can change any more.
func frozenValue(m *maps.Spec, a *access, off int64) (uint64, bool) {
	if !m.Frozen || m.ProgWrites() || !m.Type.Row().DirectValue || len(m.Contents) != 1 || m.MaxEntries != 1 {
		return 0, false
	}
	data := m.Contents[0].Value
	if off < 0 || off+int64(a.size) > int64(len(data)) {
		return 0, false
	}
	var buf [8]byte
	copy(buf[:], data[off:off+int64(a.size)])
	val := binary.LittleEndian.Uint64(buf[:])
	if a.signed {
		val = asm.SignExtend(val, uint8(a.size), 64)
	}
	return val, true
}

// checkBuffer checks an access to memory of a size known only when the program is attached.
func (v *verifier) checkBuffer(a *access, r *reg, what string) *Error {
	if a.off < 0 || r.off < 0 {
		return v.fail(MemBounds, "R%d invalid %s buffer access: off=%d, size=%d", a.n, what, a.off, a.size)
	}
	if !r.isConst() || r.tn.Value != 0 {
		return v.fail(MemBounds, "R%d invalid variable buffer offset: off=%d, var_off=%v", a.n, a.off, r.tn)
	}
	return nil
}

// checkPacketLoadType checks that programs of this type may have classic packet loads (kernel: may_access_skb).
func (v *verifier) checkPacketLoadType(pc int) *Error {
	switch v.prog.Type {
	case prog.SocketFilter, prog.SchedCLS, prog.SchedACT, prog.Classic:
		return nil
	}
	return v.failAt(pc, LegacyLoad, "BPF_LD_[ABS|IND] instructions not allowed for this program type")
}

// stepPacketLoad is the classic packet load (kernel: check_ld_abs): R6 is the ctx, R0 the result, and like a call it
// scratches R1 to R5. It ends the program when the packet is too short, which is why checkSubprogs wants it in the main
// function.
func (v *verifier) stepPacketLoad(in *insn) *Error {
	if err := v.checkPacketLoadType(v.pc); err != nil {
		return err
	}
	if len(v.subs) > 1 && !v.profile.PacketLoadsMix {
		return v.fail(LegacyLoad, "BPF_LD_[ABS|IND] instructions cannot be mixed with bpf-to-bpf calls")
	}
	if err := v.readReg(6); err != nil {
		return err
	}
	if err := v.checkHeld("BPF_LD_[ABS|IND]"); err != nil {
		return err
	}
	regs := v.regs()
	if regs[6].typ != ptrCtx {
		return v.fail(LegacyLoad, "at the time of BPF_LD_ABS|IND R6 != pointer to skb")
	}
	if in.class == asm.ClassInd {
		if err := v.readReg(in.src); err != nil {
			return err
		}
	}
	if err := v.checkOffReg(6, &regs[6]); err != nil {
		return err
	}
	for i := range 6 {
		regs[i] = reg{}
	}
	regs[0] = unknownReg()
	return nil
}
