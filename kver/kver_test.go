package kver

import "testing"

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Version
		ok   bool
	}{
		{"6.12", V(6, 12), true}, {"v5.4", V(5, 4), true}, {"6.1.192", V(6, 1), true},
		{"6", Version{}, false}, {"", Version{}, false}, {"a.b", Version{}, false}, {"6.-1", Version{}, false}, {"300.1", Version{}, false},
	} {
		got, err := Parse(c.in)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("Parse(%q) = %v, %v; want %v, ok %v", c.in, got, err, c.want, c.ok)
		}
	}
}

func TestAtLeast(t *testing.T) {
	order := []Version{{}, V(4, 19), V(5, 4), V(5, 10), V(6, 1), V(6, 18)}
	for i, v := range order {
		for j, w := range order {
			if v.AtLeast(w) != (i >= j) {
				t.Errorf("%v at least %v: %v", v, w, v.AtLeast(w))
			}
			if c := v.Compare(w); c < 0 != (i < j) || c > 0 != (i > j) {
				t.Errorf("%v compared with %v: %d", v, w, c)
			}
		}
	}
}
