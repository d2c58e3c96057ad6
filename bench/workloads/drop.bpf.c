//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Drops every frame, after a look at its EtherType. */
#include "../../examples/skep_bpf.h"

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);

	if ((void *)(eth + 1) > pointer(ctx->data_end) || !eth->type)
		return XDP_ABORTED;
	return XDP_DROP;
}

LICENSE("Dual MIT/GPL");
