//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Answers UDP over IPv4 in place: swaps MAC and IP addresses, sends to the port that the peer sent from, from a port
 * of its own, with a new IP id. Swapping changes no checksum; the rewritten fields are patched in incrementally.
 */
#include "skep_bpf.h"

const volatile u16 reply_port = 4242; /* source port of the answers */
const volatile u16 id_step = 1;	      /* added to the IP id, so that every answer has another */

SEC("xdp")
int udp_rewrite(struct xdp_md *ctx)
{
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip_hdr *ip = (void *)(eth + 1);
	struct udp_hdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || eth->type != htons(ETH_IP))
		return XDP_PASS;
	if (ip->version_ihl != 0x45 || ip->proto != PROTO_UDP || ip->frag & htons(FRAG_OFFSET | FRAG_MORE))
		return XDP_PASS;

	swap_mac(eth);
	be32 addr = ip->src;
	ip->src = ip->dst;
	ip->dst = addr;

	be16 id = htons((u16)(ntohs(ip->id) + id_step));
	ip->check = csum_replace2(ip->check, ip->id, id);
	ip->id = id;

	be16 old = udp->dport, port = htons(reply_port);
	udp->dport = udp->sport;
	udp->sport = port;
	if (udp->check) { /* 0: the sender computed none */
		u16 check = csum_replace2(udp->check, old, port);

		udp->check = check ? check : 0xffff;
	}
	return XDP_TX;
}

LICENSE("Dual MIT/GPL");
