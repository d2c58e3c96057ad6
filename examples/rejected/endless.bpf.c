//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: a loop whose end depends on the packet alone, and that may never come. */
#include "../skep_bpf.h"

SEC("xdp")
int endless(struct xdp_md *ctx)
{
	u32 n = ctx->rx_queue_index;

#pragma clang loop unroll(disable)
	while (n != 7) {
		asm volatile("" : "+r"(n));
		n = n * 3 + 1;
	}
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
