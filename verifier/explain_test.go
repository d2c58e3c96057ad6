package verifier

import (
	"slices"
	"testing"
)

// TestSecondWalk checks that the walk that explains a rejection finds the same rejection as the first, and has recorded the
// whole path to it.
func TestSecondWalk(t *testing.T) {
	for _, c := range oracleCases(t) {
		o := Options{Profile: Newest()}
		o.Profile.StrictAlign = c.Strict()
		first := newVerifier(program(t, &c), &o)
		e := first.run()
		if e == nil || first.cur == nil || e.Code == TooComplex || e.Code == TooManyJumps {
			first.recycle()
			continue
		}
		second := newVerifier(first.prog, &o)
		second.trace = newTrace(first)
		found := second.run()
		if found == nil || found.Code != e.Code || found.PC != e.PC || found.Kernel != e.Kernel || second.stats.Processed != first.stats.Processed {
			t.Errorf("%s: %v, and the second time %v", c.Key(), e, found)
		}
		if n := len(second.trace.steps); n == 0 || second.trace.next != len(second.trace.path) {
			t.Errorf("%s: recorded %d of %d steps", c.Key(), n, len(second.trace.path))
		}
		first.recycle()
		second.recycle()
	}
}

// TestMatchKernel looks up what a real kernel said of the programs that both reject.
func TestMatchKernel(t *testing.T) {
	found, all := 0, 0
	for _, c := range oracleCases(t) {
		o := Options{Profile: Newest()}
		o.Profile.StrictAlign = c.Strict()
		_, err := Verify(program(t, &c), o)
		if err == nil || c.ErrLine == "" {
			continue
		}
		all++
		if code := err.(*Error).Code; slices.ContainsFunc(Match(c.ErrLine), func(r CodeRow) bool { return r.Code == code }) {
			found++
		} else {
			t.Logf("%s: %s is not found by %q", c.Key(), code, c.ErrLine)
		}
	}
	if 100*found < 99*all {
		t.Errorf("%d of %d found", found, all)
	}
}
