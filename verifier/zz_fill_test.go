package verifier_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/skepvm/skep/verifier"
)

func TestZZFill(t *testing.T) {
	for _, f := range onKernel {
		for _, c := range loadCases(t, "testdata/cases/"+f) {
			if c.want != "" || c.kernels != nil {
				continue
			}
			_, err := verifier.Verify(c.prog, verifier.Options{Profile: c.profile})
			w := "accept"
			if err != nil {
				e := err.(*verifier.Error)
				w = string(e.Code) + " " + e.Kernel[strings.LastIndexByte(e.Kernel, '\n')+1:]
			}
			fmt.Fprintf(os.Stderr, "FILL|%s|%s|%s\n", f, c.name, w)
		}
	}
}
