package verifier

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// minWords is how long a part of a message must be to be looked for.
const minWords = 8

// pattern is a message of the kernel.
type pattern struct {
	code    Code
	text    string
	whole   *regexp.Regexp // with anything in the place of each *
	literal int            // bytes that are fixed
}

var patterns = sync.OnceValue(func() []pattern {
	var all []pattern
	for _, row := range Codes {
		row = codeIndex()[row.Code]
		for _, text := range row.Kernel {
			text = unquote(text)
			expr := strings.ReplaceAll(regexp.QuoteMeta(text), `\*`, `.*?`)
			all = append(all, pattern{row.Code, blank(text), regexp.MustCompile(`(?i)` + expr), len(text) - strings.Count(text, "*")})
		}
	}
	slices.SortStableFunc(all, func(a, b pattern) int { return cmp.Compare(b.literal, a.literal) })
	return all
})

// unquote drops the quotes of a message: a shell may have taken them away.
func unquote(text string) string { return strings.ReplaceAll(text, "'", "") }

var varying = regexp.MustCompile(`(?i)\br\d+\b|[+-]?\b(0x[0-9a-f]+|\d+)\b`)

// blank puts * where numbers and registers are, so that messages compare.
func blank(text string) string {
	return strings.ToLower(varying.ReplaceAllStringFunc(text, func(s string) string {
		if s[0] == 'R' || s[0] == 'r' {
			return "r*"
		}
		return "*"
	}))
}

// Match finds the codes that a message of a kernel's verifier may belong to. Where the kernel has one message for several
// things, there are several. Of a message of several lines each has its say.
func Match(message string) []CodeRow {
	var found []Code
	for line := range strings.Lines(message) {
		next := matchLine(unquote(strings.TrimSpace(line)))
		both := slices.DeleteFunc(slices.Clone(found), func(c Code) bool { return !slices.Contains(next, c) })
		switch {
		case len(both) > 0:
			found = both
		case len(found) == 0:
			found = next
		}
	}
	return rowsOf(found)
}

// matchLine finds the codes with the longest message that the line has.
func matchLine(line string) []Code {
	var found []Code
	best := 0
	for i := range patterns() {
		if p := &patterns()[i]; p.literal >= best && p.whole.MatchString(line) {
			best = p.literal
			found = append(found, p.code)
		}
	}
	return found
}

// Search finds the codes with a message that the given text is a part of. Less than 8 bytes are a part of none.
func Search(part string) []CodeRow {
	part = blank(unquote(strings.TrimSpace(part)))
	if len(part) < minWords {
		return nil
	}
	var found []Code
	for i := range patterns() {
		if p := &patterns()[i]; strings.Contains(p.text, part) {
			found = append(found, p.code)
		}
	}
	return rowsOf(found)
}

// rowsOf explains codes, each once.
func rowsOf(codes []Code) []CodeRow {
	var rows []CodeRow
	for i, c := range codes {
		if !slices.Contains(codes[:i], c) {
			rows = append(rows, codeIndex()[c])
		}
	}
	return rows
}
