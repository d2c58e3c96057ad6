//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: a function that calls itself. */
#include "../skep_bpf.h"

NOINLINE static u32 depth(u32 n)
{
	u32 below = n & 0xff ? depth(n - 1) : 0;

	OPAQUE(below);
	return below + 1;
}

SEC("xdp")
int recursion(struct xdp_md *ctx)
{
	return depth(ctx->rx_queue_index) > 3 ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
