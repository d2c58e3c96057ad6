package prog

import (
	"fmt"
	"strings"
)

// Caps is a set of the capabilities that the kernel asks loaders of programs for (capabilities(7)). The zero value is a
// loader without any.
type Caps uint8

// The capabilities.
const (
	CapBPF      Caps = 1 << iota // all program types, local calls, loops, a million instructions
	CapPerfmon                   // addresses may be seen, no mitigations of Spectre; tracing types and helpers
	CapNetAdmin                  // most networking types
	CapSysAdmin                  // stands for all others; before Linux 5.8 the only one that counts

	NoCaps  Caps = 0
	AllCaps      = CapBPF | CapPerfmon | CapNetAdmin | CapSysAdmin
)

var capNames = []string{"bpf", "perfmon", "net_admin", "sys_admin"} // by bit

// Has reports whether c has all of want, if only by CapSysAdmin.
func (c Caps) Has(want Caps) bool { return c&CapSysAdmin != 0 || c&want == want }

// String is "none", "all", or the names with commas between: "bpf,net_admin".
func (c Caps) String() string {
	switch {
	case c == NoCaps:
		return "none"
	case c == AllCaps:
		return "all"
	}
	var names []string
	for i, name := range capNames {
		if c>>i&1 != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// ParseCaps reads what String writes. Case and a prefix "cap_" of names don't matter.
func ParseCaps(s string) (Caps, error) {
	switch strings.ToLower(s) {
	case "none":
		return NoCaps, nil
	case "all":
		return AllCaps, nil
	}
	var c Caps
next:
	for _, word := range strings.Split(s, ",") {
		for i, name := range capNames {
			if strings.TrimPrefix(strings.ToLower(strings.TrimSpace(word)), "cap_") == name {
				c |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("capability %q: want none, all, or some of %s", word, strings.Join(capNames, ","))
	}
	return c, nil
}
