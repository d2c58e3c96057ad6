package seccomp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Event is a system call to be judged.
type Event struct {
	Line int    // of the input, from 1
	Name string // of the call, or its number where it has none
	Arch *Arch
	Data Data
	// Pointers are the arguments, by bit, that the input shows the target of and not the value: they are 0 in Data.
	Pointers uint8
}

// EventOptions say how to read events.
type EventOptions struct {
	Arch *Arch // of events that name none; nil is x86_64
	// Tolerant passes over lines that cannot be read and calls Skipped, unless it is nil, for each.
	Tolerant bool
	Skipped  func(*Error)
}

// maxLine is the longest line of an input, in bytes.
const maxLine = 1 << 20

// EventReader reads events line by line: JSON objects, or what strace prints. Blank lines and those that begin with #
// count for nothing, nor do strace's lines about signals, exits and calls that are resumed.
type EventReader struct {
	o    EventOptions
	scan *bufio.Scanner
	line int
}

// NewEventReader reads from r.
func NewEventReader(r io.Reader, o EventOptions) *EventReader {
	if o.Arch == nil {
		o.Arch = X8664
	}
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, maxLine)
	return &EventReader{o: o, scan: scan}
}

// errNoCall says that a line is about no call.
var errNoCall = errors.New("no system call")

// Next returns the next event, or io.EOF. What is wrong with a line is an *Error.
func (r *EventReader) Next() (*Event, error) {
	for r.scan.Scan() {
		r.line++
		ev, err := r.parse(r.scan.Bytes())
		if err == nil {
			ev.Line = r.line
			return ev, nil
		}
		if err == errNoCall {
			continue
		}
		e := err.(*Error) // all that parse returns but errNoCall
		e.Line = r.line
		if !r.o.Tolerant {
			return nil, e
		}
		if r.o.Skipped != nil {
			r.o.Skipped(e)
		}
	}
	switch err := r.scan.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &Error{Line: r.line + 1, Col: 1, Msg: fmt.Sprintf("a line of more than %d bytes", maxLine)}
	case err != nil:
		return nil, err
	}
	return nil, io.EOF
}

func (r *EventReader) parse(line []byte) (*Event, error) {
	text := bytes.TrimSpace(line)
	switch {
	case len(text) == 0, text[0] == '#':
		return nil, errNoCall
	case text[0] == '{':
		return r.parseJSON(line)
	}
	return parseStrace(string(line), r.o.Arch)
}

// parseJSON reads {"arch":"x86_64","nr":"openat","args":["0xffffff9c",0,"O_RDONLY"],"ip":0}; all but nr may be missing.
func (r *EventReader) parseJSON(line []byte) (*Event, error) {
	n, err := parseJSON(line)
	if err != nil {
		return nil, err
	}
	ev := &Event{Arch: r.o.Arch}
	fail := func(n *node, err error) error { return errorAt(line, n.off, "%v", err) }
	for _, key := range n.keys {
		switch key {
		case "arch", "nr", "args", "ip":
		default:
			return nil, fail(n.fields[key], fmt.Errorf("unknown field %q", key))
		}
	}
	if f := n.fields["arch"]; !f.null() {
		name, ok := f.value.(string)
		if !ok {
			return nil, fail(f, fmt.Errorf("want a string, found %s", f.kind()))
		}
		if ev.Arch, err = ArchOf(name); err != nil {
			return nil, fail(f, err)
		}
	}
	nr := n.fields["nr"]
	if nr.null() {
		return nil, fail(n, errors.New("no nr"))
	}
	if err := ev.setCall(nr); err != nil {
		return nil, fail(nr, err)
	}
	if f := n.fields["ip"]; !f.null() {
		if ev.Data.IP, err = argument(f, ev.Arch); err != nil {
			return nil, fail(f, err)
		}
	}
	args := n.fields["args"]
	switch {
	case args.null():
		return ev, nil
	case !args.isList:
		return nil, fail(args, fmt.Errorf("want an array, found %s", args.kind()))
	case len(args.list) > len(ev.Data.Args):
		return nil, fail(args.list[len(ev.Data.Args)], fmt.Errorf("a call has %d arguments", len(ev.Data.Args)))
	}
	for i, a := range args.list {
		if ev.Data.Args[i], err = argument(a, ev.Arch); err != nil {
			return nil, fail(a, err)
		}
	}
	return ev, nil
}

// setCall takes a name or a number.
func (ev *Event) setCall(n *node) error {
	ev.Data.Arch = ev.Arch.Audit
	text, ok := n.value.(string)
	if ok {
		if nr, known := ev.Arch.Number(text); known {
			ev.Name, ev.Data.NR = text, nr
			return nil
		}
	} else if num, is := n.value.(json.Number); is {
		text = num.String()
	} else {
		return fmt.Errorf("want a name or number, found %s", n.kind())
	}
	nr, err := strconv.ParseInt(text, 0, 64)
	if err != nil || nr < -1<<31 || nr >= 1<<32 {
		if ok && KnownSyscall(text) {
			return fmt.Errorf("%s has no system call %s", ev.Arch.Name, text)
		}
		return fmt.Errorf("%q is no system call", text)
	}
	ev.setNumber(int32(nr))
	return nil
}

func (ev *Event) setNumber(nr int32) {
	ev.Data.NR, ev.Data.Arch = nr, ev.Arch.Audit
	if ev.Name = ev.Arch.Syscall(nr); ev.Name == "" {
		ev.Name = strconv.Itoa(int(nr))
	}
}

// argument reads a number, a number in a string, or names of flags: 3, "0xffffff9c", "O_RDONLY|O_CLOEXEC".
func argument(n *node, a *Arch) (uint64, error) {
	switch v := n.value.(type) {
	case json.Number:
		return number(v.String())
	case string:
		return flags(v, a)
	}
	return 0, fmt.Errorf("want a number, or a number in a string, found %s", n.kind())
}

// flags reads numbers and names with | between.
func flags(s string, a *Arch) (uint64, error) {
	var sum uint64
	for part := range strings.SplitSeq(s, "|") {
		part = strings.TrimSpace(part)
		v, err := number(part)
		if err != nil {
			var ok bool
			if v, ok = a.Constant(part); !ok {
				return 0, fmt.Errorf("%q is neither a number nor a known name", part)
			}
		}
		sum |= v
	}
	return sum, nil
}

// number reads a decimal, hexadecimal or octal number of 64 bits. One below 0 that fits into 32 bits is an int, as C
// passes it: its upper half is 0.
func number(s string) (uint64, error) {
	if strings.ContainsRune(s, '_') {
		return 0, fmt.Errorf("%q is no number", s)
	}
	v, err := strconv.ParseUint(s, 0, 64)
	if err == nil {
		return v, nil
	}
	i, err := strconv.ParseInt(s, 0, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no number of 64 bits", s)
	case i >= -1<<31:
		return uint64(uint32(i)), nil
	}
	return uint64(i), nil
}
