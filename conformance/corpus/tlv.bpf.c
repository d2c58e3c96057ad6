/* Parsers of records: TCP options, DNS names, TLS server names, DHCP options, HTTP methods. */
#include "corpus.h"

struct opts { u16 mss; u8 wscale; u8 sack; u32 ts; };
MAP(seen, MAP_HASH, u32, struct opts, 256);
MAP(names, MAP_LRU_HASH, u64, u64, 1024);

INLINE u8 *l4(struct xdp_md *ctx, u8 proto, u32 min)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (at + 34 + min > end || *(u16 *)(at + 12) != htons(ETH_IP) || at[14] != 0x45 || at[23] != proto)
		return NULL;
	return at + 34;
}

SEC("xdp") int tcp_options(struct xdp_md *ctx)
{
	u8 *tcp = l4(ctx, PROTO_TCP, 20), *end = pointer(ctx->data_end);
	struct opts o = {};

	if (!tcp)
		return XDP_PASS;
	u8 *at = tcp + 20;
	u32 left = (tcp[12] >> 4) * 4 - 20;
	NO_UNROLL
	for (int i = 0; i < 10; i++) {
		if (left < 2 || left > 40 || at + 4 > end)
			break;
		u8 kind = at[0];
		if (kind == 0)
			break;
		if (kind == 1) {
			at++;
			left--;
			continue;
		}
		u8 size = at[1];
		if (size < 2 || size > left)
			break;
		if (kind == 2)
			o.mss = at[2] << 8 | at[3];
		else if (kind == 3)
			o.wscale = at[2];
		else if (kind == 4)
			o.sack = 1;
		at += size;
		left -= size;
	}
	u32 key = o.mss;
	bpf_map_update_elem(&seen, &key, &o, MAP_ANY);
	return XDP_PASS;
}

SEC("xdp") int tcp_mss_clamp(struct xdp_md *ctx)
{
	u8 *tcp = l4(ctx, PROTO_TCP, 24), *end = pointer(ctx->data_end);

	if (!tcp || !(tcp[13] & 2) || tcp + 24 > end)
		return XDP_PASS;
	if (tcp[20] != 2 || tcp[21] != 4)
		return XDP_PASS;
	u16 mss = *(u16 *)(tcp + 22), want = htons(1360);
	if (ntohs(mss) <= 1360)
		return XDP_PASS;
	*(u16 *)(tcp + 22) = want;
	*(u16 *)(tcp + 16) = csum_replace2(*(u16 *)(tcp + 16), mss, want);
	return XDP_PASS;
}

SEC("xdp") int dns_name(struct xdp_md *ctx)
{
	u8 *udp = l4(ctx, PROTO_UDP, 8 + 12), *end = pointer(ctx->data_end);
	u64 hash = 5381;
	u8 left = 0;

	if (!udp || *(u16 *)(udp + 2) != htons(53))
		return XDP_PASS;
	u8 *at = udp + 20;
	NO_UNROLL
	for (int i = 0; i < 64; i++) {
		if (at + 1 > end)
			return XDP_DROP;
		u8 c = *at++;
		if (left == 0) {
			if (c == 0)
				break;
			if (c > 63)
				return XDP_DROP;
			left = c;
			continue;
		}
		left--;
		if (c >= 'A' && c <= 'Z')
			c += 32;
		hash = hash * 33 + c;
	}
	u64 *hits = bpf_map_lookup_elem(&names, &hash);
	if (hits) {
		__sync_fetch_and_add(hits, 1);
		return XDP_DROP;
	}
	return XDP_PASS;
}

SEC("xdp") int dns_label_first(struct xdp_md *ctx)
{
	u8 *udp = l4(ctx, PROTO_UDP, 8 + 12 + 2), *end = pointer(ctx->data_end);
	u64 key = 0;

	if (!udp)
		return XDP_PASS;
	u8 len = udp[20];
	if (len > 15 || udp + 21 + 16 > end)
		return XDP_PASS;
	UNROLL
	for (int i = 0; i < 8; i++)
		if (i < len)
			key = key << 8 | udp[21 + i];
	return bpf_map_lookup_elem(&names, &key) ? XDP_DROP : XDP_PASS;
}

/* A client hello: session id, cipher suites, compression methods, then extensions; type 0 has the name. */
SEC("tc") int tls_sni(struct sk_buff_md *skb)
{
	u32 off = 14 + 20 + 20;
	u8 len8;
	u16 len16, type;
	char name[32] = {};

	if (bpf_skb_load_bytes(skb, off + 43, &len8, 1))
		return TC_ACT_OK;
	off += 44 + len8;
	if (bpf_skb_load_bytes(skb, off, &len16, 2))
		return TC_ACT_OK;
	off += 2 + ntohs(len16);
	if (bpf_skb_load_bytes(skb, off, &len8, 1))
		return TC_ACT_OK;
	off += 3 + len8;
	NO_UNROLL
	for (int i = 0; i < 20; i++) {
		if (bpf_skb_load_bytes(skb, off, &type, 2) || bpf_skb_load_bytes(skb, off + 2, &len16, 2))
			return TC_ACT_OK;
		u32 len = ntohs(len16);
		if (type == 0) {
			if (len < 5)
				return TC_ACT_OK;
			len -= 5;
			if (len > sizeof(name) - 1)
				len = sizeof(name) - 1;
			if (len == 0 || bpf_skb_load_bytes(skb, off + 9, name, len))
				return TC_ACT_OK;
			break;
		}
		off += 4 + len;
	}
	return name[0] == 'x' && name[1] == 'n' ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("xdp") int http_method(struct xdp_md *ctx)
{
	u8 *tcp = l4(ctx, PROTO_TCP, 20), *end = pointer(ctx->data_end);

	if (!tcp)
		return XDP_PASS;
	u32 hl = (tcp[12] >> 4) * 4;
	if (hl < 20)
		return XDP_DROP;
	u8 *p = tcp + hl;
	if (p + 4 > end)
		return XDP_PASS;
	if (p[0] == 'G' && p[1] == 'E' && p[2] == 'T')
		return XDP_PASS;
	if (p[0] == 'P' && (p[1] == 'U' || p[1] == 'O'))
		return XDP_DROP;
	return XDP_PASS;
}

SEC("xdp") int dhcp_options(struct xdp_md *ctx)
{
	u8 *udp = l4(ctx, PROTO_UDP, 8 + 240), *end = pointer(ctx->data_end);
	u8 kind = 0;

	if (!udp || *(u16 *)udp != htons(68))
		return XDP_PASS;
	u32 off = 8 + 240;
	NO_UNROLL
	for (int i = 0; i < 16; i++) {
		u8 *at = udp + off;
		if (at + 3 > end)
			break;
		if (at[0] == 255)
			break;
		if (at[0] == 0) {
			off++;
			continue;
		}
		if (at[0] == 53)
			kind = at[2];
		off += 2 + at[1];
		if (off > 600)
			break;
	}
	return kind == 2 || kind == 5 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int bad_tlv_no_recheck(struct xdp_md *ctx)
{
	u8 *tcp = l4(ctx, PROTO_TCP, 20), *end = pointer(ctx->data_end);

	if (!tcp || tcp + 22 > end)
		return XDP_PASS;
	u8 *next = tcp + 20 + tcp[21];
	return next[1];
}

SEC("tc") int bad_load_size(struct sk_buff_md *skb)
{
	char name[32];
	u32 len = skb->mark;

	if (bpf_skb_load_bytes(skb, 0, name, len))
		return TC_ACT_OK;
	return name[0];
}

SEC("tc") int bad_load_zero(struct sk_buff_md *skb)
{
	char name[32];
	u32 len = skb->mark & 31;

	if (bpf_skb_load_bytes(skb, 0, name, len))
		return TC_ACT_OK;
	return name[0];
}

SEC("tc") int bad_load_over(struct sk_buff_md *skb)
{
	char name[32];
	u32 len = (skb->mark & 31) + 2;

	if (bpf_skb_load_bytes(skb, 0, name, len))
		return TC_ACT_OK;
	return name[0];
}
