/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What the programs of the corpus need beyond the examples' header: contexts, structures that helpers take, helpers and a
 * few shapes of code that most datapaths share. Layouts and numbers are the kernel's ABI.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include "../../examples/skep_bpf.h"

LICENSE("GPL");

typedef signed char s8;
typedef signed short s16;

#define UNUSED __attribute__((unused))
#define UNROLL _Pragma("clang loop unroll(full)")
#define NO_UNROLL _Pragma("clang loop unroll(disable)")
#define BARRIER() asm volatile("" ::: "memory")

enum { MAP_PERCPU_CGROUP_STORAGE = 21, MAP_STACK_TRACE = 7, MAP_CGROUP_ARRAY = 8, MAP_LRU_PERCPU_HASH = 10, MAP_SOCKMAP = 15,
       MAP_CPUMAP = 16, MAP_XSKMAP = 17, MAP_SOCKHASH = 18, MAP_CGROUP_STORAGE = 19, MAP_REUSEPORT = 20, MAP_QUEUE = 22, MAP_STACK = 23,
       MAP_SK_STORAGE = 24, MAP_DEVMAP_HASH = 25, MAP_BLOOM = 30 };
enum { NO_PREALLOC = 1 };
enum { SK_DROP, SK_PASS };
enum { AF_INET = 2, AF_INET6 = 10 };

/* A map with sizes. */
#define MAP(name, kind, key_type, value_type, entries) \
	struct {                                       \
		UINT(type, kind);                      \
		TYPE(key, key_type);                   \
		TYPE(value, value_type);               \
		UINT(max_entries, entries);            \
	} name SEC(".maps")
/* A map of 32-bit numbers of objects of the kernel. */
#define FD_MAP(name, kind, entries)          \
	struct {                             \
		UINT(type, kind);            \
		UINT(key_size, 4);           \
		UINT(value_size, 4);         \
		UINT(max_entries, entries);  \
	} name SEC(".maps")
#define RINGBUF(name, bytes)                \
	struct {                            \
		UINT(type, MAP_RINGBUF);    \
		UINT(max_entries, bytes);   \
	} name SEC(".maps")

struct bpf_spin_lock { u32 val; };

/* ---- contexts ---- */

struct sk_buff_md { /* the whole of struct __sk_buff */
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex, ifindex,
		tc_index, cb[5], hash, tc_classid, data, data_end, napi_id, family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4],
		remote_port, local_port, data_meta;
	union { struct bpf_flow_keys *flow_keys; u64 pad0; };
	u64 tstamp;
	u32 wire_len, gso_segs;
	union { struct bpf_sock *sk; u64 pad1; };
	u32 gso_size;
	u8 tstamp_type;
	u8 pad2[3];
	u64 hwtstamp;
};

struct bpf_flow_keys {
	u16 nhoff, thoff, addr_proto;
	u8 is_frag, is_first_frag, is_encap, ip_proto;
	be16 n_proto, sport, dport;
	union {
		struct { be32 ipv4_src, ipv4_dst; };
		struct { u32 ipv6_src[4], ipv6_dst[4]; };
	};
	u32 flags;
	be32 flow_label;
};

struct bpf_sock {
	u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port;
	be16 dst_port;
	u16 pad;
	u32 dst_ip4, dst_ip6[4], state;
	s32 rx_queue_mapping;
};

struct bpf_tcp_sock { u32 snd_cwnd, srtt_us, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una, mss_cache; };

struct bpf_sock_tuple {
	union {
		struct { be32 saddr, daddr; be16 sport, dport; } ipv4;
		struct { be32 saddr[4], daddr[4]; be16 sport, dport; } ipv6;
	};
};

struct sock_addr_md {
	u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
	union { struct bpf_sock *sk; u64 pad; };
};

struct sock_ops_md {
	u32 op;
	union { u32 args[4], reply, replylong[4]; };
	u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, is_fullsock, snd_cwnd, srtt_us, cb_flags,
		state, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una, mss_cache, ecn_flags, rate_delivered, rate_interval_us,
		packets_out, retrans_out, total_retrans, segs_in, data_segs_in, segs_out, data_segs_out, lost_out, sacked_out, sk_txhash;
	u64 bytes_received, bytes_acked;
	union { struct bpf_sock *sk; u64 pad0; };
	union { void *skb_data; u64 pad1; };
	union { void *skb_data_end; u64 pad2; };
	u32 skb_len, skb_tcp_flags;
	u64 skb_hwtstamp;
};

struct sk_msg_md {
	union { void *data; u64 pad0; };
	union { void *data_end; u64 pad1; };
	u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, size;
	union { struct bpf_sock *sk; u64 pad2; };
};

struct sk_lookup_md {
	union { struct bpf_sock *sk; u64 cookie; };
	u32 family, protocol, remote_ip4, remote_ip6[4];
	be16 remote_port;
	u16 pad;
	u32 local_ip4, local_ip6[4], local_port, ingress_ifindex;
};

struct reuseport_md {
	union { void *data; u64 pad0; };
	union { void *data_end; u64 pad1; };
	u32 len, eth_protocol, ip_protocol, bind_inany, hash;
	u32 pad2;
	union { struct bpf_sock *sk; u64 pad3; };
	union { struct bpf_sock *migrating_sk; u64 pad4; };
};

struct cgroup_sock_md { u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port; };
struct cgroup_dev_md { u32 access_type, major, minor; };
struct sysctl_md { u32 write, file_pos; };
struct sockopt_md {
	union { struct bpf_sock *sk; u64 pad0; };
	union { void *optval; u64 pad1; };
	union { void *optval_end; u64 pad2; };
	s32 level, optname, optlen, retval;
};

struct pt_regs_md {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
struct perf_md { struct pt_regs_md regs; u64 sample_period, addr; };
struct raw_tp_md { u64 args[12]; };

/* ---- structures of helpers ---- */

struct fib_lookup {
	u8 family, l4_protocol;
	be16 sport, dport;
	u16 tot_len;
	u32 ifindex;
	union { u8 tos; be32 flowinfo; u32 rt_metric; };
	union { be32 ipv4_src; u32 ipv6_src[4]; };
	union { be32 ipv4_dst; u32 ipv6_dst[4]; };
	be16 vlan_proto, vlan_tci;
	u8 smac[6], dmac[6];
};

struct tunnel_key {
	u32 tunnel_id;
	union { u32 remote_ipv4; u32 remote_ipv6[4]; };
	u8 tunnel_tos, tunnel_ttl;
	u16 tunnel_ext;
	u32 tunnel_label;
	union { u32 local_ipv4; u32 local_ipv6[4]; };
};

/* ---- helpers ---- */

static long (*const bpf_probe_read)(void *to, u32 size, const void *from) UNUSED = (void *)4;
static long (*const bpf_trace_printk)(const char *fmt, u32 size, ...) UNUSED = (void *)6;
static u32 (*const bpf_get_prandom_u32)(void) UNUSED = (void *)7;
static u32 (*const bpf_get_smp_processor_id)(void) UNUSED = (void *)8;
static long (*const bpf_skb_store_bytes)(void *skb, u32 off, const void *from, u32 len, u64 flags) UNUSED = (void *)9;
static long (*const bpf_l3_csum_replace)(void *skb, u32 off, u64 from, u64 to, u64 size) UNUSED = (void *)10;
static long (*const bpf_l4_csum_replace)(void *skb, u32 off, u64 from, u64 to, u64 flags) UNUSED = (void *)11;
static long (*const bpf_clone_redirect)(void *skb, u32 ifindex, u64 flags) UNUSED = (void *)13;
static u64 (*const bpf_get_current_pid_tgid)(void) UNUSED = (void *)14;
static u64 (*const bpf_get_current_uid_gid)(void) UNUSED = (void *)15;
static long (*const bpf_get_current_comm)(void *buf, u32 size) UNUSED = (void *)16;
static long (*const bpf_skb_vlan_push)(void *skb, be16 proto, u16 tci) UNUSED = (void *)18;
static long (*const bpf_skb_vlan_pop)(void *skb) UNUSED = (void *)19;
static long (*const bpf_skb_get_tunnel_key)(void *skb, struct tunnel_key *key, u32 size, u64 flags) UNUSED = (void *)20;
static long (*const bpf_skb_set_tunnel_key)(void *skb, struct tunnel_key *key, u32 size, u64 flags) UNUSED = (void *)21;
static long (*const bpf_redirect)(u32 ifindex, u64 flags) UNUSED = (void *)23;
static long (*const bpf_perf_event_output)(void *ctx, void *map, u64 flags, void *data, u64 size) UNUSED = (void *)25;
static long (*const bpf_get_stackid)(void *ctx, void *map, u64 flags) UNUSED = (void *)27;
static s64 (*const bpf_csum_diff)(be32 *from, u32 from_size, be32 *to, u32 to_size, u32 seed) UNUSED = (void *)28;
static long (*const bpf_skb_change_proto)(void *skb, be16 proto, u64 flags) UNUSED = (void *)31;
static long (*const bpf_skb_change_type)(void *skb, u32 type) UNUSED = (void *)32;
static u32 (*const bpf_get_hash_recalc)(void *skb) UNUSED = (void *)34;
static void *(*const bpf_get_current_task)(void) UNUSED = (void *)35;
static long (*const bpf_skb_change_tail)(void *skb, u32 len, u64 flags) UNUSED = (void *)38;
static s64 (*const bpf_csum_update)(void *skb, u32 csum) UNUSED = (void *)40;
static long (*const bpf_skb_change_head)(void *skb, u32 len, u64 flags) UNUSED = (void *)43;
static long (*const bpf_probe_read_str)(void *to, u32 size, const void *from) UNUSED = (void *)45;
static u64 (*const bpf_get_socket_cookie)(void *ctx) UNUSED = (void *)46;
static u32 (*const bpf_get_socket_uid)(void *skb) UNUSED = (void *)47;
static long (*const bpf_setsockopt)(void *ctx, int level, int name, void *val, int len) UNUSED = (void *)49;
static long (*const bpf_skb_adjust_room)(void *skb, s32 diff, u32 mode, u64 flags) UNUSED = (void *)50;
static long (*const bpf_redirect_map)(void *map, u64 key, u64 flags) UNUSED = (void *)51;
static long (*const bpf_sk_redirect_map)(void *skb, void *map, u32 key, u64 flags) UNUSED = (void *)52;
static long (*const bpf_sock_map_update)(void *ops, void *map, void *key, u64 flags) UNUSED = (void *)53;
static long (*const bpf_xdp_adjust_meta)(struct xdp_md *xdp, int delta) UNUSED = (void *)54;
static long (*const bpf_perf_prog_read_value)(void *ctx, void *buf, u32 size) UNUSED = (void *)56;
static long (*const bpf_getsockopt)(void *ctx, int level, int name, void *val, int len) UNUSED = (void *)57;
static long (*const bpf_sock_ops_cb_flags_set)(void *ops, int flags) UNUSED = (void *)59;
static long (*const bpf_msg_redirect_map)(void *msg, void *map, u32 key, u64 flags) UNUSED = (void *)60;
static long (*const bpf_msg_apply_bytes)(void *msg, u32 bytes) UNUSED = (void *)61;
static long (*const bpf_msg_pull_data)(void *msg, u32 start, u32 end, u64 flags) UNUSED = (void *)63;
static long (*const bpf_bind)(void *ctx, void *addr, int len) UNUSED = (void *)64;
static long (*const bpf_xdp_adjust_tail)(struct xdp_md *xdp, int delta) UNUSED = (void *)65;
static long (*const bpf_get_stack)(void *ctx, void *buf, u32 size, u64 flags) UNUSED = (void *)67;
static long (*const bpf_skb_load_bytes_relative)(const void *skb, u32 off, void *to, u32 len, u32 start) UNUSED = (void *)68;
static long (*const bpf_fib_lookup)(void *ctx, struct fib_lookup *params, int size, u32 flags) UNUSED = (void *)69;
static long (*const bpf_msg_redirect_hash)(void *msg, void *map, void *key, u64 flags) UNUSED = (void *)71;
static long (*const bpf_sk_redirect_hash)(void *skb, void *map, void *key, u64 flags) UNUSED = (void *)72;
static long (*const bpf_lwt_push_encap)(void *skb, u32 type, void *hdr, u32 len) UNUSED = (void *)73;
static u64 (*const bpf_get_current_cgroup_id)(void) UNUSED = (void *)80;
static void *(*const bpf_get_local_storage)(void *map, u64 flags) UNUSED = (void *)81;
static long (*const bpf_sk_select_reuseport)(void *ctx, void *map, void *key, u64 flags) UNUSED = (void *)82;
static struct bpf_sock *(*const bpf_sk_lookup_tcp)(void *ctx, struct bpf_sock_tuple *t, u32 size, u64 netns, u64 flags) UNUSED = (void *)84;
static struct bpf_sock *(*const bpf_sk_lookup_udp)(void *ctx, struct bpf_sock_tuple *t, u32 size, u64 netns, u64 flags) UNUSED = (void *)85;
static long (*const bpf_sk_release)(void *sk) UNUSED = (void *)86;
static long (*const bpf_map_push_elem)(void *map, const void *value, u64 flags) UNUSED = (void *)87;
static long (*const bpf_map_pop_elem)(void *map, void *value) UNUSED = (void *)88;
static long (*const bpf_map_peek_elem)(void *map, void *value) UNUSED = (void *)89;
static long (*const bpf_msg_push_data)(void *msg, u32 start, u32 len, u64 flags) UNUSED = (void *)90;
static long (*const bpf_spin_lock)(struct bpf_spin_lock *lock) UNUSED = (void *)93;
static long (*const bpf_spin_unlock)(struct bpf_spin_lock *lock) UNUSED = (void *)94;
static struct bpf_sock *(*const bpf_sk_fullsock)(struct bpf_sock *sk) UNUSED = (void *)95;
static struct bpf_tcp_sock *(*const bpf_tcp_sock)(struct bpf_sock *sk) UNUSED = (void *)96;
static long (*const bpf_skb_ecn_set_ce)(void *skb) UNUSED = (void *)97;
static struct bpf_sock *(*const bpf_skc_lookup_tcp)(void *ctx, struct bpf_sock_tuple *t, u32 size, u64 netns, u64 flags) UNUSED = (void *)99;
static long (*const bpf_sysctl_get_name)(void *ctx, char *buf, u64 size, u64 flags) UNUSED = (void *)101;
static long (*const bpf_sysctl_get_current_value)(void *ctx, char *buf, u64 size) UNUSED = (void *)102;
static long (*const bpf_strtol)(const char *buf, u64 size, u64 flags, long *res) UNUSED = (void *)105;
static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value, u64 flags) UNUSED = (void *)107;
static long (*const bpf_probe_read_user)(void *to, u32 size, const void *from) UNUSED = (void *)112;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) UNUSED = (void *)113;
static long (*const bpf_probe_read_user_str)(void *to, u32 size, const void *from) UNUSED = (void *)114;
static long (*const bpf_probe_read_kernel_str)(void *to, u32 size, const void *from) UNUSED = (void *)115;
static u64 (*const bpf_jiffies64)(void) UNUSED = (void *)118;
static long (*const bpf_sk_assign)(void *ctx, void *sk, u64 flags) UNUSED = (void *)124;
static u64 (*const bpf_ktime_get_boot_ns)(void) UNUSED = (void *)125;
static long (*const bpf_ringbuf_output)(void *ringbuf, void *data, u64 size, u64 flags) UNUSED = (void *)130;
static u64 (*const bpf_ringbuf_query)(void *ringbuf, u64 flags) UNUSED = (void *)134;
static long (*const bpf_csum_level)(void *skb, u64 level) UNUSED = (void *)135;
static long (*const bpf_redirect_neigh)(u32 ifindex, void *params, int len, u64 flags) UNUSED = (void *)152;
static long (*const bpf_redirect_peer)(u32 ifindex, u64 flags) UNUSED = (void *)155;
static long (*const bpf_check_mtu)(void *ctx, u32 ifindex, u32 *mtu, s32 diff, u64 flags) UNUSED = (void *)163;
static long (*const bpf_for_each_map_elem)(void *map, void *fn, void *ctx, u64 flags) UNUSED = (void *)164;
static long (*const bpf_snprintf)(char *str, u32 size, const char *fmt, u64 *data, u32 len) UNUSED = (void *)165;
static u64 (*const bpf_get_func_ip)(void *ctx) UNUSED = (void *)173;
static u64 (*const bpf_get_attach_cookie)(void *ctx) UNUSED = (void *)174;
static long (*const bpf_trace_vprintk)(const char *fmt, u32 size, const void *data, u32 len) UNUSED = (void *)177;
static u64 (*const bpf_xdp_get_buff_len)(struct xdp_md *xdp) UNUSED = (void *)188;
static long (*const bpf_loop)(u32 n, void *fn, void *ctx, u64 flags) UNUSED = (void *)181;
static long (*const bpf_strncmp)(const char *s, u32 size, const char *other) UNUSED = (void *)182;
static long (*const bpf_xdp_load_bytes)(struct xdp_md *xdp, u32 off, void *to, u32 len) UNUSED = (void *)189;
static long (*const bpf_xdp_store_bytes)(struct xdp_md *xdp, u32 off, void *from, u32 len) UNUSED = (void *)190;
static void *(*const bpf_map_lookup_percpu_elem)(void *map, const void *key, u32 cpu) UNUSED = (void *)195;

/* ---- shapes ---- */

INLINE u32 rol32(u32 x, u32 n) { return x << n | x >> (32 - n); }

/* A hash of three words, in the manner of Bob Jenkins. */
INLINE u32 hash3(u32 a, u32 b, u32 c)
{
	a += 0xdeadbeef + 12;
	b += 0xdeadbeef + 12;
	c += 0xdeadbeef + 12;
	c ^= b; c -= rol32(b, 14);
	a ^= c; a -= rol32(c, 11);
	b ^= a; b -= rol32(a, 25);
	c ^= b; c -= rol32(b, 16);
	a ^= c; a -= rol32(c, 4);
	b ^= a; b -= rol32(a, 14);
	c ^= b; c -= rol32(b, 24);
	return c;
}

#endif
