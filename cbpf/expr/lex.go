package expr

import (
	"net/netip"
	"strings"
)

// token is a word of the expression.
type token struct {
	kind tokKind
	span
	val uint32 // of a number; which of the kind it is
}

// lexer cuts the expression into tokens. A token is the longest text that begins one, as in flex.
type lexer struct {
	src string
	at  int
}

// Classes of bytes.
const (
	cWord = 1 << iota // may be in a name
	cEnds             // may be the last of a name
	cHex
	cDigit
)

var class = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = cWord | cEnds | cHex | cDigit
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			t[c] = cWord | cEnds | cHex
		case c >= 'g' && c <= 'z' || c >= 'G' && c <= 'Z':
			t[c] = cWord | cEnds
		case c == '.':
			t[c] = cWord | cEnds
		case c == '-' || c == '_':
			t[c] = cWord
		}
	}
	return t
}()

// next returns the token at the reading position.
func (l *lexer) next() token {
	for l.at < len(l.src) && strings.IndexByte(" \r\n\t", l.src[l.at]) >= 0 {
		l.at++
	}
	if l.at == len(l.src) {
		return token{kind: tEOF, span: span{l.at, l.at}}
	}
	c := l.src[l.at]
	if class[c]&cHex != 0 || c == ':' {
		if t, ok := l.colons(); ok {
			return t
		}
	}
	switch {
	case class[c]&cEnds != 0 && c != '.':
		return l.word()
	case c == '\\':
		return l.escaped()
	case c == '$':
		end := l.at + 1
		for end < len(l.src) && class[l.src[end]]&cHex != 0 && end < l.at+3 {
			end++
		}
		if end > l.at+1 {
			return l.take(tARCnet, end, 0)
		}
	}
	return l.operator()
}

// take makes a token of the text up to an offset.
func (l *lexer) take(kind tokKind, end int, val uint32) token {
	t := token{kind, span{l.at, end}, val}
	l.at = end
	return t
}

// operators, longer ones first.
var operators = []struct {
	text string
	kind tokKind
	val  uint32
}{
	{">=", tRel, uint32(Ge)}, {"<=", tRel, uint32(Le)}, {"!=", tRel, uint32(Ne)}, {"==", tRel, uint32(Eq)},
	{"<<", tCalc, uint32(Lsh)}, {">>", tCalc, uint32(Rsh)}, {"&&", tAnd, 0}, {"||", tOr, 0},
	{"(", tParen, 0}, {")", tClose, 0}, {"[", tBracket, 0}, {"]", tUnbracket, 0}, {":", tColon, 0}, {"!", tNot, 0},
	{">", tRel, uint32(Gt)}, {"<", tRel, uint32(Lt)}, {"=", tRel, uint32(Eq)},
	{"+", tCalc, uint32(Add)}, {"-", tCalc, uint32(Sub)}, {"*", tCalc, uint32(Mul)}, {"/", tCalc, uint32(Div)},
	{"%", tCalc, uint32(Mod)}, {"&", tCalc, uint32(And)}, {"|", tCalc, uint32(Or)}, {"^", tCalc, uint32(Xor)},
}

func (l *lexer) operator() token {
	for i := range operators {
		o := &operators[i]
		if strings.HasPrefix(l.src[l.at:], o.text) {
			return l.take(o.kind, l.at+len(o.text), o.val)
		}
	}
	return l.take(tBad, l.at+1, 0)
}

// escaped is a backslash and a name that may be a reserved word.
func (l *lexer) escaped() token {
	end := l.at + 1
	for end < len(l.src) && strings.IndexByte(" !()\n\t", l.src[end]) < 0 {
		end++
	}
	if end == l.at+1 {
		return l.take(tBad, end, 0)
	}
	return l.take(tID, end, 0)
}

// word is a reserved word, number, dotted address, MAC address without colons, or a name.
func (l *lexer) word() token {
	end := l.at + 1
	for end < len(l.src) && class[l.src[end]]&cWord != 0 {
		end++
	}
	for class[l.src[end-1]]&cEnds == 0 {
		end--
	}
	text := l.src[l.at:end]
	if k, ok := keywords[text]; ok {
		return l.take(k.kind, end, k.val)
	}
	if class[text[0]]&cHex == 0 {
		return l.take(tID, end, 0)
	}
	if isMAC(text) {
		return l.take(tMAC, end, 0)
	}
	switch dots := dotted(text); {
	case dots == 0:
		return l.take(tNum, end, 0)
	case dots > 0 && dots <= 3:
		return l.take(tDotted, end, 0)
	}
	return l.take(tID, end, 0)
}

// dotted returns how many dots separate the numbers of a text, -1 when there is something else.
func dotted(text string) int {
	for i := 0; i < len(text); i++ {
		if class[text[i]]&cDigit == 0 && text[i] != '.' {
			return dottedHex(text)
		}
	}
	dots := 0
	for i := 0; i < len(text); i++ {
		if text[i] == '.' {
			if dots++; i == 0 || text[i-1] == '.' || i+1 == len(text) {
				return -1
			}
		}
	}
	return dots
}

// dottedHex is dotted for texts that are not all digits: 0x10.1 is two numbers.
func dottedHex(text string) int {
	parts := strings.Split(text, ".")
	for _, p := range parts {
		digits, mask := p, uint8(cDigit)
		if len(p) > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X') {
			digits, mask = p[2:], cHex
		}
		if digits == "" {
			return -1
		}
		for i := 0; i < len(digits); i++ {
			if class[digits[i]]&mask == 0 {
				return -1
			}
		}
	}
	return len(parts) - 1
}

// isMAC says if a text without colons is an Ethernet address: xx-xx-xx-xx-xx-xx, xx.xx.xx.xx.xx.xx with one or two
// digits each, xxxx.xxxx.xxxx, xxxxxxxxxxxx.
func isMAC(text string) bool {
	groups, digits, sep := 1, 0, byte(0)
	short := 4 // of the groups before: the fewest digits
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case class[c]&cHex != 0:
			digits++
		case (c == '.' || c == '-') && digits > 0 && (sep == 0 || sep == c):
			if digits > 2 && digits != 4 {
				return false
			}
			short = min(short, digits)
			sep, digits, groups = c, 0, groups+1
		default:
			return false
		}
	}
	switch {
	case groups == 1:
		return digits == 12
	case groups == 3:
		return sep == '.' && short == 4 && digits == 4
	case groups == 6:
		return digits >= 1 && digits <= 2 && !hasLongGroup(text)
	}
	return false
}

// hasLongGroup says if more than two hexadecimal digits stand together.
func hasLongGroup(text string) bool {
	run := 0
	for i := 0; i < len(text); i++ {
		if class[text[i]]&cHex == 0 {
			run = 0
		} else if run++; run > 2 {
			return true
		}
	}
	return false
}

// colons is an address with colons in it, where one begins.
func (l *lexer) colons() (token, bool) {
	const longest = 64 // no address is longer, the scan must end somewhere
	end, firstColon := l.at, -1
	for end < min(len(l.src), l.at+longest) && (class[l.src[end]]&cHex != 0 || l.src[end] == ':' || l.src[end] == '.') {
		if l.src[end] == ':' && firstColon < 0 {
			firstColon = end
		}
		end++
	}
	if firstColon < 0 || end == firstColon+1 && end-l.at == 1 {
		return token{}, false
	}
	bogus := l.bogusMAC()
	for ; end > firstColon+1 && end > bogus; end-- {
		text := l.src[l.at:end]
		if colonMAC(text) {
			return l.take(tMAC, end, 0), true
		}
		if strings.Contains(text, "::") || strings.Count(text, ":") >= 6 {
			if a, err := netip.ParseAddr(text); err == nil && a.Is6() {
				return l.take(tSix, end, 0), true
			}
		}
	}
	if bogus > 0 {
		if a, err := netip.ParseAddr(l.src[l.at:bogus]); err == nil && a.Is6() {
			return l.take(tSix, bogus, 0), true
		}
		return l.take(tBogus, bogus, 0), true
	}
	return token{}, false
}

// colonMAC says if a text is six groups of one or two hexadecimal digits with colons between them.
func colonMAC(text string) bool {
	groups, digits := 1, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == ':' && digits > 0:
			groups, digits = groups+1, 0
		case class[text[i]]&cHex != 0 && digits < 2:
			digits++
		default:
			return false
		}
	}
	return groups == 6 && digits > 0
}

// bogusMAC returns where a text ends that looks like an Ethernet address but isn't one: two or more groups of digits,
// each with a colon after it. It returns 0 when there is none.
func (l *lexer) bogusMAC() int {
	groups, digits, end := 0, 0, 0
	for i := l.at; i < len(l.src); i++ {
		switch c := l.src[i]; {
		case c == ':' && digits > 0:
			for i+1 < len(l.src) && l.src[i+1] == ':' {
				i++
			}
			groups, digits, end = groups+1, 0, i+1
		case class[c]&cHex != 0 && digits < 2:
			digits++
		default:
			i = len(l.src)
		}
	}
	if groups < 2 {
		return 0
	}
	return end
}
