package asm

import "fmt"

// ParseOptions resolves the names that a program refers to; nil functions know no names.
type ParseOptions struct {
	Helpers func(name string) (id int32, ok bool)  // "call bpf_map_lookup_elem"
	Maps    func(name string) (idx int32, ok bool) // "r1 = map[counts]"
	Kfuncs  func(name string) (id int32, ok bool)  // "call kfunc bpf_rdonly_cast"
}

// SyntaxError is a mistake in assembler text.
type SyntaxError struct {
	Line, Col int    // from 1; Col counts bytes
	Want      string // what was expected, or what is wrong
	Found     string // the offending text; "" at the end of the line
}

func (e *SyntaxError) Error() string {
	found := "end of line"
	if e.Found != "" {
		found = fmt.Sprintf("%q", e.Found)
	}
	return fmt.Sprintf("%d:%d: expected %s, found %s", e.Line, e.Col, e.Want, found)
}

// Parse reads assembler text.
func Parse(src string, opts ParseOptions) ([]Insn, error) {
	return nil, &SyntaxError{Line: 1, Col: 1, Want: "a parser"}
}
