//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Counts IPv4 packets by protocol in an array. */
#include "../../examples/skep_bpf.h"

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 256);
	TYPE(key, u32);
	TYPE(value, u64);
} protocols SEC(".maps");

SEC("xdp")
int array_count(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip_hdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > pointer(ctx->data_end) || eth->type != htons(ETH_IP))
		return XDP_PASS;
	u32 proto = ip->proto;
	u64 *count = bpf_map_lookup_elem(&protocols, &proto);

	if (count)
		++*count;
	return XDP_DROP;
}

LICENSE("Dual MIT/GPL");
