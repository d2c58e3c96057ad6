//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: calls a helper that XDP programs do not have. */
#include "../skep_bpf.h"

SEC("xdp")
int wrong_helper(struct xdp_md *ctx)
{
	u8 first = 0;

	bpf_skb_load_bytes(ctx, 0, &first, sizeof(first));
	return first ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
