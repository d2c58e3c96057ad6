//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: uses what a map lookup returns without looking whether it found something. */
#include "../skep_bpf.h"

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 64);
	TYPE(key, u32);
	TYPE(value, u64);
} counts SEC(".maps");

SEC("xdp")
int no_null_check(struct xdp_md *ctx)
{
	u32 key = ctx->ingress_ifindex;
	u64 *count = bpf_map_lookup_elem(&counts, &key);

	*count += 1;
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
