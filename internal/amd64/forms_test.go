package amd64

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/x86/x86asm"
)

var update = flag.Bool("update", false, "write the golden files")

// testCase is one instruction of a form with its operands.
type testCase struct {
	op      Op
	w       Width
	lock    bool
	reg, rm Reg // rm is None when the operand is mem
	count   Reg // VEX
	mem     Mem
	imm     int64
}

func (c testCase) isMem() bool { return c.rm == None }

// emit assembles the case alone.
func (c testCase) emit() []byte {
	var a Asm
	switch s := forms[c.op].shape; {
	case c.lock && s == shapeImm:
		a.LockMI(c.op, c.w, c.mem, int32(c.imm))
	case c.lock:
		a.LockMR(c.op, c.w, c.mem, c.reg)
	case s == shapeReg && c.isMem():
		a.RM(c.op, c.w, c.reg, c.mem)
	case s == shapeStore && c.isMem():
		a.MR(c.op, c.w, c.mem, c.reg)
	case s == shapeReg, s == shapeStore:
		a.RR(c.op, c.w, c.reg, c.rm)
	case s == shapeDigit && c.isMem():
		a.M(c.op, c.w, c.mem)
	case s == shapeDigit:
		a.R(c.op, c.w, c.rm)
	case s == shapeImm && c.isMem():
		a.MI(c.op, c.w, c.mem, int32(c.imm))
	case s == shapeImm:
		a.RI(c.op, c.w, c.rm, int32(c.imm))
	case s == shapeRegImm && c.isMem():
		a.RMI(c.op, c.w, c.reg, c.mem, int32(c.imm))
	case s == shapeRegImm:
		a.RRI(c.op, c.w, c.reg, c.rm, int32(c.imm))
	case s == shapeVEX:
		a.RRR(c.op, c.w, c.reg, c.rm, c.count)
	case c.op == MovImmO:
		a.Imm(c.rm, uint64(c.imm))
	case s == shapeOpcode:
		a.O(c.op, c.w, c.rm)
	default:
		a.Z(c.op, c.w)
	}
	return a.Finish()
}

var (
	someRegs = []Reg{RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15}
	pairs    = [][2]Reg{{RAX, RCX}, {RBP, RSP}, {RSI, RDI}, {R8, RAX}, {RAX, R13}, {R12, R15}, {RDI, RSI}}
)

// mems covers every base, every index and every size of displacement, with the special cases of RSP, RBP, R12, R13.
func mems() []Mem {
	var out []Mem
	for _, base := range someRegs {
		for _, disp := range []int32{0, 8, -128, 128, -70000} {
			out = append(out, At(base, disp))
		}
		if base != RSP {
			out = append(out, Indexed(RDX, base, 0), Indexed(R12, base, 300), Mem{Base: R13, Index: base, Scale: 4, Disp: 0},
				Mem{Base: None, Index: base, Scale: 8, Disp: 0x12345678})
		}
		out = append(out, Indexed(base, R11, 0), Mem{Base: base, Index: RBP, Scale: 2, Disp: -5})
	}
	return out
}

// cases is every form with registers that take different encodings, and with memory operands.
func cases() []testCase {
	var out []testCase
	for op := Op(0); op < numOps; op++ {
		widths := []Width{L, Q}
		if forms[op].no64 || op == MovImmO {
			widths = widths[:1]
		}
		for _, w := range widths {
			if op == MovsxdRM && w == L || op == LeaRM && w == L {
				continue // not used: a plain move; LEA is tested by itself
			}
			out = append(out, casesOf(op, w)...)
		}
	}
	for _, v := range []int64{0, 1, 0x7fffffff, 0x80000000, 0xffffffff, -1, -0x80000000, 1 << 32, 0x1122334455667788, -1 << 40} {
		for _, r := range []Reg{RAX, RBP, R8, R15} {
			out = append(out, testCase{op: MovImmO, rm: r, imm: v})
		}
	}
	return out
}

func immediates(size uint8) []int64 {
	switch size {
	case 0:
		return []int64{0}
	case 1:
		return []int64{0, 5, 127, -1, -128}
	case 2:
		return []int64{0, 0x1234, -2}
	}
	return []int64{0, 128, -129, 0x12345678, -0x80000000}
}

func casesOf(op Op, w Width) []testCase {
	var out []testCase
	f := forms[op]
	add := func(c testCase) {
		c.op, c.w = op, w
		for _, c.imm = range immediates(f.imm) {
			if f.opcode == 0xc1 && (c.imm < 0 || c.imm > 31) {
				continue // counts
			}
			out = append(out, c)
		}
	}
	switch f.shape {
	case shapeNone:
		add(testCase{})
		return out
	case shapeVEX:
		for _, p := range pairs {
			for _, n := range someRegs {
				add(testCase{reg: p[0], rm: p[1], count: n})
			}
		}
		return out
	case shapeOpcode:
		for _, r := range someRegs {
			if op != MovImmO {
				add(testCase{rm: r})
			}
		}
		return out
	}
	if !f.memOnly {
		for _, p := range pairs {
			add(testCase{reg: p[0], rm: p[1]})
		}
		for _, r := range someRegs {
			add(testCase{reg: r, rm: RBX})
			add(testCase{reg: RBX, rm: r})
		}
	}
	for i, m := range mems() {
		reg := someRegs[i%len(someRegs)]
		add(testCase{reg: reg, rm: None, mem: m})
		if f.lock {
			add(testCase{reg: reg, rm: None, mem: m, lock: true})
		}
	}
	return out
}

// registers of x86asm by our number and size.
func x86reg(r Reg, size int) x86asm.Reg {
	switch size {
	case 1:
		if r >= RSP {
			return x86asm.SPB + x86asm.Reg(r-RSP)
		}
		return x86asm.AL + x86asm.Reg(r)
	case 2:
		return x86asm.AX + x86asm.Reg(r)
	case 4:
		return x86asm.EAX + x86asm.Reg(r)
	}
	return x86asm.RAX + x86asm.Reg(r)
}

// want is what a disassembler should say of the case.
func (c testCase) want() (name string, args []x86asm.Arg) {
	f := forms[c.op]
	size := 4
	if c.w == Q {
		size = 8
	}
	switch {
	case f.prefix == 0x66 && f.shape != shapeVEX:
		size = 2
	case f.byteReg, c.op == MovBI8:
		size = 1
	case c.op == PushO, c.op == PopO, c.op == JmpM, c.op == CallM:
		size = 8
	}
	rmSize := size
	switch c.op {
	case MovzxBRM, MovsxBRM:
		rmSize = 1
	case MovzxWRM, MovsxWRM:
		rmSize = 2
	case MovsxdRM:
		rmSize = 4
	}
	var rm x86asm.Arg
	if c.isMem() {
		rm = c.x86mem()
	} else {
		rm = x86reg(c.rm, rmSize)
	}
	reg := x86reg(c.reg, size)
	if f.sse {
		reg = x86asm.X0 + x86asm.Reg(c.reg)
		if !c.isMem() {
			rm = x86asm.X0 + x86asm.Reg(c.rm)
		}
	}
	switch f.shape {
	case shapeReg:
		args = []x86asm.Arg{reg, rm}
	case shapeStore:
		args = []x86asm.Arg{rm, reg}
	case shapeDigit:
		args = []x86asm.Arg{rm}
		if f.opcode == 0xd3 {
			args = append(args, x86asm.CL)
		}
	case shapeImm:
		args = []x86asm.Arg{rm, x86asm.Imm(c.imm)}
	case shapeRegImm:
		args = []x86asm.Arg{reg, rm, x86asm.Imm(c.imm)}
	case shapeVEX:
		args = []x86asm.Arg{reg, rm, x86reg(c.count, size)}
	case shapeOpcode:
		args = []x86asm.Arg{rm}
	}
	name = f.name
	switch {
	case c.op == Cdq && c.w == Q:
		name = "CQO"
	case c.op == MovImmO:
		switch {
		case uint64(c.imm)>>32 == 0:
			args = []x86asm.Arg{x86reg(c.rm, 4), x86asm.Imm(c.imm)}
		default:
			args = []x86asm.Arg{x86reg(c.rm, 8), x86asm.Imm(c.imm)}
		}
	}
	return name, args
}

func (c testCase) x86mem() x86asm.Mem {
	m := x86asm.Mem{Disp: int64(c.mem.Disp)}
	if c.mem.Base != None {
		m.Base = x86reg(c.mem.Base, 8)
	}
	if c.mem.Index != None {
		m.Index, m.Scale = x86reg(c.mem.Index, 8), c.mem.Scale
	}
	return m
}

// sameArg compares operands; immediates by their low bits, as the decoder shows some unsigned.
func sameArg(want, got x86asm.Arg, f form) bool {
	w, ok := want.(x86asm.Imm)
	g, ok2 := got.(x86asm.Imm)
	if !ok || !ok2 {
		return want == got
	}
	switch {
	case f.imm == 1 && f.byteRM:
		return uint8(w) == uint8(g)
	case f.imm == 2:
		return uint16(w) == uint16(g)
	case f.imm == 4:
		return uint32(w) == uint32(g)
	}
	return w == g
}

// normal makes memory operands comparable: x/arch shows 32-bit displacements unsigned.
func normal(m x86asm.Mem) x86asm.Mem {
	m.Disp = int64(int32(m.Disp))
	if m.Index == 0 {
		m.Scale = 0
	}
	return m
}

// TestDisassembled is the first independent opinion: x/arch reads back what was meant.
func TestDisassembled(t *testing.T) {
	seen := [numOps]int{}
	for _, c := range cases() {
		seen[c.op]++
		code := c.emit()
		inst, err := x86asm.Decode(code, 64)
		name, args := c.want()
		what := fmt.Sprintf("%s %+v: %x", name, c, code)
		require.NoError(t, err, what)
		require.Equal(t, len(code), inst.Len, what)
		require.Equal(t, name, inst.Op.String(), what)
		for i, arg := range args {
			got := inst.Args[i]
			if m, ok := got.(x86asm.Mem); ok {
				got = normal(m)
			}
			require.True(t, sameArg(arg, got, forms[c.op]), "%s: operand %d: want %v, got %v", what, i, arg, got)
		}
		require.Equal(t, c.lock, inst.Prefix[0]&0xff == 0xf0, what)
	}
	for op, n := range seen {
		require.NotZero(t, n, "form %d %s has no case", op, forms[op].name)
	}
}

// TestGolden pins the bytes of a few cases of every form.
func TestGolden(t *testing.T) {
	var b strings.Builder
	var last Op = numOps
	n := 0
	for _, c := range cases() {
		if c.op != last {
			last, n = c.op, 0
		}
		if n++; n%97 != 1 {
			continue
		}
		code := c.emit()
		inst, err := x86asm.Decode(code, 64)
		require.NoError(t, err)
		fmt.Fprintf(&b, "%-30s %s\n", hex.EncodeToString(code), x86asm.IntelSyntax(inst, 0, nil))
	}
	const file = "testdata/forms.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o666))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}
