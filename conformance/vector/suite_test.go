package vector

import (
	"strings"
	"testing"
)

const vectors = "../testdata/vectors"

// TestVectors runs the project's vectors on every engine of this machine. All must pass, and together they must execute
// every instruction of asm's table in every form: a new row without a vector fails here.
func TestVectors(t *testing.T) {
	files, err := Files([]string{vectors})
	if err != nil {
		t.Fatal(err)
	}
	var s Suite
	for _, file := range files {
		v, err := ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		results := s.Run(v)
		for _, res := range results {
			checkResult(t, v, res, results[0])
		}
	}
	for _, g := range s.Coverage.Groups(0) {
		if len(g.Missing) > 0 || g.FormsUsed != g.Forms || g.InstructionsUsed != g.Instructions {
			t.Errorf("group %s: %.1f %% executed, missing:\n  %s", g.Group, g.Percent, strings.Join(g.Missing, "\n  "))
		}
	}
	t.Logf("%d vectors on %v", len(files), Engines())
}

// checkResult also holds the message of an error against the words of the vector, which are our own here. A bad access
// is an error on the checked engine alone.
func checkResult(t *testing.T, v *Vector, res, checked Result) {
	t.Helper()
	switch {
	case res.Status == Skip && strings.Contains(checked.Reason, "outside what the program may touch"):
	case res.Status != Pass:
		t.Errorf("%s on %s: %s: %s", v.File, res.Engine, res.Status, res.Reason)
	case v.WantError && v.Reason == "":
		t.Errorf("%s: no words of the error", v.File)
	case v.WantError && !strings.Contains(res.Reason, v.Reason):
		t.Errorf("%s on %s: error %q, want %q in it", v.File, res.Engine, res.Reason, v.Reason)
	}
}
