package vm

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
)

// A mode is a variant of the interpreter's loop. Each is a type of its own size, so that Go compiles straight once for
// each and len(mode) is a constant there: the plain loop has no trace of the hook.
type mode interface{ plain | hooked }

type (
	plain  [0]byte
	hooked [1]byte // calls before ahead of each instruction: checks, trace
)

// leaving says why straight stopped ahead of or behind an instruction.
type leaving uint8

const (
	forSpecial leaving = iota // the instruction is one for special; it is counted, and x.pc is behind it
	forBudget                 // a taken jump back found the budget spent; x.pc is behind the jump
	forHook                   // the hook faulted: x.hookFault; x.pc is behind the instruction
)

// straight runs x.prog from x.pc up to an instruction that needs more than registers and memory. It calls nothing, so
// that Go keeps its few variables in registers; the instructions that do need calls are special's.
//
// Instructions are not counted one by one: fuel, what is left of the budget, is brought up to date where control
// leaves the straight line, by the distance from start.
func straight[M mode](x *Interpreter) (in *insn, why leaving) {
	var (
		m     M
		r     = &x.regs
		mem   = x.space
		code  = x.prog.fast
		pc    = x.pc
		start = pc
		fuel  = x.fuel
	)
	if len(m) != 0 {
		code = x.prog.code // the hook sees each instruction
	}
	for {
		in = &code[pc]
		pc++
		if len(m) != 0 {
			if !x.before(in, pc-1) {
				why = forHook
				break
			}
		}
		switch in.op {
		case asm.Add64K:
			r[in.dst&15] += in.imm
		case asm.Add64X:
			r[in.dst&15] += r[in.src&15]
		case asm.Sub64K:
			r[in.dst&15] -= in.imm
		case asm.Sub64X:
			r[in.dst&15] -= r[in.src&15]
		case asm.Mul64K:
			r[in.dst&15] *= in.imm
		case asm.Mul64X:
			r[in.dst&15] *= r[in.src&15]
		case asm.Div64K:
			r[in.dst&15] = div64(r[in.dst&15], in.imm)
		case asm.Div64X:
			r[in.dst&15] = div64(r[in.dst&15], r[in.src&15])
		case asm.SDiv64K:
			r[in.dst&15] = sdiv64(r[in.dst&15], in.imm)
		case asm.SDiv64X:
			r[in.dst&15] = sdiv64(r[in.dst&15], r[in.src&15])
		case asm.Or64K:
			r[in.dst&15] |= in.imm
		case asm.Or64X:
			r[in.dst&15] |= r[in.src&15]
		case asm.And64K:
			r[in.dst&15] &= in.imm
		case asm.And64X:
			r[in.dst&15] &= r[in.src&15]
		case asm.Lsh64K:
			r[in.dst&15] <<= in.imm & 63
		case asm.Lsh64X:
			r[in.dst&15] <<= r[in.src&15] & 63
		case asm.Rsh64K:
			r[in.dst&15] >>= in.imm & 63
		case asm.Rsh64X:
			r[in.dst&15] >>= r[in.src&15] & 63
		case asm.Mod64K:
			r[in.dst&15] = mod64(r[in.dst&15], in.imm)
		case asm.Mod64X:
			r[in.dst&15] = mod64(r[in.dst&15], r[in.src&15])
		case asm.SMod64K:
			r[in.dst&15] = smod64(r[in.dst&15], in.imm)
		case asm.SMod64X:
			r[in.dst&15] = smod64(r[in.dst&15], r[in.src&15])
		case asm.Xor64K:
			r[in.dst&15] ^= in.imm
		case asm.Xor64X:
			r[in.dst&15] ^= r[in.src&15]
		case asm.Mov64K:
			r[in.dst&15] = in.imm
		case asm.Mov64X:
			r[in.dst&15] = r[in.src&15]
		case asm.Arsh64K:
			r[in.dst&15] = uint64(int64(r[in.dst&15]) >> (in.imm & 63))
		case asm.Arsh64X:
			r[in.dst&15] = uint64(int64(r[in.dst&15]) >> (r[in.src&15] & 63))
		case asm.Add32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] + in.imm))
		case asm.Add32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] + r[in.src&15]))
		case asm.Sub32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] - in.imm))
		case asm.Sub32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] - r[in.src&15]))
		case asm.Mul32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] * in.imm))
		case asm.Mul32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] * r[in.src&15]))
		case asm.Div32K:
			r[in.dst&15] = div32(r[in.dst&15], in.imm)
		case asm.Div32X:
			r[in.dst&15] = div32(r[in.dst&15], r[in.src&15])
		case asm.SDiv32K:
			r[in.dst&15] = sdiv32(r[in.dst&15], in.imm)
		case asm.SDiv32X:
			r[in.dst&15] = sdiv32(r[in.dst&15], r[in.src&15])
		case asm.Or32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] | in.imm))
		case asm.Or32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] | r[in.src&15]))
		case asm.And32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] & in.imm))
		case asm.And32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] & r[in.src&15]))
		case asm.Lsh32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) << (in.imm & 31))
		case asm.Lsh32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) << (r[in.src&15] & 31))
		case asm.Rsh32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) >> (in.imm & 31))
		case asm.Rsh32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) >> (r[in.src&15] & 31))
		case asm.Mod32K:
			r[in.dst&15] = mod32(r[in.dst&15], in.imm)
		case asm.Mod32X:
			r[in.dst&15] = mod32(r[in.dst&15], r[in.src&15])
		case asm.SMod32K:
			r[in.dst&15] = smod32(r[in.dst&15], in.imm)
		case asm.SMod32X:
			r[in.dst&15] = smod32(r[in.dst&15], r[in.src&15])
		case asm.Xor32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] ^ in.imm))
		case asm.Xor32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15] ^ r[in.src&15]))
		case asm.Mov32K:
			r[in.dst&15] = uint64(uint32(in.imm))
		case asm.Mov32X:
			r[in.dst&15] = uint64(uint32(r[in.src&15]))
		case asm.Arsh32K:
			r[in.dst&15] = uint64(uint32(int32(r[in.dst&15]) >> (in.imm & 31)))
		case asm.Arsh32X:
			r[in.dst&15] = uint64(uint32(int32(r[in.dst&15]) >> (r[in.src&15] & 31)))
		case asm.Neg64:
			r[in.dst&15] = -r[in.dst&15]
		case asm.Neg32:
			r[in.dst&15] = uint64(uint32(-r[in.dst&15]))
		case asm.Movsx64B:
			r[in.dst&15] = uint64(int8(r[in.src&15]))
		case asm.Movsx64H:
			r[in.dst&15] = uint64(int16(r[in.src&15]))
		case asm.Movsx64W:
			r[in.dst&15] = uint64(int32(r[in.src&15]))
		case asm.Movsx32B:
			r[in.dst&15] = uint64(uint32(int8(r[in.src&15])))
		case asm.Movsx32H:
			r[in.dst&15] = uint64(uint32(int16(r[in.src&15])))
		case asm.Le16:
			r[in.dst&15] = uint64(uint16(r[in.dst&15]))
		case asm.Le32:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]))
		case asm.Le64:
			// the guest is little-endian: nothing to swap
		case asm.Be16, asm.Bswap16:
			r[in.dst&15] = uint64(bits.ReverseBytes16(uint16(r[in.dst&15])))
		case asm.Be32, asm.Bswap32:
			r[in.dst&15] = uint64(bits.ReverseBytes32(uint32(r[in.dst&15])))
		case asm.Be64, asm.Bswap64:
			r[in.dst&15] = bits.ReverseBytes64(r[in.dst&15])
		case asm.AddrCast:
			r[in.dst&15] = uint64(uint32(r[in.src&15])) // both address spaces are the guest's

		case asm.Ja:
			goto taken
		case asm.Jeq64K:
			if r[in.dst&15] == in.imm {
				goto taken
			}
		case asm.Jeq64X:
			if r[in.dst&15] == r[in.src&15] {
				goto taken
			}
		case asm.Jgt64K:
			if r[in.dst&15] > in.imm {
				goto taken
			}
		case asm.Jgt64X:
			if r[in.dst&15] > r[in.src&15] {
				goto taken
			}
		case asm.Jge64K:
			if r[in.dst&15] >= in.imm {
				goto taken
			}
		case asm.Jge64X:
			if r[in.dst&15] >= r[in.src&15] {
				goto taken
			}
		case asm.Jset64K:
			if r[in.dst&15]&in.imm != 0 {
				goto taken
			}
		case asm.Jset64X:
			if r[in.dst&15]&r[in.src&15] != 0 {
				goto taken
			}
		case asm.Jne64K:
			if r[in.dst&15] != in.imm {
				goto taken
			}
		case asm.Jne64X:
			if r[in.dst&15] != r[in.src&15] {
				goto taken
			}
		case asm.Jsgt64K:
			if int64(r[in.dst&15]) > int64(in.imm) {
				goto taken
			}
		case asm.Jsgt64X:
			if int64(r[in.dst&15]) > int64(r[in.src&15]) {
				goto taken
			}
		case asm.Jsge64K:
			if int64(r[in.dst&15]) >= int64(in.imm) {
				goto taken
			}
		case asm.Jsge64X:
			if int64(r[in.dst&15]) >= int64(r[in.src&15]) {
				goto taken
			}
		case asm.Jlt64K:
			if r[in.dst&15] < in.imm {
				goto taken
			}
		case asm.Jlt64X:
			if r[in.dst&15] < r[in.src&15] {
				goto taken
			}
		case asm.Jle64K:
			if r[in.dst&15] <= in.imm {
				goto taken
			}
		case asm.Jle64X:
			if r[in.dst&15] <= r[in.src&15] {
				goto taken
			}
		case asm.Jslt64K:
			if int64(r[in.dst&15]) < int64(in.imm) {
				goto taken
			}
		case asm.Jslt64X:
			if int64(r[in.dst&15]) < int64(r[in.src&15]) {
				goto taken
			}
		case asm.Jsle64K:
			if int64(r[in.dst&15]) <= int64(in.imm) {
				goto taken
			}
		case asm.Jsle64X:
			if int64(r[in.dst&15]) <= int64(r[in.src&15]) {
				goto taken
			}
		case asm.Jeq32K:
			if uint32(r[in.dst&15]) == uint32(in.imm) {
				goto taken
			}
		case asm.Jeq32X:
			if uint32(r[in.dst&15]) == uint32(r[in.src&15]) {
				goto taken
			}
		case asm.Jgt32K:
			if uint32(r[in.dst&15]) > uint32(in.imm) {
				goto taken
			}
		case asm.Jgt32X:
			if uint32(r[in.dst&15]) > uint32(r[in.src&15]) {
				goto taken
			}
		case asm.Jge32K:
			if uint32(r[in.dst&15]) >= uint32(in.imm) {
				goto taken
			}
		case asm.Jge32X:
			if uint32(r[in.dst&15]) >= uint32(r[in.src&15]) {
				goto taken
			}
		case asm.Jset32K:
			if uint32(r[in.dst&15]&in.imm) != 0 {
				goto taken
			}
		case asm.Jset32X:
			if uint32(r[in.dst&15]&r[in.src&15]) != 0 {
				goto taken
			}
		case asm.Jne32K:
			if uint32(r[in.dst&15]) != uint32(in.imm) {
				goto taken
			}
		case asm.Jne32X:
			if uint32(r[in.dst&15]) != uint32(r[in.src&15]) {
				goto taken
			}
		case asm.Jsgt32K:
			if int32(r[in.dst&15]) > int32(in.imm) {
				goto taken
			}
		case asm.Jsgt32X:
			if int32(r[in.dst&15]) > int32(r[in.src&15]) {
				goto taken
			}
		case asm.Jsge32K:
			if int32(r[in.dst&15]) >= int32(in.imm) {
				goto taken
			}
		case asm.Jsge32X:
			if int32(r[in.dst&15]) >= int32(r[in.src&15]) {
				goto taken
			}
		case asm.Jlt32K:
			if uint32(r[in.dst&15]) < uint32(in.imm) {
				goto taken
			}
		case asm.Jlt32X:
			if uint32(r[in.dst&15]) < uint32(r[in.src&15]) {
				goto taken
			}
		case asm.Jle32K:
			if uint32(r[in.dst&15]) <= uint32(in.imm) {
				goto taken
			}
		case asm.Jle32X:
			if uint32(r[in.dst&15]) <= uint32(r[in.src&15]) {
				goto taken
			}
		case asm.Jslt32K:
			if int32(r[in.dst&15]) < int32(in.imm) {
				goto taken
			}
		case asm.Jslt32X:
			if int32(r[in.dst&15]) < int32(r[in.src&15]) {
				goto taken
			}
		case asm.Jsle32K:
			if int32(r[in.dst&15]) <= int32(in.imm) {
				goto taken
			}
		case asm.Jsle32X:
			if int32(r[in.dst&15]) <= int32(r[in.src&15]) {
				goto taken
			}

		case asm.Ldx8:
			r[in.dst&15] = uint64(mem.Load8(uint32(r[in.src&15] + uint64(in.off))))
		case asm.Ldx16:
			r[in.dst&15] = uint64(mem.Load16(uint32(r[in.src&15] + uint64(in.off))))
		case asm.Ldx32:
			r[in.dst&15] = uint64(mem.Load32(uint32(r[in.src&15] + uint64(in.off))))
		case asm.Ldx64:
			r[in.dst&15] = mem.Load64(uint32(r[in.src&15] + uint64(in.off)))
		case asm.Ldsx8:
			r[in.dst&15] = uint64(int8(mem.Load8(uint32(r[in.src&15] + uint64(in.off)))))
		case asm.Ldsx16:
			r[in.dst&15] = uint64(int16(mem.Load16(uint32(r[in.src&15] + uint64(in.off)))))
		case asm.Ldsx32:
			r[in.dst&15] = uint64(int32(mem.Load32(uint32(r[in.src&15] + uint64(in.off)))))
		case asm.St8:
			mem.Store8(uint32(r[in.dst&15]+uint64(in.off)), uint8(in.imm))
		case asm.St16:
			mem.Store16(uint32(r[in.dst&15]+uint64(in.off)), uint16(in.imm))
		case asm.St32:
			mem.Store32(uint32(r[in.dst&15]+uint64(in.off)), uint32(in.imm))
		case asm.St64:
			mem.Store64(uint32(r[in.dst&15]+uint64(in.off)), in.imm)
		case asm.Stx8:
			mem.Store8(uint32(r[in.dst&15]+uint64(in.off)), uint8(r[in.src&15]))
		case asm.Stx16:
			mem.Store16(uint32(r[in.dst&15]+uint64(in.off)), uint16(r[in.src&15]))
		case asm.Stx32:
			mem.Store32(uint32(r[in.dst&15]+uint64(in.off)), uint32(r[in.src&15]))
		case asm.Stx64:
			mem.Store64(uint32(r[in.dst&15]+uint64(in.off)), r[in.src&15])
		case asm.LdImm64:
			r[in.dst&15] = in.imm

		// Two or three at once: see fuse. next is the second of them.
		case opMovAdd64K:
			next := &code[pc]
			pc++
			r[in.dst&15] = r[in.src&15] + next.imm
		case opMovAnd64K:
			next := &code[pc]
			pc++
			r[in.dst&15] = r[in.src&15] & next.imm
		case opMovLsh64K:
			next := &code[pc]
			pc++
			r[in.dst&15] = r[in.src&15] << (next.imm & 63)
		case opMovRsh64K:
			next := &code[pc]
			pc++
			r[in.dst&15] = r[in.src&15] >> (next.imm & 63)
		case opMovArsh64K:
			next := &code[pc]
			pc++
			r[in.dst&15] = uint64(int64(r[in.src&15]) >> (next.imm & 63))
		case opMovAdd64X:
			next := &code[pc]
			pc++
			r[in.dst&15] = r[in.src&15] + r[next.src&15]
		case opMovLshXor64:
			next, third := &code[pc], &code[pc+1]
			pc += 2
			v := r[in.src&15] << (next.imm & 63)
			r[in.dst&15] = v
			r[third.dst&15] ^= v
		case opMovRshXor64:
			next, third := &code[pc], &code[pc+1]
			pc += 2
			v := r[in.src&15] >> (next.imm & 63)
			r[in.dst&15] = v
			r[third.dst&15] ^= v
		case opMovAddJgt64:
			next, third := &code[pc], &code[pc+1]
			pc += 2
			v := r[in.src&15] + next.imm
			r[in.dst&15] = v
			if v > r[third.src&15] {
				in = third
				goto taken
			}
		case opAddJne64K:
			next := &code[pc]
			pc++
			v := r[in.dst&15] + in.imm
			r[in.dst&15] = v
			if v != next.imm {
				in = next
				goto taken
			}
		case opMovAndJne32:
			next, third := &code[pc], &code[pc+1]
			pc += 2
			v := uint32(r[in.src&15] & next.imm)
			r[in.dst&15] = uint64(v)
			if v != uint32(third.imm) {
				in = third
				goto taken
			}
		case opLdx16AndJne32K:
			next, third := &code[pc], &code[pc+1]
			pc += 2
			v := uint32(mem.Load16(uint32(r[in.src&15]+uint64(in.off)))) & uint32(next.imm)
			r[in.dst&15] = uint64(v)
			if v != uint32(third.imm) {
				in = third
				goto taken
			}
		case opAndJne32K:
			next := &code[pc]
			pc++
			v := uint32(r[in.dst&15] & in.imm)
			r[in.dst&15] = uint64(v)
			if v != uint32(next.imm) {
				in = next
				goto taken
			}
		case opLshAnd32K:
			next := &code[pc]
			pc++
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) << (in.imm & 31) & uint32(next.imm))
		case opLdx32Ldx32:
			next := &code[pc]
			pc++
			r[in.dst&15] = uint64(mem.Load32(uint32(r[in.src&15] + uint64(in.off))))
			r[next.dst&15] = uint64(mem.Load32(uint32(r[next.src&15] + uint64(next.off))))
		case opLdx8Jeq32K:
			next := &code[pc]
			pc++
			v := uint32(mem.Load8(uint32(r[in.src&15] + uint64(in.off))))
			r[in.dst&15] = uint64(v)
			if v == uint32(next.imm) {
				in = next
				goto taken
			}
		case opLdx8Jne32K:
			next := &code[pc]
			pc++
			v := uint32(mem.Load8(uint32(r[in.src&15] + uint64(in.off))))
			r[in.dst&15] = uint64(v)
			if v != uint32(next.imm) {
				in = next
				goto taken
			}
		case opLdx16Jeq32K:
			next := &code[pc]
			pc++
			v := uint32(mem.Load16(uint32(r[in.src&15] + uint64(in.off))))
			r[in.dst&15] = uint64(v)
			if v == uint32(next.imm) {
				in = next
				goto taken
			}
		case opLdx16Jne32K:
			next := &code[pc]
			pc++
			v := uint32(mem.Load16(uint32(r[in.src&15] + uint64(in.off))))
			r[in.dst&15] = uint64(v)
			if v != uint32(next.imm) {
				in = next
				goto taken
			}
		case opLdx32Jeq32K:
			next := &code[pc]
			pc++
			v := uint32(mem.Load32(uint32(r[in.src&15] + uint64(in.off))))
			r[in.dst&15] = uint64(v)
			if v == uint32(next.imm) {
				in = next
				goto taken
			}
		case opLdx32Jne32K:
			next := &code[pc]
			pc++
			v := uint32(mem.Load32(uint32(r[in.src&15] + uint64(in.off))))
			r[in.dst&15] = uint64(v)
			if v != uint32(next.imm) {
				in = next
				goto taken
			}
		default:
			x.pc, x.fuel = pc, fuel-int64(pc-start)
			return in, forSpecial
		}
		continue

	taken:
		fuel -= int64(pc - start)
		pc += int(in.off)
		start = pc
		if in.off < 0 && fuel < 0 {
			pc -= int(in.off)
			start, why = pc, forBudget
			break
		}
	}
	x.pc, x.fuel = pc, fuel-int64(pc-start)
	return in, why
}

// dispatch runs x.prog from x.pc until the activation at depth x.base exits, or to a fault.
func dispatch[M mode](x *Interpreter) *Fault {
	for {
		in, why := straight[M](x)
		switch why {
		case forBudget:
			return x.fault(BudgetExceeded)
		case forHook:
			return x.hookFault
		}
		exits, f := x.special(in)
		switch {
		case f != nil:
			return f
		case !exits:
		case x.depth == x.base:
			return nil
		default:
			x.leave()
		}
	}
}

// special runs an instruction that straight leaves out. x.pc is behind it, and may be changed. exits means that the
// activation ends.
func (x *Interpreter) special(in *insn) (exits bool, f *Fault) {
	switch in.op {
	case asm.Exit:
		return true, nil
	case asm.LoadAcq8, asm.LoadAcq16, asm.LoadAcq32, asm.LoadAcq64:
		x.loadAcquire(in)
	case asm.StoreRel8, asm.StoreRel16, asm.StoreRel32, asm.StoreRel64:
		x.storeRelease(in)
	case asm.AtomicAdd32, asm.AtomicOr32, asm.AtomicAnd32, asm.AtomicXor32, asm.AtomicFetchAdd32, asm.AtomicFetchOr32,
		asm.AtomicFetchAnd32, asm.AtomicFetchXor32, asm.AtomicXchg32, asm.AtomicCmpxchg32:
		x.atomic32(in)
	case asm.AtomicAdd64, asm.AtomicOr64, asm.AtomicAnd64, asm.AtomicXor64, asm.AtomicFetchAdd64, asm.AtomicFetchOr64,
		asm.AtomicFetchAnd64, asm.AtomicFetchXor64, asm.AtomicXchg64, asm.AtomicCmpxchg64:
		x.atomic64(in)
	case asm.LdAbs8, asm.LdAbs16, asm.LdAbs32:
		return !x.loadPacket(in, int32(in.imm)), nil
	case asm.LdInd8, asm.LdInd16, asm.LdInd32:
		return !x.loadPacket(in, int32(x.regs[in.src&15]+in.imm)), nil
	case asm.MayGoto:
		return false, x.mayGoto(in)
	case asm.CallHelper:
		return false, x.callHelper(in.imm)
	case asm.CallReg:
		return false, x.callReg(in)
	case asm.CallLocal:
		return false, x.enter(x.pc + int(in.off))
	case opTailCall:
		return false, x.tailCall()
	case opArena:
		x.prog.Arena(int(x.prog.slots[x.pc-1]), x.space, x.regs[:])
	default:
		return false, x.cannotRun()
	}
	return false, nil
}
