package conformance_test

import (
	"testing"

	"github.com/skepvm/skep/conformance"
)

// TestFixtures checks the programs of testdata with the verifier and on every engine.
func TestFixtures(t *testing.T) {
	all, err := conformance.Fixtures("testdata")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d fixtures: %v", len(all), err)
	}
	for _, f := range all {
		t.Run(f.Name, func(t *testing.T) {
			if wrong := f.Check(); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}
