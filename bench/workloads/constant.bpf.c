//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Does nothing: what entering and leaving a program costs. */
#include "../../examples/skep_bpf.h"

SEC("xdp")
int constant(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
