//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A network policy for tc in stages that call each other through the program array `stages`, which the object fills
 * itself. The source's address gives an identity (longest prefix, IPv4 and IPv6); `policies` says what identity, protocol and
 * port may, from the exact rule to the one for everything of everybody. Replies to what was let through pass. Who is
 * dropped is told to user space with the reason and the packet's first bytes. What a stage found out travels in skb->cb.
 */
#include "datapath.h"

enum { WORLD = 2 }; /* the identity of addresses that no prefix covers */

struct key4 {
	u32 prefix;
	be32 addr;
};

struct key6 {
	u32 prefix;
	be32 addr[4];
};

struct policy_key {
	u32 identity; /* 0: any */
	be16 port;    /* 0: any */
	u8 proto;     /* 0: any */
	u8 pad;
};

struct policy {
	u8 verdict; /* 1: allow */
	u8 log;
	u16 mark;
	u32 rule; /* number for notifications */
};

struct connection {
	u32 identity;
	u32 packets;
	u64 bytes;
};

struct count_key {
	u32 identity;
	u32 reason;
};

struct count {
	u64 packets;
	u64 bytes;
};

enum reason { ALLOWED, ESTABLISHED, LOGGED, DENIED, NO_RULE, NOT_IP, TRUNCATED, BAD_HEADER, FRAGMENT, NO_STAGE };

#define SNIPPET 32

struct notification {
	u32 reason;
	u32 identity;
	u32 rule;
	u32 len;
	struct flow flow;
	u8 snippet[SNIPPET];
};

struct {
	UINT(type, MAP_LPM_TRIE);
	UINT(max_entries, 256);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, struct key4);
	TYPE(value, u32);
} identities4 SEC(".maps");

struct {
	UINT(type, MAP_LPM_TRIE);
	UINT(max_entries, 256);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, struct key6);
	TYPE(value, u32);
} identities6 SEC(".maps");

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 1024);
	TYPE(key, struct policy_key);
	TYPE(value, struct policy);
} policies SEC(".maps");

struct {
	UINT(type, MAP_LRU_HASH);
	UINT(max_entries, 16384);
	TYPE(key, struct flow);
	TYPE(value, struct connection);
} established SEC(".maps");

struct {
	UINT(type, MAP_PERCPU_HASH);
	UINT(max_entries, 1024);
	TYPE(key, struct count_key);
	TYPE(value, struct count);
} counts SEC(".maps");

/* The flow of the packet, from stage to stage: cb is too small for it. */
struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct flow);
} scratch SEC(".maps");

struct {
	UINT(type, MAP_RINGBUF);
	UINT(max_entries, 1 << 18);
} notifications SEC(".maps");

enum stage { STAGE_IP4, STAGE_IP6, STAGE_PORTS, STAGE_VERDICT, STAGE_DENY, NUM_STAGES };
enum { CB_IDENTITY, CB_OFFSET, CB_REASON, CB_RULE, CB_MAGIC };

/* Writes a word of cb. Clang would join two writes into one at a computed address; the ctx must be used as it was given. */
#define SET_CB(skb, i, value) \
	asm volatile("*(u32 *)(%0 + %1) = %2" ::"r"(skb), "i"(__builtin_offsetof(struct __sk_buff, cb) + 4 * (i)), "r"((u64)(value)) : "memory")

int stage_ip4(struct __sk_buff *skb);
int stage_ip6(struct __sk_buff *skb);
int stage_ports(struct __sk_buff *skb);
int stage_verdict(struct __sk_buff *skb);
int stage_deny(struct __sk_buff *skb);

struct {
	UINT(type, MAP_PROG_ARRAY);
	UINT(max_entries, 8);
	UINT(key_size, sizeof(u32));
	ARRAY(values, int(void *));
} stages SEC(".maps") = {
	.values = {
		[STAGE_IP4] = (void *)&stage_ip4,
		[STAGE_IP6] = (void *)&stage_ip6,
		[STAGE_PORTS] = (void *)&stage_ports,
		[STAGE_VERDICT] = (void *)&stage_verdict,
		[STAGE_DENY] = (void *)&stage_deny,
	},
};

static NOINLINE int tell(u32 identity, u32 reason, u32 len)
{
	struct count_key key = {.identity = identity, .reason = reason};
	struct count *c = bpf_map_lookup_elem(&counts, &key);

	if (c) {
		c->packets++;
		c->bytes += len;
		return 0;
	}
	struct count first = {.packets = 1, .bytes = len};

	return (int)bpf_map_update_elem(&counts, &key, &first, MAP_NOEXIST);
}

INLINE struct flow *flow_of(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* Goes to a stage. It comes back only when that is missing. */
INLINE int go(struct __sk_buff *skb, u32 stage)
{
	bpf_tail_call(skb, &stages, stage);
	tell(skb->cb[CB_IDENTITY], NO_STAGE, skb->len);
	return TC_ACT_SHOT;
}

INLINE int deny(struct __sk_buff *skb, u32 reason)
{
	SET_CB(skb, CB_REASON, reason);
	return go(skb, STAGE_DENY);
}

/* Writes a notification. */
INLINE void notify(struct __sk_buff *skb, u32 reason, const struct flow *flow)
{
	struct notification *n = bpf_ringbuf_reserve(&notifications, sizeof(*n), 0);

	if (!n)
		return;
	n->reason = reason;
	n->identity = skb->cb[CB_IDENTITY];
	n->rule = skb->cb[CB_RULE];
	n->len = skb->len;
	n->flow = *flow;
	if (bpf_skb_load_bytes(skb, 0, n->snippet, SNIPPET)) {
		bpf_ringbuf_discard(n, 0);
		return;
	}
	bpf_ringbuf_submit(n, 0);
}

SEC("tc")
int policy(struct __sk_buff *skb)
{
	struct flow *flow = flow_of();

	if (!flow)
		return TC_ACT_SHOT;
	__builtin_memset(flow, 0, sizeof(*flow));
	SET_CB(skb, CB_IDENTITY, WORLD);
	SET_CB(skb, CB_RULE, 0);
	SET_CB(skb, CB_MAGIC, 0x9011c7);
	if (skb->protocol == htons(ETH_IP))
		return go(skb, STAGE_IP4);
	if (skb->protocol == htons(ETH_IP6))
		return go(skb, STAGE_IP6);
	tell(0, NOT_IP, skb->len);
	return TC_ACT_OK;
}

SEC("tc/stage_ip4")
int stage_ip4(struct __sk_buff *skb)
{
	struct ip_hdr *ip = pointer(skb->data) + sizeof(struct eth_hdr);
	struct flow *flow = flow_of();

	if (!flow)
		return TC_ACT_SHOT;
	if ((void *)(ip + 1) > pointer(skb->data_end)) {
		if (bpf_skb_pull_data(skb, sizeof(struct eth_hdr) + sizeof(*ip)))
			return deny(skb, TRUNCATED);
		ip = pointer(skb->data) + sizeof(struct eth_hdr);
		if ((void *)(ip + 1) > pointer(skb->data_end))
			return deny(skb, TRUNCATED);
	}
	u32 len = ip_header_len(ip);

	if (!len || ntohs(ip->len) < len)
		return deny(skb, BAD_HEADER);
	flow->family = 4;
	flow->proto = ip->proto;
	flow->src.word[0] = ip->src;
	flow->dst.word[0] = ip->dst;
	struct key4 key = {.prefix = 32, .addr = ip->src};
	u32 *identity = bpf_map_lookup_elem(&identities4, &key);

	if (identity)
		SET_CB(skb, CB_IDENTITY, *identity);
	SET_CB(skb, CB_OFFSET, sizeof(struct eth_hdr) + len);
	if (ip->frag & htons(FRAG_OFFSET))
		return deny(skb, FRAGMENT);
	return go(skb, STAGE_PORTS);
}

/* Skips one extension header of IPv6; reports whether it was one. */
INLINE int skip(struct __sk_buff *skb, u8 *proto, u32 *offset, int *bad)
{
	struct frag6_hdr frag;
	u8 head[2];

	switch (*proto) {
	case PROTO_HOP:
	case PROTO_DSTOPTS:
	case PROTO_ROUTING:
		if (bpf_skb_load_bytes(skb, *offset, head, sizeof(head))) {
			*bad = TRUNCATED;
			return 0;
		}
		*proto = head[0];
		*offset += head[1] * 8 + 8;
		return 1;
	case PROTO_FRAGMENT:
		if (bpf_skb_load_bytes(skb, *offset, &frag, sizeof(frag))) {
			*bad = TRUNCATED;
			return 0;
		}
		if (frag.offset & htons(0xfff8)) {
			*bad = FRAGMENT;
			return 0;
		}
		*proto = frag.next;
		*offset += sizeof(frag);
		return 1;
	}
	return 0;
}

SEC("tc/stage_ip6")
int stage_ip6(struct __sk_buff *skb)
{
	struct ip6_hdr ip6;
	struct flow *flow = flow_of();
	u32 offset = sizeof(struct eth_hdr) + sizeof(ip6);
	int bad = 0;

	if (!flow)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, sizeof(struct eth_hdr), &ip6, sizeof(ip6)))
		return deny(skb, TRUNCATED);
	struct key6 key = {.prefix = 128};

	__builtin_memcpy(key.addr, ip6.src, sizeof(key.addr));
	u32 *identity = bpf_map_lookup_elem(&identities6, &key);

	if (identity)
		SET_CB(skb, CB_IDENTITY, *identity);
	flow->family = 6;
	copy_address(&flow->src, ip6.src);
	copy_address(&flow->dst, ip6.dst);
	u8 proto = ip6.next;

	for (int i = 0; i < 5; i++)
		if (!skip(skb, &proto, &offset, &bad))
			break;
	flow->proto = proto;
	SET_CB(skb, CB_OFFSET, offset);
	if (bad)
		return deny(skb, (u32)bad);
	return go(skb, STAGE_PORTS);
}

SEC("tc/stage_ports")
int stage_ports(struct __sk_buff *skb)
{
	struct flow *flow = flow_of();
	u32 offset = skb->cb[CB_OFFSET];
	struct icmp_hdr icmp;
	be16 ports[2];

	if (!flow)
		return TC_ACT_SHOT;
	switch (flow->proto) {
	case PROTO_TCP:
	case PROTO_UDP:
		if (bpf_skb_load_bytes(skb, offset, ports, sizeof(ports)))
			return deny(skb, TRUNCATED);
		flow->sport = ports[0];
		flow->dport = ports[1];
		break;
	case PROTO_ICMP:
	case PROTO_ICMP6:
		if (bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
			return deny(skb, TRUNCATED);
		flow->sport = 0;
		flow->dport = htons((u16)(icmp.type << 8 | icmp.code));
		break;
	}
	return go(skb, STAGE_VERDICT);
}

INLINE struct policy *rule(u32 identity, u8 proto, be16 port)
{
	struct policy_key key = {.identity = identity, .proto = proto, .port = port};

	return bpf_map_lookup_elem(&policies, &key);
}

/* The most special rule there is: of the identity before those of anybody, of the port before those of the protocol. */
static NOINLINE struct policy *find_rule(u32 identity, const struct flow *flow)
{
	struct policy *p = rule(identity, flow->proto, flow->dport);

	if (!p)
		p = rule(identity, flow->proto, 0);
	if (!p)
		p = rule(identity, 0, 0);
	if (!p)
		p = rule(0, flow->proto, flow->dport);
	if (!p)
		p = rule(0, flow->proto, 0);
	if (!p)
		p = rule(0, 0, 0);
	return p;
}

/* Remembers what replies to the flow look like. */
INLINE void remember(const struct flow *flow, u32 identity)
{
	struct flow back = {.src = flow->dst, .dst = flow->src, .sport = flow->dport, .dport = flow->sport, .proto = flow->proto,
			    .family = flow->family};
	struct connection c = {.identity = identity};

	bpf_map_update_elem(&established, &back, &c, MAP_NOEXIST);
}

SEC("tc/stage_verdict")
int stage_verdict(struct __sk_buff *skb)
{
	struct flow *flow = flow_of();
	u32 identity = skb->cb[CB_IDENTITY];

	if (!flow)
		return TC_ACT_SHOT;
	struct connection *c = bpf_map_lookup_elem(&established, flow);

	if (c) {
		__sync_fetch_and_add(&c->packets, 1);
		__sync_fetch_and_add(&c->bytes, skb->len);
		skb->mark = c->identity | 0x80000000;
		tell(identity, ESTABLISHED, skb->len);
		return TC_ACT_OK;
	}
	struct flow copy = *flow;
	struct policy *p = find_rule(identity, &copy);

	if (!p)
		return deny(skb, NO_RULE);
	SET_CB(skb, CB_RULE, p->rule);
	if (p->verdict != 1)
		return deny(skb, DENIED);
	skb->mark = identity;
	skb->priority = p->mark;
	skb->tc_index = (u16)p->rule;
	if (flow->proto == PROTO_TCP || flow->proto == PROTO_UDP)
		remember(&copy, identity);
	if (p->log)
		notify(skb, LOGGED, &copy);
	tell(identity, ALLOWED, skb->len);
	return TC_ACT_OK;
}

SEC("tc/stage_deny")
int stage_deny(struct __sk_buff *skb)
{
	struct flow *flow = flow_of();
	u32 reason = skb->cb[CB_REASON];

	if (!flow)
		return TC_ACT_SHOT;
	notify(skb, reason, flow);
	tell(skb->cb[CB_IDENTITY], reason, skb->len);
	return TC_ACT_SHOT;
}

LICENSE("Dual MIT/GPL");
