package object

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// LoadRaw reads a program of plain instructions, 8 bytes each and without symbols: the bytes themselves, or text of
// hexadecimal digits with any white space between them and comments from '#' or "//" to the end of the line. The
// program's type is opts.Type, its licence "GPL", its name that of the file.
func LoadRaw(data []byte, name string, opts Options) (*Object, error) {
	if len(data) > MaxFile {
		return nil, &Error{name, MaxFile, fmt.Sprintf("more than %d MiB", MaxFile>>20)}
	}
	if isText(data) {
		var err error
		if data, err = parseHex(data, name); err != nil {
			return nil, err
		}
	}
	switch {
	case len(data) == 0:
		return nil, &Error{name, 0, "no instructions"}
	case len(data)%asm.InsnSize != 0:
		return nil, &Error{name, int64(len(data) &^ (asm.InsnSize - 1)),
			fmt.Sprintf("%d bytes are no whole number of instructions of %d", len(data), asm.InsnSize)}
	case len(data)/asm.InsnSize > MaxInsns:
		return nil, &Error{name, MaxInsns * asm.InsnSize, fmt.Sprintf("more than %d instructions", MaxInsns)}
	}
	insns, err := asm.DecodeProgram(data)
	if err != nil {
		return nil, &Error{name, -1, err.Error()}
	}
	return rawObject(&prog.Program{Insns: insns, Funcs: rawFuncs(insns, name)}, name, opts), nil
}

// rawObject makes an object of a program that has nothing but instructions.
func rawObject(p *prog.Program, name string, opts Options) *Object {
	p.Name, p.Type, p.License, p.Object, p.Broken = name, opts.Type, "GPL", name, rawBroken(p)
	if p.Type == prog.Unspec && p.Broken == "" {
		p.Broken = "plain instructions have no program type: say which it is"
	}
	return &Object{File: name, License: p.License, Programs: []*prog.Program{p}}
}

// LoadAsm reads a program of assembler text, each line in either of package asm's syntaxes. Functions have the names of their
// labels, and the lines of the text are the program's source. An error's cause is an *asm.SyntaxError; the rest is as for LoadRaw.
func LoadAsm(src []byte, name string, opts Options) (*Object, error) {
	text := string(src)
	var kfuncs []prog.Kfunc
	s, err := asm.ParseSource(text, asm.ParseOptions{Helpers: opts.Helpers, Kfuncs: func(name string) (int32, bool) {
		i := slices.Index(kfuncs, prog.Kfunc{Name: name})
		if i < 0 {
			i = len(kfuncs)
			kfuncs = append(kfuncs, prog.Kfunc{Name: name})
		}
		return int32(i), true
	}})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s:%w", name, err)
	case len(s.Insns) == 0:
		return nil, &Error{name, 0, "no instructions"}
	case len(s.Insns) > MaxInsns:
		return nil, &Error{name, -1, fmt.Sprintf("more than %d instructions", MaxInsns)}
	}
	p := &prog.Program{Insns: s.Insns, Funcs: rawFuncs(s.Insns, name), Kfuncs: kfuncs}
	names := map[int]string{}
	for label, pc := range s.Labels {
		if was, ok := names[pc]; !ok || label < was {
			names[pc] = label
		}
	}
	for i := range p.Funcs {
		p.Funcs[i].Name = cmp.Or(names[p.Funcs[i].Start], p.Funcs[i].Name)
	}
	lines := strings.Split(text, "\n")
	for pc, line := range s.Lines {
		if pc > 0 && line == s.Lines[pc-1] {
			continue // the second slot of a load
		}
		p.Lines = append(p.Lines, prog.Line{PC: pc, File: name, Line: line, Col: 1, Text: strings.TrimSpace(lines[line-1])})
	}
	return rawObject(p, name, opts), nil
}

// rawBroken names the first thing that instructions refer to and that a file of them alone does not have, "" when there is none.
func rawBroken(p *prog.Program) string {
	for pc := 0; pc < len(p.Insns); pc++ {
		switch in := p.Insns[pc]; {
		case in.Op == opCall && in.Src == asm.CallKfuncID && len(p.Kfuncs) == 0:
			return fmt.Sprintf("instruction %d calls a kernel function, of which plain instructions have no names", pc)
		case in.Op != opLdImm64:
		case in.Src != asm.PseudoNone && in.Src != asm.PseudoFunc:
			return fmt.Sprintf("instruction %d refers to a map, of which plain instructions have none", pc)
		default:
			pc++
		}
	}
	return ""
}

// rawFuncs finds the functions by the calls and addresses of them.
func rawFuncs(insns []asm.Insn, name string) []prog.Func {
	starts := []int{0}
	for pc := 0; pc < len(insns); pc++ {
		in := insns[pc]
		if in.Op == opCall && in.Src == asm.CallLocalFunc || in.Op == opLdImm64 && in.Src == asm.PseudoFunc {
			if at := pc + 1 + int(in.Imm); at > 0 && at < len(insns) {
				starts = append(starts, at)
			}
		}
		if in.Op == opLdImm64 {
			pc++
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	funcs := make([]prog.Func, len(starts))
	for i, start := range starts {
		funcs[i] = prog.Func{Name: "sub_" + strconv.Itoa(start), Start: start, End: len(insns)}
		if i > 0 {
			funcs[i-1].End = start
		}
	}
	funcs[0].Name, funcs[0].Global = name, true
	return funcs
}

// isHex reports whether text that is one of both is hexadecimal digits, not assembler: its file is called so, or its first word
// is digits alone. No assembler statement begins with such a word but "add".
func isHex(text []byte, name string) bool {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		words := bytes.Fields(line)
		if len(words) == 0 || words[0][0] == '#' || bytes.HasPrefix(words[0], []byte("//")) {
			continue
		}
		word := string(words[0])
		return strings.HasSuffix(name, ".hex") || word != "add" && strings.Trim(word, "0123456789abcdefABCDEF") == ""
	}
	return true // nothing but comments
}

// isText reports whether data looks like text. Programs never do: opcodes of ALU and jumps have bits that no text has,
// and every program ends with 95 00 00 00 00 00 00 00 or a jump.
func isText(data []byte) bool {
	for _, b := range data {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' || b >= 0x7f {
			return false
		}
	}
	return true
}

func parseHex(text []byte, name string) ([]byte, error) {
	digits := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
		case b == '#', b == '/' && i+1 < len(text) && text[i+1] == '/':
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case '0' <= b && b <= '9', 'a' <= b && b <= 'f', 'A' <= b && b <= 'F':
			digits = append(digits, b)
		default:
			return nil, &Error{name, int64(i), fmt.Sprintf("%q is no hexadecimal digit", b)}
		}
	}
	if len(digits)%2 != 0 {
		return nil, &Error{name, int64(len(text)), "an odd number of hexadecimal digits"}
	}
	return hex.DecodeString(string(digits))
}
