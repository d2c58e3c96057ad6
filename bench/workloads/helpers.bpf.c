//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Calls a helper that does next to nothing a hundred times. */
#include "../../examples/skep_bpf.h"

SEC("xdp")
int helpers(struct xdp_md *ctx)
{
	long sum = ctx->ingress_ifindex;

#pragma clang loop unroll(full)
	for (int i = 0; i < 100; i++)
		sum += bpf_get_numa_node_id();
	return XDP_DROP + (sum & 1);
}

LICENSE("Dual MIT/GPL");
