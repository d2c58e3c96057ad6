/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the examples of hooks need beyond skep_bpf.h: their contexts and helpers. Layouts and numbers are the kernel's ABI. */
#ifndef HOOK_H
#define HOOK_H

#include "../skep_bpf.h"

enum { INET = 2, INET6 = 10 };                    /* AF_INET, AF_INET6 */
enum { SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3 };
enum { SOL_SOCKET = 1, SOL_TCP = 6 };
enum { MAP_SOCKMAP = 15, MAP_SOCKHASH = 18, MAP_REUSEPORT_SOCKARRAY = 20, MAP_SK_STORAGE = 24 };
enum { SK_DROP, SK_PASS };

#define ntohs(x) htons(x)
/* Ports in ctx fields of 32 bits are in network order, in the lower half. */
#define PORT(n) ((u32)htons(n))

struct bpf_sock {
	u32 bound_dev_if, family, type, protocol, mark, priority;
	u32 src_ip4, src_ip6[4], src_port;
	be16 dst_port, pad;
	u32 dst_ip4, dst_ip6[4], state;
	s32 rx_queue_mapping;
};

struct bpf_sock_addr {
	u32 user_family, user_ip4, user_ip6[4], user_port;
	u32 family, type, protocol, msg_src_ip4, msg_src_ip6[4];
	struct bpf_sock *sk;
};

struct bpf_sock_ops {
	u32 op;
	union {
		u32 args[4];
		u32 reply;
	};
	u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port;
	u32 is_fullsock, snd_cwnd, srtt_us, cb_flags, state, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una, mss_cache;
	u32 ecn_flags, rate_delivered, rate_interval_us, packets_out, retrans_out, total_retrans, segs_in, data_segs_in;
	u32 segs_out, data_segs_out, lost_out, sacked_out, sk_txhash;
	u64 bytes_received, bytes_acked;
	struct bpf_sock *sk;
	void *skb_data, *skb_data_end;
	u32 skb_len, skb_tcp_flags;
	u64 skb_hwtstamp;
};

enum sock_ops { OP_TIMEOUT_INIT = 1, OP_RWND_INIT, OP_CONNECT, OP_ACTIVE_ESTABLISHED, OP_PASSIVE_ESTABLISHED, OP_NEEDS_ECN,
	OP_BASE_RTT, OP_RTO, OP_RETRANS, OP_STATE, OP_LISTEN, OP_RTT, OP_PARSE_HDR_OPT, OP_HDR_OPT_LEN, OP_WRITE_HDR_OPT };

struct sk_msg_md {
	void *data, *data_end;
	u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, size;
	struct bpf_sock *sk;
};

struct sk_reuseport_md {
	void *data, *data_end;
	u32 len, eth_protocol, ip_protocol, bind_inany, hash;
	struct bpf_sock *sk, *migrating_sk;
};

struct bpf_sk_lookup {
	struct bpf_sock *sk;
	u32 family, protocol, remote_ip4, remote_ip6[4];
	be16 remote_port, pad;
	u32 local_ip4, local_ip6[4], local_port, ingress_ifindex;
};

struct bpf_cgroup_dev_ctx {
	u32 access_type; /* access << 16 | type */
	u32 major, minor;
};

struct bpf_sysctl {
	u32 write, file_pos;
};

struct bpf_sockopt {
	struct bpf_sock *sk;
	void *optval, *optval_end;
	s32 level, optname, optlen, retval;
};

struct bpf_flow_keys {
	u16 nhoff, thoff, addr_proto;
	u8 is_frag, is_first_frag, is_encap, ip_proto;
	be16 n_proto, sport, dport;
	union {
		struct {
			be32 ipv4_src, ipv4_dst;
		};
		struct {
			u32 ipv6_src[4], ipv6_dst[4];
		};
	};
	u32 flags;
	be32 flow_label;
};

/* struct __sk_buff as a flow dissector sees it. */
struct flow_skb {
	u32 before[19], data, data_end, between[15];
	struct bpf_flow_keys *flow_keys;
};

static long (*const bpf_setsockopt)(void *ctx, int level, int name, const void *val, int len) = (void *)49;
static long (*const bpf_getsockopt)(void *ctx, int level, int name, void *val, int len) = (void *)57;
static long (*const bpf_sock_ops_cb_flags_set)(struct bpf_sock_ops *ops, int flags) = (void *)59;
static long (*const bpf_msg_redirect_map)(struct sk_msg_md *msg, void *map, u32 key, u64 flags) = (void *)60;
static long (*const bpf_msg_apply_bytes)(struct sk_msg_md *msg, u32 bytes) = (void *)61;
static long (*const bpf_msg_cork_bytes)(struct sk_msg_md *msg, u32 bytes) = (void *)62;
static long (*const bpf_msg_pull_data)(struct sk_msg_md *msg, u32 start, u32 end, u64 flags) = (void *)63;
static long (*const bpf_bind)(struct bpf_sock_addr *ctx, void *addr, int len) = (void *)64;
static long (*const bpf_sock_hash_update)(struct bpf_sock_ops *ops, void *map, void *key, u64 flags) = (void *)70;
static long (*const bpf_sk_select_reuseport)(struct sk_reuseport_md *md, void *map, void *key, u64 flags) = (void *)82;
static void (*const bpf_sk_release)(void *sk) = (void *)86;
static long (*const bpf_msg_push_data)(struct sk_msg_md *msg, u32 start, u32 len, u64 flags) = (void *)90;
static long (*const bpf_msg_pop_data)(struct sk_msg_md *msg, u32 start, u32 len, u64 flags) = (void *)91;
static long (*const bpf_sysctl_get_name)(struct bpf_sysctl *ctx, char *buf, u64 len, u64 flags) = (void *)101;
static long (*const bpf_sysctl_get_current_value)(struct bpf_sysctl *ctx, char *buf, u64 len) = (void *)102;
static long (*const bpf_sysctl_get_new_value)(struct bpf_sysctl *ctx, char *buf, u64 len) = (void *)103;
static long (*const bpf_sysctl_set_new_value)(struct bpf_sysctl *ctx, const char *buf, u64 len) = (void *)104;
static long (*const bpf_strtoul)(const char *buf, u64 len, u64 flags, unsigned long *res) = (void *)106;
static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value, u64 flags) = (void *)107;
static long (*const bpf_sk_assign)(void *ctx, void *sk, u64 flags) = (void *)124;
static long (*const bpf_load_hdr_opt)(struct bpf_sock_ops *ops, void *res, u32 len, u64 flags) = (void *)142;
static long (*const bpf_store_hdr_opt)(struct bpf_sock_ops *ops, const void *from, u32 len, u64 flags) = (void *)143;
static long (*const bpf_reserve_hdr_opt)(struct bpf_sock_ops *ops, u32 len, u64 flags) = (void *)144;
static int (*const bpf_set_retval)(int retval) = (void *)187;

#endif
