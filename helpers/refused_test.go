package helpers

import "testing"

// TestRefusals: what is refused is known, and does not run.
func TestRefusals(t *testing.T) {
	for name := range refusedFor {
		row, helper := ByName(name)
		_, kfunc := KfuncByName(name)
		_, runs := KfuncID(name)
		switch {
		case !helper && !kfunc:
			t.Errorf("there is no %s", name)
		case helper && row.Implemented(), runs:
			t.Errorf("%s runs, and is refused: %s", name, WhyNot(name))
		}
	}
	if got := WhyNot("bpf_xdp_ct_lookup"); got != "conntrack is not provided" {
		t.Error(got)
	}
}
