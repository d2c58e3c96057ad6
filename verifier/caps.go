package verifier

import (
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// unprivilegedInsns is the most instruction slots of a program whose loader lacks CAP_BPF (kernel: BPF_MAXINSNS).
const unprivilegedInsns = 4096

// With is a copy of p for a loader that has no more capabilities than c; it never adds any, and With(prog.AllCaps) changes
// nothing. The name gets the capabilities as a suffix: "linux-6.18+bpf,net_admin".
//
//   - Without CAP_BPF: socket filters and cgroup_skb programs only, 4096 instructions, no back edges, no local calls.
//   - Without CAP_PERFMON: no tracing types, no address may get out, uninitialised stack can't be read, and mispredicted
//     branches are walked too (Spectre).
//   - Without CAP_NET_ADMIN: none of most networking types.
//
// CAP_BPF and CAP_PERFMON are of Linux 5.8. Before it only CAP_SYS_ADMIN counts, and who lacks it has nothing.
func (p *Profile) With(c prog.Caps) *Profile {
	q := *p
	if c.Has(prog.CapSysAdmin) {
		return &q
	}
	q.Name += "+" + c.String()
	if !q.Kernel.AtLeast(kver.V(5, 8)) {
		c = prog.NoCaps
	}
	if !q.Caps.Has(prog.CapSysAdmin) {
		c &= q.Caps
	}
	q.Caps = c
	if !c.Has(prog.CapBPF) {
		q.MaxInsns = min(q.MaxInsns, unprivilegedInsns)
		q.BackEdges = BackEdgesNone
		q.Capable = false
	}
	if !c.Has(prog.CapPerfmon) {
		q.PointerLeaks, q.UninitStack = false, false
		q.Mitigate = true
	}
	return &q
}
