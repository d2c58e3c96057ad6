//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: reads the IP header of a packet of which only the Ethernet header is known to be there. */
#include "../skep_bpf.h"

SEC("xdp")
int no_bounds(struct xdp_md *ctx)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);
	struct eth_hdr *eth = data;
	struct ip_hdr *ip = (void *)(eth + 1);

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->type != htons(ETH_IP))
		return XDP_PASS;
	if (ip->proto == PROTO_TCP)
		return XDP_DROP;
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
