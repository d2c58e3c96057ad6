package main

import (
	"strings"
	"testing"

	"github.com/skepvm/skep/verifier"
)

// FuzzKernelLog reads any text as a kernel's log: what is found are lines of it, and the codes of them.
func FuzzKernelLog(f *testing.F) {
	f.Add("8: (71) r1 = *(u8 *)(r1 +23)\ninvalid access to packet, off=23 size=1, R1(id=0,off=23,r=14)\nR1 offset is outside of the packet\n")
	f.Add("; a line\n0: (95) exit\nR0 !read_ok")
	f.Add(strings.Repeat("R0 !read_ok ", 1000))
	f.Fuzz(func(t *testing.T, log string) {
		last, err := lastKernelError(strings.NewReader(log))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range last.message {
			if !strings.Contains(log, line) || len(verifier.Match(line)) == 0 {
				t.Errorf("%q", line)
			}
		}
	})
}
