package seccomp

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// parseStrace reads a line as strace(1) prints it: `openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3`, also behind what its
// options -f, -t, -r, -i and -n put before. What is behind the arguments counts for nothing.
//
// strace shows what pointers lead to and not where they point: those arguments are 0, and in Event.Pointers. Arguments that it does
// not show are 0 too. On 32-bit architectures it shows a 64-bit argument as one, where the call has two.
func parseStrace(line string, a *Arch) (*Event, error) {
	p := &straceParser{s: line, a: a, ev: &Event{Arch: a}}
	if err := p.prefix(); err != nil {
		return nil, err
	}
	if err := p.name(); err != nil {
		return nil, err
	}
	return p.ev, p.arguments()
}

type straceParser struct {
	s  string
	at int // next byte of s
	a  *Arch
	ev *Event
}

func (p *straceParser) fail(at int, format string, args ...any) error {
	return &Error{Col: at + 1, Msg: fmt.Sprintf(format, args...)}
}

func (p *straceParser) rest() string { return p.s[p.at:] }

func (p *straceParser) skipSpace() {
	for p.at < len(p.s) && (p.s[p.at] == ' ' || p.s[p.at] == '\t') {
		p.at++
	}
}

// prefixes are what may stand before a call: process ids, times, the instruction pointer and the call's number.
var prefixes = regexp.MustCompile(`^(?:\[pid +\d+\]|\d+(?:\.\d+)?|\d\d:\d\d:\d\d(?:\.\d+)?|\(\+ +\d+\.\d+\)|\[([0-9a-f]{8,16})\]|\[ *\d+\])\s+`)

func (p *straceParser) prefix() error {
	p.skipSpace()
	for {
		m := prefixes.FindStringSubmatch(p.rest())
		if m == nil {
			break
		}
		if m[1] != "" {
			p.ev.Data.IP, _ = strconv.ParseUint(m[1], 16, 64) // 16 digits at most
		}
		p.at += len(m[0])
	}
	for _, other := range []string{"---", "+++", "<...", "strace: "} {
		if strings.HasPrefix(p.rest(), other) {
			return errNoCall
		}
	}
	return nil
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// word takes letters, digits and underscores.
func (p *straceParser) word() string {
	from := p.at
	for p.at < len(p.s) && isWord(p.s[p.at]) {
		p.at++
	}
	return p.s[from:p.at]
}

// name takes the call's name and the parenthesis behind it.
func (p *straceParser) name() error {
	at := p.at
	name := p.word()
	if name == "" || p.at == len(p.s) || p.s[p.at] != '(' {
		return p.fail(at, "want a system call and its arguments")
	}
	p.at++
	if nr, ok := p.a.Number(name); ok {
		p.ev.Name, p.ev.Data.NR, p.ev.Data.Arch = name, nr, p.a.Audit
		return nil
	}
	if hex, ok := strings.CutPrefix(name, "syscall_"); ok { // strace's name of those that it doesn't know
		if nr, err := strconv.ParseUint(hex, 0, 32); err == nil {
			p.ev.setNumber(int32(uint32(nr)))
			return nil
		}
	}
	if KnownSyscall(name) {
		return p.fail(at, "%s has no system call %s", p.a.Name, name)
	}
	return p.fail(at, "%q is no system call", name)
}

// arguments takes what is between the parentheses.
func (p *straceParser) arguments() error {
	for i := 0; ; i++ {
		p.skipSpace()
		switch {
		case strings.HasPrefix(p.rest(), ")"), strings.HasPrefix(p.rest(), "<unfinished ...>"):
			return nil
		case p.at == len(p.s):
			return p.fail(p.at, "the line ends within the arguments")
		case i == len(p.ev.Data.Args):
			return p.fail(p.at, "a call has %d arguments", i)
		}
		if err := p.argument(i); err != nil {
			return err
		}
		p.skipSpace()
		if strings.HasPrefix(p.rest(), ",") {
			p.at++
		} else if p.at < len(p.s) && p.s[p.at] != ')' && p.s[p.at] != '<' {
			return p.fail(p.at, "want a comma or the end of the arguments")
		}
	}
}

// argument takes the i-th argument; one with a name goes where the name belongs.
func (p *straceParser) argument(i int) error {
	at := p.at
	if name := p.word(); name != "" && strings.HasPrefix(p.rest(), "=") {
		p.at++
		if p.ev.Name == "clone" {
			place, ok := p.a.cloneArg(name)
			if !ok {
				return p.fail(at, "clone has no argument %s", name)
			}
			i = place
		}
	} else {
		p.at = at
	}
	v, pointer, err := p.value()
	if err != nil {
		return err
	}
	if pointer {
		p.ev.Pointers |= 1 << i
	}
	p.ev.Data.Args[i] = v
	p.skipSpace()
	p.comment()
	if strings.HasPrefix(p.rest(), "=> ") { // what the call wrote there
		p.at += len("=> ")
		_, _, err = p.value()
		p.skipSpace()
	}
	return err
}

// cloneArg is the place of an argument of clone by strace's name of it (Linux: CONFIG_CLONE_BACKWARDS).
func (a *Arch) cloneArg(name string) (int, bool) {
	tls, child := 3, 4
	if a.Audit == X8664.Audit || a.Big {
		tls, child = 4, 3
	}
	flags, stack := 0, 1
	if a.Big {
		flags, stack = 1, 0
	}
	i, ok := map[string]int{"flags": flags, "child_stack": stack, "stack": stack, "parent_tid": 2, "parent_tidptr": 2,
		"child_tidptr": child, "child_tid": child, "tls": tls}[name]
	return i, ok
}

// comment takes /* … */.
func (p *straceParser) comment() {
	if !strings.HasPrefix(p.rest(), "/*") {
		return
	}
	if end := strings.Index(p.rest(), "*/"); end >= 0 {
		p.at += end + 2
		p.skipSpace()
	}
}

// value takes a number, flags, or what a pointer leads to.
func (p *straceParser) value() (v uint64, pointer bool, err error) {
	at := p.at
	if p.at < len(p.s) && strings.IndexByte(`"{[~`, p.s[p.at]) >= 0 {
		if !p.shown() {
			return 0, false, p.fail(at, "what begins here has no end")
		}
		return 0, true, nil
	}
	for {
		part, err := p.names()
		if err != nil {
			return 0, false, err
		}
		v |= part
		p.skipSpace()
		p.comment()
		if !strings.HasPrefix(p.rest(), "|") {
			break
		}
		p.at++
		p.skipSpace()
	}
	return v, false, nil
}

// names takes a term, or several between which strace says "or": names of one number, of which one must be known.
func (p *straceParser) names() (uint64, error) {
	v, err := p.term()
	for p.skipSpace(); strings.HasPrefix(p.rest(), "or "); p.skipSpace() {
		p.at += len("or ")
		if other, err2 := p.term(); err != nil && err2 == nil {
			v, err = other, nil
		}
	}
	return v, err
}

// shown takes a string, a structure or an array; no when it has no end.
func (p *straceParser) shown() bool {
	var open []byte
	for ; p.at < len(p.s); p.at++ {
		switch c := p.s[p.at]; c {
		case '"':
			if !p.quoted() {
				return false
			}
			p.at-- // the loop's step
		case '{':
			open = append(open, '}')
		case '[':
			open = append(open, ']')
		case '}', ']':
			if len(open) == 0 || open[len(open)-1] != c {
				return false
			}
			open = open[:len(open)-1]
		}
		if len(open) == 0 && p.s[p.at] != '~' {
			p.at++
			break
		}
	}
	if strings.HasPrefix(p.rest(), "...") { // a string that was cut
		p.at += 3
	}
	return len(open) == 0
}

// quoted takes a string in quotes.
func (p *straceParser) quoted() bool {
	for p.at++; p.at < len(p.s); p.at++ {
		switch p.s[p.at] {
		case '\\':
			p.at++
		case '"':
			p.at++
			return true
		}
	}
	p.at = len(p.s)
	return false
}

// term takes a number, a name, or a macro.
func (p *straceParser) term() (uint64, error) {
	at := p.at
	if strings.HasPrefix(p.rest(), "-") {
		p.at++
	}
	word := p.word()
	text := p.s[at:p.at]
	if word == "" {
		return 0, p.fail(at, "want an argument")
	}
	if strings.HasPrefix(p.rest(), "(") {
		return p.macro(at, word)
	}
	p.decoration()
	if c := text[len(text)-len(word)]; c >= '0' && c <= '9' {
		v, err := number(text)
		if err != nil {
			return 0, p.fail(at, "%v", err)
		}
		return v, nil
	}
	if v, ok := p.a.Constant(text); ok {
		return v, nil
	}
	if n, ok := strings.CutPrefix(text, "SIGRT_"); ok { // strace's names of real-time signals, from 32 on
		if v, err := strconv.ParseUint(n, 10, 6); err == nil {
			return 32 + v, nil
		}
	}
	return 0, p.fail(at, "unknown name %q", text)
}

// decoration takes the path or address in angle brackets that strace -y puts behind a file descriptor.
func (p *straceParser) decoration() {
	if !strings.HasPrefix(p.rest(), "<") || strings.HasPrefix(p.rest(), "<unfinished ...>") {
		return
	}
	rest := p.rest()
	for i := 1; i < len(rest); i++ {
		if rest[i] == '>' && rest[i-1] != '-' && (i+1 == len(rest) || strings.IndexByte(",) |", rest[i+1]) >= 0) {
			p.at += i + 1
			return
		}
	}
}

// macro takes the macros that make a number of an argument.
func (p *straceParser) macro(at int, name string) (uint64, error) {
	from := p.at + 1
	end := strings.IndexByte(p.rest(), ')')
	if end < 0 {
		return 0, p.fail(at, "what begins here has no end")
	}
	p.at += end + 1
	var args []uint64
	for part := range strings.SplitSeq(p.s[from:p.at-1], ",") {
		v, err := flags(strings.TrimSpace(part), p.a)
		if err != nil {
			return 0, p.fail(from, "%v", err)
		}
		args = append(args, v)
	}
	switch {
	case name == "_IOC" && len(args) == 4:
		return args[0]<<30 | args[3]<<16 | args[1]<<8 | args[2], nil
	case name == "makedev" && len(args) == 2: // include/linux/kdev_t.h: new_encode_dev
		return args[1]&0xff | args[0]<<8 | args[1]>>8<<20, nil
	}
	return 0, p.fail(at, "unknown macro %s", name)
}
