package amd64

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	golangasm "github.com/twitchyliquid64/golang-asm"
	"github.com/twitchyliquid64/golang-asm/obj"
	"github.com/twitchyliquid64/golang-asm/obj/x86"
	"github.com/twitchyliquid64/golang-asm/objabi"
	"golang.org/x/arch/x86/x86asm"
)

// goNames has Go's instruction for each form, 32 and 64 bits wide.
var goNames = map[Op][2]obj.As{
	AddRM: {x86.AADDL, x86.AADDQ}, OrRM: {x86.AORL, x86.AORQ}, AndRM: {x86.AANDL, x86.AANDQ},
	SubRM: {x86.ASUBL, x86.ASUBQ}, XorRM: {x86.AXORL, x86.AXORQ}, CmpRM: {x86.ACMPL, x86.ACMPQ},
	MovRM: {x86.AMOVL, x86.AMOVQ}, ImulRM: {x86.AIMULL, x86.AIMULQ},
	MovzxBRM: {x86.AMOVBLZX, x86.AMOVBQZX}, MovzxWRM: {x86.AMOVWLZX, x86.AMOVWQZX},
	MovsxBRM: {x86.AMOVBLSX, x86.AMOVBQSX}, MovsxWRM: {x86.AMOVWLSX, x86.AMOVWQSX}, MovsxdRM: {obj.AXXX, x86.AMOVLQSX},
	LeaRM: {x86.ALEAL, x86.ALEAQ}, MovbeRM: {x86.AMOVBELL, x86.AMOVBEQQ}, MovbeWRM: {x86.AMOVBEWW},
	TestMR: {x86.ATESTL, x86.ATESTQ},
	MovMR:  {x86.AMOVL, x86.AMOVQ}, MovBMR: {x86.AMOVB}, MovWMR: {x86.AMOVW},
	AddMR: {x86.AADDL, x86.AADDQ}, OrMR: {x86.AORL, x86.AORQ}, AndMR: {x86.AANDL, x86.AANDQ}, XorMR: {x86.AXORL, x86.AXORQ},
	XaddMR: {x86.AXADDL, x86.AXADDQ}, CmpxchgMR: {x86.ACMPXCHGL, x86.ACMPXCHGQ}, XchgMR: {x86.AXCHGL, x86.AXCHGQ},
	AddI8: {x86.AADDL, x86.AADDQ}, OrI8: {x86.AORL, x86.AORQ}, AndI8: {x86.AANDL, x86.AANDQ},
	SubI8: {x86.ASUBL, x86.ASUBQ}, XorI8: {x86.AXORL, x86.AXORQ}, CmpI8: {x86.ACMPL, x86.ACMPQ},
	AddI32: {x86.AADDL, x86.AADDQ}, OrI32: {x86.AORL, x86.AORQ}, AndI32: {x86.AANDL, x86.AANDQ},
	SubI32: {x86.ASUBL, x86.ASUBQ}, XorI32: {x86.AXORL, x86.AXORQ}, CmpI32: {x86.ACMPL, x86.ACMPQ},
	TestI32: {x86.ATESTL, x86.ATESTQ}, MovI32: {x86.AMOVL, x86.AMOVQ}, MovBI8: {x86.AMOVB}, MovWI16: {x86.AMOVW},
	RolWI8: {x86.AROLW}, ShlI8: {x86.ASHLL, x86.ASHLQ}, ShrI8: {x86.ASHRL, x86.ASHRQ}, SarI8: {x86.ASARL, x86.ASARQ},
	ImulI8: {x86.AIMUL3L, x86.AIMUL3Q}, ImulI32: {x86.AIMUL3L, x86.AIMUL3Q},
	NotM: {x86.ANOTL, x86.ANOTQ}, NegM: {x86.ANEGL, x86.ANEGQ}, MulM: {x86.AMULL, x86.AMULQ}, DivM: {x86.ADIVL, x86.ADIVQ}, IdivM: {x86.AIDIVL, x86.AIDIVQ},
	ShlCL: {x86.ASHLL, x86.ASHLQ}, ShrCL: {x86.ASHRL, x86.ASHRQ}, SarCL: {x86.ASARL, x86.ASARQ},
	JmpM: {obj.AJMP}, CallM: {obj.ACALL},
	ShlxVEX: {x86.ASHLXL, x86.ASHLXQ}, ShrxVEX: {x86.ASHRXL, x86.ASHRXQ}, SarxVEX: {x86.ASARXL, x86.ASARXQ},
	PushO: {x86.APUSHQ}, PopO: {x86.APOPQ}, BswapO: {x86.ABSWAPL, x86.ABSWAPQ}, MovImmO: {x86.AMOVL, x86.AMOVQ},
	MovupsMR: {x86.AMOVUPS}, XorpsRM: {x86.AXORPS},
	Ret: {obj.ARET}, Cdq: {x86.ACDQ, x86.ACQO}, Ud2: {obj.AUNDEF},
}

func goReg(r Reg) int16 { return x86.REG_AX + int16(r) }

// goOperand is the register operand of the case's form.
func (c testCase) goOperand(r Reg) obj.Addr {
	if forms[c.op].sse {
		return addrReg(x86.REG_X0 + int16(r))
	}
	return addrReg(goReg(r))
}

func addrReg(r int16) obj.Addr { return obj.Addr{Type: obj.TYPE_REG, Reg: r} }

func (c testCase) goRM() obj.Addr {
	if !c.isMem() {
		return c.goOperand(c.rm)
	}
	a := obj.Addr{Type: obj.TYPE_MEM, Offset: int64(c.mem.Disp)}
	if c.mem.Base != None {
		a.Reg = goReg(c.mem.Base)
	}
	if c.mem.Index != None {
		a.Index, a.Scale = goReg(c.mem.Index), int16(c.mem.Scale)
	}
	return a
}

var warmUp sync.Once

// goAssemble is golang-asm's idea of the case. Its tables fill on first use, without a lock; it puts NOPs around jumps
// unless told not to; and errors must be caught, or they go to standard output.
func goAssemble(c testCase) ([]byte, error) {
	warmUp.Do(func() { objabi.GOAMD64 = "normaljumps" })
	b, err := golangasm.NewBuilder("amd64", 4)
	if err != nil {
		return nil, err
	}
	var failed error
	add := func(p *obj.Prog) {
		p.Ctxt.DiagFunc = func(f string, args ...any) { failed = errors.Join(failed, fmt.Errorf(f, args...)) }
		b.AddInstruction(p)
	}
	if c.lock {
		p := b.NewProg()
		p.As = x86.ALOCK
		add(p)
	}
	p := b.NewProg()
	p.As = goNames[c.op][0]
	if c.w == Q || c.op == MovImmO && uint64(c.imm)>>32 != 0 {
		p.As = goNames[c.op][1]
	}
	goOperands(p, c)
	add(p)
	return b.Assemble(), failed
}

func goOperands(p *obj.Prog, c testCase) {
	f := forms[c.op]
	imm := obj.Addr{Type: obj.TYPE_CONST, Offset: c.imm}
	switch f.shape {
	case shapeReg:
		p.From, p.To = c.goRM(), c.goOperand(c.reg)
		if c.op == CmpRM { // Go writes comparisons the other way round
			p.From, p.To = p.To, p.From
		}
	case shapeStore:
		p.From, p.To = c.goOperand(c.reg), c.goRM()
	case shapeDigit:
		switch {
		case f.opcode == 0xd3:
			p.From, p.To = addrReg(x86.REG_CX), c.goRM()
		case c.op == MulM || c.op == DivM || c.op == IdivM:
			p.From = c.goRM()
		default:
			p.To = c.goRM()
		}
	case shapeImm:
		p.From, p.To = imm, c.goRM()
		if c.op == CmpI8 || c.op == CmpI32 {
			p.From, p.To = p.To, p.From
		}
	case shapeRegImm:
		p.From, p.To = imm, addrReg(goReg(c.reg))
		p.SetFrom3(c.goRM())
	case shapeVEX:
		p.From, p.To = addrReg(goReg(c.count)), addrReg(goReg(c.reg))
		p.SetFrom3(c.goRM())
	case shapeOpcode:
		switch c.op {
		case MovImmO:
			p.From, p.To = imm, c.goRM()
		case PushO:
			p.From = c.goRM()
		default:
			p.To = c.goRM()
		}
	}
}

// TestGolangAsm is the second independent opinion: what Go's assembler makes of the same instruction has the same
// meaning. Encodings may differ (which of two opcodes, how long an immediate), so both are decoded.
func TestGolangAsm(t *testing.T) {
	same, compared := 0, 0
	for i, c := range cases() {
		switch {
		case i%5 != 0: // NewBuilder costs 100 microseconds
			continue
		case c.op == XchgMR && !c.isMem(): // it swaps the operands, which are alike
			continue
		case c.op == Ret, c.op == Ud2: // need passes that its builder doesn't run
			continue
		case c.isMem() && c.mem.Base == None && c.op == LeaRM:
			continue // it makes a MOV of it
		}
		theirs, err := goAssemble(c)
		what := fmt.Sprintf("%s %+v", forms[c.op].name, c)
		require.NoError(t, err, what)
		ours := c.emit()
		compared++
		if string(ours) == string(theirs) {
			same++
			continue
		}
		a, err := x86asm.Decode(ours, 64)
		require.NoError(t, err, what)
		b, err := x86asm.Decode(theirs, 64)
		require.NoError(t, err, "%s: theirs %x", what, theirs)
		require.Equal(t, a.Op, b.Op, "%s: ours %x, theirs %x", what, ours, theirs)
		for j := range a.Args {
			require.True(t, equalArg(a.Args[j], b.Args[j]), "%s: ours %v %x, theirs %v %x", what, a, ours, b, theirs)
		}
	}
	t.Logf("%d of %d instructions have the same bytes", same, compared)
	require.Greater(t, same, compared/3)
}

func equalArg(a, b x86asm.Arg) bool {
	x, ok := a.(x86asm.Mem)
	y, ok2 := b.(x86asm.Mem)
	if ok && ok2 {
		return normal(x) == normal(y)
	}
	p, ok := a.(x86asm.Imm)
	q, ok2 := b.(x86asm.Imm)
	if ok && ok2 {
		return uint32(p) == uint32(q)
	}
	return a == b
}
