package object

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skepvm/skep/prog"
)

// runConfigSections are the sections of libxdp's metadata, the second and third for a libbpf that wants other names (xdp_helpers.h).
var runConfigSections = []string{".xdp_run_config", "xdp_run_config", ".data.xdp_run_config"}

// xdpActions are the members of the metadata that set or clear the bit of their position.
var xdpActions = []string{"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"}

// runConfig reads what the object says of an XDP program's place in a chain: a variable of the program's name behind an underscore, whose type
// is a struct of members as in map definitions. nil when it says nothing; what is no such member is passed over with a warning.
func (l *loader) runConfig(name string) *prog.RunConfig {
	for _, section := range runConfigSections {
		ds, ok := typeNamed[*btf.Datasec](l, section)
		if !ok {
			continue
		}
		for _, vsi := range ds.Vars {
			v, ok := vsi.Type.(*btf.Var)
			if !ok || v.Name != "_"+name {
				continue
			}
			if t, ok := btf.UnderlyingType(v.Type).(*btf.Struct); ok {
				return l.runConfigOf(name, t)
			}
		}
	}
	return nil
}

func (l *loader) runConfigOf(name string, t *btf.Struct) *prog.RunConfig {
	c := &prog.RunConfig{Priority: prog.DefaultRunPriority, Continue: prog.DefaultRunContinue | 1<<31}
members:
	for _, m := range t.Members {
		value, ok := uintMember(m.Type)
		if !ok {
			l.warn("run configuration of %s: member %q is no number", name, m.Name)
			continue
		}
		if m.Name == "priority" {
			c.Priority = value
			continue
		}
		for bit, action := range xdpActions {
			if m.Name != action {
				continue
			}
			if c.Continue &^= 1 << bit; value != 0 {
				c.Continue |= 1 << bit
			}
			continue members
		}
		l.warn("run configuration of %s: nobody knows %q", name, m.Name)
	}
	return c
}

// uintMember is the number that __uint(name, n) makes: a pointer to an array of so many elements.
func uintMember(t btf.Type) (uint32, bool) {
	ptr, ok := btf.UnderlyingType(t).(*btf.Pointer)
	if !ok {
		return 0, false
	}
	arr, ok := btf.UnderlyingType(ptr.Target).(*btf.Array)
	if !ok {
		return 0, false
	}
	return arr.Nelems, true
}
