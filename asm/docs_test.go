package asm

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/kver"
)

var updateDocs = flag.Bool("update", false, "rewrite the table of docs/assembly.md")

const (
	docsFile  = "../docs/assembly.md"
	docsBegin = "<!-- made by: go test ./asm -run TestDocs -update -->\n"
	docsEnd   = "<!-- end of what is made -->\n"
)

// sections of the table, by the class of their instructions.
var docsSections = []struct {
	title   string
	classes []Class
}{
	{"Arithmetic", []Class{ClassALU, ClassNeg, ClassMovsx, ClassSwap, ClassAddrCast}},
	{"64-bit immediates", []Class{ClassImm64}},
	{"Loads and stores", []Class{ClassLoad, ClassStore, ClassLoadAcq, ClassStoreRel}},
	{"Atomics", []Class{ClassAtomic}},
	{"Jumps", []Class{ClassJump, ClassBranch, ClassMayGoto}},
	{"Calls", []Class{ClassCall, ClassExit}},
	{"Packet loads", []Class{ClassAbs, ClassInd}},
}

// TestDocs: docs/assembly.md shows every instruction as both syntaxes spell it. With -update its table is rewritten.
func TestDocs(t *testing.T) {
	old, err := os.ReadFile(docsFile)
	require.NoError(t, err)
	before, rest, ok := bytes.Cut(old, []byte(docsBegin))
	require.True(t, ok)
	_, after, ok := bytes.Cut(rest, []byte(docsEnd))
	require.True(t, ok)
	made := string(before) + docsBegin + docsTable(t) + docsEnd + string(after)
	if *updateDocs {
		require.NoError(t, os.WriteFile(docsFile, []byte(made), 0o644))
		return
	}
	require.Equal(t, made, string(old), "docs/assembly.md is not what the tables say: go test ./asm -run TestDocs -update")
}

// TestDocsExample: the program that docs/assembly.md shows twice is one program.
func TestDocsExample(t *testing.T) {
	text, err := os.ReadFile(docsFile)
	require.NoError(t, err)
	const start, column = "This is one program in both:\n\n```\n", 40
	_, block, ok := strings.Cut(string(text), start)
	require.True(t, ok)
	block, _, _ = strings.Cut(block, "```")
	var left, right string
	for line := range strings.Lines(block) {
		left, right = left+line[:column]+"\n", right+line[column:]
	}
	opts := ParseOptions{Helpers: func(name string) (int32, bool) { return 8, name == "bpf_get_smp_processor_id" }}
	want, err := Parse(left, opts)
	require.NoError(t, err)
	got, err := ParseMnemonic(right, opts)
	require.NoError(t, err)
	require.Len(t, want, 9)
	require.Equal(t, want, got)
}

func docsTable(t *testing.T) string {
	var b strings.Builder
	shown := map[Kind]bool{}
	for _, s := range docsSections {
		fmt.Fprintf(&b, "\n### %s\n\n| LLVM and the kernel | mnemonics | opcode | ISA | Linux |\n|---|---|---|---|---|\n", s.title)
		for k := Invalid + 1; k < NumKinds; k++ {
			for _, c := range s.classes {
				if Table[k].Class == c {
					b.WriteString(docsRow(k))
					shown[k] = true
				}
			}
		}
	}
	require.Len(t, shown, int(NumKinds)-1)
	b.WriteByte('\n')
	return b.String()
}

func docsRow(k Kind) string {
	row := &Table[k]
	since := "every"
	switch {
	case row.Since == Never:
		since = "none"
	case row.Since != kver.Version{}:
		since = row.Since.String()
	}
	return fmt.Sprintf("| %s | %s | `0x%02x` | %s | %s |\n", docsSpellings(syntax(), k), docsSpellings(mnemonics(), k), row.Opcode, row.ISA, since)
}

// docsSpellings lists the ways to write k, the one that is written first.
func docsSpellings(g *grammar, k Kind) string {
	var all []string
	for i := range g.of[k] {
		t := &g.of[k][i]
		in := k.Example()
		switch t.fix {
		case FieldSrc:
			in.Src = Reg(t.fixed)
		case FieldImm:
			in.Imm = t.fixed
		}
		if k == CallReg && i > 0 {
			in.Dst, in.Imm = 0, 2 // the register is in Imm
		}
		next := &Insn{}
		if t.upper {
			next.Imm = 8
		}
		text := string(g.append(nil, t, in, next, nil))
		all = append(all, "`"+strings.ReplaceAll(text, "|", `\|`)+"`")
	}
	return strings.Join(all, "<br>")
}
