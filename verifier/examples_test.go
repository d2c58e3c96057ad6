package verifier_test

import (
	"path/filepath"
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
