package linktype

import "testing"

func TestNames(t *testing.T) {
	for _, n := range names {
		got, ok := Parse(n.t.String())
		if !ok || got.String() != n.name {
			t.Errorf("%d: Parse(%q) = %v, %v", uint32(n.t), n.name, got, ok)
		}
	}
	if _, ok := Parse("token ring of 1985"); ok {
		t.Error("an unknown name was accepted")
	}
	if got := Type(9999).String(); got != "LINKTYPE_9999" {
		t.Errorf("an unnamed type is called %q", got)
	}
	if got := Of(0x5<<28 | 1<<26 | 1); got != Ethernet {
		t.Errorf("FCS bits were not taken off: %v", got)
	}
}
