package tracing

import (
	"fmt"
	"strconv"
	"strings"
)

// Format is the layout of a tracepoint's context, as the file "format" of tracefs describes it.
type Format struct {
	Name   string
	Fields []Field
}

// Field is one field of a Format. Sizes and offsets are in bytes.
type Field struct {
	Name      string
	Off, Size int
	Count     int // of elements; more than 1 is an array
	Signed    bool
}

// FormatError is text that ParseFormat cannot use.
type FormatError struct {
	Line   int // from 1
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// maxFormat bounds a context in bytes (Linux: PERF_MAX_TRACE_SIZE).
const maxFormat = 8192

// ParseFormat reads /sys/kernel/tracing/events/…/format. The error is a *FormatError.
func ParseFormat(text string) (*Format, error) {
	f := &Format{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "name:"); ok {
			f.Name = strings.TrimSpace(name)
		}
		if !strings.HasPrefix(line, "field:") {
			continue
		}
		field, err := parseField(line)
		if err != nil {
			return nil, &FormatError{i + 1, err.Error()}
		}
		f.Fields = append(f.Fields, field)
	}
	if len(f.Fields) == 0 {
		return nil, &FormatError{1, "no fields: this is no format file of tracefs"}
	}
	return f, nil
}

// parseField reads "field:char comm[16]; offset:8; size:16; signed:0;".
func parseField(line string) (Field, error) {
	f := Field{Count: 1}
	for _, part := range strings.Split(line, ";") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok {
			continue
		}
		if key == "field" {
			f.declare(value)
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 0 || n > maxFormat {
			return f, fmt.Errorf("%s: %q is no number that makes sense", key, value)
		}
		switch key {
		case "offset":
			f.Off = n
		case "size":
			f.Size = n
		case "signed":
			f.Signed = n != 0
		}
	}
	switch {
	case f.Name == "":
		return f, fmt.Errorf("a field without a name")
	case f.Size == 0 || f.Off+f.Size > maxFormat:
		return f, fmt.Errorf("field %s: %d bytes at %d", f.Name, f.Size, f.Off)
	case f.Count < 1 || f.Size%f.Count != 0:
		return f, fmt.Errorf("field %s: %d elements in %d bytes", f.Name, f.Count, f.Size)
	}
	return f, nil
}

// declare takes the name and the number of elements out of a declaration in C.
func (f *Field) declare(decl string) {
	name := decl
	if open := strings.IndexByte(decl, '['); open >= 0 {
		name = decl[:open]
		if n, err := strconv.Atoi(strings.TrimSuffix(decl[open+1:], "]")); err == nil && n > 0 {
			f.Count = n
		}
	}
	if at := strings.LastIndexAny(name, " *"); at >= 0 {
		name = name[at+1:]
	}
	f.Name = name
}

// Size is that of the whole context.
func (f *Format) Size() int {
	end := 0
	for _, field := range f.Fields {
		end = max(end, field.Off+field.Size)
	}
	return end
}

func (f *Format) field(name string) (*Field, bool) {
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			return &f.Fields[i], true
		}
	}
	return nil, false
}
