// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* A gate in netfilter: nothing is forwarded to the network behind one interface but answers of DNS, and no fragments come in at all. */
#include "hook.h"

enum { NF_DROP, NF_ACCEPT };
enum { LOCAL_IN = 1, FORWARD = 2 };

struct net_device {
	int ifindex;
} __attribute__((preserve_access_index));

struct nf_hook_state {
	u8 hook;
	struct net_device *out;
} __attribute__((preserve_access_index));

struct sk_buff {};

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

struct bpf_dynptr {
	u64 opaque[2];
} __attribute__((aligned(8)));

int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) __attribute__((section(".ksyms")));
void *bpf_dynptr_slice(struct bpf_dynptr *ptr, u32 off, void *buf, u32 size) __attribute__((section(".ksyms")));

const volatile int guarded = 7;

SEC("netfilter")
int gate(struct bpf_nf_ctx *ctx)
{
	struct net_device *out = ctx->state->out;
	struct ip_hdr ip_buf, *ip;
	struct udp_hdr udp_buf, *udp;
	struct bpf_dynptr packet;

	if (bpf_dynptr_from_skb((struct __sk_buff *)ctx->skb, 0, &packet))
		return NF_ACCEPT;
	ip = bpf_dynptr_slice(&packet, 0, &ip_buf, sizeof(ip_buf));
	if (!ip)
		return NF_DROP;
	if (ctx->state->hook == LOCAL_IN && ip->frag & htons(FRAG_OFFSET | FRAG_MORE))
		return NF_DROP;
	if (ctx->state->hook != FORWARD || !out || out->ifindex != guarded)
		return NF_ACCEPT;
	if (ip->proto != PROTO_UDP)
		return NF_DROP;
	udp = bpf_dynptr_slice(&packet, ip_header_len(ip), &udp_buf, sizeof(udp_buf));
	return udp && udp->sport == htons(53) ? NF_ACCEPT : NF_DROP;
}

LICENSE("GPL");
