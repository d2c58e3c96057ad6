package arm64

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	golangasm "github.com/twitchyliquid64/golang-asm"
	"github.com/twitchyliquid64/golang-asm/obj"
	goarm64 "github.com/twitchyliquid64/golang-asm/obj/arm64"
)

// goNames has Go's instruction for each form, 32 and 64 bits wide. It has no casal and no pre-indexed pairs by that name.
var goNames = map[Op][2]obj.As{
	AddR: {goarm64.AADDW, goarm64.AADD}, SubR: {goarm64.ASUBW, goarm64.ASUB}, SubsR: {goarm64.ASUBSW, goarm64.ASUBS},
	AndR: {goarm64.AANDW, goarm64.AAND}, OrrR: {goarm64.AORRW, goarm64.AORR}, OrnR: {goarm64.AORNW, goarm64.AORN}, EorR: {goarm64.AEORW, goarm64.AEOR},
	AndsR: {goarm64.AANDSW, goarm64.AANDS}, UdivR: {goarm64.AUDIVW, goarm64.AUDIV}, SdivR: {goarm64.ASDIVW, goarm64.ASDIV},
	LslR: {goarm64.ALSLW, goarm64.ALSL}, LsrR: {goarm64.ALSRW, goarm64.ALSR}, AsrR: {goarm64.AASRW, goarm64.AASR},
	UmulhR: {goarm64.AUMULH, goarm64.AUMULH}, MaddR: {goarm64.AMADDW, goarm64.AMADD}, MsubR: {goarm64.AMSUBW, goarm64.AMSUB},
	RevR: {goarm64.AREVW, goarm64.AREV}, Rev16R: {goarm64.AREV16W, goarm64.AREV16},
	AddI: {goarm64.AADDW, goarm64.AADD}, AddsI: {goarm64.AADDSW, goarm64.AADDS},
	SubI: {goarm64.ASUBW, goarm64.ASUB}, SubsI: {goarm64.ASUBSW, goarm64.ASUBS},
	AndI: {goarm64.AANDW, goarm64.AAND}, OrrI: {goarm64.AORRW, goarm64.AORR}, EorI: {goarm64.AEORW, goarm64.AEOR},
	AndsI: {goarm64.AANDSW, goarm64.AANDS},
	MovnI: {goarm64.AMOVNW, goarm64.AMOVN}, MovzI: {goarm64.AMOVZW, goarm64.AMOVZ}, MovkI: {goarm64.AMOVKW, goarm64.AMOVK},
	SbfmI: {goarm64.ASBFMW, goarm64.ASBFM}, UbfmI: {goarm64.AUBFMW, goarm64.AUBFM},
	LdrB: {1: goarm64.AMOVBU}, LdrH: {1: goarm64.AMOVHU}, LdrW: {1: goarm64.AMOVWU}, LdrX: {1: goarm64.AMOVD},
	LdrSB: {1: goarm64.AMOVB}, LdrSH: {1: goarm64.AMOVH}, LdrSW: {1: goarm64.AMOVW},
	StrB: {1: goarm64.AMOVB}, StrH: {1: goarm64.AMOVH}, StrW: {1: goarm64.AMOVW}, StrX: {1: goarm64.AMOVD},
	Stp: {1: goarm64.ASTP}, StpPre: {1: goarm64.ASTP}, LdpPost: {1: goarm64.ALDP},
	Ldxr: {goarm64.ALDXRW, goarm64.ALDXR}, Stxr: {goarm64.ASTXRW, goarm64.ASTXR}, Stlxr: {goarm64.ASTLXRW, goarm64.ASTLXR},
	Ldaddal: {goarm64.ALDADDALW, goarm64.ALDADDALD}, Ldclral: {goarm64.ALDANDALW, goarm64.ALDANDALD},
	Ldeoral: {goarm64.ALDEORALW, goarm64.ALDEORALD}, Ldsetal: {goarm64.ALDORALW, goarm64.ALDORALD},
	Ldadd: {goarm64.ALDADDW, goarm64.ALDADDD}, Ldclr: {goarm64.ALDANDW, goarm64.ALDANDD},
	Ldeor: {goarm64.ALDEORW, goarm64.ALDEORD}, Ldset: {goarm64.ALDORW, goarm64.ALDORD},
	Swpal: {goarm64.ASWPALW, goarm64.ASWPALD},
	Br:    {1: obj.AJMP}, Blr: {1: obj.ACALL}, Ret: {1: obj.ARET},
	DmbIsh: {1: goarm64.ADMB}, DmbIshld: {1: goarm64.ADMB},
}

func goReg(r Reg) obj.Addr { return obj.Addr{Type: obj.TYPE_REG, Reg: goNum(r)} }

func goNum(r Reg) int16 { return goarm64.REG_R0 + int16(r) }

func goAt(base Reg, disp int32) obj.Addr {
	a := obj.Addr{Type: obj.TYPE_MEM, Reg: goNum(base), Offset: int64(disp)}
	if base == SP {
		a.Reg = goarm64.REGSP
	}
	return a
}

func goConst(v uint64) obj.Addr { return obj.Addr{Type: obj.TYPE_CONST, Offset: int64(v)} }

// goAssemble is golang-asm's idea of the case. It wants a TEXT first, and errors must be caught, or they go to standard output.
func goAssemble(c testCase) ([]byte, error) {
	b, err := golangasm.NewBuilder("arm64", 4)
	if err != nil {
		return nil, err
	}
	text := b.NewProg()
	text.As = obj.ATEXT
	text.To = obj.Addr{Type: obj.TYPE_TEXTSIZE}
	b.AddInstruction(text)
	var failed error
	p := b.NewProg()
	p.Ctxt.DiagFunc = func(f string, args ...any) { failed = errors.Join(failed, fmt.Errorf(f, args...)) }
	p.As = goNames[c.op][0]
	if c.w == X {
		p.As = goNames[c.op][1]
	}
	goOperands(p, c)
	b.AddInstruction(p)
	code := b.Assemble()
	if len(code) < 4 {
		return nil, errors.Join(failed, errors.New("no code"))
	}
	return code[:4], failed // the rest is padding
}

func goOperands(p *obj.Prog, c testCase) {
	switch f := forms[c.op]; f.shape {
	case shapeRRR:
		p.From, p.Reg, p.To = goReg(c.rm), goNum(c.rn), goReg(c.rd)
	case shapeRRRR:
		p.From, p.Reg, p.To = goReg(c.rm), goNum(c.ra), goReg(c.rd)
		p.SetFrom3(goReg(c.rn))
	case shapeRR:
		p.From, p.To = goReg(c.rn), goReg(c.rd)
	case shapeArith, shapeLogic:
		imm := c.imm
		if f.shape == shapeLogic && c.w == W {
			imm |= imm << 32
		}
		p.From, p.Reg, p.To = goConst(imm), goNum(c.rn), goReg(c.rd)
	case shapeWide:
		p.From, p.To = goConst(c.imm<<(16*c.immr)), goReg(c.rd)
	case shapeField:
		p.From, p.Reg, p.To = goConst(uint64(c.immr)), goNum(c.rn), goReg(c.rd)
		p.SetFrom3(goConst(uint64(c.imms)))
	case shapeMem:
		m := goAt(c.mem.Base, c.mem.Disp)
		if c.mem.Index != None {
			m.Index = goNum(c.mem.Index)
		}
		if f.name[0] == 'L' {
			p.From, p.To = m, goReg(c.rd)
		} else {
			p.From, p.To = goReg(c.rd), m
		}
	case shapePair:
		pair := obj.Addr{Type: obj.TYPE_REGREG, Reg: goNum(c.rd), Offset: int64(goNum(c.rm))}
		switch c.op {
		case Stp:
			p.From, p.To = pair, goAt(c.mem.Base, c.mem.Disp)
		case StpPre:
			p.From, p.To, p.Scond = pair, goAt(c.mem.Base, c.mem.Disp), goarm64.C_XPRE
		default:
			p.From, p.To, p.Scond = goAt(c.mem.Base, c.mem.Disp), pair, goarm64.C_XPOST
		}
	case shapeExLoad:
		p.From, p.To = goAt(c.rn, 0), goReg(c.rd)
	case shapeExStore:
		p.From, p.To, p.RegTo2 = goReg(c.rd), goAt(c.rn, 0), goNum(c.rm)
	case shapeAtomic:
		p.From, p.To, p.RegTo2 = goReg(c.rm), goAt(c.rn, 0), goNum(c.rd)
	case shapeBranch:
		p.To = goAt(c.rn, 0)
	case shapeNone:
		p.From = goConst(uint64(forms[c.op].word >> 8 & 0xf))
	}
}

// isScratch: Go's assembler uses R27 itself, R28 is its g, and R18 it refuses.
func (c testCase) isScratch() bool {
	for _, r := range []Reg{c.rd, c.rn, c.rm, c.ra} {
		if r == X18 || r == X27 || r == X28 {
			return true
		}
	}
	return false
}

// TestGolangAsm is the second independent opinion: what Go's assembler makes of the same instruction is the same word.
func TestGolangAsm(t *testing.T) {
	_, err := goAssemble(testCase{op: AddR, w: X}) // its tables fill on first use
	require.NoError(t, err)
	compared := [numOps]int{}
	for i, c := range cases() {
		switch {
		case i%3 != 0 && forms[c.op].shape != shapeNone: // NewBuilder costs 100 microseconds
			continue
		case goNames[c.op] == [2]obj.As{}, c.isScratch():
			continue
		case c.mem.Half: // its spelling of extended registers has no public constructor
			continue
		case forms[c.op].shape == shapeMem && (c.mem.Disp == 0 || c.mem.Disp < 0) && c.mem.Base == SP:
			continue
		}
		what := fmt.Sprintf("%s %+v", forms[c.op].name, c)
		theirs, err := goAssemble(c)
		require.NoError(t, err, what)
		ours := c.emit()
		require.Equal(t, fmt.Sprintf("%08x", binary.LittleEndian.Uint32(theirs)), fmt.Sprintf("%08x", binary.LittleEndian.Uint32(ours)), what)
		compared[c.op]++
	}
	for op, n := range compared {
		require.True(t, n > 0 || goNames[Op(op)] == [2]obj.As{}, "form %d %s has no case", op, forms[op].name)
	}
}
