/* IPv6 extension headers, by loops, functions and unrolling. */
#include "corpus.h"

MAP(nexts, MAP_PERCPU_ARRAY, u32, u64, 256);

INLINE int is_ext(u8 n) { return n == PROTO_HOP || n == PROTO_ROUTING || n == PROTO_DSTOPTS || n == PROTO_FRAGMENT; }

INLINE struct ip6_hdr *ip6_of(struct xdp_md *ctx, void **end)
{
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip6_hdr *ip = (void *)(eth + 1);

	*end = pointer(ctx->data_end);
	if ((void *)(ip + 1) > *end || eth->type != htons(ETH_IP6))
		return NULL;
	return ip;
}

SEC("xdp") int ext_unrolled(struct xdp_md *ctx)
{
	void *end;
	struct ip6_hdr *ip = ip6_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u8 next = ip->next;
	u8 *at = (void *)(ip + 1);
	UNROLL
	for (int i = 0; i < 4; i++) {
		if (!is_ext(next))
			break;
		if (at + 8 > (u8 *)end)
			return XDP_DROP;
		next = at[0];
		at += (at[1] + 1) * 8;
	}
	if (next == PROTO_TCP && at + 20 <= (u8 *)end)
		return at[13] & 2 ? XDP_PASS : XDP_DROP;
	return XDP_PASS;
}

SEC("xdp") int ext_loop(struct xdp_md *ctx)
{
	void *end;
	struct ip6_hdr *ip = ip6_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u8 next = ip->next;
	u32 off = sizeof(struct eth_hdr) + sizeof(*ip);
	NO_UNROLL
	for (int i = 0; i < 6; i++) {
		if (!is_ext(next))
			break;
		u8 *at = pointer(ctx->data);
		if (off > 1400)
			return XDP_DROP;
		at += off;
		if (at + 8 > (u8 *)end)
			return XDP_DROP;
		off += next == PROTO_FRAGMENT ? 8 : (at[1] + 1) * 8;
		next = at[0];
	}
	u32 key = next;
	u64 *n = bpf_map_lookup_elem(&nexts, &key);
	if (n)
		*n += 1;
	return XDP_PASS;
}

struct walk { u32 off; u8 next, frag, depth, pad; };

NOINLINE static int step(struct xdp_md *ctx, struct walk *w)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (w->off > 2000)
		return -1;
	at += w->off;
	if (at + 8 > end)
		return -1;
	if (w->next == PROTO_FRAGMENT) {
		w->frag = 1;
		w->off += 8;
	} else {
		w->off += (at[1] + 1) * 8;
	}
	w->next = at[0];
	w->depth++;
	return 0;
}

SEC("xdp") int ext_function(struct xdp_md *ctx)
{
	void *end;
	struct ip6_hdr *ip = ip6_of(ctx, &end);
	struct walk w = {};

	if (!ip)
		return XDP_PASS;
	w.off = 54;
	w.next = ip->next;
	UNROLL
	for (int i = 0; i < 3; i++) {
		if (!is_ext(w.next))
			break;
		if (step(ctx, &w))
			return XDP_DROP;
	}
	return w.frag || w.depth > 2 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int ext_function_loop(struct xdp_md *ctx)
{
	void *end;
	struct ip6_hdr *ip = ip6_of(ctx, &end);
	struct walk w = {};

	if (!ip)
		return XDP_PASS;
	w.off = 54;
	w.next = ip->next;
	NO_UNROLL
	for (int i = 0; i < 5; i++) {
		if (!is_ext(w.next))
			break;
		if (step(ctx, &w))
			return XDP_DROP;
	}
	return w.frag ? XDP_DROP : XDP_PASS;
}

static long step_cb(u32 i, void **c)
{
	struct xdp_md *ctx = c[0];
	struct walk *w = c[1];

	if (!is_ext(w->next))
		return 1;
	return step(ctx, w) ? 1 : 0;
}

SEC("xdp") int ext_bpf_loop(struct xdp_md *ctx)
{
	void *end;
	struct ip6_hdr *ip = ip6_of(ctx, &end);
	struct walk w = {};
	void *c[2] = {ctx, &w};

	if (!ip)
		return XDP_PASS;
	w.off = 54;
	w.next = ip->next;
	bpf_loop(8, step_cb, c, 0);
	return w.frag ? XDP_DROP : XDP_PASS;
}

SEC("tc") int ext_load_bytes(struct sk_buff_md *skb)
{
	u8 hdr[8];
	u32 off = 14 + 40;
	u8 next;

	if (skb->protocol != htons(ETH_IP6) || bpf_skb_load_bytes(skb, 20, &next, 1))
		return TC_ACT_OK;
	NO_UNROLL
	for (int i = 0; i < 8 && is_ext(next); i++) {
		if (bpf_skb_load_bytes(skb, off, hdr, sizeof(hdr)))
			return TC_ACT_SHOT;
		next = hdr[0];
		off += (hdr[1] + 1) * 8;
	}
	return next == PROTO_ICMP6 ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("xdp") int addr_compare(struct xdp_md *ctx)
{
	void *end;
	struct ip6_hdr *ip = ip6_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u64 *s = (void *)ip->src, *d = (void *)ip->dst;
	if (s[0] == d[0] && s[1] == d[1])
		return XDP_DROP;
	if ((s[0] & 0xc0ff) == 0x80fe)
		return XDP_PASS;
	return s[0] == 0 && s[1] == 0 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int bad_ext_unbounded(struct xdp_md *ctx)
{
	void *end;
	struct ip6_hdr *ip = ip6_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u8 *at = (void *)(ip + 1);
	if (at + 8 > (u8 *)end)
		return XDP_DROP;
	at += at[1] * 8 + 8;
	return *at == 6 ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int bad_uninit_struct(struct xdp_md *ctx)
{
	struct walk w;

	OPAQUE(ctx);
	return w.off + step(ctx, &w);
}

SEC("xdp") int bad_huge_offset(struct xdp_md *ctx)
{
	void *end;
	struct ip6_hdr *ip = ip6_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u8 *at = (u8 *)ip + ntohl(ip->version_class_flow);
	if (at + 8 > (u8 *)end)
		return XDP_DROP;
	return *at;
}
