package prog

import "github.com/skepvm/skep/kver"

// Ctx fields of the types whose ctx is no packet, and of the sockets that ctx fields and helpers give.

const (
	ptRegsSize       = 168  // struct pt_regs of x86-64
	perfMaxTraceSize = 8192 // PERF_MAX_TRACE_SIZE
	maxFuncArgs      = 12   // MAX_BPF_FUNC_ARGS
)

// raw is a ctx without structure: [from, to) may be read in any aligned way.
func raw(name string, from, to int) []CtxField {
	return []CtxField{{Name: name, Off: from, Size: to - from, Unit: 8, Access: Read | Any}}
}

// writableTPFields are the arguments, of which the first is the buffer (kernel: raw_tp_writable_prog_is_valid_access).
var writableTPFields = append([]CtxField{{Name: "buffer", Size: 8, Unit: 8, Access: Read, Yields: TPBuffer}},
	CtxField{Name: "args", Off: 1, Size: 8*maxFuncArgs - 1, Unit: 1, Access: Read | Any})

// syscallFields is what user space passes, of any size (kernel: syscall_prog_is_valid_access).
var syscallFields = []CtxField{{Name: "args", Size: 65536, Unit: 8, Access: Read | Write | Any}}

var perfEventFields = []CtxField{
	{Name: "regs", Off: 0, Size: ptRegsSize, Unit: 8, Access: Read},
	{Name: "sample_period", Off: ptRegsSize, Size: 8, Unit: 8, Access: Read | Narrow},
	{Name: "addr", Off: ptRegsSize + 8, Size: 8, Unit: 8, Access: Read | Narrow, Since: kver.V(4, 16)},
}

// Struct is a kernel structure that programs reach through a pointer and whose fields the verifier checks as it
// does those of a ctx.
type Struct struct {
	Name   string
	Size   int
	Fields []CtxField
}

// Access is TypeRow.Access for a structure; they do not depend on the attach type.
func (s *Struct) Access(off, size int, write bool, k kver.Version) (*CtxField, bool) {
	return access(s.Fields, off, size, write, 0, k)
}

var (
	// SockStruct is struct bpf_sock behind a full socket (bpf_sock_is_valid_access). Its fields are read-only.
	SockStruct = Struct{Name: "bpf_sock", Size: 80, Fields: sockFields}
	// SockCommonStruct is the same behind a sock_common (bpf_sock_common_is_valid_access).
	SockCommonStruct = Struct{Name: "bpf_sock", Size: 80,
		Fields: derive(sockFields, "type protocol mark priority", "")}
	// TCPSockStruct is struct bpf_tcp_sock (bpf_tcp_sock_is_valid_access).
	TCPSockStruct = Struct{Name: "bpf_tcp_sock", Size: 112, Fields: tcpSockFields}
	// XDPSockStruct is struct bpf_xdp_sock: what a lookup in an xskmap gives.
	XDPSockStruct = Struct{Name: "bpf_xdp_sock", Size: 4, Fields: list(Read, "queue_id 0")}
	// FlowKeysStruct is struct bpf_flow_keys, which a flow dissector fills.
	FlowKeysStruct = Struct{Name: "bpf_flow_keys", Size: 56,
		Fields: []CtxField{{Name: "keys", Size: 56, Unit: 8, Access: Read | Write | Any}}}
)

// list makes 4-byte fields of "name offset" pairs.
func list(acc Access, pairs ...string) []CtxField {
	var out []CtxField
	for _, p := range pairs {
		name, off := splitPair(p)
		out = append(out, CtxField{Name: name, Off: off, Size: 4, Unit: 4, Access: acc})
	}
	return out
}

// splitPair reads "name 12". The lists are constants of this package.
func splitPair(p string) (name string, off int) {
	for i := range len(p) {
		switch c := p[i]; {
		case c >= '0' && c <= '9' && name != "":
			off = off*10 + int(c-'0')
		case c == ' ':
			name = p[:i]
		}
	}
	return name, off
}

var sockFields = append(list(Read, "bound_dev_if 0", "mark 16", "priority 20"),
	append(list(Read|First, "family 4", "type 8", "protocol 12", "src_port 44", "state 72", "rx_queue_mapping 76"),
		CtxField{Name: "src_ip4", Off: 24, Size: 4, Unit: 4, Access: Read | Narrow},
		CtxField{Name: "dst_ip4", Off: 52, Size: 4, Unit: 4, Access: Read | Narrow},
		CtxField{Name: "src_ip6", Off: 28, Size: 16, Unit: 4, Access: Read | Narrow},
		CtxField{Name: "dst_ip6", Off: 56, Size: 16, Unit: 4, Access: Read | Narrow},
		// 2 bytes now, 4 in old headers: the upper half cannot be read alone.
		CtxField{Name: "dst_port", Off: 48, Size: 4, Unit: 4, Access: Read},
		CtxField{Name: "dst_port", Off: 48, Size: 2, Unit: 2, Access: Read | Narrow})...)

var tcpSockFields = append(list(Read, "snd_cwnd 0", "srtt_us 4", "rtt_min 8", "snd_ssthresh 12", "rcv_nxt 16", "snd_nxt 20",
	"snd_una 24", "mss_cache 28", "ecn_flags 32", "rate_delivered 36", "rate_interval_us 40", "packets_out 44",
	"retrans_out 48", "total_retrans 52", "segs_in 56", "data_segs_in 60", "segs_out 64", "data_segs_out 68",
	"lost_out 72", "sacked_out 76", "dsack_dups 96", "delivered 100", "delivered_ce 104", "icsk_retransmits 108"),
	CtxField{Name: "bytes_received", Off: 80, Size: 8, Unit: 8, Access: Read},
	CtxField{Name: "bytes_acked", Off: 88, Size: 8, Unit: 8, Access: Read})

// Attach types of cgroup hooks.
var (
	atSock  = []Attach{AttachCgroupInetSockCreate, AttachCgroupInetSockRelease}
	atBind4 = []Attach{AttachCgroupInet4PostBind}
	atBind6 = []Attach{AttachCgroupInet6PostBind}
	atBind  = []Attach{AttachCgroupInet4PostBind, AttachCgroupInet6PostBind}
	atInet4 = []Attach{AttachCgroupInet4Bind, AttachCgroupInet4Connect, AttachCgroupInet4Getpeername,
		AttachCgroupInet4Getsockname, AttachCgroupUDP4Sendmsg, AttachCgroupUDP4Recvmsg}
	atInet6 = []Attach{AttachCgroupInet6Bind, AttachCgroupInet6Connect, AttachCgroupInet6Getpeername,
		AttachCgroupInet6Getsockname, AttachCgroupUDP6Sendmsg, AttachCgroupUDP6Recvmsg}
	atSend4  = []Attach{AttachCgroupUDP4Sendmsg}
	atSend6  = []Attach{AttachCgroupUDP6Sendmsg}
	atGetopt = []Attach{AttachCgroupGetsockopt}
	atSetopt = []Attach{AttachCgroupSetsockopt}
)

// cgroupSockFields is struct bpf_sock as a ctx (sock_filter_is_valid_access).
var cgroupSockFields = func() []CtxField {
	f := derive(sockFields, "", "bound_dev_if mark priority")
	for i := range f {
		switch f[i].Name {
		case "bound_dev_if", "mark", "priority":
			f[i].Only = atSock
		case "src_ip4":
			f[i].Only = atBind4
		case "src_ip6":
			f[i].Only = atBind6
		case "src_port":
			f[i].Only = atBind
		case "dst_ip4", "dst_ip6", "dst_port", "state":
			f[i].Since = kver.V(5, 1)
		case "rx_queue_mapping":
			f[i].Since = kver.V(5, 8)
		}
	}
	return f
}()

var sockAddrFields = append(list(Read, "user_family 0", "family 28", "type 32", "protocol 36"),
	CtxField{Name: "user_ip4", Off: 4, Size: 4, Unit: 4, Access: Read | Write | Narrow, Only: atInet4},
	CtxField{Name: "user_ip6", Off: 8, Size: 16, Unit: 4, Access: Read | Write | Narrow | Wide, Only: atInet6},
	CtxField{Name: "user_port", Off: 24, Size: 4, Unit: 4, Access: Read | Write | Narrow},
	CtxField{Name: "msg_src_ip4", Off: 40, Size: 4, Unit: 4, Access: Read | Write | Narrow, Only: atSend4},
	CtxField{Name: "msg_src_ip6", Off: 44, Size: 16, Unit: 4, Access: Read | Write | Narrow | Wide, Only: atSend6},
	CtxField{Name: "sk", Off: 64, Size: 8, Unit: 8, Access: Read, Yields: Sock, Since: kver.V(5, 3)})

var sockOpsFields = append(list(Read, "op 0", "family 20", "remote_ip4 24", "local_ip4 28", "remote_port 64", "local_port 68",
	"is_fullsock 72", "snd_cwnd 76", "srtt_us 80", "bpf_sock_ops_cb_flags 84", "state 88", "rtt_min 92", "snd_ssthresh 96",
	"rcv_nxt 100", "snd_nxt 104", "snd_una 108", "mss_cache 112", "ecn_flags 116", "rate_delivered 120",
	"rate_interval_us 124", "packets_out 128", "retrans_out 132", "total_retrans 136", "segs_in 140", "data_segs_in 144",
	"segs_out 148", "data_segs_out 152", "lost_out 156", "sacked_out 160", "skb_len 208"),
	CtxField{Name: "reply", Off: 4, Size: 4, Unit: 4, Access: Read | Write},
	CtxField{Name: "args", Off: 4, Size: 16, Unit: 4, Access: Read},
	CtxField{Name: "remote_ip6", Off: 32, Size: 16, Unit: 4, Access: Read},
	CtxField{Name: "local_ip6", Off: 48, Size: 16, Unit: 4, Access: Read},
	CtxField{Name: "sk_txhash", Off: 164, Size: 4, Unit: 4, Access: Read | Write},
	CtxField{Name: "bytes_received", Off: 168, Size: 8, Unit: 8, Access: Read},
	CtxField{Name: "bytes_acked", Off: 176, Size: 8, Unit: 8, Access: Read},
	CtxField{Name: "sk", Off: 184, Size: 8, Unit: 8, Access: Read, Yields: SockOrNull, Since: kver.V(5, 3)},
	CtxField{Name: "skb_data", Off: 192, Size: 8, Unit: 8, Access: Read, Yields: PktData, Since: kver.V(5, 10)},
	CtxField{Name: "skb_data_end", Off: 200, Size: 8, Unit: 8, Access: Read, Yields: PktEnd, Since: kver.V(5, 10)},
	CtxField{Name: "skb_tcp_flags", Off: 212, Size: 4, Unit: 4, Access: Read | First, Since: kver.V(5, 10)},
	CtxField{Name: "skb_hwtstamp", Off: 216, Size: 8, Unit: 8, Access: Read, Since: kver.V(6, 2)})

var skMsgFields = append(list(Read, "family 16", "remote_ip4 20", "local_ip4 24", "remote_port 60", "local_port 64", "size 68"),
	CtxField{Name: "data", Off: 0, Size: 8, Unit: 8, Access: Read, Yields: PktData},
	CtxField{Name: "data_end", Off: 8, Size: 8, Unit: 8, Access: Read, Yields: PktEnd},
	CtxField{Name: "remote_ip6", Off: 28, Size: 16, Unit: 4, Access: Read},
	CtxField{Name: "local_ip6", Off: 44, Size: 16, Unit: 4, Access: Read},
	CtxField{Name: "sk", Off: 72, Size: 8, Unit: 8, Access: Read, Yields: Sock, Since: kver.V(5, 8)})

var skReuseportFields = append(list(Read|Narrow, "len 16", "ip_protocol 24", "bind_inany 28"),
	CtxField{Name: "data", Off: 0, Size: 8, Unit: 8, Access: Read, Yields: PktData},
	CtxField{Name: "data_end", Off: 8, Size: 8, Unit: 8, Access: Read, Yields: PktEnd},
	CtxField{Name: "eth_protocol", Off: 20, Size: 4, Unit: 4, Access: Read | Half},
	CtxField{Name: "hash", Off: 32, Size: 4, Unit: 4, Access: Read},
	CtxField{Name: "sk", Off: 40, Size: 8, Unit: 8, Access: Read, Yields: Sock, Since: kver.V(5, 14)},
	CtxField{Name: "migrating_sk", Off: 48, Size: 8, Unit: 8, Access: Read, Yields: SockCommonOrNull, Since: kver.V(5, 14)})

var sockoptFields = []CtxField{
	{Name: "sk", Off: 0, Size: 8, Unit: 8, Access: Read, Yields: Sock},
	{Name: "optval", Off: 8, Size: 8, Unit: 8, Access: Read, Yields: PktData},
	{Name: "optval_end", Off: 16, Size: 8, Unit: 8, Access: Read, Yields: PktEnd},
	{Name: "level", Off: 24, Size: 4, Unit: 4, Access: Read | Write, OnlyWrite: atSetopt},
	{Name: "optname", Off: 28, Size: 4, Unit: 4, Access: Read | Write, OnlyWrite: atSetopt},
	{Name: "optlen", Off: 32, Size: 4, Unit: 4, Access: Read | Write},
	{Name: "retval", Off: 36, Size: 4, Unit: 4, Access: Read | Write, Only: atGetopt},
}

var skLookupFields = append(list(Read|Narrow, "family 8", "protocol 12", "remote_ip4 16", "remote_port 36", "local_ip4 40",
	"local_port 60"),
	CtxField{Name: "sk", Off: 0, Size: 8, Unit: 8, Access: Read, Yields: SockOrNull},
	CtxField{Name: "remote_ip6", Off: 20, Size: 16, Unit: 4, Access: Read | Narrow},
	CtxField{Name: "local_ip6", Off: 44, Size: 16, Unit: 4, Access: Read | Narrow},
	CtxField{Name: "ingress_ifindex", Off: 64, Size: 4, Unit: 4, Access: Read | Narrow, Since: kver.V(5, 17)})

var (
	cgroupDevFields = append(list(Read|Narrow, "access_type 0"), list(Read, "major 4", "minor 8")...)
	sysctlFields    = append(list(Read|Narrow, "write 0"), list(Read|Write|Narrow, "file_pos 4")...)
	netfilterFields = []CtxField{
		{Name: "state", Off: 0, Size: 8, Unit: 8, Access: Read, Yields: TrustedBTF, BTF: "nf_hook_state"},
		{Name: "skb", Off: 8, Size: 8, Unit: 8, Access: Read, Yields: TrustedBTF, BTF: "sk_buff"},
	}
)
