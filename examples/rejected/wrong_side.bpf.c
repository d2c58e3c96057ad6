//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: reads the packet where the check has found it too short. */
#include "../skep_bpf.h"

SEC("xdp")
int wrong_side(struct xdp_md *ctx)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);
	struct eth_hdr *eth = data;

	if ((void *)(eth + 1) < end)
		return XDP_PASS;
	return eth->type == htons(ETH_IP) ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
