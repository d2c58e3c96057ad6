//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * An L4 load balancer for IPv4 and IPv6. A virtual address (address, port, protocol) has a ring of its own, a map in the
 * map of maps `rings`, which user space fills as Maglev does. A packet goes to the backend that its connection has in
 * the LRU table, else to the one in the ring's slot of the flow's hash, inside IPIP or GUE (RFC draft-ietf-intarea-gue,
 * variant 1), over IPv4 or IPv6 whatever the packet is. ICMP errors follow the connection that they are about. What does
 * not fit into the tunnel is answered with "fragmentation needed" or "packet too big".
 */
#include "datapath.h"

#define MAX_VIPS 4
#define RING_SIZE 251 /* prime */
#define MAX_BACKENDS 64

const volatile u32 mtu = 1500;
const volatile be32 source4 = 0x0100000a; /* 10.0.0.1 */
const volatile be32 source6[4] = {0xb80d0120, 0, 0, 0x01000000};
const volatile u8 gateway[6] = {0x02, 0, 0, 0, 0, 0xfe};

struct vip_key {
	struct address addr;
	be16 port;
	u8 proto;
	u8 family;
};

struct vip {
	u32 index; /* of ring and statistics */
	u32 flags;
};

enum { VIP_NO_LRU = 1, VIP_SOURCE_ONLY = 2 /* hash without ports */ };
enum { ENCAP_IPIP = 0, ENCAP_GUE = 1 };

struct backend {
	struct address addr;
	u8 family; /* 4 or 6, 0: none */
	u8 encap;
	be16 port; /* GUE */
};

struct connection {
	u32 backend;
	u32 packets;
};

struct stats {
	u64 packets;
	u64 bytes;
	u64 known; /* connections found in the table */
	u64 fresh;
	u64 homeless; /* no backend */
	u64 too_big;
	u64 errors; /* ICMP errors sent on */
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 64);
	TYPE(key, struct vip_key);
	TYPE(value, struct vip);
} vips SEC(".maps");

struct ring {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, RING_SIZE);
	TYPE(key, u32);
	TYPE(value, u32);
} ring_0 SEC(".maps"), ring_1 SEC(".maps"), ring_2 SEC(".maps");

/* The last has no ring yet. */
struct {
	UINT(type, MAP_ARRAY_OF_MAPS);
	UINT(max_entries, MAX_VIPS);
	TYPE(key, u32);
	ARRAY(values, struct ring);
} rings SEC(".maps") = {.values = {&ring_0, &ring_1, &ring_2}};

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, MAX_BACKENDS);
	TYPE(key, u32);
	TYPE(value, struct backend);
} backends SEC(".maps");

struct {
	UINT(type, MAP_LRU_HASH);
	UINT(max_entries, 65536);
	TYPE(key, struct flow);
	TYPE(value, struct connection);
} connections SEC(".maps");

struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, MAX_VIPS);
	TYPE(key, u32);
	TYPE(value, struct stats);
} vip_stats SEC(".maps");

enum reason { NOT_IP, SHORT, FRAGMENT, OPTIONS, NO_VIP, NO_PORTS, NUM_REASONS };

struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, NUM_REASONS);
	TYPE(key, u32);
	TYPE(value, u64);
} passed SEC(".maps");

/* What parsing found out. */
struct packet {
	struct flow flow;
	u32 len;   /* of the IP packet */
	u32 error; /* it is an ICMP error about the flow */
	u8 tos;
	u8 dont_fragment;
	u16 pad;
};

static NOINLINE int pass(u32 reason)
{
	u64 *count = bpf_map_lookup_elem(&passed, &reason);

	if (count)
		++*count;
	return XDP_PASS;
}

/* Fills in the ports of TCP or UDP at l4; reports whether there are some. */
INLINE int ports(struct flow *flow, void *l4, void *end)
{
	struct udp_hdr *udp = l4;

	if (flow->proto != PROTO_TCP && flow->proto != PROTO_UDP)
		return 0;
	if ((void *)udp + 4 > end)
		return 0;
	flow->sport = udp->sport;
	flow->dport = udp->dport;
	return 1;
}

/* Turns around a flow that was found inside an ICMP error: it was sent by a backend in the virtual address's name. */
INLINE void turn(struct flow *flow)
{
	struct address a = flow->src;
	be16 port = flow->sport;

	flow->src = flow->dst;
	flow->dst = a;
	flow->sport = flow->dport;
	flow->dport = port;
}

/* Returns a reason, NUM_REASONS when p is complete. */
static NOINLINE int parse4(struct xdp_md *ctx, struct packet *p)
{
	void *end = pointer(ctx->data_end);
	struct ip_hdr *ip = pointer(ctx->data) + sizeof(struct eth_hdr);

	if (!p || (void *)(ip + 1) > end)
		return SHORT;
	if (ip->version_ihl != 0x45)
		return OPTIONS;
	if (ip->frag & htons(FRAG_OFFSET | FRAG_MORE))
		return FRAGMENT;
	p->len = ntohs(ip->len);
	if (p->len < sizeof(*ip) || (void *)ip + p->len > end)
		return SHORT;
	p->tos = ip->tos;
	p->dont_fragment = !!(ip->frag & htons(FRAG_DONT));
	p->flow.family = 4;

	void *l4 = ip + 1;
	struct icmp_hdr *icmp = l4;
	if (ip->proto == PROTO_ICMP) {
		if ((void *)(icmp + 1) > end)
			return SHORT;
		if (icmp->type != ICMP_UNREACHABLE && icmp->type != ICMP_TIME_EXCEEDED && icmp->type != ICMP_PARAMETER)
			return NO_PORTS;
		ip = (void *)(icmp + 1);
		if ((void *)(ip + 1) > end || ip->version_ihl != 0x45)
			return SHORT;
		l4 = ip + 1;
		p->error = 1;
	}
	p->flow.src.word[0] = ip->src;
	p->flow.dst.word[0] = ip->dst;
	p->flow.proto = ip->proto;
	if (!ports(&p->flow, l4, end))
		return NO_PORTS;
	if (p->error)
		turn(&p->flow);
	return NUM_REASONS;
}

static NOINLINE int parse6(struct xdp_md *ctx, struct packet *p)
{
	void *end = pointer(ctx->data_end);
	struct ip6_hdr *ip6 = pointer(ctx->data) + sizeof(struct eth_hdr);

	if (!p || (void *)(ip6 + 1) > end)
		return SHORT;
	if (ip6->next == PROTO_FRAGMENT)
		return FRAGMENT;
	if (ip6->next == PROTO_HOP || ip6->next == PROTO_ROUTING || ip6->next == PROTO_DSTOPTS)
		return OPTIONS;
	p->len = ntohs(ip6->payload_len) + sizeof(*ip6);
	if ((void *)ip6 + p->len > end)
		return SHORT;
	p->tos = (u8)(ntohl(ip6->version_class_flow) >> 20);
	p->dont_fragment = 1;
	p->flow.family = 6;

	void *l4 = ip6 + 1;
	struct icmp_hdr *icmp = l4;
	if (ip6->next == PROTO_ICMP6) {
		if ((void *)(icmp + 1) > end)
			return SHORT;
		if (icmp->type < ICMP6_UNREACHABLE || icmp->type > ICMP6_PARAMETER)
			return NO_PORTS;
		ip6 = (void *)(icmp + 1);
		if ((void *)(ip6 + 1) > end)
			return SHORT;
		l4 = ip6 + 1;
		p->error = 1;
	}
	copy_address(&p->flow.src, ip6->src);
	copy_address(&p->flow.dst, ip6->dst);
	p->flow.proto = ip6->next;
	if (!ports(&p->flow, l4, end))
		return NO_PORTS;
	if (p->error)
		turn(&p->flow);
	return NUM_REASONS;
}

/* The backend in the slot of the flow's hash, or MAX_BACKENDS. */
static NOINLINE u32 from_ring(struct vip *vip, const struct flow *flow)
{
	struct flow hashed = *flow;

	if (!vip)
		return MAX_BACKENDS;
	u32 index = vip->index;
	void *ring = bpf_map_lookup_elem(&rings, &index);

	if (!ring)
		return MAX_BACKENDS;
	if (vip->flags & VIP_SOURCE_ONLY)
		hashed.sport = 0;
	u32 slot = hash_flow(&hashed) % RING_SIZE;
	u32 *backend = bpf_map_lookup_elem(ring, &slot);

	return backend ? *backend : MAX_BACKENDS;
}

INLINE struct backend *backend_of(u32 number)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &number);

	return b && b->family ? b : NULL;
}

/* The backend of a flow, remembered or chosen; NULL when there is none. */
INLINE struct backend *choose(struct vip *vip, const struct packet *p, struct stats *stats)
{
	struct connection *known = NULL;

	if (!(vip->flags & VIP_NO_LRU))
		known = bpf_map_lookup_elem(&connections, &p->flow);
	if (known) {
		struct backend *b = backend_of(known->backend);

		if (b) {
			stats->known++;
			if (!p->error)
				known->packets++;
			return b;
		}
	}
	u32 number = from_ring(vip, &p->flow);
	struct backend *b = backend_of(number);

	if (!b || p->error || vip->flags & VIP_NO_LRU)
		return b;
	struct connection fresh = {.backend = number, .packets = 1};

	bpf_map_update_elem(&connections, &p->flow, &fresh, MAP_ANY);
	stats->fresh++;
	return b;
}

/* Writes the Ethernet header of a packet that got longer at its start; old is where the header was. */
INLINE void new_mac(struct eth_hdr *eth, const struct eth_hdr *old, be16 type)
{
	u8 self[6];

	copy_mac(self, old->dst);
	copy_mac(eth->src, self);
#pragma clang loop unroll(full)
	for (int i = 0; i < 6; i++)
		eth->dst[i] = gateway[i];
	eth->type = type;
}

INLINE void put_gue(struct udp_hdr *udp, const struct backend *b, u32 hash, u32 len)
{
	udp->sport = htons((u16)(0xc000 | hash)); /* of the dynamic ports */
	udp->dport = b->port;
	udp->len = htons((u16)(len + sizeof(*udp)));
	udp->check = 0; /* allowed for tunnels over IPv6, too (RFC 6935) */
}

/* Puts an IPv4 header, and one of UDP for GUE, in front of the packet. */
static NOINLINE int encapsulate4(struct xdp_md *ctx, const struct packet *p, struct backend *b)
{
	if (!p || !b)
		return XDP_ABORTED;
	u32 gue = b->encap == ENCAP_GUE, extra = sizeof(struct ip_hdr) + (gue ? sizeof(struct udp_hdr) : 0);

	if (bpf_xdp_adjust_head(ctx, -(int)extra))
		return XDP_ABORTED;
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data), *old = (void *)eth + extra;
	struct ip_hdr *ip = (void *)(eth + 1);
	struct udp_hdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || (void *)(old + 1) > end)
		return XDP_ABORTED;
	new_mac(eth, old, htons(ETH_IP));
	ip->version_ihl = 0x45;
	ip->tos = p->tos;
	ip->len = htons((u16)(p->len + extra));
	ip->id = 0;
	ip->frag = htons(FRAG_DONT);
	ip->ttl = 64;
	ip->proto = gue ? PROTO_UDP : p->flow.family == 4 ? PROTO_IPIP : PROTO_IPV6;
	ip->check = 0;
	ip->src = source4;
	ip->dst = b->addr.word[0];
	ip->check = ip_checksum(ip);
	if (gue)
		put_gue(udp, b, hash_flow(&p->flow), p->len);
	return XDP_TX;
}

static NOINLINE int encapsulate6(struct xdp_md *ctx, const struct packet *p, struct backend *b)
{
	if (!p || !b)
		return XDP_ABORTED;
	u32 gue = b->encap == ENCAP_GUE, extra = sizeof(struct ip6_hdr) + (gue ? sizeof(struct udp_hdr) : 0);

	if (bpf_xdp_adjust_head(ctx, -(int)extra))
		return XDP_ABORTED;
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data), *old = (void *)eth + extra;
	struct ip6_hdr *ip6 = (void *)(eth + 1);
	struct udp_hdr *udp = (void *)(ip6 + 1);
	u32 hash = hash_flow(&p->flow);

	if ((void *)(udp + 1) > end || (void *)(old + 1) > end)
		return XDP_ABORTED;
	new_mac(eth, old, htons(ETH_IP6));
	ip6->version_class_flow = htonl(6u << 28 | (u32)p->tos << 20 | (hash & 0xfffff));
	ip6->payload_len = htons((u16)(p->len + extra - sizeof(*ip6)));
	ip6->next = gue ? PROTO_UDP : p->flow.family == 4 ? PROTO_IPIP : PROTO_IPV6;
	ip6->hop_limit = 64;
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		ip6->src[i] = source6[i];
	set_address(ip6->dst, &b->addr);
	if (gue)
		put_gue(udp, b, hash, p->len);
	return XDP_TX;
}

#define QUOTE4 28  /* bytes of the packet in an ICMP error: IPv4 header and 8 more (RFC 792) */
#define QUOTE6 216 /* for IPv6; it may be as much as makes 1280 (RFC 4443) */

/* Cuts the packet to its first `keep` bytes of IP and makes room of `extra` bytes before it. */
INLINE int make_room(struct xdp_md *ctx, u32 keep, u32 extra)
{
	int have = (int)packet_len(ctx), want = (int)(keep + sizeof(struct eth_hdr));

	return have < want || bpf_xdp_adjust_tail(ctx, want - have) || bpf_xdp_adjust_head(ctx, -(int)extra);
}

/* Answers "fragmentation needed". */
static NOINLINE int too_big4(struct xdp_md *ctx, u32 room)
{
	u32 extra = sizeof(struct ip_hdr) + sizeof(struct icmp_hdr);

	if (make_room(ctx, QUOTE4, extra))
		return XDP_ABORTED;
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data), *old = (void *)eth + extra;
	struct ip_hdr *ip = (void *)(eth + 1), *quoted = (void *)(old + 1);
	struct icmp_hdr *icmp = (void *)(ip + 1);

	if ((void *)quoted + QUOTE4 > end)
		return XDP_ABORTED;
	copy_mac(eth->dst, old->src);
	copy_mac(eth->src, old->dst);
	eth->type = htons(ETH_IP);
	ip->version_ihl = 0x45;
	ip->tos = 0;
	ip->len = htons((u16)(extra + QUOTE4));
	ip->id = 0;
	ip->frag = htons(FRAG_DONT);
	ip->ttl = 64;
	ip->proto = PROTO_ICMP;
	ip->check = 0;
	ip->src = quoted->dst;
	ip->dst = quoted->src;
	ip->check = ip_checksum(ip);
	icmp->type = ICMP_UNREACHABLE;
	icmp->code = ICMP_FRAG_NEEDED;
	icmp->check = 0;
	icmp->unused = 0;
	icmp->mtu = htons((u16)room);
	icmp->check = (u16)~csum_fold(sum_words(icmp, sizeof(*icmp) + QUOTE4));
	return XDP_TX;
}

/* Answers "packet too big". */
static NOINLINE int too_big6(struct xdp_md *ctx, u32 room)
{
	u32 extra = sizeof(struct ip6_hdr) + sizeof(struct icmp_hdr);

	if (make_room(ctx, QUOTE6, extra))
		return XDP_ABORTED;
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data), *old = (void *)eth + extra;
	struct ip6_hdr *ip6 = (void *)(eth + 1), *quoted = (void *)(old + 1);
	struct icmp_hdr *icmp = (void *)(ip6 + 1);

	if ((void *)quoted + QUOTE6 > end)
		return XDP_ABORTED;
	copy_mac(eth->dst, old->src);
	copy_mac(eth->src, old->dst);
	eth->type = htons(ETH_IP6);
	ip6->version_class_flow = htonl(6u << 28);
	ip6->payload_len = htons(sizeof(*icmp) + QUOTE6);
	ip6->next = PROTO_ICMP6;
	ip6->hop_limit = 64;
	__builtin_memcpy(ip6->src, quoted->dst, 16);
	__builtin_memcpy(ip6->dst, quoted->src, 16);
	icmp->type = ICMP6_TOO_BIG;
	icmp->code = 0;
	icmp->check = 0;
	icmp->mtu6 = htonl(room);
	s64 sum = bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp) + QUOTE6, pseudo6(ip6, sizeof(*icmp) + QUOTE6, PROTO_ICMP6));
	if (sum < 0)
		return XDP_ABORTED;
	icmp->check = (u16)~csum_fold((u32)sum);
	return XDP_TX;
}

INLINE int deliver(struct xdp_md *ctx, struct packet *p, struct backend *b, struct stats *stats)
{
	u32 overhead = (b->family == 4 ? sizeof(struct ip_hdr) : sizeof(struct ip6_hdr)) +
		       (b->encap == ENCAP_GUE ? sizeof(struct udp_hdr) : 0);

	if (p->len + overhead > mtu) {
		stats->too_big++;
		if (!p->dont_fragment || p->error)
			return XDP_DROP;
		return p->flow.family == 4 ? too_big4(ctx, mtu - overhead) : too_big6(ctx, mtu - overhead);
	}
	stats->packets++;
	stats->bytes += p->len;
	stats->errors += p->error;
	return b->family == 4 ? encapsulate4(ctx, p, b) : encapsulate6(ctx, p, b);
}

SEC("xdp")
int balancer(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);
	struct packet p = {};
	u32 reason = NOT_IP;

	if ((void *)(eth + 1) > pointer(ctx->data_end))
		return pass(SHORT);
	if (eth->type == htons(ETH_IP))
		reason = (u32)parse4(ctx, &p);
	else if (eth->type == htons(ETH_IP6))
		reason = (u32)parse6(ctx, &p);
	if (reason != NUM_REASONS)
		return pass(reason);

	struct vip_key key = {.addr = p.flow.dst, .port = p.flow.dport, .proto = p.flow.proto, .family = p.flow.family};
	struct vip *vip = bpf_map_lookup_elem(&vips, &key);
	if (!vip)
		return pass(NO_VIP);
	u32 index = vip->index;
	struct stats *stats = bpf_map_lookup_elem(&vip_stats, &index);
	if (!stats)
		return XDP_ABORTED;
	struct backend *b = choose(vip, &p, stats);
	if (!b) {
		stats->homeless++;
		return XDP_DROP;
	}
	return deliver(ctx, &p, b, stats);
}

LICENSE("Dual MIT/GPL");
