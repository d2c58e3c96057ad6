//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A source NAT for IPv4 at a network's edge, on both sides of tc. `nat_out` gives flows from inside a public address and
 * port: the first free one of a few that start at the flow's hash. `nat_in` takes what comes back to who it is for: TCP, UDP,
 * echo replies, and ICMP errors, whose quoted header is turned back as well. Both directions are remembered in LRU tables.
 * Checksums are repaired by what changed.
 */
#include "datapath.h"

#define TRIES 8

struct config {
	be32 inside; /* network order */
	be32 mask;
	be32 public;
	u16 first_port;
	u16 ports; /* a power of two */
};

/* A direction's packets are known by this: addresses and ports as they come. Of echoes, both ports are the id. */
struct tuple {
	be32 src;
	be32 dst;
	be16 sport;
	be16 dport;
	u8 proto;
	u8 pad[3];
};

/* What to write in place of source (out) or destination (in). */
struct mapping {
	be32 addr;
	be16 port;
	u8 closing; /* flags of TCP that were seen: FIN, RST */
	u8 pad;
	u32 packets;
};

enum counter { NOT_OURS, TRANSLATED, OPENED, EXHAUSTED, UNKNOWN, UNSUPPORTED, TRUNCATED, ICMP_ERRORS, FRAGMENTS, NUM_COUNTERS };

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct config);
} config SEC(".maps");

struct table {
	UINT(type, MAP_LRU_HASH);
	UINT(max_entries, 32768);
	TYPE(key, struct tuple);
	TYPE(value, struct mapping);
} outward SEC(".maps"), inward SEC(".maps");

struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, 2 * NUM_COUNTERS); /* out, in */
	TYPE(key, u32);
	TYPE(value, u64);
} counters SEC(".maps");

enum { OUT = 0, IN = 1 };

static NOINLINE int count(u32 direction, u32 what, int verdict)
{
	u32 index = direction * NUM_COUNTERS + what;
	u64 *n = bpf_map_lookup_elem(&counters, &index);

	if (n)
		++*n;
	return verdict;
}

struct parsed {
	struct tuple tuple;
	u32 l4;	   /* offset of the transport header */
	u32 icmp;  /* type, 256: no ICMP */
	u8 flags;  /* of TCP */
	u8 pad[3];
};

enum outcome { GOOD, NOT_IPV4, CUT, OTHER_PROTOCOL, FRAGMENTED };

INLINE int parse_ports(struct __sk_buff *skb, struct parsed *p)
{
	struct tcp_hdr tcp;
	struct icmp_hdr icmp;

	switch (p->tuple.proto) {
	case PROTO_TCP:
		if (bpf_skb_load_bytes(skb, p->l4, &tcp, sizeof(tcp)))
			return CUT;
		p->flags = tcp.flags;
		break;
	case PROTO_UDP:
		if (bpf_skb_load_bytes(skb, p->l4, &tcp, sizeof(struct udp_hdr)))
			return CUT;
		break;
	case PROTO_ICMP:
		if (bpf_skb_load_bytes(skb, p->l4, &icmp, sizeof(icmp)))
			return CUT;
		p->icmp = icmp.type;
		tcp.sport = tcp.dport = icmp.id;
		break;
	default:
		return OTHER_PROTOCOL;
	}
	p->tuple.sport = tcp.sport;
	p->tuple.dport = tcp.dport;
	return GOOD;
}

static NOINLINE int parse(struct __sk_buff *skb, struct parsed *p)
{
	struct ip_hdr ip;

	if (!p || skb->protocol != htons(ETH_IP))
		return NOT_IPV4;
	if (bpf_skb_load_bytes(skb, sizeof(struct eth_hdr), &ip, sizeof(ip)))
		return CUT;
	u32 len = ip_header_len(&ip);

	if (!len)
		return CUT;
	if (ip.frag & htons(FRAG_OFFSET | FRAG_MORE))
		return FRAGMENTED;
	p->tuple = (struct tuple){.src = ip.src, .dst = ip.dst, .proto = ip.proto};
	p->l4 = sizeof(struct eth_hdr) + len;
	p->icmp = 256;
	return parse_ports(skb, p);
}

/* Offset of a transport protocol's checksum, and how bpf_l4_csum_replace has to see it. */
INLINE u32 checksum_at(u8 proto, u64 *flags)
{
	*flags = PSEUDO_HEADER;
	switch (proto) {
	case PROTO_TCP:
		return __builtin_offsetof(struct tcp_hdr, check);
	case PROTO_UDP:
		*flags |= MANGLED_ZERO; /* 0 means that there is none */
		return __builtin_offsetof(struct udp_hdr, check);
	}
	*flags = 0; /* ICMP has no pseudo header */
	return __builtin_offsetof(struct icmp_hdr, check);
}

/* Writes another address at offset `at` of the IP header, and repairs both checksums. */
INLINE int set_addr(struct __sk_buff *skb, const struct parsed *p, u32 at, be32 from, be32 to)
{
	u64 flags;
	u32 check = checksum_at(p->tuple.proto, &flags);

	if (flags && bpf_l4_csum_replace(skb, p->l4 + check, from, to, flags | sizeof(to)))
		return -1;
	if (bpf_l3_csum_replace(skb, sizeof(struct eth_hdr) + __builtin_offsetof(struct ip_hdr, check), from, to, sizeof(to)))
		return -1;
	return (int)bpf_skb_store_bytes(skb, sizeof(struct eth_hdr) + at, &to, sizeof(to), 0);
}

/* Writes another port, or id, at offset `at` of the transport header. */
INLINE int set_port(struct __sk_buff *skb, const struct parsed *p, u32 at, be16 from, be16 to)
{
	u64 flags;
	u32 check = checksum_at(p->tuple.proto, &flags);

	flags &= ~(u64)PSEUDO_HEADER;
	if (bpf_l4_csum_replace(skb, p->l4 + check, from, to, flags | sizeof(to)))
		return -1;
	return (int)bpf_skb_store_bytes(skb, p->l4 + at, &to, sizeof(to), 0);
}

INLINE u32 hash_tuple(const struct tuple *t)
{
	u32 h = hash_word(hash_word(t->proto, t->src), t->dst);

	h = hash_word(h, (u32)t->sport << 16 | t->dport);
	return h ^ h >> 16;
}

/* Takes a public port for a new flow; reports whether there was one. */
static NOINLINE int open_flow(const struct tuple *t, struct mapping *to)
{
	u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&config, &zero);

	if (!c || !to)
		return 0;
	u32 start = hash_tuple(t);
	struct tuple back = {.src = t->dst, .dst = c->public, .sport = t->dport, .proto = t->proto};
	struct mapping inside = {.addr = t->src, .port = t->sport};

	for (u32 i = 0; i < TRIES; i++) {
		u16 port = (u16)(c->first_port + ((start + i * 7) & (u32)(c->ports - 1)));

		back.dport = htons(port);
		if (t->proto == PROTO_ICMP)
			back.sport = back.dport;
		if (bpf_map_update_elem(&inward, &back, &inside, MAP_NOEXIST))
			continue;
		*to = (struct mapping){.addr = c->public, .port = htons(port)};
		if (bpf_map_update_elem(&outward, t, to, MAP_ANY)) {
			bpf_map_delete_elem(&inward, &back);
			return 0;
		}
		return 1;
	}
	return 0;
}

INLINE void note(struct mapping *m, const struct parsed *p)
{
	__sync_fetch_and_add(&m->packets, 1);
	if (p->tuple.proto == PROTO_TCP)
		m->closing |= p->flags & (TCP_FIN | TCP_RST);
}

/* Why a packet that parsing gave up on is let through or not. */
INLINE int refuse(u32 direction, int outcome)
{
	switch (outcome) {
	case NOT_IPV4:
		return count(direction, NOT_OURS, TC_ACT_OK);
	case FRAGMENTED:
		return count(direction, FRAGMENTS, TC_ACT_SHOT);
	case OTHER_PROTOCOL:
		return count(direction, UNSUPPORTED, TC_ACT_OK);
	}
	return count(direction, TRUNCATED, TC_ACT_SHOT);
}

SEC("tc/egress")
int nat_out(struct __sk_buff *skb)
{
	struct parsed p = {};
	u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&config, &zero);
	int outcome = parse(skb, &p);

	if (!c)
		return TC_ACT_SHOT;
	if (outcome != GOOD)
		return refuse(OUT, outcome);
	if ((p.tuple.src & c->mask) != c->inside || (p.tuple.dst & c->mask) == c->inside)
		return count(OUT, NOT_OURS, TC_ACT_OK);
	if (p.icmp != 256 && p.icmp != ICMP_ECHO)
		return count(OUT, UNSUPPORTED, TC_ACT_SHOT);

	struct mapping fresh, *m = bpf_map_lookup_elem(&outward, &p.tuple);
	if (!m) {
		if (!open_flow(&p.tuple, &fresh))
			return count(OUT, EXHAUSTED, TC_ACT_SHOT);
		count(OUT, OPENED, 0);
		m = bpf_map_lookup_elem(&outward, &p.tuple);
		if (!m)
			return TC_ACT_SHOT;
	}
	note(m, &p);
	be32 addr = m->addr;
	be16 port = m->port;
	u32 at = p.icmp == 256 ? __builtin_offsetof(struct tcp_hdr, sport) : __builtin_offsetof(struct icmp_hdr, id);

	if (set_addr(skb, &p, __builtin_offsetof(struct ip_hdr, src), p.tuple.src, addr) || set_port(skb, &p, at, p.tuple.sport, port))
		return TC_ACT_SHOT;
	skb->mark = 1;
	return count(OUT, TRANSLATED, TC_ACT_OK);
}

/*
 * An ICMP error is about a packet that we sent: the header that it quotes has the public address and port as the source. They
 * become the inner ones, with the checksum of the quoted header. The checksum of the message covers all of that; the
 * quoted header's own sum stays what it was, so only its checksum field, the address and the port count.
 */
static NOINLINE int icmp_error(struct __sk_buff *skb, const struct parsed *p)
{
	struct ip_hdr ip;
	be16 ports[2];
	u32 quoted, l4, check;

	if (!p)
		return TC_ACT_SHOT;
	quoted = p->l4 + sizeof(struct icmp_hdr);
	check = p->l4 + __builtin_offsetof(struct icmp_hdr, check);
	if (bpf_skb_load_bytes(skb, quoted, &ip, sizeof(ip)))
		return count(IN, TRUNCATED, TC_ACT_SHOT);
	u32 len = ip_header_len(&ip);

	if (!len || (ip.proto != PROTO_TCP && ip.proto != PROTO_UDP && ip.proto != PROTO_ICMP))
		return count(IN, UNSUPPORTED, TC_ACT_SHOT);
	l4 = quoted + len + (ip.proto == PROTO_ICMP ? __builtin_offsetof(struct icmp_hdr, id) : 0);
	if (bpf_skb_load_bytes(skb, l4, ports, sizeof(ports)))
		return count(IN, TRUNCATED, TC_ACT_SHOT);

	struct tuple back = {.src = ip.dst, .dst = ip.src, .sport = ports[1], .dport = ports[0], .proto = ip.proto};
	if (ip.proto == PROTO_ICMP)
		back.sport = ports[0];
	struct mapping *m = bpf_map_lookup_elem(&inward, &back);
	if (!m)
		return count(IN, UNKNOWN, TC_ACT_SHOT);
	be32 addr = m->addr;
	be16 port = m->port;
	u16 sum = csum_replace4(ip.check, ip.src, addr);

	if (bpf_l4_csum_replace(skb, check, ip.check, sum, sizeof(sum)) || bpf_l4_csum_replace(skb, check, ip.src, addr, sizeof(addr)) ||
	    bpf_l4_csum_replace(skb, check, ports[0], port, sizeof(port)))
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, quoted + __builtin_offsetof(struct ip_hdr, check), &sum, sizeof(sum), 0) ||
	    bpf_skb_store_bytes(skb, quoted + __builtin_offsetof(struct ip_hdr, src), &addr, sizeof(addr), 0) ||
	    bpf_skb_store_bytes(skb, l4, &port, sizeof(port), 0))
		return TC_ACT_SHOT;
	if (set_addr(skb, p, __builtin_offsetof(struct ip_hdr, dst), p->tuple.dst, addr))
		return TC_ACT_SHOT;
	return count(IN, ICMP_ERRORS, TC_ACT_OK);
}

SEC("tc/ingress")
int nat_in(struct __sk_buff *skb)
{
	struct parsed p = {};
	u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&config, &zero);
	int outcome = parse(skb, &p);

	if (!c)
		return TC_ACT_SHOT;
	if (outcome != GOOD)
		return refuse(IN, outcome);
	if (p.tuple.dst != c->public)
		return count(IN, NOT_OURS, TC_ACT_OK);
	if (p.icmp == ICMP_UNREACHABLE || p.icmp == ICMP_TIME_EXCEEDED || p.icmp == ICMP_PARAMETER)
		return icmp_error(skb, &p);
	if (p.icmp != 256 && p.icmp != ICMP_ECHO_REPLY)
		return count(IN, UNSUPPORTED, TC_ACT_SHOT);

	struct mapping *m = bpf_map_lookup_elem(&inward, &p.tuple);
	if (!m)
		return count(IN, UNKNOWN, TC_ACT_SHOT);
	note(m, &p);
	be32 addr = m->addr;
	be16 port = m->port;
	u32 at = p.icmp == 256 ? __builtin_offsetof(struct tcp_hdr, dport) : __builtin_offsetof(struct icmp_hdr, id);

	if (set_addr(skb, &p, __builtin_offsetof(struct ip_hdr, dst), p.tuple.dst, addr) || set_port(skb, &p, at, p.tuple.dport, port))
		return TC_ACT_SHOT;
	skb->mark = 2;
	return count(IN, TRANSLATED, TC_ACT_OK);
}

LICENSE("Dual MIT/GPL");
