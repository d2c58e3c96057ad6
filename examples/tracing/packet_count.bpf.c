//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Counts packets by source and destination address. Unlike the other programs here it runs on packets. */
#include "trace.h"

struct pair {
	be32 src, dst;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 4096);
	TYPE(key, struct pair);
	TYPE(value, u64);
} packets SEC(".maps");

SEC("xdp")
int packet_count(struct xdp_md *xdp)
{
	struct eth_hdr *eth = pointer(xdp->data);
	struct ip_hdr *ip = (void *)(eth + 1);
	u64 one = 1, *count;
	struct pair key;

	if ((void *)(ip + 1) > pointer(xdp->data_end) || eth->type != htons(ETH_IP))
		return XDP_PASS;
	key.src = ip->src;
	key.dst = ip->dst;
	count = bpf_map_lookup_elem(&packets, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&packets, &key, &one, MAP_NOEXIST);
	return XDP_PASS;
}

LICENSE("GPL");
