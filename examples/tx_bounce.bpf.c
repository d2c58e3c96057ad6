//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Sends every frame back where it came from, with the MAC addresses swapped. */
#include "skep_bpf.h"

SEC("xdp")
int tx_bounce(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);

	if ((void *)(eth + 1) > pointer(ctx->data_end))
		return XDP_DROP;
	swap_mac(eth);
	return XDP_TX;
}

LICENSE("Dual MIT/GPL");
