/* Ethernet, VLAN, QinQ and MPLS in front of IP. */
#include "corpus.h"

MAP(vlans, MAP_PERCPU_ARRAY, u32, u64, 4096);

struct cursor { u8 *at, *end; };

INLINE int pull_eth(struct cursor *c, u16 *type, u16 *tci, int tags)
{
	struct eth_hdr *eth = (void *)c->at;

	if ((void *)(eth + 1) > (void *)c->end)
		return -1;
	*type = eth->type;
	c->at = (void *)(eth + 1);
	UNROLL
	for (int i = 0; i < tags; i++) {
		struct vlan_hdr *v = (void *)c->at;

		if (*type != htons(ETH_VLAN) && *type != htons(ETH_QINQ))
			break;
		if ((void *)(v + 1) > (void *)c->end)
			return -1;
		*type = v->type;
		*tci = v->tci;
		c->at = (void *)(v + 1);
	}
	return 0;
}

SEC("xdp") int vlan_one(struct xdp_md *ctx)
{
	struct cursor c = {pointer(ctx->data), pointer(ctx->data_end)};
	u16 type, tci = 0;

	if (pull_eth(&c, &type, &tci, 1))
		return XDP_DROP;
	u32 key = ntohs(tci) & 0xfff;
	u64 *n = bpf_map_lookup_elem(&vlans, &key);
	if (n)
		*n += 1;
	return type == htons(ETH_IP) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int vlan_four(struct xdp_md *ctx)
{
	struct cursor c = {pointer(ctx->data), pointer(ctx->data_end)};
	u16 type, tci = 0;

	if (pull_eth(&c, &type, &tci, 4))
		return XDP_DROP;
	if (type != htons(ETH_IP) || c.at + sizeof(struct ip_hdr) > c.end)
		return XDP_PASS;
	struct ip_hdr *ip = (void *)c.at;
	return ip->ttl > 1 ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int vlan_loop(struct xdp_md *ctx)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);
	int tags = 0;

	if (at + 14 > end)
		return XDP_DROP;
	u16 type = *(u16 *)(at + 12);
	at += 14;
	NO_UNROLL
	for (tags = 0; tags < 8; tags++) {
		if (type != htons(ETH_VLAN) && type != htons(ETH_QINQ))
			break;
		if (at + 4 > end)
			return XDP_DROP;
		type = *(u16 *)(at + 2);
		at += 4;
	}
	return tags > 2 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int mpls_stack(struct xdp_md *ctx)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);
	u32 depth = 0;

	if (at + 14 > end || *(u16 *)(at + 12) != htons(0x8847))
		return XDP_PASS;
	at += 14;
	NO_UNROLL
	for (int i = 0; i < 6; i++) {
		if (at + 4 > end)
			return XDP_DROP;
		u32 label = ntohl(*(be32 *)at);
		at += 4;
		depth++;
		if (label & 0x100)
			break;
	}
	if (at + 1 > end)
		return XDP_DROP;
	return *at >> 4 == 4 && depth < 4 ? XDP_PASS : XDP_DROP;
}

SEC("tc") int vlan_tag(struct sk_buff_md *skb)
{
	if (skb->vlan_present && (skb->vlan_tci & 0xfff) == 7) {
		if (bpf_skb_vlan_pop(skb))
			return TC_ACT_SHOT;
	} else if (skb->priority > 3) {
		bpf_skb_vlan_push(skb, htons(ETH_VLAN), 7 | 3 << 13);
	}
	return TC_ACT_OK;
}

SEC("xdp") int swap_tags(struct xdp_md *ctx)
{
	u8 *data = pointer(ctx->data), *end = pointer(ctx->data_end);
	struct vlan_hdr *a, *b, t;

	if (data + 22 > end)
		return XDP_PASS;
	a = (void *)(data + 14);
	b = (void *)(data + 18);
	t = *a;
	*a = *b;
	*b = t;
	return XDP_TX;
}

SEC("xdp") int bad_vlan_off_by_one(struct xdp_md *ctx)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (at + 17 > end)
		return XDP_DROP;
	return *(u16 *)(at + 16) == htons(ETH_IP) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int bad_check_after(struct xdp_md *ctx)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);
	u16 type = *(u16 *)(at + 12);

	if (at + 14 > end)
		return XDP_DROP;
	return type == htons(ETH_IP) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int bad_other_pointer(struct xdp_md *ctx)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);
	u32 skip = ctx->rx_queue_index & 0xff;
	u8 *ip = at + skip;

	if (at + 300 > end)
		return XDP_DROP;
	return *ip;
}

SEC("tc") int bad_stale_pointer(struct sk_buff_md *skb)
{
	u8 *at = pointer(skb->data), *end = pointer(skb->data_end);

	if (at + 14 > end)
		return TC_ACT_SHOT;
	if (skb->vlan_present)
		bpf_skb_vlan_pop(skb);
	return at[12] ? TC_ACT_OK : TC_ACT_SHOT;
}
