package verifier_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// updating reports whether golden files are to be written.
func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// noExample are the codes that no short program leads to.
var noExample = map[verifier.Code]bool{
	verifier.Broken: true, verifier.Internal: true, verifier.Empty: true, verifier.TooLong: true, verifier.TooManyJumps: true,
	verifier.TooManySubprogs: true,
}

// sameProgram are the codes of programs that nothing is wrong with, on some other kernel or with another loader, and those
// that cannot be corrected.
var sameProgram = map[verifier.Code]bool{verifier.Unsupported: true, verifier.NeedsBTF: true, verifier.BTFAccess: true}

// TestCodes checks that each code is explained, that its example gives exactly that code, and that the corrected example is
// accepted.
func TestCodes(t *testing.T) {
	examples := map[verifier.Code]*verifyCase{}
	for _, c := range loadCases(t, "codes.txt") {
		if _, ok := verifier.Lookup(verifier.Code(c.name)); !ok {
			t.Errorf("block of %s, which is no code", c.name)
		}
		c.want = c.name
		examples[verifier.Code(c.name)] = c
	}
	for _, row := range verifier.Codes {
		t.Run(string(row.Code), func(t *testing.T) {
			got, ok := verifier.Lookup(row.Code)
			c := examples[row.Code]
			switch {
			case !ok || got.Meaning == "" || got.Hint == "":
				t.Fatal("not explained")
			case c == nil:
				t.Fatal("has no block in codes.txt")
			case !slices.Contains(verifier.Groups, got.Group):
				t.Fatalf("group %q", got.Group)
			case len(got.Kernel) == 0:
				t.Fatal("has none of the kernel's messages")
			case noExample[row.Code] != (got.Example == ""):
				t.Fatal("has no example, or has one after all")
			case got.Example == "":
				return
			case (c.fixed == nil) != sameProgram[row.Code]:
				t.Fatal("has no corrected example, or has one after all")
			}
			c.check(t)
			if c.fixed != nil {
				c.fixed.want = "accept"
				t.Run("fixed", c.fixed.check)
			}
		})
	}
}

// reports is what is said of the examples of codes.txt now, in their order.
func reports(t *testing.T) (codes []verifier.Code, said map[verifier.Code]string) {
	t.Helper()
	said = map[verifier.Code]string{}
	for _, c := range loadCases(t, "codes.txt") {
		code := verifier.Code(c.name)
		if noExample[code] {
			continue
		}
		_, err := c.verify(t)
		if e, ok := err.(*verifier.Error); ok {
			codes, said[code] = append(codes, code), e.Report()
		}
	}
	return codes, said
}

// TestCodesOfSize gives the codes that have no short example.
func TestCodesOfSize(t *testing.T) {
	exit, set, call := asm.Insn{Op: 0x95}, asm.Insn{Op: 0xb7}, asm.Insn{Op: 0x85, Src: 1}
	var functions, jumps []asm.Insn
	for i := range int32(300) { // call each function; set R0 and leave
		call.Imm = 301 + i
		functions = append(functions, call)
	}
	functions = append(functions, set, exit)
	for range 300 {
		functions = append(functions, set, exit)
	}
	for range 10000 { // each branch goes on with the next, and waits for its other way
		jumps = append(jumps, asm.Insn{Op: 0x85, Imm: 7}, asm.Insn{Op: 0x15, Off: 1, Imm: 5})
	}
	jumps = append(jumps, set, set, exit)
	for code, insns := range map[verifier.Code][]asm.Insn{
		verifier.Empty:           {},
		verifier.TooLong:         append(slices.Repeat([]asm.Insn{set}, 5000), exit),
		verifier.TooManySubprogs: functions,
		verifier.TooManyJumps:    jumps,
	} {
		p := &prog.Program{Name: string(code), Type: prog.XDP, License: "GPL", Insns: insns}
		profile := verifier.Newest()
		if code == verifier.TooLong {
			profile = verifier.DAG()
		}
		_, err := verifier.Verify(p, verifier.Options{Profile: profile})
		if e, ok := err.(*verifier.Error); !ok || e.Code != code || e.Reason == "" || e.Hint == "" {
			t.Errorf("%s: %v", code, err)
		}
	}
	_, err := verifier.Verify(&prog.Program{Type: prog.XDP, Broken: "no such map"}, verifier.Options{})
	if e, ok := err.(*verifier.Error); !ok || e.Code != verifier.Broken {
		t.Errorf("broken: %v", err)
	}
}

// TestCodesSaid checks that codes_said.txt has what is said of the examples; -update writes it.
func TestCodesSaid(t *testing.T) {
	var b strings.Builder
	b.WriteString("What is said of the examples of codes.txt: go test ./verifier -run TestCodesSaid -update\n")
	codes, said := reports(t)
	for _, c := range codes {
		fmt.Fprintf(&b, "\n=== %s\n%s", c, said[c])
	}
	checkGolden(t, "codes_said.txt", b.String())
}

func checkGolden(t *testing.T, file, want string) {
	t.Helper()
	if updating() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is out of date: go test ./verifier -run %s -update", file, t.Name())
	}
}

// TestErrorsDoc checks that docs/errors.md is what the tables say; -update writes it.
func TestErrorsDoc(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Errors of the verifier

Each rejection has a stable code. This page is made from the tables in verifier/codes.go and verifier/codes.txt
(go test ./verifier -run TestErrorsDoc -update); "skep explain CODE" prints the same, and "skep explain MESSAGE" finds the
code of a kernel's message. In messages, * stands for what differs. Examples are assembler text as "skep asm" reads it; what
they are loaded as is XDP, for the newest kernel, unless said otherwise.
`)
	_, said := reports(t)
	for _, group := range verifier.Groups {
		fmt.Fprintf(&b, "\n## %s\n", upper(group))
		for _, c := range verifier.Codes {
			if row, _ := verifier.Lookup(c.Code); row.Group == group {
				row.Report = said[c.Code]
				writeCode(&b, &row)
			}
		}
	}
	checkGolden(t, filepath.Join("..", "docs", "errors.md"), b.String())
}

func writeCode(b *strings.Builder, c *verifier.CodeRow) {
	fmt.Fprintf(b, "\n### %s\n\n%s. What to do: %s.\n", c.Code, upper(c.Meaning), c.Hint)
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(b, "\n%s:\n\n```\n%s\n```\n", title, strings.TrimRight(text, "\n"))
		}
	}
	section("The kernel's words", strings.Join(c.Kernel, "\n"))
	section("Rejected"+inParens(c.Given), c.Example)
	section("What is said of it", c.Report)
	section("Accepted"+inParens(c.FixedGiven), c.Fixed)
}

func inParens(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func codesOf(rows []verifier.CodeRow) (list []verifier.Code) {
	for _, r := range rows {
		list = append(list, r.Code)
	}
	return list
}

// TestMatchParts looks messages up as people paste them: parts, other numbers, other releases.
func TestMatchParts(t *testing.T) {
	for message, want := range map[string]verifier.Code{
		"R0 invalid mem access":                                           verifier.MaybeNull,
		"R0 invalid mem access 'map_value_or_null'":                       verifier.MaybeNull,
		"R1 invalid mem access 'inv'":                                     verifier.MemScalar,
		"back-edge from insn 271 to 12":                                   verifier.BackEdge,
		"invalid stack type R3 off=-8 access_size=16":                     verifier.StackAccess,
		"invalid indirect read from stack R2 off -8+4 size 8":             verifier.UninitStack,
		"unknown func bpf_ktime_get_boot_ns#125":                          verifier.HelperUnavailable,
		"The sequence of 8193 jumps is too complex.":                      verifier.TooManyJumps,
		"BPF program is too large. Processed 1000001 insn":                verifier.TooComplex,
		"R4 min value is negative, either use unsigned or 'var &= const'": verifier.NegativeSize,
		"r2 !READ_OK": verifier.UninitReg,
	} {
		if found := codesOf(append(verifier.Match(message), verifier.Search(message)...)); !slices.Contains(found, want) {
			t.Errorf("%q: %v, want %s", message, found, want)
		}
	}
	for _, nothing := range []string{"", "R1", "hello, world", strings.Repeat("x", 1<<16)} {
		if found := append(verifier.Match(nothing), verifier.Search(nothing)...); len(found) > 0 {
			t.Errorf("%.20q: %v", nothing, codesOf(found))
		}
	}
}
