package verifier

import (
	"fmt"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/prog"
)

// flowKeysSize is sizeof(struct bpf_flow_keys).
const flowKeysSize = 56

// regionWords says how an access leaves a region, "" when it doesn't (kernel: __check_mem_access).
func regionWords(r *reg, n uint8, off, size, memSize int64, zeroOK bool) string {
	if off >= 0 && (size > 0 || size == 0 && zeroOK) && off+size <= memSize {
		return ""
	}
	switch {
	case r.typ == ptrMapKey:
		return fmt.Sprintf("invalid access to map key, key_size=%d off=%d size=%d", memSize, off, size)
	case r.typ == ptrMapValue:
		return fmt.Sprintf("invalid access to map value, value_size=%d off=%d size=%d", memSize, off, size)
	case r.isPacket():
		return fmt.Sprintf("invalid access to packet, off=%d size=%d, R%d(id=%d,off=%d,r=%d)", off, size, n, r.id, off, memSize)
	}
	return fmt.Sprintf("invalid access to memory, mem_size=%d off=%d size=%d", memSize, off, size)
}

// checkOffReg checks that a pointer was not moved (kernel: check_ptr_off_reg).
func (v *verifier) checkOffReg(n uint8, r *reg) *Error {
	name := r.typeString()
	switch {
	case r.off < 0:
		return v.fail(ModifiedPtr, "negative offset %s ptr R%d off=%d disallowed", name, n, r.off)
	case r.off != 0:
		return v.fail(ModifiedPtr, "dereference of modified %s ptr R%d off=%d disallowed", name, n, r.off)
	case !r.tn.Equals(0):
		return v.fail(ModifiedPtr, "variable %s access var_off=%v disallowed", name, r.tn)
	}
	return nil
}

// yields maps what a ctx field holds to register types.
var yields = map[prog.Yield]struct {
	typ   regType
	flags regFlags
}{
	prog.PktData:          {ptrPacket, 0},
	prog.PktEnd:           {ptrPacketEnd, 0},
	prog.PktMeta:          {ptrPacketMeta, 0},
	prog.SockCommonOrNull: {ptrSockCommon, maybeNull},
	prog.SockOrNull:       {ptrSocket, maybeNull},
	prog.Sock:             {ptrSocket, 0},
	prog.FlowKeys:         {ptrFlowKeys, 0},
	prog.TrustedBTF:       {ptrBTF, trusted},
	prog.TPBuffer:         {ptrTPBuffer, 0},
}

// accessCtx checks a load or store of a ctx field by the program type's table (kernel: check_ctx_access).
func (v *verifier) accessCtx(a *access, r *reg) *Error {
	if a.write && v.leaksValue(a) {
		return v.fail(PointerLeak, "R%d leaks addr into ctx", a.value)
	}
	if err := v.checkOffReg(a.n, r); err != nil {
		return err
	}
	if v.hooked() {
		return v.accessArgs(a)
	}
	f, ok := v.row.Access(int(a.off), a.size, a.write, v.attach, v.profile.Kernel)
	if ok && !f.AllowsLoader(v.profile.Caps, a.write) {
		e := v.fail(CtxAccess, "invalid bpf_context access off=%d size=%d", a.off, a.size)
		e.Reason = v.lacks("this access to "+f.Name, prog.CapBPF)
		return e
	}
	if !ok {
		e := v.fail(CtxAccess, "invalid bpf_context access off=%d size=%d", a.off, a.size)
		if later, ok := v.row.Access(int(a.off), a.size, a.write, v.attach, newestKernel); ok {
			e.needs(NeedField, v.row.CtxName+"."+later.Name, later.Since)
		}
		return e
	}
	if a.write || a.value == noValue {
		return nil
	}
	dst := &v.regs()[a.value]
	y, ptr := yields[f.Yields]
	if !ptr {
		*dst = unknownReg()
		return nil
	}
	if a.signed {
		return v.fail(CtxAccess, "invalid bpf_context access off=%d size=%d", a.off, a.size)
	}
	*dst = ptrReg(y.typ)
	dst.flags = y.flags
	if f.BTF != "" {
		dst.aux = v.ctxObject(f.BTF)
	}
	if y.flags&maybeNull != 0 {
		dst.id = v.newID()
	}
	return nil
}

// ctxObject is the type of a kernel object that a ctx points to. Outside of a kernel objects are laid out as the program declares them
// (prog.Buffer), so that its own types say what is where.
func (v *verifier) ctxObject(name string) int32 {
	if v.outside && v.givenBTF == nil && v.prog.Types != nil && !v.prog.Relocated {
		if id, ok := v.prog.Types.Find(btf.Struct, name); ok {
			return int32(^id)
		}
	}
	return v.structID(name)
}

// laidOut reports whether an object is one that a ctx pointed to, and there outside of a kernel.
func (v *verifier) laidOut(r *reg) bool {
	return v.outside && v.prog.Type == prog.Netfilter && r.aux < 0 && r.flags&alloc == 0
}

// checkSock checks a load from a socket (kernel: check_sock_access).
func (v *verifier) checkSock(n uint8, r *reg, off int64, size int) *Error {
	if r.smin < 0 {
		return v.fail(NegativeOffset,
			"R%d min value is negative, either use unsigned index or do a if (index >=0) check.", n)
	}
	ok := off >= 0 && off%int64(size) == 0
	switch r.typ {
	case ptrSockCommon:
		ok = ok && (off < 8 || off >= 24) && sockField(off, size) // type..priority exist only in a full socket
	case ptrSocket:
		ok = ok && sockField(off, size)
	case ptrTCPSock:
		wide := off == 80 || off == 88 // bytes_received, bytes_acked
		ok = ok && off < 112 && (wide && size == 8 || !wide && size == 4)
	case ptrXDPSock:
		ok = off == 0 && size == 4
	}
	if !ok || !r.tn.Equals(0) {
		return v.fail(SockAccess, "R%d invalid %s access off=%d size=%d", n, typeNames[r.typ], off, size)
	}
	return nil
}

// sockField reports whether an aligned load of struct bpf_sock is legal (kernel: bpf_sock_is_valid_access).
func sockField(off int64, size int) bool {
	switch {
	case off >= 80:
		return false
	case off == 4, off == 8, off == 12, off == 44, off == 72, off == 76: // family, type, protocol, src_port, state, rx_queue_mapping
		return size <= 4
	case off >= 24 && off < 44, off >= 52 && off < 72: // addresses
		return size <= 4
	case off >= 48 && off < 50: // dst_port, 16 bits; 32 once were
		return size <= 2 || size == 4
	case off >= 50 && off < 52:
		return false
	}
	return size == 4
}
