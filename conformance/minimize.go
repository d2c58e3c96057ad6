package conformance

import (
	"regexp"
	"strings"
)

// Minimize takes lines out of a text for as long as what is left still shows the bug.
func Minimize(text string, shows func(text string) bool) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for size := max(len(lines)/2, 1); ; {
		shorter := false
		for at := 0; at < len(lines); {
			end := min(at+size, len(lines))
			rest := append(append([]string(nil), lines[:at]...), lines[end:]...)
			if len(rest) > 0 && shows(strings.Join(rest, "\n")+"\n") {
				lines, shorter = rest, true
				continue
			}
			at = end
		}
		if size == 1 && !shorter {
			return strings.Join(lines, "\n") + "\n"
		}
		size = max(size/2, 1)
	}
}

var number = regexp.MustCompile(`-?\b(0x[0-9a-f]+|[0-9]+)\b`)

// Simplify makes numbers in a text 0 or 1 where what is left still shows the bug.
func Simplify(text string, shows func(text string) bool) string {
	for i := 0; ; i++ {
		all := number.FindAllStringIndex(text, -1)
		if i >= len(all) {
			return text
		}
		at := all[i]
		for _, plain := range []string{"0", "1"} {
			simple := text[:at[0]] + plain + text[at[1]:]
			if text[at[0]:at[1]] == plain {
				break
			}
			if shows(simple) {
				text = simple
				break
			}
		}
	}
}
