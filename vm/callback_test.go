package vm

import (
	"testing"

	"github.com/skepvm/skep/helpers"
)

// TestEngineHelpers: what the tables leave to engines is what EngineHelper does, and the tail call.
func TestEngineHelpers(t *testing.T) {
	left := map[string]bool{"bpf_tail_call": true}
	for name := range engineHelpers {
		left[name] = true
	}
	check := func(row *helpers.Row) {
		if row.Engine != left[row.Name] {
			t.Errorf("%s: left to engines %v, which do it %v", row.Name, row.Engine, left[row.Name])
		}
		delete(left, row.Name)
	}
	for id := 1; id < len(helpers.Table); id++ {
		if row := helpers.ByID(int32(id)); row != nil {
			check(row)
		}
	}
	for _, k := range helpers.Kfuncs() {
		if id, ok := helpers.KfuncID(k.Name); ok {
			check(helpers.Callable(id))
		}
	}
	for name := range left {
		t.Errorf("no table has %s", name)
	}
	if _, err := (&CPU{}).EngineHelper(&helpers.Row{Name: "bpf_map_lookup_elem"}, [5]uint64{}, nil); err != errNoPart {
		t.Errorf("of a row that engines have no part in: %v", err)
	}
}
