//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: keeps a packet pointer in a map, from where it comes back as a number. */
#include "../skep_bpf.h"

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u8 *);
} kept SEC(".maps");

SEC("xdp")
int pointer_in_map(struct xdp_md *ctx)
{
	u32 zero = 0;
	u8 **last = bpf_map_lookup_elem(&kept, &zero), *before;

	if (!last)
		return XDP_PASS;
	before = *last;
	*last = pointer(ctx->data);
	return before && *before ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
