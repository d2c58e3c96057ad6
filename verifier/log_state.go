package verifier

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// changed says which registers and slots of a frame to print.
type changed struct {
	regs  uint16
	slots uint64
}

var allOfState = changed{1<<11 - 1, ^uint64(0)}

// stateText is the kernel's notation of a state's running frame.
func (v *verifier) stateText(st *state) string {
	text := v.appendState(nil, st, st.depth, allOfState)
	return string(text[1 : len(text)-1])
}

// appendState appends a frame of a state, and a newline (kernel: print_verifier_state).
func (v *verifier) appendState(b []byte, st *state, frame int, which changed) []byte {
	f := st.frames[frame]
	if frame > 0 {
		b = fmt.Appendf(b, " frame%d:", frame)
	}
	for i := range f.regs {
		if r := &f.regs[i]; r.typ != notInit && which.regs>>i&1 != 0 {
			b = fmt.Appendf(b, " R%d=", i)
			b = v.appendReg(b, frame, r)
		}
	}
	for i := range f.stack {
		if which.slots>>i&1 != 0 {
			b = v.appendSlot(b, frame, i, &f.stack[i])
		}
	}
	if st.lock != 0 {
		b = fmt.Appendf(b, " refs=%d", st.lock)
	}
	for i := range st.refs {
		sep := byte(',')
		if i == 0 && st.lock == 0 {
			b = append(b, " refs"...)
			sep = '='
		}
		b = strconv.AppendUint(append(b, sep), uint64(st.refs[i].id), 10)
	}
	if f.callback {
		b = append(b, " cb"...)
	}
	return append(b, '\n')
}

// appendSlot appends slot i of a frame's stack, unless nothing was ever written there. Bytes are shown from the highest
// address down, those of a spilled register as the register. With i -1 the slot's name is left out.
func (v *verifier) appendSlot(b []byte, frame, i int, s *slot) []byte {
	if s.bytes[0] > stackZero {
		return v.appendObject(b, i, s)
	}
	var kinds [slotSize]byte
	used := false
	for k, kind := range s.bytes {
		kinds[slotSize-1-k] = "?rm0dif"[kind]
		used = used || kind != stackInvalid
	}
	if !used {
		return b
	}
	if i >= 0 {
		b = fmt.Appendf(b, " fp%d=", -(i+1)*slotSize)
	}
	if !s.spilled() {
		return append(b, kinds[:]...)
	}
	return v.appendReg(append(b, kinds[:slotSize-s.spillSize()]...), frame, &s.reg)
}

// regText and slotText are the kernel's notation of a register and of a slot of stack; "" when nothing was ever there.
func (v *verifier) regText(r *reg) string { return string(v.appendReg(nil, int(r.frame()), r)) }
func (v *verifier) slotText(s *slot) string {
	return string(v.appendSlot(nil, int(s.reg.frame()), -1, s))
}

// appendObject appends an object on the stack, unless slot i is not its first.
func (v *verifier) appendObject(b []byte, i int, s *slot) []byte {
	r := &s.reg
	at := -(i + 1) * slotSize
	switch {
	case r.typ == ptrDynptr && r.rng == dynptrFirst:
		a := attrs{b: fmt.Appendf(b, " fp%d=dynptr_%v(", at, dynptrType(r.aux))}
		a.add("id=%d", r.id)
		if r.ref != 0 {
			a.add("ref_id=%d", r.ref)
		}
		a.add("dynptr_id=1") // what says that this is the first slot, which lies where other registers have that id
		return append(a.b, ')')
	case r.typ == ptrIter && r.ref != 0:
		return fmt.Appendf(b, " fp%d=iter_%s(ref_id=%d,state=%s,depth=%d)", at,
			strings.TrimPrefix(v.structName(r.aux), iterPrefix), r.ref, iterStates[r.rng], r.off)
	case r.typ == ptrIRQ:
		return fmt.Appendf(b, " fp%d=ffffffff", at)
	}
	return b
}

// attrs appends the parts of "(a,b,c)".
type attrs struct {
	b   []byte
	sep bool
}

func (a *attrs) add(format string, args ...any) {
	if a.sep {
		a.b = append(a.b, ',')
	}
	a.sep = true
	a.b = fmt.Appendf(a.b, format, args...)
}

// appendReg appends a register of a frame (kernel: print_reg_state).
func (v *verifier) appendReg(b []byte, frame int, r *reg) []byte {
	if r.typ == scalar && r.precise {
		b = append(b, 'P')
	}
	if r.typ == scalar && r.isConst() {
		return append(b, hexOrDec(r.tn.Value)...)
	}
	b = append(b, r.typeString()...)
	if r.typ == ptrBTF {
		b = append(b, v.typeName(r)...)
	}
	if r.typ == ptrStack {
		if int(r.frame()) != frame {
			b = fmt.Appendf(b, "[%d]", r.frame())
		}
		if r.isConst() {
			return append(b, hexOrDec(r.tn.Value+uint64(int64(r.off)))...)
		}
	}
	a := attrs{b: append(b, '(')}
	if r.id != 0 {
		a.add("id=%d", r.id)
		if r.flags&(linkedAdd|linkedAdd32) != 0 {
			a.b = fmt.Appendf(a.b, "%+d", r.off)
		}
	}
	if r.ref != 0 {
		a.add("ref_obj_id=%d", r.ref)
	}
	switch r.typ {
	case ptrMap, ptrMapKey, ptrMapValue:
		m := v.mapOf(r)
		if m.Name != "" && r.aux >= 0 { // inner maps are known by their shape alone
			a.add("map=%s", mapName(m.Name))
		}
		a.add("ks=%d,vs=%d", m.KeySize, m.ValueSize)
	}
	if r.typ != scalar && r.off != 0 {
		a.add("off=%s", hexOrDec(uint64(int64(r.off))))
	}
	switch r.typ {
	case ptrPacket, ptrPacketMeta:
		a.add("r=%s", hexOrDecUnsigned(uint64(int64(r.rng))))
	case ptrMem:
		a.add("sz=%s", hexOrDecUnsigned(uint64(uint32(r.aux))))
	}
	switch {
	case !r.isConst():
		r.appendRanges(&a)
	case r.tn.Value != 0:
		a.add("imm=%s", hexOrDec(r.tn.Value))
	}
	return append(a.b, ')')
}

// mapName is as much of a map's name as the kernel keeps (BPF_OBJ_NAME_LEN, with the zero at its end).
func mapName(name string) string { return name[:min(len(name), 15)] }

// hexOrDec is a signed number, hexOrDecUnsigned an unsigned one, in decimal when it is short.
func hexOrDec(v uint64) string {
	if s := int64(v); s == int64(int16(s)) {
		return fmt.Sprint(s)
	}
	return fmt.Sprintf("%#x", v)
}

func hexOrDecUnsigned(v uint64) string {
	if v < 65536 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", v)
}

// appendRanges appends the ranges that are narrower than any, equal ones together (kernel: print_scalar_ranges).
func (r *reg) appendRanges(a *attrs) {
	all := [8]struct {
		name string
		v    uint64
		omit bool
	}{
		{"smin", uint64(r.smin), r.smin == math.MinInt64},
		{"smax", uint64(r.smax), r.smax == math.MaxInt64},
		{"umin", r.umin, r.umin == 0},
		{"umax", r.umax, r.umax == math.MaxUint64},
		{"smin32", signed32(r.smin32), r.smin32 == math.MinInt32},
		{"smax32", signed32(r.smax32), r.smax32 == math.MaxInt32},
		{"umin32", uint64(r.umin32), r.umin32 == 0},
		{"umax32", uint64(r.umax32), r.umax32 == math.MaxUint32},
	}
	for i := range all {
		x := &all[i]
		if x.omit {
			continue
		}
		names := x.name + "="
		negative := x.name[0] == 's' && int64(x.v) < 0
		for j := i + 2; j < len(all); j += 2 {
			y := &all[j]
			if !y.omit && y.v == x.v && (y.name[0] == 's' && int64(y.v) < 0) == negative {
				y.omit = true
				names += y.name + "="
			}
		}
		if x.name[0] == 's' {
			names += hexOrDec(x.v)
		} else {
			names += hexOrDecUnsigned(x.v)
		}
		a.add("%s", names)
	}
	if !r.tn.IsUnknown() {
		a.add("var_off=%v", r.tn)
	}
}

// signed32 is a 32-bit value as the kernel prints it: sign-extended when it is printed in decimal.
func signed32(v int32) uint64 {
	if v == int32(int16(v)) {
		return uint64(int64(v))
	}
	return uint64(uint32(v))
}
