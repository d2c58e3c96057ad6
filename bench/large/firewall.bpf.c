//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A firewall whose rules are looked at one after the other, in a loop that is unrolled: as large as the largest programs that
 * are in use. A rule that matches counts, and decides unless it only counts.
 */
#include "../../examples/skep_bpf.h"

#define RULES 118

struct rule {
	be32 src[4], src_mask[4];
	be32 dst[4], dst_mask[4];
	u16 sport_from, sport_to; /* host order */
	u16 dport_from, dport_to;
	u8 proto;  /* 0: any */
	u8 family; /* 4, 6; 0: the rule is not used */
	u8 flags, flags_mask; /* of TCP */
	u32 verdict; /* XDP_ABORTED: only count */
	u64 packets;
	u64 bytes;
};

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, RULES);
	TYPE(key, u32);
	TYPE(value, struct rule);
} rules SEC(".maps");

struct flow {
	be32 src[4];
	be32 dst[4];
	u16 sport;
	u16 dport;
	u8 proto;
	u8 family;
	u8 flags;
	u8 pad;
};

INLINE int ports(struct flow *f, void *l4, void *end)
{
	struct tcp_hdr *tcp = l4;

	if (f->proto != PROTO_TCP && f->proto != PROTO_UDP)
		return 1;
	if ((void *)tcp + 4 > end)
		return 0;
	f->sport = ntohs(tcp->sport);
	f->dport = ntohs(tcp->dport);
	if (f->proto == PROTO_TCP && (void *)(tcp + 1) <= end)
		f->flags = tcp->flags;
	return 1;
}

INLINE int parse(struct flow *f, void *data, void *end)
{
	struct eth_hdr *eth = data;
	struct ip_hdr *ip = (void *)(eth + 1);
	struct ip6_hdr *ip6 = (void *)(eth + 1);

	if (eth->type == htons(ETH_IP)) {
		if ((void *)(ip + 1) > end || ip->version_ihl != 0x45)
			return 0;
		f->family = 4;
		f->proto = ip->proto;
		f->src[0] = ip->src;
		f->dst[0] = ip->dst;
		return ip->frag & htons(FRAG_OFFSET) ? 1 : ports(f, ip + 1, end);
	}
	if (eth->type != htons(ETH_IP6) || (void *)(ip6 + 1) > end)
		return 0;
	f->family = 6;
	f->proto = ip6->next;
	for (int i = 0; i < 4; i++) {
		f->src[i] = ip6->src[i];
		f->dst[i] = ip6->dst[i];
	}
	return ports(f, ip6 + 1, end);
}

INLINE int matches(const struct rule *r, const struct flow *f)
{
	if (r->family != f->family || (r->proto && r->proto != f->proto))
		return 0;
	for (int i = 0; i < 4; i++)
		if ((f->src[i] & r->src_mask[i]) != r->src[i] || (f->dst[i] & r->dst_mask[i]) != r->dst[i])
			return 0;
	if (f->sport < r->sport_from || f->sport > r->sport_to || f->dport < r->dport_from || f->dport > r->dport_to)
		return 0;
	return (f->flags & r->flags_mask) == r->flags;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);
	struct flow f = {};

	if (data + sizeof(struct eth_hdr) > end || !parse(&f, data, end))
		return XDP_PASS;
#pragma clang loop unroll(full)
	for (u32 i = 0; i < RULES; i++) {
		u32 key = i;
		struct rule *r = bpf_map_lookup_elem(&rules, &key);

		if (!r || !matches(r, &f))
			continue;
		__sync_fetch_and_add(&r->packets, 1);
		__sync_fetch_and_add(&r->bytes, (u64)(end - data));
		if (r->verdict)
			return (int)r->verdict;
	}
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
