//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: a loop within a loop that ends, but only after millions of rounds. */
#include "../skep_bpf.h"

SEC("xdp")
int too_complex(struct xdp_md *ctx)
{
	u32 seed = ctx->rx_queue_index;

	for (u32 i = 0; i < 1000; i++) {
#pragma clang loop unroll(disable)
		for (u32 j = 0; j < 1000; j++) {
			OPAQUE(seed);
			seed += seed << 5 ^ j;
		}
	}
	return seed ? XDP_PASS : XDP_DROP;
}

LICENSE("Dual MIT/GPL");
