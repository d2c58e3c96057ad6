package prog

import (
	"strconv"
	"strings"
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

func strictSection(name string) *Section {
	for i := range Sections {
		s := &Sections[i]
		p, extra := strings.CutSuffix(s.Pattern, "+")
		if name == p || extra && strings.HasPrefix(name, p) && name[len(p)] == '/' {
			return s
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

// Sections is the table of section names.
var Sections = []Section{
	{Pattern: "socket", Type: SocketFilter},
	{Pattern: "sk_reuseport/migrate", Type: SkReuseport, Attach: AttachSkReuseportSelectOrMigrate},
	{Pattern: "sk_reuseport", Type: SkReuseport, Attach: AttachSkReuseportSelect},
	{Pattern: "kprobe+", Type: Kprobe},
	{Pattern: "uprobe+", Type: Kprobe},
	{Pattern: "uprobe.s+", Type: Kprobe, Sleepable: true},
	{Pattern: "kretprobe+", Type: Kprobe},
	{Pattern: "uretprobe+", Type: Kprobe},
	{Pattern: "uretprobe.s+", Type: Kprobe, Sleepable: true},
	{Pattern: "kprobe.multi+", Type: Kprobe, Attach: AttachTraceKprobeMulti},
	{Pattern: "kretprobe.multi+", Type: Kprobe, Attach: AttachTraceKprobeMulti},
	{Pattern: "kprobe.session+", Type: Kprobe, Attach: AttachTraceKprobeSession, Ret: ret01},
	{Pattern: "uprobe.multi+", Type: Kprobe, Attach: AttachTraceUprobeMulti},
	{Pattern: "uretprobe.multi+", Type: Kprobe, Attach: AttachTraceUprobeMulti},
	{Pattern: "uprobe.session+", Type: Kprobe, Attach: AttachTraceUprobeSession, Ret: ret01},
	{Pattern: "uprobe.multi.s+", Type: Kprobe, Attach: AttachTraceUprobeMulti, Sleepable: true},
	{Pattern: "uretprobe.multi.s+", Type: Kprobe, Attach: AttachTraceUprobeMulti, Sleepable: true},
	{Pattern: "uprobe.session.s+", Type: Kprobe, Attach: AttachTraceUprobeSession, Sleepable: true, Ret: ret01},
	{Pattern: "ksyscall+", Type: Kprobe},
	{Pattern: "kretsyscall+", Type: Kprobe},
	{Pattern: "usdt+", Type: Kprobe},
	{Pattern: "usdt.s+", Type: Kprobe, Sleepable: true},
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
	{Pattern: "fmod_ret+", Type: Tracing, Attach: AttachModifyReturn},
	{Pattern: "fexit+", Type: Tracing, Attach: AttachTraceFexit, Ret: ret00},
	{Pattern: "fentry.s+", Type: Tracing, Attach: AttachTraceFentry, Sleepable: true, Ret: ret00},
	{Pattern: "fmod_ret.s+", Type: Tracing, Attach: AttachModifyReturn, Sleepable: true},
	{Pattern: "fexit.s+", Type: Tracing, Attach: AttachTraceFexit, Sleepable: true, Ret: ret00},
	{Pattern: "freplace+", Type: Ext},
	{Pattern: "lsm+", Type: LSM, Attach: AttachLSMMac},
	{Pattern: "lsm.s+", Type: LSM, Attach: AttachLSMMac, Sleepable: true},
	{Pattern: "lsm_cgroup+", Type: LSM, Attach: AttachLSMCgroup},
	{Pattern: "iter+", Type: Tracing, Attach: AttachTraceIter, Ret: ret01},
	{Pattern: "iter.s+", Type: Tracing, Attach: AttachTraceIter, Sleepable: true, Ret: ret01},
	{Pattern: "syscall", Type: Syscall, Sleepable: true},
	{Pattern: "xdp.frags/devmap", Type: XDP, Attach: AttachXDPDevmap, Frags: true},
	{Pattern: "xdp/devmap", Type: XDP, Attach: AttachXDPDevmap},
	{Pattern: "xdp.frags/cpumap", Type: XDP, Attach: AttachXDPCpumap, Frags: true},
	{Pattern: "xdp/cpumap", Type: XDP, Attach: AttachXDPCpumap},
	{Pattern: "xdp.frags", Type: XDP, Attach: AttachXDP, Frags: true},
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
	{Pattern: "cgroup_skb/egress", Type: CgroupSKB, Attach: AttachCgroupInetEgress, Ret: ret03},
	{Pattern: "cgroup/skb", Type: CgroupSKB},
	{Pattern: "cgroup/sock_create", Type: CgroupSock, Attach: AttachCgroupInetSockCreate},
	{Pattern: "cgroup/sock_release", Type: CgroupSock, Attach: AttachCgroupInetSockRelease},
	{Pattern: "cgroup/sock", Type: CgroupSock, Attach: AttachCgroupInetSockCreate},
	{Pattern: "cgroup/post_bind4", Type: CgroupSock, Attach: AttachCgroupInet4PostBind},
	{Pattern: "cgroup/post_bind6", Type: CgroupSock, Attach: AttachCgroupInet6PostBind},
	{Pattern: "cgroup/bind4", Type: CgroupSockAddr, Attach: AttachCgroupInet4Bind, Ret: ret03},
	{Pattern: "cgroup/bind6", Type: CgroupSockAddr, Attach: AttachCgroupInet6Bind, Ret: ret03},
	{Pattern: "cgroup/connect4", Type: CgroupSockAddr, Attach: AttachCgroupInet4Connect},
	{Pattern: "cgroup/connect6", Type: CgroupSockAddr, Attach: AttachCgroupInet6Connect},
	{Pattern: "cgroup/connect_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixConnect},
	{Pattern: "cgroup/sendmsg4", Type: CgroupSockAddr, Attach: AttachCgroupUDP4Sendmsg},
	{Pattern: "cgroup/sendmsg6", Type: CgroupSockAddr, Attach: AttachCgroupUDP6Sendmsg},
	{Pattern: "cgroup/sendmsg_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixSendmsg},
	{Pattern: "cgroup/recvmsg4", Type: CgroupSockAddr, Attach: AttachCgroupUDP4Recvmsg, Ret: retOne},
	{Pattern: "cgroup/recvmsg6", Type: CgroupSockAddr, Attach: AttachCgroupUDP6Recvmsg, Ret: retOne},
	{Pattern: "cgroup/recvmsg_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixRecvmsg, Ret: retOne},
	{Pattern: "cgroup/getpeername4", Type: CgroupSockAddr, Attach: AttachCgroupInet4Getpeername, Ret: retOne},
	{Pattern: "cgroup/getpeername6", Type: CgroupSockAddr, Attach: AttachCgroupInet6Getpeername, Ret: retOne},
	{Pattern: "cgroup/getpeername_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixGetpeername, Ret: retOne},
	{Pattern: "cgroup/getsockname4", Type: CgroupSockAddr, Attach: AttachCgroupInet4Getsockname, Ret: retOne},
	{Pattern: "cgroup/getsockname6", Type: CgroupSockAddr, Attach: AttachCgroupInet6Getsockname, Ret: retOne},
	{Pattern: "cgroup/getsockname_unix", Type: CgroupSockAddr, Attach: AttachCgroupUnixGetsockname, Ret: retOne},
	{Pattern: "cgroup/sysctl", Type: CgroupSysctl, Attach: AttachCgroupSysctl},
	{Pattern: "cgroup/getsockopt", Type: CgroupSockopt, Attach: AttachCgroupGetsockopt},
	{Pattern: "cgroup/setsockopt", Type: CgroupSockopt, Attach: AttachCgroupSetsockopt},
	{Pattern: "cgroup/dev", Type: CgroupDevice, Attach: AttachCgroupDevice},
	{Pattern: "struct_ops+", Type: StructOps, Attach: AttachStructOps},
	{Pattern: "struct_ops.s+", Type: StructOps, Attach: AttachStructOps, Sleepable: true},
	{Pattern: "sk_lookup", Type: SkLookup, Attach: AttachSkLookup},
	{Pattern: "netfilter", Type: Netfilter, Attach: AttachNetfilter},
}
