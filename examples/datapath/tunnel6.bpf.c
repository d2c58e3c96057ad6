//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A tunnel over IPv6 (RFC 2473), twice: on tc by bpf_skb_adjust_room, on XDP by bpf_xdp_adjust_head. `encap` and `xdp_encap` put
 * IPv4 and IPv6 packets into IPv6 to the end that the routes name; `decap` takes out what comes from a known end, and
 * `xdp_gateway` is both. The inner packet's hop limit counts the tunnel as one hop, the outer flow label comes of the inner flow's hash (RFC
 * 6438), the traffic class goes both ways as far as ECN needs (RFC 6040). What is too big is dropped, or answered by XDP with
 * "packet too big" when it is IPv6.
 */
#include "datapath.h"

struct key4 {
	u32 prefix;
	be32 addr;
};

struct key6 {
	u32 prefix;
	be32 addr[4];
};

struct end {
	be32 addr[4];
	u16 mtu;      /* of the path: the longest outer packet */
	u8 hop_limit; /* of the outer header, 0: the default */
	u8 mac[6];    /* of the next hop */
	u8 pad[3];
};

struct tunnel {
	be32 self[4]; /* the outer source, and where the tunnel ends here */
	u8 mac[6];
	u8 hop_limit;
	u8 pad;
};

struct peer {
	u64 packets;
	u64 bytes;
};

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct tunnel);
} tunnel SEC(".maps");

struct {
	UINT(type, MAP_LPM_TRIE);
	UINT(max_entries, 1024);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, struct key4);
	TYPE(value, struct end);
} routes4 SEC(".maps");

struct {
	UINT(type, MAP_LPM_TRIE);
	UINT(max_entries, 1024);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, struct key6);
	TYPE(value, struct end);
} routes6 SEC(".maps");

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 64);
	TYPE(key, struct address);
	TYPE(value, struct peer);
} peers SEC(".maps");

enum counter { SENT, RECEIVED, NOT_IP, SHORT, NO_ROUTE, EXPIRED, TOO_BIG, OWN_TRAFFIC, STRANGER, BAD_INNER, BAD_ECN, FAILED, NUM_COUNTERS };

struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, NUM_COUNTERS);
	TYPE(key, u32);
	TYPE(value, u64);
} counters SEC(".maps");

static NOINLINE void count(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&counters, &what);

	if (n)
		++*n;
}

/* What is known of an inner packet. */
struct inner {
	struct flow flow;
	u32 len;
	u8 tos;
	u8 expired;
	u16 pad;
};

/* Reads ports, when the first bytes at l4 are of a protocol that has them. */
INLINE void ports(struct flow *flow, void *l4, void *end)
{
	be16 *port = l4;

	if ((flow->proto != PROTO_TCP && flow->proto != PROTO_UDP) || (void *)(port + 2) > end)
		return;
	flow->sport = port[0];
	flow->dport = port[1];
}

/* Reads the IPv4 header at `at`. */
static NOINLINE int enter4(void *at, void *end, struct inner *in)
{
	struct ip_hdr *ip = at;

	if (!in || (void *)(ip + 1) > end || !ip_header_len(ip))
		return -1;
	in->len = ntohs(ip->len);
	in->tos = ip->tos;
	in->flow.family = 4;
	in->flow.proto = ip->proto;
	in->flow.src.word[0] = ip->src;
	in->flow.dst.word[0] = ip->dst;
	if (!(ip->frag & htons(FRAG_OFFSET | FRAG_MORE)) && ip->version_ihl == 0x45)
		ports(&in->flow, ip + 1, end);
	in->expired = ip->ttl <= 1;
	return 0;
}

static NOINLINE int enter6(void *at, void *end, struct inner *in)
{
	struct ip6_hdr *ip6 = at;

	if (!in || (void *)(ip6 + 1) > end || (ntohl(ip6->version_class_flow) >> 28) != 6)
		return -1;
	in->len = ntohs(ip6->payload_len) + sizeof(*ip6);
	in->tos = (u8)(ntohl(ip6->version_class_flow) >> 20);
	in->flow.family = 6;
	in->flow.proto = ip6->next;
	copy_address(&in->flow.src, ip6->src);
	copy_address(&in->flow.dst, ip6->dst);
	ports(&in->flow, ip6 + 1, end);
	in->expired = ip6->hop_limit <= 1;
	return 0;
}

/* Takes a hop from the inner packet: the tunnel is one link (RFC 2473 section 3.1). */
static NOINLINE int hop(void *at, void *end, u32 family)
{
	struct ip_hdr *ip = at;
	struct ip6_hdr *ip6 = at;

	if (family == 4) {
		if ((void *)(ip + 1) > end)
			return SHORT;
		ip->ttl--;
		ip->check = csum_replace2(ip->check, (u16)(ip->ttl + 1), ip->ttl); /* the low byte of its word in memory */
		return SENT;
	}
	if ((void *)(ip6 + 1) > end)
		return SHORT;
	ip6->hop_limit--;
	return SENT;
}

static NOINLINE struct end *route(const struct inner *in)
{
	if (!in)
		return NULL;
	if (in->flow.family == 4) {
		struct key4 key = {.prefix = 32, .addr = in->flow.dst.word[0]};

		return bpf_map_lookup_elem(&routes4, &key);
	}
	struct key6 key = {.prefix = 128};

	set_address(key.addr, &in->flow.dst);
	return bpf_map_lookup_elem(&routes6, &key);
}

/* Writes the outer header. */
static NOINLINE void outer(struct ip6_hdr *ip6, const struct inner *in, const struct end *to, const struct tunnel *t)
{
	if (!ip6 || !in || !to || !t)
		return;
	ip6->version_class_flow = htonl(6u << 28 | (u32)in->tos << 20 | (hash_flow(&in->flow) & 0xfffff));
	ip6->payload_len = htons((u16)in->len);
	ip6->next = in->flow.family == 4 ? PROTO_IPIP : PROTO_IPV6;
	ip6->hop_limit = to->hop_limit ? to->hop_limit : t->hop_limit;
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++) {
		ip6->src[i] = t->self[i];
		ip6->dst[i] = to->addr[i];
	}
}

INLINE struct tunnel *config(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&tunnel, &zero);
}

/*
 * Decides about a packet at `at` with `have` bytes: whether it goes into the tunnel, or why it does not, as a counter. One that goes
 * has made a hop.
 */
static NOINLINE int decide(void *at, void *end, be16 type, u32 have, struct inner *in)
{
	if (type == htons(ETH_IP)) {
		if (enter4(at, end, in))
			return SHORT;
	} else if (type == htons(ETH_IP6)) {
		if (enter6(at, end, in))
			return SHORT;
	} else {
		return NOT_IP;
	}
	struct end *to = route(in);

	if (!to)
		return NO_ROUTE;
	if (in->expired)
		return EXPIRED;
	if (in->len + sizeof(struct ip6_hdr) > to->mtu)
		return TOO_BIG;
	if (in->len > have)
		return SHORT;
	return hop(at, end, in->flow.family);
}

SEC("tc/encap")
int encap(struct __sk_buff *skb)
{
	void *end = pointer(skb->data_end);
	struct eth_hdr *eth = pointer(skb->data);
	struct inner in = {};
	struct tunnel *t = config();

	if (!t || (void *)(eth + 1) > end)
		return TC_ACT_SHOT;
	int what = decide(eth + 1, end, eth->type, skb->len - sizeof(*eth), &in);

	if (what != SENT) {
		count((u32)what);
		return what == NOT_IP || what == NO_ROUTE ? TC_ACT_OK : TC_ACT_SHOT;
	}
	if (bpf_skb_adjust_room(skb, sizeof(struct ip6_hdr), ROOM_MAC, ROOM_ENCAP_IPV6)) {
		count(FAILED);
		return TC_ACT_SHOT;
	}
	struct end *to = route(&in);
	struct ip6_hdr ip6 = {};

	if (!to)
		return TC_ACT_SHOT;
	outer(&ip6, &in, to, t);
	struct eth_hdr mac = {.type = htons(ETH_IP6)};

	copy_mac(mac.dst, to->mac);
	copy_mac(mac.src, t->mac);
	if (bpf_skb_store_bytes(skb, 0, &mac, sizeof(mac), 0) || bpf_skb_store_bytes(skb, sizeof(mac), &ip6, sizeof(ip6), 0)) {
		count(FAILED);
		return TC_ACT_SHOT;
	}
	count(SENT);
	return TC_ACT_OK;
}

#define QUOTE 216 /* bytes of the packet in an ICMPv6 error */

/* Answers a packet with "packet too big". */
static NOINLINE int too_big(struct xdp_md *ctx, u32 mtu)
{
	u32 extra = sizeof(struct ip6_hdr) + sizeof(struct icmp_hdr);
	int have = (int)packet_len(ctx), want = (int)(QUOTE + sizeof(struct eth_hdr));

	if (have < want || bpf_xdp_adjust_tail(ctx, want - have) || bpf_xdp_adjust_head(ctx, -(int)extra))
		return XDP_DROP;
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data), *old = (void *)eth + extra;
	struct ip6_hdr *ip6 = (void *)(eth + 1), *quoted = (void *)(old + 1);
	struct icmp_hdr *icmp = (void *)(ip6 + 1);
	struct tunnel *t = config();

	if (!t || (void *)quoted + QUOTE > end)
		return XDP_ABORTED;
	copy_mac(eth->dst, old->src);
	copy_mac(eth->src, t->mac);
	eth->type = htons(ETH_IP6);
	ip6->version_class_flow = htonl(6u << 28);
	ip6->payload_len = htons(sizeof(*icmp) + QUOTE);
	ip6->next = PROTO_ICMP6;
	ip6->hop_limit = t->hop_limit;
	__builtin_memcpy(ip6->dst, quoted->src, 16);
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		ip6->src[i] = t->self[i];
	icmp->type = ICMP6_TOO_BIG;
	icmp->code = 0;
	icmp->check = 0;
	icmp->mtu6 = htonl(mtu);
	s64 sum = bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp) + QUOTE, pseudo6(ip6, sizeof(*icmp) + QUOTE, PROTO_ICMP6));

	icmp->check = (u16)~csum_fold((u32)sum);
	return XDP_TX;
}

SEC("xdp/encap")
int xdp_encap(struct xdp_md *ctx)
{
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data);
	struct inner in = {};
	struct tunnel *t = config();

	if (!t || (void *)(eth + 1) > end)
		return XDP_DROP;
	int what = decide(eth + 1, end, eth->type, packet_len(ctx) - sizeof(*eth), &in);
	struct end *to = route(&in);

	if (what != SENT) {
		count((u32)what);
		if (what == TOO_BIG && to && in.flow.family == 6)
			return too_big(ctx, to->mtu - sizeof(struct ip6_hdr));
		return what == NOT_IP || what == NO_ROUTE ? XDP_PASS : XDP_DROP;
	}
	if (!to || bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ip6_hdr))) {
		count(FAILED);
		return XDP_ABORTED;
	}
	end = pointer(ctx->data_end);
	eth = pointer(ctx->data);
	struct ip6_hdr *ip6 = (void *)(eth + 1);

	if ((void *)(ip6 + 1) > end)
		return XDP_ABORTED;
	copy_mac(eth->dst, to->mac);
	copy_mac(eth->src, t->mac);
	eth->type = htons(ETH_IP6);
	struct ip6_hdr header = {};

	outer(&header, &in, to, t);
	*ip6 = header;
	count(SENT);
	return XDP_TX;
}

/* Why the packet in front of us is not for this end of the tunnel, as a counter; RECEIVED when it is. */
static NOINLINE int arrived(void *at, void *end)
{
	struct ip6_hdr *ip6 = at;
	struct tunnel *t = config();
	struct address from;

	if (!t || (void *)(ip6 + 1) > end)
		return SHORT;
	if (ip6->next != PROTO_IPIP && ip6->next != PROTO_IPV6)
		return OWN_TRAFFIC;
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		if (ip6->dst[i] != t->self[i])
			return OWN_TRAFFIC;
	copy_address(&from, ip6->src);
	struct peer *p = bpf_map_lookup_elem(&peers, &from);

	if (!p)
		return STRANGER;
	p->packets++;
	p->bytes += ntohs(ip6->payload_len);
	return RECEIVED;
}

/*
 * Carries congestion marks of the outer header, whose traffic class is tos, into the inner one: CE stays CE, and drops what
 * cannot carry it. Returns a counter.
 */
static NOINLINE int inner_ecn(void *at, void *end, u8 next, u8 tos)
{
	enum { MASK = 3, CE = 3 };
	struct ip_hdr *ip = at;
	struct ip6_hdr *ip6 = at;

	if (next == PROTO_IPIP) {
		if ((void *)(ip + 1) > end || !ip_header_len(ip))
			return BAD_INNER;
		if ((tos & MASK) != CE || (ip->tos & MASK) == CE)
			return RECEIVED;
		if (!(ip->tos & MASK))
			return BAD_ECN;
		u8 marked = ip->tos | CE;

		ip->check = csum_replace2(ip->check, htons(ip->tos), htons(marked));
		ip->tos = marked;
		return RECEIVED;
	}
	if ((void *)(ip6 + 1) > end || (ntohl(ip6->version_class_flow) >> 28) != 6)
		return BAD_INNER;
	u32 ecn = ntohl(ip6->version_class_flow) >> 20 & MASK;

	if ((tos & MASK) != CE || ecn == CE)
		return RECEIVED;
	if (!ecn)
		return BAD_ECN;
	ip6->version_class_flow |= htonl(CE << 20);
	return RECEIVED;
}

INLINE u8 class_of(const struct ip6_hdr *ip6) { return (u8)(ntohl(ip6->version_class_flow) >> 20); }

SEC("tc/decap")
int decap(struct __sk_buff *skb)
{
	void *end = pointer(skb->data_end);
	struct eth_hdr *eth = pointer(skb->data);
	struct ip6_hdr *ip6 = (void *)(eth + 1);

	if ((void *)(ip6 + 1) > end || eth->type != htons(ETH_IP6)) {
		count(NOT_IP);
		return TC_ACT_OK;
	}
	u8 next = ip6->next;
	int what = arrived(ip6, end);

	if (what == RECEIVED)
		what = inner_ecn(ip6 + 1, end, next, class_of(ip6));
	if (what != RECEIVED) {
		count((u32)what);
		return what == OWN_TRAFFIC ? TC_ACT_OK : TC_ACT_SHOT;
	}
	u64 flags = next == PROTO_IPIP ? ROOM_DECAP_IPV4 : ROOM_DECAP_IPV6;

	if (bpf_skb_adjust_room(skb, -(s32)sizeof(*ip6), ROOM_MAC, flags)) {
		count(FAILED);
		return TC_ACT_SHOT;
	}
	if (next == PROTO_IPIP) {
		be16 type = htons(ETH_IP);

		if (bpf_skb_store_bytes(skb, __builtin_offsetof(struct eth_hdr, type), &type, sizeof(type), 0))
			return TC_ACT_SHOT;
	}
	count(RECEIVED);
	return TC_ACT_OK;
}

/* Both ends in one: takes out what is for us, sends the rest. */
SEC("xdp/gateway")
int xdp_gateway(struct xdp_md *ctx)
{
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip6_hdr *ip6 = (void *)(eth + 1);

	if ((void *)(ip6 + 1) > end || eth->type != htons(ETH_IP6))
		return xdp_encap(ctx);
	u8 next = ip6->next;
	int what = arrived(ip6, end);

	if (what == OWN_TRAFFIC)
		return xdp_encap(ctx);
	if (what == RECEIVED)
		what = inner_ecn(ip6 + 1, end, next, class_of(ip6));
	if (what != RECEIVED) {
		count((u32)what);
		return XDP_DROP;
	}
	struct eth_hdr mac = *eth;

	if (next == PROTO_IPIP)
		mac.type = htons(ETH_IP);
	if (bpf_xdp_adjust_head(ctx, sizeof(*ip6)))
		return XDP_ABORTED;
	eth = pointer(ctx->data);
	if ((void *)(eth + 1) > pointer(ctx->data_end))
		return XDP_ABORTED;
	*eth = mac;
	count(RECEIVED);
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
