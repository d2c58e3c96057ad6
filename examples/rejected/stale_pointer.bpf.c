//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: goes on with packet pointers after a helper that may have moved the packet. */
#include "../skep_bpf.h"

SEC("tc")
int stale_pointer(struct __sk_buff *skb)
{
	void *data = pointer(skb->data), *end = pointer(skb->data_end);
	struct eth_hdr *eth = data;

	if ((void *)(eth + 1) > end)
		return TC_ACT_OK;
	if (bpf_skb_pull_data(skb, sizeof(*eth) + sizeof(struct ip_hdr)))
		return TC_ACT_OK;
	return eth->type == htons(ETH_IP) ? TC_ACT_SHOT : TC_ACT_OK;
}

LICENSE("Dual MIT/GPL");
