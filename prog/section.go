package prog

import (
	"strconv"
	"strings"

	"github.com/skepvm/skep/kver"
)

// Attach is a kernel attach type (enum bpf_attach_type), as far as it changes what a program may do.
type Attach uint8

// The attach types.
const (
	AttachCgroupInetIngress Attach = iota
	AttachCgroupInetEgress
	AttachCgroupInetSockCreate
	AttachCgroupSockOps
	AttachSkSKBStreamParser
	AttachSkSKBStreamVerdict
	AttachCgroupDevice
	AttachSkMsgVerdict
	AttachCgroupInet4Bind
	AttachCgroupInet6Bind
	AttachCgroupInet4Connect
	AttachCgroupInet6Connect
	AttachCgroupInet4PostBind
	AttachCgroupInet6PostBind
	AttachCgroupUDP4Sendmsg
	AttachCgroupUDP6Sendmsg
	AttachLircMode2
	AttachFlowDissector
	AttachCgroupSysctl
	AttachCgroupUDP4Recvmsg
	AttachCgroupUDP6Recvmsg
	AttachCgroupGetsockopt
	AttachCgroupSetsockopt
	AttachTraceRawTP
	AttachTraceFentry
	AttachTraceFexit
	AttachModifyReturn
	AttachLSMMac
	AttachTraceIter
	AttachCgroupInet4Getpeername
	AttachCgroupInet6Getpeername
	AttachCgroupInet4Getsockname
	AttachCgroupInet6Getsockname
	AttachXDPDevmap
	AttachCgroupInetSockRelease
	AttachXDPCpumap
	AttachSkLookup
	AttachXDP
	AttachSkSKBVerdict
	AttachSkReuseportSelect
	AttachSkReuseportSelectOrMigrate
	AttachPerfEvent
	AttachTraceKprobeMulti
	AttachLSMCgroup
	AttachStructOps
	AttachNetfilter
	AttachTCXIngress
	AttachTCXEgress
	AttachTraceUprobeMulti
	AttachCgroupUnixConnect
	AttachCgroupUnixSendmsg
	AttachCgroupUnixRecvmsg
	AttachCgroupUnixGetpeername
	AttachCgroupUnixGetsockname
	AttachNetkitPrimary
	AttachNetkitPeer
	AttachTraceKprobeSession
	AttachTraceUprobeSession
)

// attachNames are libbpf's names (libbpf_bpf_attach_type_str).
var attachNames = [...]string{
	AttachCgroupInetIngress:          "cgroup_inet_ingress",
	AttachCgroupInetEgress:           "cgroup_inet_egress",
	AttachCgroupInetSockCreate:       "cgroup_inet_sock_create",
	AttachCgroupSockOps:              "cgroup_sock_ops",
	AttachSkSKBStreamParser:          "sk_skb_stream_parser",
	AttachSkSKBStreamVerdict:         "sk_skb_stream_verdict",
	AttachCgroupDevice:               "cgroup_device",
	AttachSkMsgVerdict:               "sk_msg_verdict",
	AttachCgroupInet4Bind:            "cgroup_inet4_bind",
	AttachCgroupInet6Bind:            "cgroup_inet6_bind",
	AttachCgroupInet4Connect:         "cgroup_inet4_connect",
	AttachCgroupInet6Connect:         "cgroup_inet6_connect",
	AttachCgroupInet4PostBind:        "cgroup_inet4_post_bind",
	AttachCgroupInet6PostBind:        "cgroup_inet6_post_bind",
	AttachCgroupUDP4Sendmsg:          "cgroup_udp4_sendmsg",
	AttachCgroupUDP6Sendmsg:          "cgroup_udp6_sendmsg",
	AttachLircMode2:                  "lirc_mode2",
	AttachFlowDissector:              "flow_dissector",
	AttachCgroupSysctl:               "cgroup_sysctl",
	AttachCgroupUDP4Recvmsg:          "cgroup_udp4_recvmsg",
	AttachCgroupUDP6Recvmsg:          "cgroup_udp6_recvmsg",
	AttachCgroupGetsockopt:           "cgroup_getsockopt",
	AttachCgroupSetsockopt:           "cgroup_setsockopt",
	AttachTraceRawTP:                 "trace_raw_tp",
	AttachTraceFentry:                "trace_fentry",
	AttachTraceFexit:                 "trace_fexit",
	AttachModifyReturn:               "modify_return",
	AttachLSMMac:                     "lsm_mac",
	AttachTraceIter:                  "trace_iter",
	AttachCgroupInet4Getpeername:     "cgroup_inet4_getpeername",
	AttachCgroupInet6Getpeername:     "cgroup_inet6_getpeername",
	AttachCgroupInet4Getsockname:     "cgroup_inet4_getsockname",
	AttachCgroupInet6Getsockname:     "cgroup_inet6_getsockname",
	AttachXDPDevmap:                  "xdp_devmap",
	AttachCgroupInetSockRelease:      "cgroup_inet_sock_release",
	AttachXDPCpumap:                  "xdp_cpumap",
	AttachSkLookup:                   "sk_lookup",
	AttachXDP:                        "xdp",
	AttachSkSKBVerdict:               "sk_skb_verdict",
	AttachSkReuseportSelect:          "sk_reuseport_select",
	AttachSkReuseportSelectOrMigrate: "sk_reuseport_select_or_migrate",
	AttachPerfEvent:                  "perf_event",
	AttachTraceKprobeMulti:           "trace_kprobe_multi",
	AttachLSMCgroup:                  "lsm_cgroup",
	AttachStructOps:                  "struct_ops",
	AttachNetfilter:                  "netfilter",
	AttachTCXIngress:                 "tcx_ingress",
	AttachTCXEgress:                  "tcx_egress",
	AttachTraceUprobeMulti:           "trace_uprobe_multi",
	AttachCgroupUnixConnect:          "cgroup_unix_connect",
	AttachCgroupUnixSendmsg:          "cgroup_unix_sendmsg",
	AttachCgroupUnixRecvmsg:          "cgroup_unix_recvmsg",
	AttachCgroupUnixGetpeername:      "cgroup_unix_getpeername",
	AttachCgroupUnixGetsockname:      "cgroup_unix_getsockname",
	AttachNetkitPrimary:              "netkit_primary",
	AttachNetkitPeer:                 "netkit_peer",
	AttachTraceKprobeSession:         "trace_kprobe_session",
	AttachTraceUprobeSession:         "trace_uprobe_session",
}

// String is the name that libbpf gives the attach type.
func (a Attach) String() string {
	if int(a) < len(attachNames) {
		return attachNames[a]
	}
	return "attach_type(" + strconv.Itoa(int(a)) + ")"
}

// Section is what the name of an ELF section says about the program in it (libbpf: section_defs).
type Section struct {
	// Pattern is the name; a "+" at the end lets "/anything" follow.
	Pattern   string
	Type      Type
	Attach    Attach
	Frags     bool   // handles packets in several buffers (BPF_F_XDP_HAS_FRAGS)
	Sleepable bool   // BPF_F_SLEEPABLE
	Ret       *Range // when the attach point demands another one than the type
	// Since is the first kernel that loads such a program, when that is not the type's; RetSince is the first that demands
	// Ret: older ones have the type's range.
	Since, RetSince kver.Version
}

// SectionOf finds the row of a section's name: first as libbpf 1.x matches it, then as older loaders did, by the
// longest prefix ("xdp_prog", "classifier/ingress").
func SectionOf(name string) (*Section, bool) {
	name = strings.TrimPrefix(name, "?") // libbpf: not loaded by default
	if s := strictSection(name); s != nil {
		return s, true
	}
	var best *Section
	for i := range Sections {
		s := &Sections[i]
		p := strings.TrimSuffix(s.Pattern, "+")
		if strings.HasPrefix(name, p) && (best == nil || len(p) > len(best.Pattern)) {
			best = s
		}
	}
	return best, best != nil
}

// sectionIndex finds rows by whole names, and those that take more behind a slash by what is in front of it. The first row of a
// name counts. No row takes more behind the name of a later one, so whole names go first.
var sectionIndex = func() (x struct{ whole, before map[string]*Section }) {
	x.whole, x.before = map[string]*Section{}, map[string]*Section{}
	for i := len(Sections) - 1; i >= 0; i-- {
		name, more := strings.CutSuffix(Sections[i].Pattern, "+")
		x.whole[name] = &Sections[i]
		if more {
			x.before[name] = &Sections[i]
		}
	}
	return x
}()

func strictSection(name string) *Section {
	if s := sectionIndex.whole[name]; s != nil {
		return s
	}
	for i := range len(name) {
		if name[i] == '/' && sectionIndex.before[name[:i]] != nil {
			return sectionIndex.before[name[:i]]
		}
	}
	return nil
}

// TypeOfSection is the program type that a section's name says.
func TypeOfSection(name string) (Type, bool) {
	s, ok := SectionOf(name)
	if !ok {
		return Unspec, false
	}
	return s.Type, true
}

// Attach returns the attach type that the program's section names; the type's first when it names none.
func (p *Program) Attach() Attach {
	if s, ok := SectionOf(p.Section); ok && s.Type == p.Type {
		return s.Attach
	}
	return defaultAttach[p.Type]
}

// defaultAttach is for programs whose section does not say.
var defaultAttach = map[Type]Attach{
	XDP: AttachXDP, SkReuseport: AttachSkReuseportSelect, SkLookup: AttachSkLookup, FlowDissector: AttachFlowDissector,
	CgroupSock: AttachCgroupInetSockCreate, Netfilter: AttachNetfilter, LSM: AttachLSMMac, SkMsg: AttachSkMsgVerdict,
}

// Ranges of return values that attach points demand.
var (
	ret01  = &Range{0, 1}
	ret03  = &Range{0, 3}
	retOne = &Range{1, 1}
	ret00  = &Range{0, 0}
)

// Name is the pattern without its "+".
func (s *Section) Name() string { return strings.TrimSuffix(s.Pattern, "+") }

// Sections is the table of section names.
var Sections = []Section{
	{Pattern: "socket", Type: SocketFilter},
	{Pattern: "sk_reuseport/migrate", Type: SkReuseport, Attach: AttachSkReuseportSelectOrMigrate, Since: kver.V(5, 14)},
	{Pattern: "sk_reuseport", Type: SkReuseport, Attach: AttachSkReuseportSelect},
	{Pattern: "kprobe+", Type: Kprobe},
	{Pattern: "uprobe+", Type: Kprobe},
	{Pattern: "uprobe.s+", Type: Kprobe, Sleepable: true, Since: kver.V(6, 0)},
	{Pattern: "kretprobe+", Type: Kprobe},
	{Pattern: "uretprobe+", Type: Kprobe},
	{Pattern: "uretprobe.s+", Type: Kprobe, Sleepable: true, Since: kver.V(6, 0)},
	{Pattern: "kprobe.multi+", Type: Kprobe, Attach: AttachTraceKprobeMulti, Since: kver.V(5, 18)},
	{Pattern: "kretprobe.multi+", Type: Kprobe, Attach: AttachTraceKprobeMulti, Since: kver.V(5, 18)},
	{Pattern: "kprobe.session+", Type: Kprobe, Attach: AttachTraceKprobeSession, Ret: ret01, Since: kver.V(6, 10)},
	{Pattern: "uprobe.multi+", Type: Kprobe, Attach: AttachTraceUprobeMulti, Since: kver.V(6, 6)},
	{Pattern: "uretprobe.multi+", Type: Kprobe, Attach: AttachTraceUprobeMulti, Since: kver.V(6, 6)},
	{Pattern: "uprobe.session+", Type: Kprobe, Attach: AttachTraceUprobeSession, Ret: ret01, Since: kver.V(6, 13)},
	{Pattern: "uprobe.multi.s+", Type: Kprobe, Attach: AttachTraceUprobeMulti, Sleepable: true, Since: kver.V(6, 6)},
	{Pattern: "uretprobe.multi.s+", Type: Kprobe, Attach: AttachTraceUprobeMulti, Sleepable: true, Since: kver.V(6, 6)},
	{Pattern: "uprobe.session.s+", Type: Kprobe, Attach: AttachTraceUprobeSession, Sleepable: true, Ret: ret01, Since: kver.V(6, 13)},
	{Pattern: "ksyscall+", Type: Kprobe},
	{Pattern: "kretsyscall+", Type: Kprobe},
	{Pattern: "usdt+", Type: Kprobe},
	{Pattern: "usdt.s+", Type: Kprobe, Sleepable: true, Since: kver.V(6, 0)},
	{Pattern: "tc/ingress", Type: SchedCLS, Attach: AttachTCXIngress},
	{Pattern: "tc/egress", Type: SchedCLS, Attach: AttachTCXEgress},
	{Pattern: "tcx/ingress", Type: SchedCLS, Attach: AttachTCXIngress},
	{Pattern: "tcx/egress", Type: SchedCLS, Attach: AttachTCXEgress},
	{Pattern: "tc", Type: SchedCLS},
	{Pattern: "classifier", Type: SchedCLS},
	{Pattern: "action", Type: SchedACT},
	{Pattern: "netkit/primary", Type: SchedCLS, Attach: AttachNetkitPrimary},
	{Pattern: "netkit/peer", Type: SchedCLS, Attach: AttachNetkitPeer},
	{Pattern: "tracepoint+", Type: Tracepoint},
	{Pattern: "tp+", Type: Tracepoint},
	{Pattern: "raw_tracepoint+", Type: RawTracepoint},
	{Pattern: "raw_tp+", Type: RawTracepoint},
	{Pattern: "raw_tracepoint.w+", Type: RawTracepointWritable},
	{Pattern: "raw_tp.w+", Type: RawTracepointWritable},
	{Pattern: "tp_btf+", Type: Tracing, Attach: AttachTraceRawTP},
	{Pattern: "fentry+", Type: Tracing, Attach: AttachTraceFentry, Ret: ret00},
	{Pattern: "fmod_ret+", Type: Tracing, Attach: AttachModifyReturn, Since: kver.V(5, 7)},
	{Pattern: "fexit+", Type: Tracing, Attach: AttachTraceFexit, Ret: ret00},
	{Pattern: "fentry.s+", Type: Tracing, Attach: AttachTraceFentry, Sleepable: true, Ret: ret00, Since: kver.V(5, 10)},
	{Pattern: "fmod_ret.s+", Type: Tracing, Attach: AttachModifyReturn, Sleepable: true, Since: kver.V(5, 10)},
	{Pattern: "fexit.s+", Type: Tracing, Attach: AttachTraceFexit, Sleepable: true, Ret: ret00, Since: kver.V(5, 10)},
	{Pattern: "freplace+", Type: Ext},
	{Pattern: "lsm+", Type: LSM, Attach: AttachLSMMac},
	{Pattern: "lsm.s+", Type: LSM, Attach: AttachLSMMac, Sleepable: true, Since: kver.V(5, 10)},
	{Pattern: "lsm_cgroup+", Type: LSM, Attach: AttachLSMCgroup, Since: kver.V(6, 0)},
	{Pattern: "iter+", Type: Tracing, Attach: AttachTraceIter, Ret: ret01, Since: kver.V(5, 8)},
	{Pattern: "iter.s+", Type: Tracing, Attach: AttachTraceIter, Sleepable: true, Ret: ret01, Since: kver.V(6, 0)},
	{Pattern: "syscall", Type: Syscall, Sleepable: true},
	{Pattern: "xdp.frags/devmap", Type: XDP, Attach: AttachXDPDevmap, Frags: true, Since: kver.V(5, 18)},
	{Pattern: "xdp/devmap", Type: XDP, Attach: AttachXDPDevmap},
	{Pattern: "xdp.frags/cpumap", Type: XDP, Attach: AttachXDPCpumap, Frags: true, Since: kver.V(5, 18)},
	{Pattern: "xdp/cpumap", Type: XDP, Attach: AttachXDPCpumap},
	{Pattern: "xdp.frags", Type: XDP, Attach: AttachXDP, Frags: true, Since: kver.V(5, 18)},
	{Pattern: "xdp", Type: XDP, Attach: AttachXDP},
	{Pattern: "xdp_devmap+", Type: XDP, Attach: AttachXDPDevmap},
	{Pattern: "xdp_cpumap+", Type: XDP, Attach: AttachXDPCpumap},
	{Pattern: "perf_event", Type: PerfEvent},
	{Pattern: "lwt_in", Type: LWTIn},
	{Pattern: "lwt_out", Type: LWTOut},
	{Pattern: "lwt_xmit", Type: LWTXmit},
	{Pattern: "lwt_seg6local", Type: LWTSeg6Local},
	{Pattern: "sockops", Type: SockOps, Attach: AttachCgroupSockOps},
	{Pattern: "sk_skb/stream_parser", Type: SkSKB, Attach: AttachSkSKBStreamParser},
	{Pattern: "sk_skb/stream_verdict", Type: SkSKB, Attach: AttachSkSKBStreamVerdict},
	{Pattern: "sk_skb/verdict", Type: SkSKB, Attach: AttachSkSKBVerdict},
	{Pattern: "sk_skb", Type: SkSKB},
	{Pattern: "sk_msg", Type: SkMsg, Attach: AttachSkMsgVerdict},
	{Pattern: "lirc_mode2", Type: LircMode2, Attach: AttachLircMode2},
	{Pattern: "flow_dissector", Type: FlowDissector, Attach: AttachFlowDissector},
	{Pattern: "cgroup_skb/ingress", Type: CgroupSKB, Attach: AttachCgroupInetIngress},
	{Pattern: "cgroup_skb/egress", Type: CgroupSKB, Attach: AttachCgroupInetEgress, Ret: ret03, RetSince: kver.V(5, 3)},
	{Pattern: "cgroup/skb", Type: CgroupSKB},
	{Pattern: "cgroup/sock_create", Type: CgroupSock, Attach: AttachCgroupInetSockCreate},
	{Pattern: "cgroup/sock_release", Type: CgroupSock, Attach: AttachCgroupInetSockRelease, Since: kver.V(5, 9)},
	{Pattern: "cgroup/sock", Type: CgroupSock, Attach: AttachCgroupInetSockCreate},
	{Pattern: "cgroup/post_bind4", Type: CgroupSock, Attach: AttachCgroupInet4PostBind},
	{Pattern: "cgroup/post_bind6", Type: CgroupSock, Attach: AttachCgroupInet6PostBind},
	{Pattern: "cgroup/bind4", Type: CgroupSockAddr, Attach: AttachCgroupInet4Bind, Ret: ret03, RetSince: kver.V(5, 12)},
	{Pattern: "cgroup/bind6", Type: CgroupSockAddr, Attach: AttachCgroupInet6Bind, Ret: ret03, RetSince: kver.V(5, 12)},
	{Pattern: "cgroup/connect4", Type: CgroupSockAddr, Attach: AttachCgroupInet4Connect},
	{Pattern: "cgroup/connect6", Type: CgroupSockAddr, Attach: AttachCgroupInet6Connect},
	{Pattern: "cgroup/connect_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixConnect, Since: kver.V(6, 7)},
	{Pattern: "cgroup/sendmsg4", Type: CgroupSockAddr, Attach: AttachCgroupUDP4Sendmsg, Since: kver.V(4, 18)},
	{Pattern: "cgroup/sendmsg6", Type: CgroupSockAddr, Attach: AttachCgroupUDP6Sendmsg, Since: kver.V(4, 18)},
	{Pattern: "cgroup/sendmsg_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixSendmsg, Since: kver.V(6, 7)},
	{Pattern: "cgroup/recvmsg4", Type: CgroupSockAddr, Attach: AttachCgroupUDP4Recvmsg, Ret: retOne, Since: kver.V(5, 2)},
	{Pattern: "cgroup/recvmsg6", Type: CgroupSockAddr, Attach: AttachCgroupUDP6Recvmsg, Ret: retOne, Since: kver.V(5, 2)},
	{Pattern: "cgroup/recvmsg_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixRecvmsg, Ret: retOne, Since: kver.V(6, 7)},
	{Pattern: "cgroup/getpeername4", Type: CgroupSockAddr, Attach: AttachCgroupInet4Getpeername, Ret: retOne, Since: kver.V(5, 8)},
	{Pattern: "cgroup/getpeername6", Type: CgroupSockAddr, Attach: AttachCgroupInet6Getpeername, Ret: retOne, Since: kver.V(5, 8)},
	{Pattern: "cgroup/getpeername_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixGetpeername, Ret: retOne, Since: kver.V(6, 7)},
	{Pattern: "cgroup/getsockname4", Type: CgroupSockAddr, Attach: AttachCgroupInet4Getsockname, Ret: retOne, Since: kver.V(5, 8)},
	{Pattern: "cgroup/getsockname6", Type: CgroupSockAddr, Attach: AttachCgroupInet6Getsockname, Ret: retOne, Since: kver.V(5, 8)},
	{Pattern: "cgroup/getsockname_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixGetsockname, Ret: retOne, Since: kver.V(6, 7)},
	{Pattern: "cgroup/sysctl", Type: CgroupSysctl, Attach: AttachCgroupSysctl},
	{Pattern: "cgroup/getsockopt", Type: CgroupSockopt, Attach: AttachCgroupGetsockopt},
	{Pattern: "cgroup/setsockopt", Type: CgroupSockopt, Attach: AttachCgroupSetsockopt},
	{Pattern: "cgroup/dev", Type: CgroupDevice, Attach: AttachCgroupDevice},
	{Pattern: "struct_ops+", Type: StructOps, Attach: AttachStructOps},
	{Pattern: "struct_ops.s+", Type: StructOps, Attach: AttachStructOps, Sleepable: true},
	{Pattern: "sk_lookup", Type: SkLookup, Attach: AttachSkLookup},
	{Pattern: "netfilter", Type: Netfilter, Attach: AttachNetfilter},
}
