package jit

import (
	"math/rand/v2"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// gen makes random programs that vm.Link accepts. Every kind of the table comes up by construction: operands are
// chosen by the table's own rules, and kinds are dealt from a shuffled deck. Most programs make no sense, jump
// anywhere, run into the budget or fault; engines must agree on that too.
type generator struct {
	r     *rand.Rand
	deck  []asm.Kind
	out   []genInsn
	kinds *[asm.NumKinds]int // how often each was made; shared by all programs
	mem   uint32             // guest address of memory to play with
	ctx   uint32
	maps  int // number of maps of the program
}

// genInsn is an instruction whose target, if it has one, is the index of another.
type genInsn struct {
	in     asm.Insn
	hi     int32 // second slot of a 64-bit load
	target int   // -1 none; set at the end when noTarget yet
}

const (
	none   = -1
	unset  = -2
	memLen = 4096 // bytes of memory to play with
)

// generatedKinds are all kinds.
func generatedKinds() []asm.Kind {
	var out []asm.Kind
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		out = append(out, k)
	}
	return out
}

var interesting = []int32{0, 1, -1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 127, 128, -128, -129, 255, 256, 0xffff, 0x10000,
	0x7fffffff, -0x80000000, -0x7fffffff, 10, 1000, -1000, 0x12345678}

func (g *generator) imm() int32 {
	if g.r.IntN(3) == 0 {
		return int32(g.r.Uint32())
	}
	return interesting[g.r.IntN(len(interesting))]
}

func (g *generator) value() uint64 {
	switch g.r.IntN(4) {
	case 0:
		return uint64(int64(g.imm()))
	case 1:
		return g.r.Uint64()
	case 2:
		return uint64(uint32(g.imm()))
	}
	return uint64(g.mem) + uint64(g.r.IntN(memLen))
}

func (g *generator) emit(in asm.Insn) *genInsn {
	g.kinds[asm.KindOf(in)]++
	g.out = append(g.out, genInsn{in: in, target: none})
	return &g.out[len(g.out)-1]
}

func (g *generator) load64(r asm.Reg, v uint64) {
	g.emit(asm.Insn{Op: asm.LdImm64.Info().Opcode, Dst: r, Imm: int32(v)}).hi = int32(v >> 32)
}

// field gives a register field a legal value.
func (g *generator) reg(rule asm.Rule, was asm.Reg) asm.Reg {
	switch rule {
	case asm.ReadReg:
		return asm.Reg(g.r.IntN(asm.NumRegs))
	case asm.WriteReg:
		return asm.Reg(g.r.IntN(asm.NumRegs - 1))
	}
	return was
}

// one emits one instruction of kind k with random operands, and what gives it a chance to make sense.
func (g *generator) one(k asm.Kind) {
	info := k.Info()
	in := k.Example()
	in.Dst, in.Src = g.reg(info.Legal.Dst, in.Dst), g.reg(info.Legal.Src, in.Src)
	if info.Fetch && in.Src == asm.R10 {
		in.Src = asm.R7
	}
	if info.Legal.Imm == asm.AnyValue {
		in.Imm = g.imm()
	}
	switch info.Class {
	case asm.ClassLoad, asm.ClassLoadAcq:
		g.pointer(in.Src)
		in.Off = g.offset()
	case asm.ClassStore, asm.ClassStoreRel, asm.ClassAtomic:
		g.pointer(in.Dst)
		in.Off = g.offset()
	case asm.ClassImm64:
		in.Src = asm.PseudoNone
		g.load64(in.Dst, g.value())
		return
	case asm.ClassAbs:
		in.Imm = g.packetOffset()
	case asm.ClassInd:
		g.emit(asm.Insn{Op: asm.Mov64K.Info().Opcode, Dst: asm.R7, Imm: g.packetOffset()})
		in.Src, in.Imm = asm.R7, int32(g.r.IntN(8))
	case asm.ClassCall:
		g.call(k, in)
		return
	case asm.ClassExit:
		g.exit()
		return
	}
	made := g.emit(in)
	switch info.Class {
	case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
		made.in.Off, made.target = 0, unset
		if k == asm.Ja32 {
			made.in.Imm = 0
		}
	}
}

// pointer mostly makes r point to memory to play with, so that stores meet loads.
func (g *generator) pointer(r asm.Reg) {
	if r != asm.R10 && g.r.IntN(8) != 0 {
		g.load64(r, uint64(g.mem)+uint64(g.r.IntN(memLen/8))*8+g.r.Uint64()<<32*uint64(g.r.IntN(2)))
	}
}

func (g *generator) offset() int16 {
	switch g.r.IntN(8) {
	case 0:
		return 0
	case 1:
		return int16(g.r.IntN(64))
	case 2:
		return int16(g.r.IntN(1<<16) - 1<<15)
	}
	return -8 * int16(1+g.r.IntN(64))
}

func (g *generator) packetOffset() int32 {
	switch g.r.IntN(6) {
	case 0:
		return g.imm()
	case 1:
		return -0x100000 + int32(g.r.IntN(64))
	case 2:
		return -0x200000 + int32(g.r.IntN(64))
	}
	return int32(g.r.IntN(66))
}

// exit writes all registers to memory before it, often, so that a comparison sees them.
func (g *generator) exit() {
	if g.r.IntN(4) != 0 {
		for r := asm.R0; r <= asm.R9; r++ {
			g.emit(asm.Insn{Op: asm.Stx64.Info().Opcode, Dst: asm.R10, Src: r, Off: -8 * int16(r+1)})
		}
	}
	g.emit(asm.Exit.Example())
}

func (g *generator) call(k asm.Kind, in asm.Insn) {
	switch k {
	case asm.CallLocal:
		in.Imm = 0
		g.emit(in).target = unset
	case asm.CallKfunc:
		if g.r.IntN(10) == 0 {
			g.emit(in)
		}
	case asm.CallReg:
		if g.r.IntN(4) == 0 { // wherever the register came from
			g.emit(in)
			return
		}
		g.helper()
	default:
		g.helper()
	}
}

// helper emits a helper call with arguments that mostly make sense.
func (g *generator) helper() {
	call := func(id int32) {
		if reg := asm.Reg(g.r.IntN(asm.NumRegs)); g.r.IntN(4) == 0 && reg != asm.R10 {
			g.emit(asm.Insn{Op: asm.Mov64K.Info().Opcode, Dst: reg, Imm: id})
			in := asm.Insn{Op: asm.CallReg.Info().Opcode, Dst: reg}
			if g.r.IntN(2) == 0 { // as older compilers have it
				in.Dst, in.Imm = 0, int32(reg)
			}
			g.emit(in)
			return
		}
		g.emit(asm.Insn{Op: asm.CallHelper.Info().Opcode, Imm: id})
	}
	mov := func(r asm.Reg, v int32) { g.emit(asm.Insn{Op: asm.Mov64K.Info().Opcode, Dst: r, Imm: v}) }
	mapPtr := func(r asm.Reg, i int) {
		g.emit(asm.Insn{Op: asm.LdImm64.Info().Opcode, Dst: r, Src: asm.PseudoMapIdx, Imm: int32(i)})
	}
	key := func() {
		g.emit(asm.Insn{Op: asm.St32.Info().Opcode, Dst: asm.R10, Off: -4, Imm: int32(g.r.IntN(6))})
		g.emit(asm.Insn{Op: asm.Mov64X.Info().Opcode, Dst: asm.R2, Src: asm.R10})
		g.emit(asm.Insn{Op: asm.Add64K.Info().Opcode, Dst: asm.R2, Imm: -4})
	}
	switch g.r.IntN(9) {
	case 0, 1, 2:
		key()
		mapPtr(asm.R1, g.r.IntN(g.maps))
		call(mapLookupID)
		if g.r.IntN(2) == 0 {
			g.emit(asm.Insn{Op: asm.AtomicAdd64.Info().Opcode, Dst: asm.R0, Src: asm.Reg(g.r.IntN(10))})
		}
	case 3:
		key()
		g.emit(asm.Insn{Op: asm.Mov64X.Info().Opcode, Dst: asm.R3, Src: asm.R10})
		g.emit(asm.Insn{Op: asm.Add64K.Info().Opcode, Dst: asm.R3, Imm: -64})
		mov(asm.R4, 0)
		mapPtr(asm.R1, g.r.IntN(g.maps-1))
		call(2)
	case 4:
		call(cpuNumberID)
	case 5:
		call(7) // bpf_get_prandom_u32
	case 6:
		mapPtr(asm.R2, g.maps-1)
		mov(asm.R3, int32(g.r.IntN(4)))
		call(tailCallID)
	case 7: // bpf_loop
		mov(asm.R1, int32(g.r.IntN(5)))
		g.emit(asm.Insn{Op: asm.LdImm64.Info().Opcode, Dst: asm.R2, Src: asm.PseudoFunc}).target = unset
		mov(asm.R4, 0)
		call(181)
	case 8:
		if g.r.IntN(8) == 0 {
			call(int32(g.r.IntN(220)))
		}
	}
}

// make makes a program of about n instructions.
func (g *generator) make(n int) []asm.Insn {
	g.out = g.out[:0]
	for r := asm.R0; r <= asm.R9; r++ {
		if r != asm.R1 {
			g.load64(r, g.value())
		}
	}
	for len(g.out) < n {
		if len(g.deck) == 0 {
			g.deck = generatedKinds()
			g.r.Shuffle(len(g.deck), func(i, j int) { g.deck[i], g.deck[j] = g.deck[j], g.deck[i] })
		}
		k := g.deck[0]
		g.deck = g.deck[1:]
		if k == asm.Exit && g.r.IntN(2) == 0 {
			continue
		}
		if k == asm.Ja && g.r.IntN(2) == 0 {
			g.loop()
			continue
		}
		g.one(k)
	}
	g.exit()
	return g.link()
}

// loop emits a loop that ends unless its body changes the counter.
func (g *generator) loop() {
	counter := asm.Reg(6 + g.r.IntN(4))
	g.emit(asm.Insn{Op: asm.Mov64K.Info().Opcode, Dst: counter, Imm: int32(1 + g.r.IntN(20))})
	top := len(g.out)
	for range 1 + g.r.IntN(6) {
		k := generatedKinds()[g.r.IntN(60)] // arithmetic
		g.one(k)
	}
	g.emit(asm.Insn{Op: asm.Add64K.Info().Opcode, Dst: counter, Imm: -1})
	g.emit(asm.Insn{Op: asm.Jne64K.Info().Opcode, Dst: counter}).target = top
}

// link chooses the open targets, mostly a bit forward, and lays the program out in slots.
func (g *generator) link() []asm.Insn {
	slot := make([]int, len(g.out)+1)
	for i, o := range g.out {
		slot[i+1] = slot[i] + width(asm.KindOf(o.in))
	}
	var insns []asm.Insn
	for i, o := range g.out {
		target := o.target
		if target == unset {
			switch g.r.IntN(8) {
			case 0:
				target = g.r.IntN(len(g.out))
			case 1:
				target = max(0, i-g.r.IntN(8))
			default:
				target = min(len(g.out)-1, i+1+g.r.IntN(12))
			}
		}
		if target >= 0 {
			d := slot[target] - slot[i] - 1
			switch asm.KindOf(o.in) {
			case asm.Ja32, asm.CallLocal, asm.LdImm64:
				o.in.Imm = int32(d)
			default:
				o.in.Off = int16(d)
			}
		}
		insns = append(insns, o.in)
		if asm.KindOf(o.in) == asm.LdImm64 {
			insns = append(insns, asm.Insn{Imm: o.hi})
		}
	}
	return insns
}

// testProgram wraps instructions.
func testProgram(name string, insns []asm.Insn) *prog.Program {
	return &prog.Program{Name: name, Type: prog.SchedCLS, License: "GPL", Insns: insns}
}
