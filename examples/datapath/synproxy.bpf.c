//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A SYN proxy on XDP, for IPv4 and IPv6: SYNs to protected ports are answered here, with a SYN cookie for a sequence number
 * and nothing remembered. Who sends the cookie back in an ACK is a client, and may pass from then on. Options are answered:
 * segment size, window scale, selective acknowledgements, timestamps; the timestamp carries what was agreed, as the ACK
 * that comes back is all that is left of it. Floods are counted by /24 and /64, and what comes from nowhere gets a RST or is dropped.
 */
#include "datapath.h"

const volatile u8 window_scale = 7;
const volatile u8 reset_strangers = 1;

struct port_key {
	struct address addr;
	be16 port;
	u16 family;
};

struct port {
	u32 flags;
	u32 pad;
	u64 answered; /* SYNs */
	u64 accepted; /* cookies */
	u64 refused;
};

struct client {
	u32 packets;
	u8 scale; /* that the client said, 0xff: none */
	u8 sack;
	u16 closing;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 64);
	TYPE(key, struct port_key);
	TYPE(value, struct port);
} ports SEC(".maps");

struct {
	UINT(type, MAP_LRU_HASH);
	UINT(max_entries, 65536);
	TYPE(key, struct flow);
	TYPE(value, struct client);
} clients SEC(".maps");

struct {
	UINT(type, MAP_LRU_PERCPU_HASH);
	UINT(max_entries, 4096);
	TYPE(key, struct address);
	TYPE(value, u64);
} floods SEC(".maps");

enum counter { NOT_IP, NOT_TCP, FRAGMENT, SHORT, UNPROTECTED, BAD_FLAGS, BAD_CHECKSUM, ANSWERED, ACCEPTED, REFUSED, KNOWN, RESET, NUM_COUNTERS };

struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, NUM_COUNTERS);
	TYPE(key, u32);
	TYPE(value, u64);
} counters SEC(".maps");

static NOINLINE int count(u32 what, int verdict)
{
	u64 *n = bpf_map_lookup_elem(&counters, &what);

	if (n)
		++*n;
	return verdict;
}

struct segment {
	struct flow flow;
	u32 l4;	 /* offset of the TCP header */
	u32 len; /* of it, with options */
	u32 tail; /* offset of the end of the IP packet */
	be32 seq;
	be32 ack;
	u8 flags;
	u8 pad[3];
};

/* What a SYN's options say. */
struct options {
	u32 tsval;
	u8 has_ts;
	u8 sack;
	u8 scale; /* 0xff: none */
	u8 pad;
};

enum { OPT_END, OPT_NOP, OPT_MSS, OPT_SCALE, OPT_SACK, OPT_TS = 8 };

/* Reads the headers. Returns a counter, NUM_COUNTERS when all is well. */
static NOINLINE int parse(struct xdp_md *ctx, struct segment *s)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);
	struct eth_hdr *eth = data;
	struct tcp_hdr *tcp;

	if (!s || (void *)(eth + 1) > end)
		return SHORT;
	if (eth->type == htons(ETH_IP)) {
		struct ip_hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return SHORT;
		if (ip->version_ihl != 0x45 || ip->proto != PROTO_TCP)
			return NOT_TCP;
		if (ip->frag & htons(FRAG_OFFSET | FRAG_MORE))
			return FRAGMENT;
		s->flow.family = 4;
		s->flow.src.word[0] = ip->src;
		s->flow.dst.word[0] = ip->dst;
		s->tail = sizeof(*eth) + ntohs(ip->len);
		tcp = (void *)(ip + 1);
	} else if (eth->type == htons(ETH_IP6)) {
		struct ip6_hdr *ip6 = (void *)(eth + 1);

		if ((void *)(ip6 + 1) > end)
			return SHORT;
		if (ip6->next != PROTO_TCP)
			return NOT_TCP;
		s->flow.family = 6;
		copy_address(&s->flow.src, ip6->src);
		copy_address(&s->flow.dst, ip6->dst);
		s->tail = sizeof(*eth) + sizeof(*ip6) + ntohs(ip6->payload_len);
		tcp = (void *)(ip6 + 1);
	} else {
		return NOT_IP;
	}
	if ((void *)(tcp + 1) > end)
		return SHORT;
	s->l4 = (u32)((void *)tcp - data);
	s->len = (tcp->offset >> 4) * 4;
	if (s->len < sizeof(*tcp) || s->l4 + s->len > s->tail || data + s->tail > end)
		return SHORT;
	s->flow.proto = PROTO_TCP;
	s->flow.sport = tcp->sport;
	s->flow.dport = tcp->dport;
	s->flags = tcp->flags;
	s->seq = tcp->seq;
	s->ack = tcp->ack;
	return NUM_COUNTERS;
}

/* Reads the options of a TCP header that ends at `tail`, from offset `at` on. */
static NOINLINE void read_options(struct xdp_md *ctx, u32 at, u32 tail, struct options *o)
{
	if (!o)
		return;
	for (int i = 0; i < 24; i++) {
		void *data = pointer(ctx->data), *end = pointer(ctx->data_end);
		u8 *option = data + (at & 0xff);
		u32 len;

		if (at >= tail || at > 200 || (void *)(option + 1) > end || option[0] == OPT_END)
			return;
		if (option[0] == OPT_NOP) {
			at++;
			continue;
		}
		if ((void *)(option + 2) > end)
			return;
		len = option[1];
		if (len < 2 || at + len > tail)
			return;
		if (option[0] == OPT_SCALE && len == 3 && (void *)(option + 3) <= end)
			o->scale = option[2] < 14 ? option[2] : 14;
		if (option[0] == OPT_SACK && len == 2)
			o->sack = 1;
		if (option[0] == OPT_TS && len == 10 && (void *)(option + 10) <= end) {
			o->has_ts = 1;
			o->tsval = (u32)option[2] << 24 | option[3] << 16 | option[4] << 8 | option[5];
		}
		at += len;
	}
}

struct answer {
	be16 mss;
	u8 words; /* of options, 4 bytes each */
	u8 pad;
	be32 option[5];
};

/*
 * Puts the options of the answer together: as many as were asked for. The low bits of our timestamp say what was agreed: 4
 * bits of window scale (15: none), one for selective acknowledgements, and one that is set.
 */
static NOINLINE void put_options(const struct options *o, u32 mss, struct answer *a)
{
	u32 n = 0;

	if (!o || !a)
		return;
	a->option[n++] = htonl(OPT_MSS << 24 | 4 << 16 | (mss & 0xffff));
	if (o->has_ts) {
		u32 ts = (u32)(bpf_ktime_get_ns() / 1000000) & ~63u;

		ts |= (o->scale == 0xff ? 15u : o->scale) | (u32)o->sack << 4 | 32;
		a->option[1] = o->sack ? htonl(OPT_SACK << 24 | 2 << 16 | OPT_TS << 8 | 10)
				       : htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_TS << 8 | 10);
		a->option[2] = htonl(ts);
		a->option[3] = htonl(o->tsval);
		n = 4;
	} else if (o->sack) {
		a->option[1] = htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK << 8 | 2);
		n = 2;
	}
	if (o->scale != 0xff && n < 5) {
		be32 scale = htonl(OPT_NOP << 24 | OPT_SCALE << 16 | 3 << 8 | (u32)window_scale);

		if (n == 4)
			a->option[4] = scale;
		else if (n == 2)
			a->option[2] = scale;
		else
			a->option[1] = scale;
		n++;
	}
	a->words = (u8)n;
}

#define MAX_HEADER 60 /* of TCP */

/*
 * The cookie for a SYN: sequence number in the low half, segment size in the high one; below 0: none. The verifier wants as many
 * bytes in the packet as a header may ever have.
 */
static NOINLINE s64 cookie(struct xdp_md *ctx, const struct segment *s)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (!s)
		return -1;
	u32 len = s->len;
	if (len < sizeof(struct tcp_hdr) || len > MAX_HEADER)
		return -1;
	if (s->flow.family == 4) {
		struct ip_hdr *ip = data + sizeof(struct eth_hdr);
		struct tcp_hdr *tcp = (void *)(ip + 1);

		return (void *)tcp + MAX_HEADER > end ? -1 : bpf_tcp_raw_gen_syncookie_ipv4(ip, tcp, len);
	}
	struct ip6_hdr *ip6 = data + sizeof(struct eth_hdr);
	struct tcp_hdr *tcp = (void *)(ip6 + 1);

	return (void *)tcp + MAX_HEADER > end ? -1 : bpf_tcp_raw_gen_syncookie_ipv6(ip6, tcp, len);
}

/* Turns around Ethernet and IP for an answer of `len` bytes of TCP, and returns the sum of the pseudo header. */
static NOINLINE u32 turn(struct xdp_md *ctx, u32 family, u32 len)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);
	struct eth_hdr *eth = data;

	if (family == 4) {
		struct ip_hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return 0;
		be32 src = ip->src;

		swap_mac(eth);
		ip->src = ip->dst;
		ip->dst = src;
		ip->tos = 0;
		ip->id = 0;
		ip->frag = htons(FRAG_DONT);
		ip->ttl = 64;
		ip->len = htons((u16)(sizeof(*ip) + len));
		ip->check = 0;
		ip->check = ip_checksum(ip);
		return sum_words(&ip->src, 8) + (u32)htons((u16)len) + (u32)htons(PROTO_TCP);
	}
	struct ip6_hdr *ip6 = (void *)(eth + 1);
	struct address src;

	if ((void *)(ip6 + 1) > end)
		return 0;
	swap_mac(eth);
	copy_address(&src, ip6->src);
	__builtin_memcpy(ip6->src, ip6->dst, 16);
	set_address(ip6->dst, &src);
	ip6->version_class_flow = htonl(6u << 28);
	ip6->hop_limit = 64;
	ip6->payload_len = htons((u16)len);
	return pseudo6(ip6, len, PROTO_TCP);
}

/* Makes the packet as long as an answer with `len` bytes of TCP. */
INLINE int resize(struct xdp_md *ctx, const struct segment *s, u32 len)
{
	return (int)bpf_xdp_adjust_tail(ctx, (int)(s->l4 + len) - (int)packet_len(ctx));
}

/* Writes the TCP header of an answer, without options. */
INLINE void put_tcp(struct tcp_hdr *tcp, const struct segment *s, u32 len, u8 flags, be32 seq, be32 ack)
{
	tcp->sport = s->flow.dport;
	tcp->dport = s->flow.sport;
	tcp->seq = seq;
	tcp->ack = ack;
	tcp->offset = (u8)(len / 4 << 4);
	tcp->flags = flags;
	tcp->window = 0;
	tcp->check = 0;
	tcp->urgent = 0;
}

/* The offset of the TCP header is one of two, whatever a segment says. */
INLINE struct tcp_hdr *tcp_of(struct xdp_md *ctx, u32 family)
{
	return pointer(ctx->data) + sizeof(struct eth_hdr) + (family == 4 ? sizeof(struct ip_hdr) : sizeof(struct ip6_hdr));
}

/* Answers a SYN with SYN and ACK. */
static NOINLINE int answer(struct xdp_md *ctx, const struct segment *s)
{
	struct options o = {.scale = 0xff};
	struct answer a = {};

	if (!s || resize(ctx, s, MAX_HEADER))
		return XDP_ABORTED;
	s64 made = cookie(ctx, s);

	if (made < 0)
		return count(SHORT, XDP_DROP);
	read_options(ctx, s->l4 + sizeof(struct tcp_hdr), s->l4 + s->len, &o);
	put_options(&o, (u32)(made >> 32), &a);
	u32 len = sizeof(struct tcp_hdr) + a.words * 4;

	if (resize(ctx, s, len))
		return XDP_ABORTED;
	u32 sum = turn(ctx, s->flow.family, len);
	struct tcp_hdr *tcp = tcp_of(ctx, s->flow.family);
	void *end = pointer(ctx->data_end);

	if ((void *)(tcp + 1) > end)
		return XDP_ABORTED;
	put_tcp(tcp, s, len, TCP_SYN | TCP_ACK, htonl((u32)made), htonl(ntohl(s->seq) + 1));
	sum += sum_words(tcp, sizeof(*tcp));
	be32 *option = (void *)(tcp + 1);

#pragma clang loop unroll(full)
	for (int i = 0; i < 5; i++) {
		if (i < a.words) {
			if ((void *)(option + i + 1) > end)
				return XDP_ABORTED;
			option[i] = a.option[i];
			sum += (a.option[i] & 0xffff) + (a.option[i] >> 16);
		}
	}
	tcp->check = (u16)~csum_fold(sum);
	return count(ANSWERED, XDP_TX);
}

/* Answers a segment of nobody with RST (RFC 9293 section 3.10.7.1: the peer's acknowledgement is our sequence number). */
static NOINLINE int reset(struct xdp_md *ctx, const struct segment *s)
{
	if (!s || !reset_strangers || s->flags & TCP_RST)
		return XDP_DROP;
	u32 len = sizeof(struct tcp_hdr);

	if (resize(ctx, s, len))
		return XDP_ABORTED;
	u32 sum = turn(ctx, s->flow.family, len);
	struct tcp_hdr *tcp = tcp_of(ctx, s->flow.family);

	if ((void *)(tcp + 1) > pointer(ctx->data_end))
		return XDP_ABORTED;
	put_tcp(tcp, s, len, TCP_RST, s->ack, 0);
	sum += sum_words(tcp, sizeof(*tcp));
	tcp->check = (u16)~csum_fold(sum);
	return count(RESET, XDP_TX);
}

/* Reports whether the ACK brings a cookie back. */
static NOINLINE int proven(struct xdp_md *ctx, u32 family)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (family == 4) {
		struct ip_hdr *ip = data + sizeof(struct eth_hdr);
		struct tcp_hdr *tcp = (void *)(ip + 1);

		return (void *)(tcp + 1) <= end && !bpf_tcp_raw_check_syncookie_ipv4(ip, tcp);
	}
	struct ip6_hdr *ip6 = data + sizeof(struct eth_hdr);
	struct tcp_hdr *tcp = (void *)(ip6 + 1);

	return (void *)(tcp + 1) <= end && !bpf_tcp_raw_check_syncookie_ipv6(ip6, tcp);
}

/* What was agreed comes back in the echoed timestamp of the ACK. */
static NOINLINE void agreed(struct xdp_md *ctx, const struct segment *s, struct client *c)
{
	if (!s || !c)
		return;
	c->scale = 0xff;
	if (s->len != sizeof(struct tcp_hdr) + 12)
		return;
	struct tcp_hdr *tcp = tcp_of(ctx, s->flow.family);
	be32 *option = (void *)(tcp + 1);

	if ((void *)(option + 3) > pointer(ctx->data_end) ||
	    option[0] != htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_TS << 8 | 10))
		return;
	u32 echo = ntohl(option[2]);

	if (!(echo & 32))
		return;
	c->scale = (echo & 15) == 15 ? 0xff : echo & 15;
	c->sack = echo >> 4 & 1;
}

/* The sum over a whole segment, up to the 60 bytes of a header: only SYNs without data are looked at so closely. */
static NOINLINE int good_checksum(struct xdp_md *ctx, const struct segment *s)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (!s)
		return 0;
	u32 len = s->len, family = s->flow.family, sum;

	if (family == 4) {
		struct ip_hdr *ip = data + sizeof(struct eth_hdr);

		if ((void *)(ip + 1) > end)
			return 0;
		sum = sum_words(&ip->src, 8) + (u32)htons((u16)len) + (u32)htons(PROTO_TCP);
	} else {
		struct ip6_hdr *ip6 = data + sizeof(struct eth_hdr);

		if ((void *)(ip6 + 1) > end)
			return 0;
		sum = pseudo6(ip6, len, PROTO_TCP);
	}
	be32 *word = (void *)tcp_of(ctx, family);

	for (u32 i = 0; i < 15; i++) {
		if (i * 4 >= len)
			break;
		if ((void *)(word + i + 1) > end)
			return 0;
		sum += (word[i] & 0xffff) + (word[i] >> 16);
	}
	return csum_fold(sum) == 0xffff;
}

INLINE void flood(const struct flow *flow)
{
	struct address net = flow->src;
	u64 one = 1, *n;

	if (flow->family == 4)
		net.word[0] &= htonl(0xffffff00);
	else
		net.word[2] = net.word[3] = 0;
	n = bpf_map_lookup_elem(&floods, &net);
	if (n)
		++*n;
	else
		bpf_map_update_elem(&floods, &net, &one, MAP_NOEXIST);
}

INLINE int syn(struct xdp_md *ctx, const struct segment *s, struct port *port)
{
	flood(&s->flow);
	if (s->l4 + s->len != s->tail)
		return count(BAD_FLAGS, XDP_DROP); /* data with a SYN: fast open is not for us */
	if (!good_checksum(ctx, s))
		return count(BAD_CHECKSUM, XDP_DROP);
	__sync_fetch_and_add(&port->answered, 1);
	return answer(ctx, s);
}

INLINE int ack(struct xdp_md *ctx, const struct segment *s, struct port *port)
{
	struct client fresh = {.packets = 1};

	if (!proven(ctx, s->flow.family)) {
		__sync_fetch_and_add(&port->refused, 1);
		count(REFUSED, 0);
		return reset(ctx, s);
	}
	agreed(ctx, s, &fresh);
	if (bpf_map_update_elem(&clients, &s->flow, &fresh, MAP_ANY))
		return XDP_DROP;
	__sync_fetch_and_add(&port->accepted, 1);
	return count(ACCEPTED, XDP_PASS);
}

SEC("xdp")
int synproxy(struct xdp_md *ctx)
{
	struct segment s = {};
	int what = parse(ctx, &s);

	if (what != NUM_COUNTERS)
		return count((u32)what, what == FRAGMENT ? XDP_DROP : XDP_PASS);
	struct port_key key = {.addr = s.flow.dst, .port = s.flow.dport, .family = s.flow.family};
	struct port *port = bpf_map_lookup_elem(&ports, &key);

	if (!port)
		return count(UNPROTECTED, XDP_PASS);
	u8 flags = s.flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST);

	if (flags == TCP_SYN)
		return syn(ctx, &s, port);
	if (flags & TCP_SYN || !flags)
		return count(BAD_FLAGS, XDP_DROP);
	struct client *client = bpf_map_lookup_elem(&clients, &s.flow);

	if (client) {
		__sync_fetch_and_add(&client->packets, 1);
		if (flags & TCP_RST) {
			bpf_map_delete_elem(&clients, &s.flow);
			return count(KNOWN, XDP_PASS);
		}
		if (flags & TCP_FIN)
			client->closing = 1;
		return count(KNOWN, XDP_PASS);
	}
	if (flags == TCP_ACK)
		return ack(ctx, &s, port);
	return reset(ctx, &s);
}

LICENSE("Dual MIT/GPL");
