//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Sends every frame back where it came from, with the MAC addresses swapped. */
#include "skep_bpf.h"

SEC("xdp")
int tx_bounce(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);
	u8 mac[6];

	if ((void *)(eth + 1) > pointer(ctx->data_end))
		return XDP_DROP;
	__builtin_memcpy(mac, eth->dst, 6);
	__builtin_memcpy(eth->dst, eth->src, 6);
	__builtin_memcpy(eth->src, mac, 6);
	return XDP_TX;
}

LICENSE("Dual MIT/GPL");
