/* IPv4 with options, fragments and checksums. */
#include "corpus.h"

MAP(protos, MAP_ARRAY, u32, u64, 256);
MAP(frags, MAP_LRU_HASH, u64, u32, 1024);

INLINE struct ip_hdr *ip_of(struct xdp_md *ctx, void **end)
{
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip_hdr *ip = (void *)(eth + 1);

	*end = pointer(ctx->data_end);
	if ((void *)(ip + 1) > *end || eth->type != htons(ETH_IP))
		return NULL;
	return ip;
}

SEC("xdp") int ip_proto(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u32 key = ip->proto;
	u64 *n = bpf_map_lookup_elem(&protos, &key);
	if (n)
		__sync_fetch_and_add(n, 1);
	return XDP_PASS;
}

SEC("xdp") int ip_options_walk(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u32 len = ip_header_len(ip);
	if (len < 20 || len > 60)
		return XDP_DROP;
	u8 *at = (u8 *)(ip + 1), *stop = (u8 *)ip + len;
	NO_UNROLL
	for (int i = 0; i < 40; i++) {
		if (at + 2 > stop || at + 2 > (u8 *)end)
			break;
		u8 kind = at[0], size = at[1];
		if (kind == 0)
			break;
		if (kind == 1) {
			at += 1;
			continue;
		}
		if (kind == 131 || kind == 137) /* source routes */
			return XDP_DROP;
		if (size < 2 || size > 40)
			return XDP_DROP;
		at += size;
	}
	return XDP_PASS;
}

SEC("xdp") int ip_l4_after_options(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip || ip->proto != PROTO_UDP)
		return XDP_PASS;
	u32 len = (ip->version_ihl & 0xf) * 4;
	if (len < sizeof(*ip))
		return XDP_DROP;
	struct udp_hdr *udp = (void *)ip + len;
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	return ntohs(udp->dport) == 53 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int ip_checksum(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);
	u32 sum = 0;

	if (!ip || ip->version_ihl != 0x45)
		return XDP_PASS;
	u16 *w = (void *)ip;
	UNROLL
	for (int i = 0; i < 10; i++)
		sum += w[i];
	return csum_fold(sum) == 0xffff ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int ip_checksum_loop(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);
	u32 sum = 0;

	if (!ip)
		return XDP_PASS;
	u32 words = (ip->version_ihl & 0xf) * 2;
	u16 *w = (void *)ip;
	NO_UNROLL
	for (u32 i = 0; i < 30; i++) {
		if (i >= words)
			break;
		if ((void *)(w + 1) > end)
			return XDP_DROP;
		sum += *w++;
	}
	return csum_fold(sum) == 0xffff ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int ip_ttl(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip || ip->ttl <= 1)
		return XDP_DROP;
	ip->ttl--;
	ip->check = csum_replace2(ip->check, htons((ip->ttl + 1) << 8), htons(ip->ttl << 8));
	return XDP_TX;
}

SEC("xdp") int ip_fragments(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u16 frag = ntohs(ip->frag);
	if (!(frag & (FRAG_OFFSET | FRAG_MORE)))
		return XDP_PASS;
	u64 key = (u64)ip->src << 32 | (u32)ip->id << 16 | ip->proto;
	if (!(frag & FRAG_OFFSET)) {
		u32 *ports = (void *)(ip + 1);
		if ((void *)(ports + 1) > end)
			return XDP_DROP;
		u32 val = *ports;
		bpf_map_update_elem(&frags, &key, &val, MAP_ANY);
		return XDP_PASS;
	}
	u32 *seen = bpf_map_lookup_elem(&frags, &key);
	return seen ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int bad_option_len(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u8 *at = (u8 *)(ip + 1);
	if (at + 2 > (u8 *)end)
		return XDP_PASS;
	at += at[1];
	return at[0];
}

SEC("xdp") int bad_endless_options(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u8 *at = (u8 *)(ip + 1);
	NO_UNROLL
	while (at + 2 <= (u8 *)end) {
		if (at[0] == 0)
			break;
		at += at[1];
	}
	return XDP_PASS;
}

SEC("xdp") int bad_no_null_check(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	u64 key = ip->src;
	u32 *seen = bpf_map_lookup_elem(&frags, &key);
	*seen += 1;
	return XDP_PASS;
}

SEC("xdp") int bad_padding(struct xdp_md *ctx)
{
	void *end;
	struct ip_hdr *ip = ip_of(ctx, &end);

	if (!ip)
		return XDP_PASS;
	struct { u8 proto; } key;
	u64 *n;

	key.proto = ip->proto;
	n = bpf_map_lookup_elem(&frags, (u8 *)&key - 8);
	return n ? XDP_PASS : XDP_DROP;
}
