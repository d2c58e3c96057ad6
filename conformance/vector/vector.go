// Package vector reads conformance vectors, runs them on every engine, and says which instructions they executed. A
// vector is a program, the memory it gets and the result it must have, in a text file; docs/conformance.md describes it.
package vector

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
)

// MaxFile is the size of the largest file that is read, in bytes.
const MaxFile = 32 << 20

// Vector is one test: a program and what it must do.
type Vector struct {
	File      string // for messages
	Insns     []asm.Insn
	Mem       []byte // what the program gets; none when empty
	Result    uint64 // R0 at exit, unless WantError
	WantError bool   // the program must be refused, or fault
	Reason    string // text of the section error: not compared
}

// Error says what is wrong with a vector's text.
type Error struct {
	File      string
	Line, Col int // from 1; Col counts bytes. 0 when the whole file is meant
	Reason    string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Reason
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Reason)
}

// ReadFile reads the vector in a file. The error is an *Error, or what the operating system says.
func ReadFile(path string) (*Vector, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, string(text))
}

// Parse reads a vector; file stands for it in messages. The error is an *Error.
func Parse(file, text string) (*Vector, error) {
	if len(text) > MaxFile {
		return nil, &Error{File: file, Reason: fmt.Sprintf("more than %d MiB", MaxFile>>20)}
	}
	r := &reader{file: file, lines: strings.Split(text, "\n"), seen: map[string]int{}}
	for i, line := range r.lines {
		if err := r.line(i+1, line); err != nil {
			return nil, err
		}
	}
	return r.vector()
}

// sectionReaders has what reads a line of a section; nil skips it. Sections that are not here are an error.
var sectionReaders = map[string]func(r *reader, line int, text string) error{
	"asm": nil, "raw": (*reader).raw, "mem": (*reader).mem, "result": (*reader).result, "error": (*reader).reason, "c": nil,
}

// reader reads a file line by line.
type reader struct {
	file    string
	lines   []string
	section string         // the current one
	seen    map[string]int // lines where sections begin
	code    []string       // the section asm, with empty lines for all others
	words   []asm.Insn     // the section raw
	numbers int            // in the section result
	out     Vector
}

func (r *reader) errorf(line, col int, format string, args ...any) error {
	return &Error{r.file, line, col, fmt.Sprintf(format, args...)}
}

// withoutComment cuts a line at its comment.
func withoutComment(text string) string {
	text, _, _ = strings.Cut(text, "#")
	return text
}

func (r *reader) line(n int, text string) error {
	text = strings.TrimSuffix(text, "\r")
	r.code = append(r.code, "")
	if name, ok := strings.CutPrefix(text, "--"); ok && (name == "" || name[0] == ' ' || name[0] == '\t') {
		return r.begin(n, strings.TrimSpace(withoutComment(name)))
	}
	if r.section == "asm" {
		r.code[n-1] = text
		return nil
	}
	plain := withoutComment(text)
	if strings.TrimSpace(plain) == "" {
		return nil
	}
	if r.section == "" {
		return r.errorf(n, 1+indent(plain), "text before the first section")
	}
	if read := sectionReaders[r.section]; read != nil {
		return read(r, n, plain)
	}
	return nil
}

// begin starts a section.
func (r *reader) begin(n int, name string) error {
	const column = 4 // of the name
	if _, known := sectionReaders[name]; !known {
		return r.errorf(n, column, "unknown section %q: want asm, raw, mem, result, error or c", name)
	}
	if first, again := r.seen[name]; again {
		return r.errorf(n, column, "a second section %q, after that of line %d", name, first)
	}
	r.section, r.seen[name] = name, n
	return nil
}

// word is a word of a line and where it begins.
type word struct {
	text string
	col  int
}

func words(line string) (out []word) {
	for col := 0; ; {
		col += indent(line[col:])
		if col == len(line) {
			return out
		}
		end := len(line)
		if i := strings.IndexAny(line[col:], " \t\r"); i >= 0 {
			end = col + i
		}
		out = append(out, word{line[col:end], col + 1})
		col = end
	}
}

// indent counts the blanks that a line begins with.
func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " \t\r")) }

// raw reads instructions as numbers whose little-endian bytes are the slots.
func (r *reader) raw(n int, text string) error {
	for _, w := range words(text) {
		digits, prefixed := strings.CutPrefix(w.text, "0x")
		v, err := strconv.ParseUint(digits, 16, 64)
		if err != nil || !prefixed && len(digits) != 16 {
			return r.errorf(n, w.col, "%q is no instruction: want 0x and up to 16 hexadecimal digits", w.text)
		}
		var slot [asm.InsnSize]byte
		for i := range slot {
			slot[i] = byte(v >> (8 * i))
		}
		r.words = append(r.words, asm.Decode(slot))
	}
	return nil
}

func (r *reader) mem(n int, text string) error {
	for _, w := range words(text) {
		b, err := parseHex(w.text)
		if err != nil {
			return r.errorf(n, w.col, "%q: %v", w.text, err)
		}
		r.out.Mem = append(r.out.Mem, b...)
	}
	return nil
}

// parseHex reads pairs of hexadecimal digits.
func parseHex(s string) ([]byte, error) {
	if len(s)%2 != 0 {
		return nil, errors.New("want two hexadecimal digits a byte")
	}
	out := make([]byte, len(s)/2)
	for i := range out {
		hi, lo := hexDigit(s[2*i]), hexDigit(s[2*i+1])
		if hi < 0 || lo < 0 {
			return nil, errors.New("want hexadecimal digits")
		}
		out[i] = byte(hi<<4 | lo)
	}
	return out, nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// ParseBytes reads a memory or a program as bytes in hexadecimal, with white space between them.
// The error says at which column, from 1.
func ParseBytes(text string) ([]byte, error) {
	var out []byte
	for _, w := range words(strings.ReplaceAll(text, "\n", " ")) {
		b, err := parseHex(w.text)
		if err != nil {
			return nil, fmt.Errorf("column %d: %q: %v", w.col, w.text, err)
		}
		out = append(out, b...)
	}
	return out, nil
}

func (r *reader) result(n int, text string) error {
	for _, w := range words(text) {
		if r.numbers++; r.numbers > 1 {
			return r.errorf(n, w.col, "a second number in section \"result\"")
		}
		v, err := parseNumber(w.text)
		if err != nil {
			return r.errorf(n, w.col, "%q is no number of 64 bits", w.text)
		}
		r.out.Result = v
	}
	return nil
}

// parseNumber reads decimal or 0x hexadecimal; a negative number is its two's complement.
func parseNumber(s string) (uint64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	base := 10
	if hex, ok := strings.CutPrefix(strings.ToLower(digits), "0x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseUint(digits, base, 64)
	switch {
	case err != nil:
		return 0, err
	case !negative:
		return v, nil
	case v > 1<<63:
		return 0, strconv.ErrRange
	}
	return -v, nil
}

func (r *reader) reason(_ int, text string) error {
	r.out.Reason = strings.TrimSpace(r.out.Reason + " " + strings.TrimSpace(text))
	return nil
}

// vector puts the sections together once all are read.
func (r *reader) vector() (*Vector, error) {
	v := &r.out
	v.File = r.file
	asmLine, hasAsm := r.seen["asm"]
	rawLine, hasRaw := r.seen["raw"]
	if !hasAsm && !hasRaw {
		return nil, &Error{File: r.file, Reason: "no section \"asm\" or \"raw\""}
	}
	v.Insns = r.words
	if hasAsm {
		var err error
		if v.Insns, err = r.assemble(); err != nil {
			return nil, err
		}
	}
	if hasAsm && hasRaw {
		if at := firstDifference(v.Insns, r.words); at >= 0 {
			return nil, r.errorf(rawLine, 4, "the program is another one than that of section \"asm\": slot %d differs", at)
		}
	}
	if len(v.Insns) == 0 {
		return nil, r.errorf(max(asmLine, rawLine), 4, "no instructions")
	}
	resultLine, hasResult := r.seen["result"]
	errorLine, hasError := r.seen["error"]
	switch {
	case hasResult && hasError:
		return nil, r.errorf(max(resultLine, errorLine), 4, "both \"result\" and \"error\"")
	case hasError:
		v.WantError = true
	case !hasResult:
		return nil, &Error{File: r.file, Reason: "no section \"result\" or \"error\""}
	case r.numbers == 0:
		return nil, r.errorf(resultLine, 4, "no number in section \"result\"")
	}
	return v, nil
}

// assemble reads the section asm, each line in either syntax.
func (r *reader) assemble() ([]asm.Insn, error) {
	insns, err := asm.ParseAny(strings.Join(r.code, "\n"), asm.ParseOptions{Helpers: helpers.ID})
	var at *asm.SyntaxError
	if errors.As(err, &at) {
		_, reason, _ := strings.Cut(at.Error(), ": ") // the position is ours
		return nil, &Error{r.file, at.Line, at.Col, reason}
	}
	return insns, err
}

// firstDifference returns the first slot in which programs differ, -1 when they are the same.
func firstDifference(a, b []asm.Insn) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// Version is the lowest instruction set version that has every instruction of the program.
func (v *Vector) Version() asm.ISA {
	version := asm.ISAv1
	for pc := 0; pc < len(v.Insns); pc++ {
		k := asm.KindOf(v.Insns[pc])
		if k != asm.Invalid {
			version = max(version, k.Info().ISA)
		}
		if k == asm.LdImm64 {
			pc++
		}
	}
	return version
}
