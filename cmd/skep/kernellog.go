package main

import (
	"bufio"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/skepvm/skep/verifier"
)

// kernelError is an error in a kernel's log.
type kernelError struct {
	message []string // its lines
	insn    string   // the instruction before it: "8: (71) r1 = *(u8 *)(r1 +23)"
	source  string   // the source line before that, without its "; "
}

// Lines of a kernel's log that are no error: an instruction, a way back to a branch, a state.
var (
	insnLine  = regexp.MustCompile(`^\d+: \([0-9a-f]{2}\) `)
	quietLine = regexp.MustCompile(`^(\d+: |from \d+ to \d+|processed \d+ insns|verification time|stack depth|(frame\d+: ?)?R\d+(_\w+)?=)`)
)

// maxLogLine is how much of a line is looked at.
const maxLogLine = 4096

// lastKernelError reads a log and returns its last error; one without a message when there is none.
func lastKernelError(r io.Reader) (last kernelError, err error) {
	in := bufio.NewReaderSize(r, maxLogLine)
	var insn, source string
	open := false // the line before belongs to an error too
	for {
		raw, more, err := in.ReadLine()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		line := strings.TrimSpace(string(raw))
		for more && err == nil { // the rest of a long line
			_, more, err = in.ReadLine()
		}
		switch {
		case insnLine.MatchString(line):
			insn, _, _ = strings.Cut(line, " ; ")
		case strings.HasPrefix(line, "; "):
			source = strings.TrimPrefix(line, "; ")
		}
		if strings.HasPrefix(line, "; ") || quietLine.MatchString(line) || len(verifier.Match(line)) == 0 {
			open = false
			continue
		}
		if !open {
			last = kernelError{insn: insn, source: source}
		}
		last.message = append(last.message, line)
		open = true
	}
}
