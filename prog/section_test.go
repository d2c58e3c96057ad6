package prog

import (
	"strings"
	"testing"
)

// TestSectionIndex compares the index with what it stands for: the first row that matches.
func TestSectionIndex(t *testing.T) {
	first := func(name string) *Section {
		for i := range Sections {
			s := &Sections[i]
			p, more := strings.CutSuffix(s.Pattern, "+")
			if name == p || more && strings.HasPrefix(name, p+"/") {
				return s
			}
		}
		return nil
	}
	for i := range Sections {
		p := strings.TrimSuffix(Sections[i].Pattern, "+")
		for _, more := range []string{"", "/", "/a", "/a/b", "x", ".s", "/ingress", "/devmap"} {
			if got, want := strictSection(p+more), first(p+more); got != want {
				t.Errorf("%s: %v, want %v", p+more, got, want)
			}
		}
	}
	if strictSection("") != nil || strictSection("/") != nil {
		t.Error("a section without a name")
	}
}
