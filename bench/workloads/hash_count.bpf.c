//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Counts IPv4 packets by source in a hash map. */
#include "../../examples/skep_bpf.h"

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 16384);
	TYPE(key, u32);
	TYPE(value, u64);
} sources SEC(".maps");

SEC("xdp")
int hash_count(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip_hdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > pointer(ctx->data_end) || eth->type != htons(ETH_IP))
		return XDP_PASS;
	u32 source = ip->src;
	u64 *count = bpf_map_lookup_elem(&sources, &source), one = 1;

	if (count)
		++*count;
	else
		bpf_map_update_elem(&sources, &source, &one, MAP_ANY);
	return XDP_DROP;
}

LICENSE("Dual MIT/GPL");
