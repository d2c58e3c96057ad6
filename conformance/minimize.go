package conformance

import "strings"

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
