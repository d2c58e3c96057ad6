package verifier_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/verifier"
)

// TestExamples proves the programs of ../examples, compiled from C: they exercise pruning and precision.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.o"))
	if err != nil || len(files) == 0 {
		t.Skipf("no compiled examples: %v", err)
	}
	for _, f := range files {
		obj, err := object.LoadFile(f, object.Options{})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		for _, p := range obj.Programs {
			t.Run(filepath.Base(f)+"/"+p.Name, func(t *testing.T) {
				v, err := verifier.Verify(p, verifier.Options{})
				if err != nil {
					t.Fatal(err.(*verifier.Error).Detail())
				}
				t.Logf("%+v", v.Stats())
			})
		}
	}
}

// oldKernel are the examples that only older kernels reject.
var oldKernel = map[string]*verifier.Profile{"padding": verifier.Linux(5, 10)}

// TestRejectedExamples checks what is said of the programs of ../examples/rejected, in the text beside each; -update writes
// it.
func TestRejectedExamples(t *testing.T) {
	dir := filepath.Join("..", "examples", "rejected")
	files, err := filepath.Glob(filepath.Join(dir, "*.o"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".bpf.o")
		t.Run(name, func(t *testing.T) {
			obj, err := object.LoadFile(f, object.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = verifier.Verify(obj.Programs[0], verifier.Options{Profile: oldKernel[name]})
			e, ok := err.(*verifier.Error)
			if !ok {
				t.Fatal("accepted")
			}
			if len(e.Causes) == 0 && e.Line == nil {
				t.Error("names no source line")
			}
			checkGolden(t, filepath.Join(dir, name+".txt"), e.Report())
		})
	}
}
