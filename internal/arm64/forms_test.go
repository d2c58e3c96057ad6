package arm64

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/arm64/arm64asm"
)

var update = flag.Bool("update", false, "write the golden files")

// testCase is one instruction of a form with its operands.
type testCase struct {
	op             Op
	w              Width
	rd, rn, rm, ra Reg // rm is also Rs and the second register of a pair
	mem            Mem
	imm            uint64
	immr, imms     uint8
}

// emit assembles the case alone.
func (c testCase) emit() []byte {
	var a Asm
	switch forms[c.op].shape {
	case shapeRRR:
		a.RRR(c.op, c.w, c.rd, c.rn, c.rm)
	case shapeRRRR:
		a.RRRR(c.op, c.w, c.rd, c.rn, c.rm, c.ra)
	case shapeRR:
		a.RR(c.op, c.w, c.rd, c.rn)
	case shapeArith, shapeLogic:
		a.RRI(c.op, c.w, c.rd, c.rn, c.imm)
	case shapeWide:
		a.Wide(c.op, c.w, c.rd, uint16(c.imm), c.immr)
	case shapeField:
		a.Field(c.op, c.w, c.rd, c.rn, c.immr, c.imms)
	case shapeMem:
		a.RM(c.op, c.rd, c.mem)
	case shapePair:
		a.Pair(c.op, c.rd, c.rm, c.mem.Base, c.mem.Disp)
	case shapeExLoad:
		a.ExLoad(c.op, c.w, c.rd, c.rn)
	case shapeExStore:
		a.ExStore(c.op, c.w, c.rm, c.rd, c.rn)
	case shapeAtomic:
		a.Atomic(c.op, c.w, c.rm, c.rd, c.rn)
	case shapeBranch:
		a.R(c.op, c.rn)
	default:
		a.Z(c.op)
	}
	return a.Finish()
}

// triples has every register in every place, and none of the pairs that give an instruction another name.
func triples() [][3]Reg {
	var out [][3]Reg
	for r := X0; r <= X30; r++ {
		out = append(out, [3]Reg{r, (r + 7) % 31, (r + 17) % 31})
	}
	return append(out, [3]Reg{X1, X2, X2}, [3]Reg{X3, X3, X9})
}

// logicImms are patterns of every element size, at either width.
var logicImms = map[Width][]uint64{
	W: {1, 0xff, 0x7fffffff, 0x80000001, 0xf000000f, 0xff00ff00, 0x0ff00ff0, 0x11111111, 0x77777777, 0x55555555, 0xfffffffe},
	X: {1, 0xff, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000001, 0xffff0000ffff0000, 0x0ff00ff00ff00ff0,
		0x8181818181818181, 0x3333333333333333, 0xaaaaaaaaaaaaaaaa, 0xfffffffffffffff8, 0x0000fffffffff000},
}

// cases is every form with registers and immediates that take different encodings.
func cases() []testCase {
	var out []testCase
	for op := Op(0); op < numOps; op++ {
		widths := []Width{W, X}
		if forms[op].wide == 0 {
			widths = widths[1:]
		}
		for _, w := range widths {
			out = append(out, casesOf(op, w)...)
		}
	}
	return out
}

func casesOf(op Op, w Width) []testCase {
	var out []testCase
	for i, r := range triples() {
		c := testCase{op: op, w: w, rd: r[0], rn: r[1], rm: r[2], ra: (r[0] + 11) % 31}
		switch forms[op].shape {
		case shapeArith:
			for _, c.imm = range []uint64{1, 8, 4095, 4096, 0xfff000} {
				out = append(out, c)
			}
		case shapeLogic:
			for _, c.imm = range logicImms[w] {
				out = append(out, c)
			}
		case shapeWide:
			c.immr, c.imm = uint8(i%2), uint64(i)*997+1
			if w == X {
				c.immr = uint8(i % 4)
			}
			out = append(out, c)
		case shapeField:
			for _, n := range [][2]uint8{{0, 7}, {0, 15}, {3, 31}, {24, 23}, {5, 12}, {9, 4}} {
				c.immr, c.imms = n[0], n[1]
				out = append(out, c)
			}
		case shapeMem:
			out = append(out, memCases(c)...)
		case shapePair, shapeExStore:
			if c.rm == c.rn || c.rd == c.rn { // unpredictable
				continue
			}
			if forms[op].shape == shapeExStore {
				out = append(out, c)
				continue
			}
			for _, disp := range []int32{16, -16, -512, 504} {
				c.mem = At(c.rn, disp)
				out = append(out, c)
			}
		case shapeNone:
			return []testCase{{op: op, w: w}}
		default:
			out = append(out, c)
		}
	}
	return out
}

func memCases(c testCase) []testCase {
	var out []testCase
	size := int32(1) << (forms[c.op].word >> 30)
	mems := []Mem{Indexed(c.rn, c.rm), IndexedHalf(c.rn, c.rm), At(SP, 2*size)}
	for _, disp := range []int32{0, size, 255, -1, -256, 4095 * size} {
		mems = append(mems, At(c.rn, disp))
	}
	for _, c.mem = range mems {
		out = append(out, c)
	}
	return out
}

func name(r Reg, w Width) string {
	switch {
	case r == SP:
		return "SP"
	case w == X:
		return fmt.Sprintf("X%d", r)
	}
	return fmt.Sprintf("W%d", r)
}

// lowerName is the name of an operand that is no base.
func lowerName(r Reg, w Width) string {
	if r == ZR {
		return strings.TrimSuffix(strings.ToLower(name(0, w)), "0") + "zr"
	}
	return strings.ToLower(name(r, w))
}

// want is what a disassembler should say of the case, "" when it has another name for it.
func (c testCase) want() string {
	f := forms[c.op]
	rd, rn, rm := name(c.rd, c.w), name(c.rn, c.w), name(c.rm, c.w)
	base := "[" + name(c.rn, X) + "]"
	switch f.shape {
	case shapeRRR:
		return f.name + " " + strings.Join([]string{rd, rn, rm}, ", ")
	case shapeRRRR:
		return f.name + " " + strings.Join([]string{rd, rn, rm, name(c.ra, c.w)}, ", ")
	case shapeRR:
		return f.name + " " + rd + ", " + rn
	case shapeArith:
		if c.imm > 4095 {
			return fmt.Sprintf("%s %s, %s, #%#x, LSL #12", f.name, rd, rn, c.imm>>12)
		}
		return fmt.Sprintf("%s %s, %s, #%#x", f.name, rd, rn, c.imm)
	case shapeLogic:
		return fmt.Sprintf("%s %s, %s, #%#x", f.name, rd, rn, c.imm)
	case shapeWide:
		if c.op != MovkI { // the disassembler shows the value
			return ""
		}
		if c.immr > 0 {
			return fmt.Sprintf("%s %s, #%#x, LSL #%d", f.name, rd, c.imm, c.immr*16)
		}
		return fmt.Sprintf("%s %s, #%#x", f.name, rd, c.imm)
	case shapeMem:
		return c.wantMem()
	case shapePair:
		at := fmt.Sprintf("[%s,#%d]", name(c.mem.Base, X), c.mem.Disp)
		switch c.op {
		case StpPre:
			at += "!"
		case LdpPost:
			at = fmt.Sprintf("[%s],#%d", name(c.mem.Base, X), c.mem.Disp)
		}
		return f.name + " " + strings.Join([]string{rd, rm, at}, ", ")
	case shapeExLoad:
		return f.name + " " + rd + ", " + base
	case shapeExStore:
		return f.name + " " + name(c.rm, W) + ", " + rd + ", " + base
	case shapeBranch:
		return f.name + " " + name(c.rn, X)
	}
	return ""
}

func (c testCase) wantMem() string {
	f := forms[c.op]
	w := Width(f.word>>30 == 3 || f.word&0x00800000 != 0)
	mnemonic := f.name
	base := name(c.mem.Base, X)
	var at string
	size := int32(1) << (f.word >> 30)
	switch {
	case c.mem.Index != None && c.mem.Half:
		at = fmt.Sprintf("[%s,%s,UXTW]", base, name(c.mem.Index, W))
	case c.mem.Index != None:
		at = fmt.Sprintf("[%s,%s]", base, name(c.mem.Index, X))
	case c.mem.Disp == 0:
		at = "[" + base + "]"
	default:
		at = fmt.Sprintf("[%s,#%d]", base, c.mem.Disp)
		if c.mem.Disp < 0 || c.mem.Disp%size != 0 {
			mnemonic = strings.Replace(strings.Replace(mnemonic, "LDR", "LDUR", 1), "STR", "STUR", 1)
		}
	}
	return mnemonic + " " + name(c.rd, w) + ", " + at
}

// TestDisassembled is the first independent opinion: x/arch reads back what was meant. It knows no LSE atomics.
func TestDisassembled(t *testing.T) {
	compared := [numOps]int{}
	for _, c := range cases() {
		code := c.emit()
		require.Len(t, code, 4)
		if forms[c.op].lse {
			text, ok := FormatAtomic(binary.LittleEndian.Uint32(code))
			require.True(t, ok)
			want := fmt.Sprintf("%s %s, %s, [%s]", strings.ToLower(forms[c.op].name), lowerName(c.rm, c.w), lowerName(c.rd, c.w), strings.ToLower(name(c.rn, X)))
			require.Equal(t, want, text)
			continue
		}
		inst, err := arm64asm.Decode(code)
		what := fmt.Sprintf("%s %+v: %x", forms[c.op].name, c, code)
		require.NoError(t, err, what)
		if want := c.want(); want != "" {
			require.Equal(t, want, inst.String(), what)
			compared[c.op]++
		}
	}
	for op, n := range compared {
		switch f := forms[op]; {
		case f.lse, f.shape == shapeField, f.shape == shapeNone, op == int(MovnI), op == int(MovzI): // other names, and the golden file
		default:
			require.NotZero(t, n, "form %d %s has no case", op, f.name)
		}
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
		if n++; n%41 != 1 && n%41 != 8 {
			continue
		}
		code := c.emit()
		text := fmt.Sprintf("%s %s, %s, [%s]", strings.ToLower(forms[c.op].name), strings.ToLower(name(c.rm, c.w)),
			strings.ToLower(name(c.rd, c.w)), strings.ToLower(name(c.rn, X)))
		if !forms[c.op].lse {
			inst, err := arm64asm.Decode(code)
			require.NoError(t, err)
			text = arm64asm.GNUSyntax(inst)
		}
		fmt.Fprintf(&b, "%-10s %s\n", hex.EncodeToString(code), text)
	}
	const file = "testdata/forms.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o666))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

// decodeLogic is the immediate of an and, orr, eor or ands as the Arm ARM's DecodeBitMasks computes it, bit by bit.
func decodeLogic(code uint32, w Width) uint64 {
	n, immr, imms := code>>22&1, code>>16&0x3f, code>>10&0x3f
	length := 6
	for combined := n<<6 | ^imms&0x3f; length >= 0 && combined>>length&1 == 0; {
		length--
	}
	size := uint32(1) << length
	s, r := imms&(size-1), immr&(size-1)
	var v uint64
	for i := range uint32(64) {
		if (i+r)%size <= s {
			v |= 1 << i
		}
	}
	if w == W {
		v &= 0xffffffff
	}
	return v
}

// TestLogicImmediates: all patterns that there are, 5334 of 64 bits and 1302 of 32, come back as they went in, and what
// lies next to them is one of them or refused.
func TestLogicImmediates(t *testing.T) {
	for w, count := range map[Width]int{X: 5334, W: 1302} {
		all := map[uint64]bool{}
		for _, size := range []uint{2, 4, 8, 16, 32, 64} {
			if w == W && size == 64 {
				continue
			}
			for run := uint(1); run < size; run++ {
				for turn := range size {
					element := uint64(1)<<run - 1
					element = (element<<turn | element>>(size-turn)) & (^uint64(0) >> (64 - size))
					v := element
					for at := size; at < 64; at *= 2 {
						v |= v << at
					}
					if w == W {
						v &= 0xffffffff
					}
					all[v] = true
				}
			}
		}
		require.Len(t, all, count)
		for v := range all {
			code, ok := logicImm(w, v)
			require.True(t, ok, "%#x", v)
			require.Equal(t, v, decodeLogic(code, w), "%#x", v)
			for _, near := range []uint64{v + 1, v - 1, v ^ 0x100, v ^ 0x80010} {
				if w == W {
					near &= 0xffffffff
				}
				require.Equal(t, all[near], FitsLogic(w, near), "%#x", near)
			}
		}
	}
}

// TestImm follows what Imm emits.
func TestImm(t *testing.T) {
	values := []uint64{0, 1, 0xffff, 0x10000, 0xffffffff, 0xffff0000, 0xffff1234, 0x1234ffff, 0x12345678, 1 << 32, 1 << 63,
		0x123456789abcdef0, 0xffffffffffff1234, 0xffff1234ffffffff, 0x1234ffffffffffff, 0xff00ff00ff00ff00, 0x00ff00ff00ff00ff,
		0xffffffff00000000, 0x1234000056780000, 0xfffe0001fffe0001, 0x5555555555555555, 0xffffffff80000000, 0xffffffff12345678}
	for i := range 64 {
		values = append(values, 1<<i, ^uint64(1<<i), 0x1234<<i)
	}
	var total [5]int
	for _, v := range values {
		for _, v := range []uint64{v, -v, ^v} {
			var a Asm
			a.Imm(X5, v)
			var got uint64
			code := a.Finish()
			for i := 0; i < len(code); i += 4 {
				op := binary.LittleEndian.Uint32(code[i:])
				w := Width(op&sf != 0)
				place, part := op>>21&3*16, uint64(op>>5&0xffff)
				switch op &^ sf & 0x7f800000 {
				case forms[MovzI].word:
					got = part << place
				case forms[MovnI].word:
					got = ^(part << place)
				case forms[MovkI].word:
					got = got&^(0xffff<<place) | part<<place
				case forms[OrrI].word, forms[OrrI].word | 1<<22:
					got = decodeLogic(op, w)
				default:
					t.Fatalf("%#x: %x", v, code)
				}
				if w == W {
					got &= 0xffffffff
				}
				require.EqualValues(t, X5, op&31)
			}
			require.Equal(t, v, got, "%x", code)
			total[len(code)/4]++
		}
	}
	require.NotZero(t, total[1])
	require.NotZero(t, total[4])
}
