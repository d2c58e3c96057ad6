package prog

import (
	"strings"

	"github.com/skepvm/skep/kver"
)

// Field lists that several types share. Access is what the least restricted type may do; rows deny from it.
var (
	xdpFields = []CtxField{
		{Name: "data", Off: 0, Size: 4, Access: Read, Yields: PktData},
		{Name: "data_end", Off: 4, Size: 4, Access: Read, Yields: PktEnd},
		{Name: "data_meta", Off: 8, Size: 4, Access: Read, Yields: PktMeta, Since: kver.V(4, 15)},
		{Name: "ingress_ifindex", Off: 12, Size: 4, Access: Read, Since: kver.V(4, 16)},
		{Name: "rx_queue_index", Off: 16, Size: 4, Access: Read, Since: kver.V(4, 16)},
		{Name: "egress_ifindex", Off: 20, Size: 4, Access: Read, Since: kver.V(5, 8), Only: []Attach{AttachXDPDevmap}},
	}

	// skbFields is struct __sk_buff (kernel: bpf_skb_is_valid_access). Stores are given by each row.
	skbFields = []CtxField{
		{Name: "len", Off: 0, Size: 4, Access: Read | Narrow},
		{Name: "pkt_type", Off: 4, Size: 4, Access: Read | Narrow},
		{Name: "mark", Off: 8, Size: 4, Access: Read | Narrow},
		{Name: "queue_mapping", Off: 12, Size: 4, Access: Read | Narrow},
		{Name: "protocol", Off: 16, Size: 4, Access: Read | Narrow},
		{Name: "vlan_present", Off: 20, Size: 4, Access: Read | Narrow},
		{Name: "vlan_tci", Off: 24, Size: 4, Access: Read | Narrow},
		{Name: "vlan_proto", Off: 28, Size: 4, Access: Read | Narrow},
		{Name: "priority", Off: 32, Size: 4, Access: Read | Narrow},
		{Name: "ingress_ifindex", Off: 36, Size: 4, Access: Read | Narrow},
		{Name: "ifindex", Off: 40, Size: 4, Access: Read | Narrow},
		{Name: "tc_index", Off: 44, Size: 4, Access: Read | Narrow},
		{Name: "cb", Off: 48, Size: 20, Unit: 4, Access: Read | Any},
		{Name: "hash", Off: 68, Size: 4, Access: Read | Narrow, Since: kver.V(4, 3)},
		{Name: "tc_classid", Off: 72, Size: 4, Access: Read | Narrow, Since: kver.V(4, 3)},
		{Name: "data", Off: 76, Size: 4, Access: Read, Yields: PktData, Since: kver.V(4, 7)},
		{Name: "data_end", Off: 80, Size: 4, Access: Read, Yields: PktEnd, Since: kver.V(4, 7)},
		{Name: "napi_id", Off: 84, Size: 4, Access: Read | Narrow, Since: kver.V(4, 12)},
		{Name: "family", Off: 88, Size: 4, Access: Read | Narrow, Since: kver.V(4, 14)},
		{Name: "remote_ip4", Off: 92, Size: 4, Access: Read, Since: kver.V(4, 14)},
		{Name: "local_ip4", Off: 96, Size: 4, Access: Read, Since: kver.V(4, 14)},
		{Name: "remote_ip6", Off: 100, Size: 16, Unit: 4, Access: Read, Since: kver.V(4, 14)},
		{Name: "local_ip6", Off: 116, Size: 16, Unit: 4, Access: Read, Since: kver.V(4, 14)},
		{Name: "remote_port", Off: 132, Size: 4, Access: Read | Narrow, Since: kver.V(4, 14)},
		{Name: "local_port", Off: 136, Size: 4, Access: Read | Narrow, Since: kver.V(4, 14)},
		{Name: "data_meta", Off: 140, Size: 4, Access: Read, Yields: PktMeta, Since: kver.V(4, 15)},
		{Name: "flow_keys", Off: 144, Size: 8, Yields: FlowKeys, Since: kver.V(4, 20)},
		{Name: "tstamp", Off: 152, Size: 8, Access: Read, Since: kver.V(5, 0)},
		{Name: "wire_len", Off: 160, Size: 4, Access: Read | Narrow, Since: kver.V(5, 0)},
		{Name: "gso_segs", Off: 164, Size: 4, Access: Read | Narrow, Since: kver.V(5, 1)},
		{Name: "sk", Off: 168, Size: 8, Access: Read, Yields: SockCommonOrNull, Since: kver.V(5, 1)},
		{Name: "gso_size", Off: 176, Size: 4, Access: Read | Narrow, Since: kver.V(5, 7)},
		{Name: "tstamp_type", Off: 180, Size: 1, Since: kver.V(5, 18)},
		{Name: "hwtstamp", Off: 184, Size: 8, Access: Read, Since: kver.V(5, 16)},
	}
)

// skb derives the __sk_buff of a program type from the common one: the fields in deny are forbidden, those in
// write may be stored to as well.
func skb(deny, write string) []CtxField { return derive(skbFields, deny, write) }

func derive(base []CtxField, deny, write string) []CtxField {
	out := append([]CtxField(nil), base...)
	for i := range out {
		f := &out[i]
		if f.Unit == 0 {
			f.Unit = f.Size
		}
		if listed(deny, f.Name) {
			f.Access = 0
		}
		if listed(write, f.Name) {
			f.Access |= Write
		}
	}
	return out
}

// listed reports whether list, words between blanks, has name.
func listed(list, name string) bool {
	for _, w := range strings.Fields(list) {
		if w == name {
			return true
		}
	}
	return false
}

// only keeps the named fields of base and gives them the access acc.
func only(base []CtxField, names string, acc Access) []CtxField {
	var out []CtxField
	for _, f := range derive(base, "", "") {
		if listed(names, f.Name) {
			f.Access = acc
			out = append(out, f)
		}
	}
	return out
}

// cgroupPackets is the release in which cgroup_skb programs were allowed what tc programs are; before, they were like socket
// filters (kernel: cg_skb_is_valid_access).
var cgroupPackets = kver.V(4, 20)

// sockTuple is the range family..local_port of struct __sk_buff, which only types with a socket at hand may read.
const sockTuple = "family remote_ip4 local_ip4 remote_ip6 local_ip6 remote_port local_port"

var (
	tcFields = func() []CtxField {
		f := skb(sockTuple, "mark tc_index priority cb tc_classid tstamp queue_mapping")
		for i := range f {
			switch f[i].Name {
			case "tstamp_type":
				f[i].Access = Read
			case "queue_mapping":
				f[i].SinceWrite = kver.V(5, 1)
			}
		}
		return f
	}()
	cgroupSKBFields = func() []CtxField {
		f := skb("tc_classid data_meta wire_len", "mark priority cb tstamp")
		for i := range f {
			switch f[i].Name {
			case "data", "data_end":
				f[i].NeedsBPF = Read
				f[i].Since = cgroupPackets
			case "tstamp":
				f[i].NeedsBPF = Write
			case "mark", "priority":
				f[i].SinceWrite = cgroupPackets
			}
			if listed(sockTuple, f[i].Name) {
				f[i].Since = cgroupPackets
			}
		}
		return f
	}()
	lwtFields = skb(sockTuple+" tc_classid data_meta tstamp wire_len hwtstamp", "mark priority cb")

	xdpVerdicts = []Verdict{{0, "XDP_ABORTED"}, {1, "XDP_DROP"}, {2, "XDP_PASS"}, {3, "XDP_TX"}, {4, "XDP_REDIRECT"}}
	tcVerdicts  = []Verdict{{-1, "TC_ACT_UNSPEC"}, {0, "TC_ACT_OK"}, {1, "TC_ACT_RECLASSIFY"}, {2, "TC_ACT_SHOT"},
		{3, "TC_ACT_PIPE"}, {4, "TC_ACT_STOLEN"}, {5, "TC_ACT_QUEUED"}, {6, "TC_ACT_REPEAT"}, {7, "TC_ACT_REDIRECT"},
		{8, "TC_ACT_TRAP"}}
	lwtVerdicts  = []Verdict{{0, "BPF_OK"}, {2, "BPF_DROP"}, {7, "BPF_REDIRECT"}, {128, "BPF_LWT_REROUTE"}}
	skVerdicts   = []Verdict{{0, "SK_DROP"}, {1, "SK_PASS"}}
	allowVerdict = []Verdict{{0, "DENY"}, {1, "ALLOW"}}
	// Of the second bit bind hooks make that no privilege is needed for a low port (BPF_RET_BIND_NO_CAP_NET_BIND_SERVICE).
	addrVerdicts = []Verdict{{0, "DENY"}, {1, "ALLOW"}, {2, "DENY_NO_CAP"}, {3, "ALLOW_NO_CAP"}}
	// With 1 the reply counts, else it is -1 (tcp_call_bpf).
	opsVerdicts = []Verdict{{0, "NO_REPLY"}, {1, "REPLY"}}
)

// What loaders of most types need (kernel: is_net_admin_prog_type, is_perfmon_prog_type).
const (
	netCaps  = CapBPF | CapNetAdmin
	perfCaps = CapBPF | CapPerfmon
)

// Types is the table of program types, indexed by Type.
var Types = [NumTypes]TypeRow{
	{Type: Unspec, Name: "unspec"},
	{Type: SocketFilter, Name: "socket_filter", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true,
		Fields:   skb(sockTuple+" tc_classid data data_end data_meta tstamp wire_len hwtstamp", "cb"),
		Verdicts: []Verdict{{0, "DROP"}}, Since: kver.V(3, 19)},
	{Type: Kprobe, Name: "kprobe", CtxName: "pt_regs", CtxSize: ptRegsSize, Fields: raw("regs", 0, ptRegsSize),
		Since: kver.V(4, 1), Needs: perfCaps},
	{Type: SchedCLS, Name: "sched_cls", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true,
		PktRead: true, PktWrite: true, Fields: tcFields, Verdicts: tcVerdicts, Since: kver.V(4, 1), Needs: netCaps},
	{Type: SchedACT, Name: "sched_act", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true,
		PktRead: true, PktWrite: true, Fields: tcFields, Verdicts: tcVerdicts, Since: kver.V(4, 1), Needs: netCaps},
	{Type: Tracepoint, Name: "tracepoint", Fields: raw("args", 8, perfMaxTraceSize), Since: kver.V(4, 7), Needs: perfCaps},
	{Type: XDP, Name: "xdp", CtxName: "xdp_md", CtxSize: 24, Packet: true, Supported: true, PktRead: true, PktWrite: true,
		Fields: derive(xdpFields, "", ""), Hidden: xdpHidden, Verdicts: xdpVerdicts, Since: kver.V(4, 8), Needs: netCaps},
	{Type: PerfEvent, Name: "perf_event", CtxName: "bpf_perf_event_data",
		CtxSize: ptRegsSize + 16, Fields: perfEventFields, Since: kver.V(4, 9), Needs: perfCaps},
	{Type: CgroupSKB, Name: "cgroup_skb", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true, PktRead: true,
		Fields:   cgroupSKBFields,
		Verdicts: []Verdict{{0, "DROP"}, {1, "PASS"}, {2, "DROP_CN"}, {3, "PASS_CN"}}, Ret: ret01, Since: kver.V(4, 10)},
	{Type: CgroupSock, Name: "cgroup_sock", CtxName: "bpf_sock", CtxSize: 80, Fields: cgroupSockFields,
		Verdicts: allowVerdict, Ret: ret01, Since: kver.V(4, 10), Needs: netCaps, Supported: true, Hidden: hide("retval 80")},
	{Type: LWTIn, Name: "lwt_in", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true, PktRead: true,
		Fields: lwtFields, Verdicts: lwtVerdicts, Since: kver.V(4, 10), Needs: netCaps},
	{Type: LWTOut, Name: "lwt_out", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true, PktRead: true,
		Fields: lwtFields, Verdicts: lwtVerdicts, Since: kver.V(4, 10), Needs: netCaps},
	{Type: LWTXmit, Name: "lwt_xmit", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true, PktRead: true,
		PktWrite: true, Fields: lwtFields, Verdicts: lwtVerdicts, Since: kver.V(4, 10), Needs: netCaps},
	{Type: SockOps, Name: "sock_ops", CtxName: "bpf_sock_ops", CtxSize: 224, Fields: sockOpsFields, PktRead: true,
		Verdicts: opsVerdicts, Ret: ret01, Since: kver.V(4, 13), Needs: netCaps, Supported: true, Hidden: sockOpsHidden},
	{Type: SkSKB, Name: "sk_skb", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true, PktRead: true,
		PktWrite: true, Fields: skb("tc_classid data_meta tstamp wire_len hwtstamp mark", "tc_index priority"),
		Verdicts: skVerdicts, Since: kver.V(4, 14), Needs: netCaps},
	{Type: CgroupDevice, Name: "cgroup_device", CtxName: "bpf_cgroup_dev_ctx", CtxSize: 12, Fields: cgroupDevFields,
		Verdicts: allowVerdict, Ret: ret01, Since: kver.V(4, 15), Needs: netCaps, Supported: true, Hidden: hide("retval 16")},
	{Type: SkMsg, Name: "sk_msg", CtxName: "sk_msg_md", CtxSize: 80, Fields: skMsgFields, Verdicts: skVerdicts,
		PktRead: true, PktWrite: true, Since: kver.V(4, 17), Needs: netCaps, Supported: true, Hidden: msgHidden},
	{Type: RawTracepoint, Name: "raw_tracepoint", CtxName: "bpf_raw_tracepoint_args",
		Fields: raw("args", 0, 8*maxFuncArgs), Since: kver.V(4, 17), Needs: perfCaps},
	{Type: CgroupSockAddr, Name: "cgroup_sock_addr", CtxName: "bpf_sock_addr", CtxSize: 72, Fields: sockAddrFields,
		Verdicts: addrVerdicts, Ret: ret01, Since: kver.V(4, 17), Needs: netCaps, Supported: true, Hidden: sockAddrHidden},
	{Type: LWTSeg6Local, Name: "lwt_seg6local", CtxName: "__sk_buff", CtxSize: 192, Packet: true, Supported: true,
		PktRead: true, Fields: lwtFields, Verdicts: lwtVerdicts, Since: kver.V(4, 18), Needs: netCaps},
	{Type: LircMode2, Name: "lirc_mode2", CtxName: "u32", CtxSize: 4, Since: kver.V(4, 18), Needs: netCaps},
	{Type: SkReuseport, Name: "sk_reuseport", CtxName: "sk_reuseport_md", CtxSize: 56, Fields: skReuseportFields,
		Verdicts: skVerdicts, PktRead: true, Since: kver.V(4, 19), Needs: CapBPF, Supported: true, Hidden: reuseportHidden},
	{Type: FlowDissector, Name: "flow_dissector", CtxName: "__sk_buff", CtxSize: 192, Packet: true, PktRead: true,
		Fields:   only(skbFields, "data data_end flow_keys", Read),
		Verdicts: []Verdict{{0, "BPF_OK"}, {2, "BPF_DROP"}, {129, "BPF_FLOW_DISSECTOR_CONTINUE"}}, Since: kver.V(4, 20),
		Needs: netCaps, Supported: true, Hidden: flowKeysHidden},
	{Type: CgroupSysctl, Name: "cgroup_sysctl", CtxName: "bpf_sysctl", CtxSize: 8, Fields: sysctlFields,
		Verdicts: allowVerdict, Ret: ret01, Since: kver.V(5, 2), Needs: netCaps, Supported: true, Hidden: sysctlHidden},
	{Type: RawTracepointWritable, Name: "raw_tracepoint_writable", CtxName: "bpf_raw_tracepoint_args",
		Fields: writableTPFields, Since: kver.V(5, 2), Needs: perfCaps},
	{Type: CgroupSockopt, Name: "cgroup_sockopt", CtxName: "bpf_sockopt", CtxSize: 40, Fields: sockoptFields, PktRead: true,
		PktWrite: true, Verdicts: allowVerdict, Ret: ret01, Since: kver.V(5, 3), Needs: netCaps, Supported: true},
	{Type: Tracing, Name: "tracing", Since: kver.V(5, 5), Needs: perfCaps},
	{Type: StructOps, Name: "struct_ops", Since: kver.V(5, 6), Needs: perfCaps},
	{Type: Ext, Name: "ext", Since: kver.V(5, 6), Needs: netCaps | perfCaps},
	{Type: LSM, Name: "lsm", Since: kver.V(5, 7), Needs: perfCaps},
	{Type: SkLookup, Name: "sk_lookup", CtxName: "bpf_sk_lookup", CtxSize: 72, Fields: skLookupFields,
		Verdicts: skVerdicts, Ret: ret01, Since: kver.V(5, 9), Needs: CapBPF, Supported: true},
	{Type: Syscall, Name: "syscall", Fields: syscallFields, Since: kver.V(5, 14), Needs: CapBPF, Supported: true},
	{Type: Netfilter, Name: "netfilter", CtxName: "bpf_nf_ctx", CtxSize: 16, Fields: netfilterFields,
		Verdicts: []Verdict{{0, "NF_DROP"}, {1, "NF_ACCEPT"}}, Ret: ret01, Since: kver.V(6, 4), Needs: netCaps, Supported: true,
		Hidden: netfilterHidden},
}

// classicFields is what a classic filter can ask about a packet: data and lengths, then the ancillary loads of Linux
// (SKF_AD_…), which give numbers in host order. It has no helper but bpf_get_prandom_u32.
var classicFields = derive([]CtxField{
	{Name: "data", Off: ClassicData, Size: 4, Access: Read, Yields: PktData},
	{Name: "data_end", Off: ClassicDataEnd, Size: 4, Access: Read, Yields: PktEnd},
	{Name: "wire_len", Off: ClassicWireLen, Size: 4, Access: Read},
	{Name: "net_off", Off: ClassicNetOff, Size: 4, Access: Read}, // distance of the network header from data
	{Name: "protocol", Off: 16, Size: 4, Access: Read},
	{Name: "pkt_type", Off: 20, Size: 4, Access: Read},
	{Name: "ifindex", Off: 24, Size: 4, Access: Read},
	{Name: "mark", Off: 28, Size: 4, Access: Read},
	{Name: "queue", Off: 32, Size: 4, Access: Read},
	{Name: "hatype", Off: 36, Size: 4, Access: Read},
	{Name: "hash", Off: 40, Size: 4, Access: Read},
	{Name: "cpu", Off: 44, Size: 4, Access: Read},
	{Name: "vlan_tci", Off: 48, Size: 4, Access: Read},
	{Name: "vlan_present", Off: 52, Size: 4, Access: Read},
	{Name: "pay_offset", Off: 56, Size: 4, Access: Read},
	{Name: "vlan_proto", Off: 60, Size: 4, Access: Read},
}, "", "")

// ownTypes are the rows of the types that no kernel has, from Classic on.
var ownTypes = [endOwn - Classic]TypeRow{
	{Type: Classic, Name: "classic", CtxName: "classic_md", CtxSize: 64, Packet: true, Supported: true, PktRead: true,
		Fields: classicFields, Verdicts: []Verdict{{0, "DROP"}}},
	// struct seccomp_data: the number, the architecture, the instruction pointer and six arguments, as words of 4 bytes.
	{Type: Seccomp, Name: "seccomp", CtxName: "seccomp_data", CtxSize: 64,
		Fields: []CtxField{{Name: "word", Size: 64, Unit: 4, Access: Read}}},
	{Type: Own, Name: "own"},
}
