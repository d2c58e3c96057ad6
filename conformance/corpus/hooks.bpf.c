/* Programs between layers: light-weight tunnels, the flow dissector, segment routing, netfilter. */
#include "corpus.h"

struct nf_md { void *state, *skb; };
struct srh { u8 next, len, type, left, first, flags; u16 tag; u32 segments[8]; };
struct gre { be16 flags, proto; };
struct hook_state { u8 hook, pf; };

MAP(endpoints, MAP_HASH, be32, be32, 256);
MAP(seen, MAP_PERCPU_ARRAY, u32, u64, 256);

enum { LWT_OK = 0, LWT_DROP = 2, LWT_REROUTE = 128, ENCAP_SEG6 = 0, ENCAP_SEG6_INLINE = 1, ENCAP_IP = 2 };
enum { SEG6_END_X = 2, SEG6_END_T = 3 };
enum { NF_DROP, NF_ACCEPT };

static long (*const bpf_lwt_seg6_store_bytes)(void *skb, u32 off, const void *from, u32 len) UNUSED = (void *)74;
static long (*const bpf_lwt_seg6_adjust_srh)(void *skb, u32 off, s32 delta) UNUSED = (void *)75;
static long (*const bpf_lwt_seg6_action)(void *skb, u32 action, void *param, u32 len) UNUSED = (void *)76;

INLINE void see(u32 slot)
{
	u64 *n = bpf_map_lookup_elem(&seen, &slot);

	if (n)
		*n += 1;
}

SEC("lwt_in") int encap_in(struct sk_buff_md *skb)
{
	struct ip_hdr outer = {0x45}, *ip = pointer(skb->data);
	be32 *to;

	if ((void *)(ip + 1) > pointer(skb->data_end))
		return LWT_DROP;
	be32 dst = ip->dst;
	to = bpf_map_lookup_elem(&endpoints, &dst);
	if (!to)
		return LWT_OK;
	outer.ttl = 64;
	outer.proto = PROTO_IPIP;
	outer.len = htons((u16)(skb->len + sizeof(outer)));
	outer.dst = *to;
	if (bpf_lwt_push_encap(skb, ENCAP_IP, &outer, sizeof(outer)))
		return LWT_DROP;
	return LWT_REROUTE;
}

SEC("lwt_xmit") int encap_gre(struct sk_buff_md *skb)
{
	struct { struct ip_hdr ip; struct gre gre; } h = {};

	h.ip.version_ihl = 0x45;
	h.ip.ttl = 64;
	h.ip.proto = 47;
	h.ip.src = htonl(0x0a000001);
	h.ip.dst = htonl(0x0a000002);
	h.gre.proto = skb->protocol;
	return bpf_lwt_push_encap(skb, ENCAP_IP, &h, sizeof(h)) ? LWT_DROP : LWT_REROUTE;
}

SEC("lwt_xmit") int xmit_header(struct sk_buff_md *skb)
{
	struct eth_hdr *eth;

	if (bpf_skb_change_head(skb, 14, 0))
		return LWT_DROP;
	eth = pointer(skb->data);
	if ((void *)(eth + 1) > pointer(skb->data_end))
		return LWT_DROP;
	__builtin_memset(eth, 0xff, 12);
	eth->type = htons(ETH_IP);
	skb->mark = 3;
	skb->cb[1] = skb->ifindex;
	return bpf_redirect(2, 0);
}

SEC("lwt_out") int count_out(struct sk_buff_md *skb)
{
	struct ip6_hdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return LWT_DROP;
	see(ip.next);
	see(bpf_get_hash_recalc(skb) & 255);
	skb->priority = ip.hop_limit;
	return ip.next == PROTO_ROUTING ? LWT_DROP : LWT_OK;
}

SEC("lwt_in") int seg6_in(struct sk_buff_md *skb)
{
	struct srh srh = {};

	srh.next = 41;
	srh.len = 4;
	srh.type = 4;
	srh.left = srh.first = 1;
	srh.segments[0] = htonl(0xfd000001);
	srh.segments[4] = htonl(0xfd000002);
	return bpf_lwt_push_encap(skb, ENCAP_SEG6, &srh, sizeof(srh)) ? LWT_DROP : LWT_REROUTE;
}

SEC("lwt_seg6local") int seg6_end(struct sk_buff_md *skb)
{
	struct ip6_hdr *ip = pointer(skb->data);
	struct srh *srh = (void *)(ip + 1);
	u8 tlv[8] = {124, 6, 1, 2, 3, 4, 5, 6}, flags = 1;
	u32 off, next[4] = {htonl(0xfd000000), 0, 0, htonl(1)};

	if ((void *)srh + 8 > pointer(skb->data_end) || ip->next != PROTO_ROUTING || srh->type != 4)
		return LWT_DROP;
	off = sizeof(*ip) + ((u32)srh->len + 1) * 8;
	if (bpf_lwt_seg6_adjust_srh(skb, off, sizeof(tlv)))
		return LWT_DROP;
	if (bpf_lwt_seg6_store_bytes(skb, off, tlv, sizeof(tlv)))
		return LWT_DROP;
	bpf_lwt_seg6_store_bytes(skb, sizeof(*ip) + 5, &flags, 1);
	return bpf_lwt_seg6_action(skb, SEG6_END_X, next, sizeof(next)) ? LWT_DROP : 7;
}

SEC("flow_dissector") int dissect(struct sk_buff_md *skb)
{
	struct bpf_flow_keys *k = skb->flow_keys;
	u8 *at = pointer(skb->data), *end = pointer(skb->data_end);
	struct ip_hdr *ip = (void *)at + k->thoff;

	if (k->n_proto != htons(ETH_IP))
		return 2;
	if (k->thoff > 64 || (void *)(ip + 1) > (void *)end)
		return 2;
	k->addr_proto = ETH_IP;
	k->ip_proto = ip->proto;
	k->ipv4_src = ip->src;
	k->ipv4_dst = ip->dst;
	k->thoff += (ip->version_ihl & 15) * 4;
	if (ip->frag & htons(0x3fff))
		k->is_frag = 1;
	return 0;
}

SEC("flow_dissector") int dissect_load(struct sk_buff_md *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct udp_hdr udp;

	if (bpf_skb_load_bytes(skb, keys->thoff, &udp, sizeof(udp)))
		return 2;
	keys->sport = udp.sport;
	keys->dport = udp.dport;
	if (keys->flags & 1)
		keys->flow_label = htonl(udp.len);
	return keys->n_proto == htons(ETH_IP) ? 0 : 129;
}

SEC("netfilter") int accept_all(struct nf_md *ctx)
{
	see(ctx->skb == ctx->state);
	return NF_ACCEPT;
}

SEC("netfilter") int probe_state(struct nf_md *ctx)
{
	struct hook_state state;

	if (bpf_probe_read_kernel(&state, sizeof(state), ctx->state))
		return NF_DROP;
	see(state.pf);
	return state.hook == 1 ? NF_DROP : NF_ACCEPT;
}

SEC("lwt_in") int bad_in_write(struct sk_buff_md *skb)
{
	u8 *at = pointer(skb->data);

	if ((void *)(at + 20) > pointer(skb->data_end))
		return LWT_DROP;
	at[8]--;
	return LWT_OK;
}

SEC("lwt_out") int bad_out_encap(struct sk_buff_md *skb)
{
	struct ip_hdr outer = {0x45};

	return bpf_lwt_push_encap(skb, ENCAP_IP, &outer, sizeof(outer));
}

SEC("lwt_in") int bad_in_uninit(struct sk_buff_md *skb)
{
	struct ip_hdr outer;

	outer.version_ihl = 0x45;
	return bpf_lwt_push_encap(skb, ENCAP_IP, &outer, sizeof(outer));
}

SEC("lwt_in") int bad_in_redirect(struct sk_buff_md *skb)
{
	return bpf_redirect(1, 0);
}

SEC("lwt_xmit") int bad_xmit_classid(struct sk_buff_md *skb)
{
	return skb->tc_classid;
}

SEC("lwt_xmit") int bad_xmit_family(struct sk_buff_md *skb)
{
	return skb->family;
}

SEC("lwt_xmit") int bad_xmit_stale(struct sk_buff_md *skb)
{
	u8 *at = pointer(skb->data);

	if ((void *)(at + 20) > pointer(skb->data_end))
		return LWT_DROP;
	bpf_skb_pull_data((void *)skb, 40);
	return at[0] == 0x45;
}

SEC("lwt_seg6local") int bad_seg6_write(struct sk_buff_md *skb)
{
	u8 *at = pointer(skb->data);

	if ((void *)(at + 48) > pointer(skb->data_end))
		return LWT_DROP;
	at[44] = 1;
	return LWT_OK;
}

SEC("lwt_seg6local") int bad_seg6_size(struct sk_buff_md *skb)
{
	u32 table = 1;

	return bpf_lwt_seg6_action(skb, SEG6_END_T, &table, skb->len);
}

SEC("flow_dissector") int bad_keys_past(struct sk_buff_md *skb)
{
	return (&skb->flow_keys->flow_label)[1];
}

SEC("flow_dissector") int bad_keys_var(struct sk_buff_md *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;

	return keys->ipv6_src[keys->thoff & 3];
}

SEC("flow_dissector") int bad_dissect_len(struct sk_buff_md *skb)
{
	return skb->len;
}

SEC("flow_dissector") int bad_dissect_write(struct sk_buff_md *skb)
{
	skb->flow_keys = 0;
	return 0;
}

SEC("flow_dissector") int bad_dissect_unchecked(struct sk_buff_md *skb)
{
	u8 *at = pointer(skb->data);

	return at[skb->flow_keys->thoff];
}

SEC("netfilter") int bad_nf_ret(struct nf_md *ctx)
{
	return 2;
}

SEC("netfilter") int bad_nf_half(struct nf_md *ctx)
{
	return *(volatile u32 *)&ctx->skb & 1;
}

SEC("netfilter") int bad_nf_write(struct nf_md *ctx)
{
	ctx->skb = 0;
	return NF_ACCEPT;
}

SEC("netfilter") int bad_nf_past(struct nf_md *ctx)
{
	return ((volatile u64 *)&ctx->skb)[1] & 1;
}
