package verifier

import (
	"fmt"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// mapNeeds are the capabilities that creating a map takes, by type; the other types take none (kernel: map_create).
var mapNeeds = map[maps.Type]prog.Caps{
	maps.StackTrace: prog.CapBPF, maps.LRUHash: prog.CapBPF, maps.LRUPerCPUHash: prog.CapBPF, maps.LPMTrie: prog.CapBPF,
	maps.CPUMap: prog.CapBPF, maps.ReuseportSockArray: prog.CapBPF, maps.Queue: prog.CapBPF, maps.Stack: prog.CapBPF,
	maps.SKStorage: prog.CapBPF, maps.InodeStorage: prog.CapBPF, maps.TaskStorage: prog.CapBPF, maps.CgrpStorage: prog.CapBPF,
	maps.BloomFilter: prog.CapBPF, maps.StructOps: prog.CapBPF, maps.Arena: prog.CapBPF | prog.CapPerfmon,
	maps.DevMap: prog.CapNetAdmin, maps.DevMapHash: prog.CapNetAdmin, maps.XSKMap: prog.CapNetAdmin,
	maps.SockMap: prog.CapNetAdmin, maps.SockHash: prog.CapNetAdmin,
}

// lacks says that the loader may not have what takes the capabilities need.
func (v *verifier) lacks(what string, need prog.Caps) string {
	return fmt.Sprintf("%s needs capabilities %s, the loader has %s", what, need, v.profile.Caps)
}

// checkMapCaps checks that the loader can create the map that the instruction at pc loads. The kernel refuses the map, not
// the program.
func (v *verifier) checkMapCaps(pc int, m *maps.Spec) *Error {
	for _, m := range withInner(m) {
		if need := mapNeeds[m.Type]; !v.profile.Caps.Has(need) {
			return v.failAt(pc, NotPrivileged, "%s", v.lacks(fmt.Sprintf("map %s of type %s", m.Name, m.Type), need))
		}
	}
	return nil
}

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
