//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: compares an index with the size of the array, and takes one too many. */
#include "../skep_bpf.h"

struct table {
	u32 counts[16];
};

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct table);
} tables SEC(".maps");

SEC("xdp")
int off_by_one(struct xdp_md *ctx)
{
	u32 zero = 0, index = ctx->rx_queue_index;
	struct table *table = bpf_map_lookup_elem(&tables, &zero);

	if (!table || index > 16)
		return XDP_PASS;
	table->counts[index]++;
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
