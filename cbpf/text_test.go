package cbpf

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sections reads a file of "=== title" lines with text below each.
func sections(t testing.TB, file string) (titles, texts []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, part := range strings.Split("\n"+string(b), "\n=== ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		titles, texts = append(titles, title), append(texts, text)
	}
	require.NotEmpty(t, titles)
	return titles, texts
}

func TestSyntaxErrors(t *testing.T) {
	titles, texts := sections(t, "testdata/syntax.txt")
	for i, text := range texts {
		text = strings.TrimRight(text, "\n")
		if text != "" {
			text += "\n"
		}
		_, err := Parse(text)
		require.Error(t, err, text)
		require.IsType(t, &Error{}, err, text)
		require.Equal(t, titles[i], err.Error(), text)
	}
}

func TestValidate(t *testing.T) {
	titles, texts := sections(t, "testdata/invalid.txt")
	for i, text := range texts {
		modes, message, _ := strings.Cut(titles[i], ": ")
		src, err := ParseSource(text)
		require.NoError(t, err, text)
		for mode, letter := range "psc" {
			err := src.Validate(Mode(mode))
			same, other, _ := strings.Cut(modes, "/")
			switch {
			case strings.ContainsRune(same, letter):
				require.EqualError(t, err, message, "%s: %s", Mode(mode), text)
			case strings.ContainsRune(other, letter):
				require.Error(t, err, "%s: %s", Mode(mode), text)
			default:
				require.NoError(t, err, "%s: %s", Mode(mode), text)
			}
		}
	}
}

func TestValidateLength(t *testing.T) {
	require.EqualError(t, Program{}.Validate(Pcap), "the program has no instructions")
	p := make(Program, MaxInsns)
	for i := range p {
		p[i] = Insn{Op: ClassRet}
	}
	require.NoError(t, p.Validate(Socket))
	require.EqualError(t, append(p, Insn{Op: ClassRet}).Validate(Pcap),
		"instruction 4096: the program has 4097 instructions, more than 4096")
}

// TestDisasm compares with what libpcap prints for each opcode.
func TestDisasm(t *testing.T) {
	f, err := os.Open("testdata/image.txt")
	require.NoError(t, err)
	defer f.Close()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		numbers, want, ok := strings.Cut(s.Text(), "|")
		if !ok {
			continue
		}
		var pc int
		var in Insn
		_, err := fmt.Sscan(numbers, &pc, &in.Op, &in.Jt, &in.Jf, &in.K)
		require.NoError(t, err)
		require.Equal(t, want, string(in.appendDisasm(nil, pc)), numbers)
		lines++
	}
	require.Greater(t, lines, 600)
}

// casePrograms are the programs of testdata/cases.txt.
func casePrograms(t testing.TB) (programs []Program) {
	t.Helper()
	_, texts := sections(t, "testdata/cases.txt")
	for _, text := range texts {
		text, _, _ = strings.Cut(text, "---\n")
		p, err := Parse(text)
		require.NoError(t, err, text)
		programs = append(programs, p)
	}
	return programs
}

// TestForms writes the cases' programs in each form and reads them back.
func TestForms(t *testing.T) {
	for _, p := range casePrograms(t) {
		for form := Disasm; form <= Asm; form++ {
			back, err := Parse(p.Text(form))
			require.NoError(t, err, p.Text(form))
			require.Equal(t, p, back, p.Text(form))
		}
	}
}

func TestAsmText(t *testing.T) {
	p := Program{{0x20, 0, 0, AncillaryOff + uint32(AncVLANPresent)}, {0x15, 0, 3, 1}, {0x45, 1, 0, 0xff}, {0x35, 0, 1, 5},
		{0x45, 0, 1, 6}, {0x81, 0, 0, 0}, {0x16, 0, 0, 0}, {6, 0, 0, 0xffffffff}}
	require.Equal(t, `	ld vlan_avail
	jne #0x1, L5
	jset #0xff, L4
	jlt #0x5, L5
L4:	jset #0x6, L5, L6
L5:	ldx len
L6:	ret a
	ret #0xffffffff
`, p.Text(Asm))
	require.Equal(t, "{ 0x28, 0, 1, 0x0000000c },\n", Program{{0x28, 0, 1, 12}}.Text(CArray))
	require.Equal(t, "1\n40 0 1 12\n", Program{{0x28, 0, 1, 12}}.Text(Decimal))
	require.Equal(t, "1,40 0 1 12", Program{{0x28, 0, 1, 12}}.Text(Comma))
	require.Equal(t, "\tjset #0x1, L1, L2\nL1:\tret #0x0\nL2:\tret a\n", Program{{0x45, 0, 1, 1}, {6, 0, 0, 0}, {0x16, 0, 0, 0}}.Text(Asm))
	_, err := Parse(Program{{Op: 8}, {Op: 6}}.Text(Asm))
	require.Error(t, err, "an instruction that does not exist")
}

// TestAsmForms reads what bpf_asm reads (Linux: tools/bpf/bpf_exp.y) and its own spellings.
func TestAsmForms(t *testing.T) {
	_, err := Parse("start: LDI 0x1F ; c\n ldxi #0b11 /* x\n*/ ld %x\n")
	require.EqualError(t, err, `3:7: expected an operand of ld, found "%"`)
	_, err = Parse("start:	LDI 0x1F\nanother: # no line of its own\n")
	require.EqualError(t, err, `2:10: expected an instruction, found "#"`)
	p, err := Parse(`
begin:	LDI 0x1F        ; comment
# a comment
	ldxi #0b11 /* and
	another */ ldx #017
	ldb [%x+2] ldh [x + -2]
	ldxb 4 * ( [ 14 ] & 15 )
	ldx 4*([14]&0xf)
	ld #poff
	ldb [vlanp]
	ldx #len
	ld #pktlen
	jset %x, End
	jneq #-1,End
	jmp End
	add %x
	and #1
End:	ret %a
`)
	require.NoError(t, err)
	require.Equal(t, Program{{0, 0, 0, 31}, {1, 0, 0, 3}, {1, 0, 0, 15}, {0x50, 0, 0, 2}, {0x48, 0, 0, 0xfffffffe},
		{0xb1, 0, 0, 14}, {0xb1, 0, 0, 14}, {0x20, 0, 0, 0xfffff034}, {0x30, 0, 0, 0xfffff030}, {0x81, 0, 0, 0}, {0x80, 0, 0, 0},
		{0x4d, 4, 0, 0}, {0x15, 0, 3, 0xffffffff}, {5, 0, 0, 2}, {0x0c, 0, 0, 0}, {0x54, 0, 0, 1}, {0x16, 0, 0, 0}}, p)
}

func TestDecode(t *testing.T) {
	le := []byte{0x28, 0, 1, 2, 12, 0, 0, 0x80}
	p, err := Decode(le, binary.LittleEndian)
	require.NoError(t, err)
	require.Equal(t, Program{{0x28, 1, 2, 0x8000000c}}, p)
	require.Equal(t, le, p.Append(nil, binary.LittleEndian))
	be := p.Append(nil, binary.BigEndian)
	require.Equal(t, []byte{0, 0x28, 1, 2, 0x80, 0, 0, 12}, be)
	back, err := Decode(be, binary.BigEndian)
	require.NoError(t, err)
	require.Equal(t, p, back)
	_, err = Decode(append(be, 1, 2, 3), binary.BigEndian)
	require.EqualError(t, err, "instruction 1: cut off: 11 bytes are no multiple of 8")
}

func FuzzDecode(f *testing.F) {
	for _, p := range casePrograms(f) {
		f.Add(p.Append(nil, binary.LittleEndian))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b, binary.LittleEndian)
		if err != nil {
			return
		}
		if !bytes.Equal(b, p.Append(nil, binary.LittleEndian)) {
			t.Fatal("not read back")
		}
		for mode := Pcap; mode < numModes; mode++ {
			valid := p.Validate(mode) == nil
			pkt := Packet{Data: b, WireLen: 1 << 31}
			p.Trace(mode, pkt, nil)
			if !valid {
				continue
			}
			for form := Disasm; form <= Asm; form++ {
				if _, err := Parse(p.Text(form)); err != nil {
					t.Fatalf("%v\n%s", err, p.Text(form))
				}
			}
		}
	})
}

// FuzzParse looks for text that gives a program whose own text gives another one.
func FuzzParse(f *testing.F) {
	for _, p := range casePrograms(f) {
		for form := Disasm; form <= Asm; form++ {
			f.Add(p.Text(form))
		}
	}
	for _, file := range []string{"testdata/syntax.txt", "testdata/invalid.txt"} {
		_, texts := sections(f, file)
		for _, text := range texts {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Line < 1 || e.Col < 1 || e.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%#v", err)
			}
			return
		}
		for form := CArray; form <= Comma; form++ {
			back, err := Parse(p.Text(form))
			if err != nil || fmt.Sprint(back) != fmt.Sprint(p) {
				t.Fatal(form, err)
			}
		}
		if p.Validate(Pcap) != nil {
			return
		}
		for _, form := range []Form{Disasm, Asm} {
			back, err := Parse(p.Text(form))
			if err != nil || back.Text(form) != p.Text(form) || back.Validate(Pcap) != nil {
				t.Fatal(form, err)
			}
		}
	})
}
