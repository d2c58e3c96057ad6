package helpers

import (
	"bytes"
	"strings"

	"github.com/skepvm/skep/maps"
)

const (
	maxTraceLine = 1024 // MAX_BPRINTF_BUF, final zero included
	maxVarargs   = 12   // MAX_BPRINTF_VARARGS
	maxFormat    = 64 << 10
)

// tracePrintk formats up to three arguments and hands the line to Env.Trace.
func tracePrintk(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	args := [maxVarargs]uint64{r3, r4, r5}
	return e.trace(r1, r2, &args, 3)
}

// firstPrintk is the id of the first row of printkRows.
const firstPrintk = 2 << 20

// printkRows are bpf_trace_printk with some of its three arguments taken for 0: bit i of the index is that of argument i.
var printkRows = func() (rows [8]Row) {
	for i := range rows {
		rows[i] = Row{ID: firstPrintk + int32(i), Name: "bpf_trace_printk", Args: [5]Arg{ArgMem | ArgReadOnly, ArgSize}, Fn: printkWithout(i)}
	}
	return rows
}()

func printkWithout(unset int) Func {
	return func(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
		args := [maxVarargs]uint64{r3, r4, r5}
		for i := range 3 {
			if unset>>i&1 != 0 {
				args[i] = 0
			}
		}
		return e.trace(r1, r2, &args, 3)
	}
}

// TracePrintk is the id by which engines call bpf_trace_printk where R3, R4 and R5 are to be taken for 0, as each bool says.
func TracePrintk(r3, r4, r5 bool) int32 {
	i := boolWord(r3) | boolWord(r4)<<1 | boolWord(r5)<<2
	if i == 0 {
		return 6
	}
	return printkRows[i].ID
}

// traceVprintk takes the arguments from an array.
func traceVprintk(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	args, n, errno, err := e.varargs(3, r3, r4)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	return e.trace(r1, r2, &args, n)
}

func (e *Env) trace(fmt, size uint64, args *[maxVarargs]uint64, n int) (uint64, error) {
	format, err := e.mem(1, fmt, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	total, errno := e.format(format, args[:n])
	if errno != 0 {
		return errno.Ret(), nil
	}
	if e.Trace != nil {
		line := string(e.line[:min(len(e.line), maxTraceLine-1)])
		e.Trace(strings.TrimSuffix(line, "\n"))
	}
	return uint64(total), nil
}

// varargs reads an array of arguments (Linux: bpf_trace_vprintk, bpf_snprintf).
func (e *Env) varargs(arg int, ptr, size uint64) (args [maxVarargs]uint64, n int, errno maps.Errno, err error) {
	size = uint64(uint32(size))
	if size%8 != 0 || size > 8*maxVarargs || size > 0 && ptr == 0 {
		return args, 0, maps.EINVAL, nil
	}
	if _, err := e.mem(arg, ptr, size); err != nil {
		return args, 0, 0, err
	}
	n = int(size / 8)
	for i := range n {
		args[i] = e.Space.Load64(uint32(ptr) + 8*uint32(i))
	}
	return args, n, 0, nil
}

// snprintf returns the length of the whole text with its final zero, even when not all of it fits.
func snprintf(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	args, n, errno, err := e.varargs(4, r4, r5)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	dst, err := e.mem(1, r1, uint64(uint32(r2)))
	if err != nil {
		return 0, err
	}
	total, errno := e.format(e.cString(r3), args[:n])
	if errno != 0 {
		return errno.Ret(), nil
	}
	if len(dst) > 0 {
		dst[copy(dst[:len(dst)-1], e.line)] = 0
	}
	return uint64(total) + 1, nil
}

// cString is the zero-terminated string at ptr, zero included; the text is cut at maxFormat bytes or where guest
// memory ends, and then has no zero.
func (e *Env) cString(ptr uint64) []byte {
	n := min(maxFormat, e.Space.Size()-uint64(uint32(ptr)&e.Space.Mask()))
	b := e.bytes(uint32(ptr), uint32(n))
	for i, c := range b {
		if c == 0 {
			return b[:i+1]
		}
	}
	return b
}

// format does printf as the kernel allows it (bpf_bprintf_prepare): %d %i %u %x %X with l and ll, %c, %s, %p and some
// of its extensions, flags 0 + - and space, a width. The text is left in e.line. EINVAL: no final zero, a conversion
// that is not allowed, more conversions than arguments.
func (e *Env) format(format []byte, args []uint64) (n int, errno maps.Errno) {
	e.line = e.line[:0]
	ok := scanFormat(format, len(args), func(c byte) { e.line = append(e.line, c) }, func(v verb, i int) { e.print(v, args[i]) })
	if !ok {
		return 0, maps.EINVAL
	}
	return len(e.line), 0
}

// FormatOK reports whether the kernel takes a format with so many arguments (bpf_bprintf_prepare).
func FormatOK(format []byte, args int) bool {
	return scanFormat(format, args, func(byte) {}, func(verb, int) {})
}

// scanFormat gives the characters and the conversions of a format in turn, and reports whether all of it is allowed.
func scanFormat(format []byte, args int, char func(c byte), conversion func(v verb, arg int)) bool {
	end := bytes.IndexByte(format[:min(len(format), maxFormat)], 0)
	if end < 0 {
		return false
	}
	arg := 0
	for i := 0; i < end; {
		c := format[i]
		switch {
		case c < ' ' && !isSpace(c), c == 0x7f:
			return false
		case c != '%':
			char(c)
			i++
		case format[i+1] == '%':
			char('%')
			i += 2
		default:
			v, used, ok := parseVerb(format[i+1:])
			if !ok || arg == args {
				return false
			}
			conversion(v, arg)
			arg++
			i += 1 + used
		}
	}
	return true
}

// verb is a conversion: its letter ('p' with an extension is that: 'x', 's', '4', '6'), flags and width.
type verb struct {
	letter                   byte
	zero, plus, minus, space bool
	long                     bool // 64-bit number
	compact                  bool // %pi4, %pi6
	width                    int
}

// maxWidth keeps a hostile format from asking for gigabytes. (The kernel's field has 24 bits, and its buffer is short.)
const maxWidth = 4 * maxTraceLine

// parseVerb reads what follows a '%'. The text ends with a zero.
func parseVerb(s []byte) (v verb, used int, ok bool) {
	i := 0
	for v.flag(s[i]) {
		i++
	}
	for ; s[i] >= '0' && s[i] <= '9'; i++ {
		v.width = min(10*v.width+int(s[i]-'0'), maxWidth)
	}
	switch s[i] {
	case 'p':
		n, ok := v.pointer(s[i+1:])
		return v, i + 1 + n, ok
	case 's':
		v.letter = 's'
		return v, i + 1, endsVerb(s[i+1])
	case 'c':
		v.letter = 'c'
		return v, i + 1, true
	}
	if s[i] == 'l' {
		v.long = true
		i++
		if s[i] == 'l' {
			i++
		}
	}
	switch s[i] {
	case 'd', 'i', 'u', 'x', 'X':
		v.letter = s[i]
		return v, i + 1, true
	}
	return v, 0, false
}

// flag notes a flag, and reports whether c is one.
func (v *verb) flag(c byte) bool {
	switch c {
	case '0':
		v.zero = true
	case '+':
		v.plus = true
	case '-':
		v.minus = true
	case ' ':
		v.space = true
	default:
		return false
	}
	return true
}

// pointer reads what follows "%p".
func (v *verb) pointer(s []byte) (used int, ok bool) {
	switch {
	case endsVerb(s[0]):
		v.letter = 'p'
		return 0, true
	case (s[0] == 'k' || s[0] == 'u') && s[1] == 's':
		v.letter = 's'
		return 2, endsVerb(s[2])
	case s[0] == 'K', s[0] == 'x':
		v.letter = 'p'
		return 1, true
	case s[0] == 's', s[0] == 'S', s[0] == 'B':
		v.letter = 'S'
		return 1, true
	case (s[0] == 'i' || s[0] == 'I') && (s[1] == '4' || s[1] == '6'):
		v.letter, v.compact = s[1], s[0] == 'i'
		return 2, true
	}
	return 0, false
}

// endsVerb reports whether c may follow %p or %s: the end, white space or punctuation.
func endsVerb(c byte) bool {
	return c == 0 || isSpace(c) || c > ' ' && c < 0x7f && !isAlnum(c)
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isAlnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// print appends one converted argument to e.line.
func (e *Env) print(v verb, arg uint64) {
	switch v.letter {
	case 'c':
		e.pad(&v, 1)
		e.line = append(e.line, byte(arg))
		e.padAfter(&v, 1)
	case 's':
		s := e.cString(arg)
		if n := len(s); n > 0 && s[n-1] == 0 {
			s = s[:n-1]
		}
		s = s[:min(len(s), maxTraceLine/2)] // MAX_BPRINTF_BIN_ARGS
		e.pad(&v, len(s))
		e.line = append(e.line, s...)
		e.padAfter(&v, len(s))
	case 'p': // the kernel would hash it; a guest address gives nothing away
		v.zero, v.width = true, 16
		e.number(&v, "", arg, 16, false)
	case 'S': // no symbols here
		e.number(&v, "0x", arg, 16, false)
	case '4', '6':
		e.address(&v, arg)
	case 'd', 'i':
		e.signed(&v, arg)
	case 'u':
		e.number(&v, "", v.cut(arg), 10, false)
	case 'x', 'X':
		e.number(&v, "", v.cut(arg), 16, v.letter == 'X')
	}
}

// cut is the argument as an int or a long.
func (v *verb) cut(arg uint64) uint64 {
	if v.long {
		return arg
	}
	return uint64(uint32(arg))
}

func (e *Env) signed(v *verb, arg uint64) {
	n := int64(arg)
	if !v.long {
		n = int64(int32(arg))
	}
	switch {
	case n < 0:
		e.number(v, "-", uint64(-n), 10, false)
	case v.plus:
		e.number(v, "+", uint64(n), 10, false)
	case v.space:
		e.number(v, " ", uint64(n), 10, false)
	default:
		e.number(v, "", uint64(n), 10, false)
	}
}

// number prints n after a prefix that zeros may follow.
func (e *Env) number(v *verb, prefix string, n uint64, base uint64, upper bool) {
	var digits [20]byte
	at := len(digits)
	for ok := true; ok; ok = n > 0 {
		at--
		d := byte(n % base)
		n /= base
		switch {
		case d < 10:
			digits[at] = '0' + d
		case upper:
			digits[at] = 'A' + d - 10
		default:
			digits[at] = 'a' + d - 10
		}
	}
	size := len(prefix) + len(digits) - at
	zeros := v.zero && !v.minus
	if !zeros {
		e.pad(v, size)
	}
	e.line = append(e.line, prefix...)
	for i := size; zeros && i < v.width; i++ {
		e.line = append(e.line, '0')
	}
	e.line = append(e.line, digits[at:]...)
	e.padAfter(v, size)
}

func (e *Env) pad(v *verb, size int) {
	for i := size; !v.minus && i < v.width; i++ {
		e.line = append(e.line, ' ')
	}
}

func (e *Env) padAfter(v *verb, size int) {
	for i := size; v.minus && i < v.width; i++ {
		e.line = append(e.line, ' ')
	}
}

// address prints the IP address at a guest address: %pI4 1.2.3.4, %pi4 001.002.003.004, %pI6 in eight groups of four
// digits, %pi6 without the colons.
func (e *Env) address(v *verb, ptr uint64) {
	const hexDigits = "0123456789abcdef"
	s := e.Space
	if v.letter == '4' {
		for i := range uint32(4) {
			if i > 0 {
				e.line = append(e.line, '.')
			}
			octet := verb{letter: 'u'}
			if v.compact {
				octet.zero, octet.width = true, 3
			}
			e.number(&octet, "", uint64(s.Load8(uint32(ptr)+i)), 10, false)
		}
		return
	}
	for i := range uint32(16) {
		if i > 0 && i%2 == 0 && !v.compact {
			e.line = append(e.line, ':')
		}
		c := s.Load8(uint32(ptr) + i)
		e.line = append(e.line, hexDigits[c>>4], hexDigits[c&15])
	}
}
