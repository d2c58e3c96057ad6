//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Drops every frame, but reads its EtherType first: the cheapest program that touches the packet. */
#include "skep_bpf.h"

u64 dropped[2]; /* 0: IPv4 and IPv6, 1: the rest */

SEC("xdp")
int drop_all(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);

	if ((void *)(eth + 1) > pointer(ctx->data_end))
		return XDP_ABORTED;
	if (eth->type == htons(ETH_IP) || eth->type == htons(ETH_IP6))
		dropped[0]++;
	else
		dropped[1]++;
	return XDP_DROP;
}

LICENSE("Dual MIT/GPL");
