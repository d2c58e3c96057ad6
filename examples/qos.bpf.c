//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A token bucket for each traffic class. The DSCP of a packet selects the class; a bucket fills at its rate up to its
 * burst, each packet takes as many tokens as it has bytes, and packets that find too few are dropped. Buckets without
 * a rate police nothing.
 */
#include "skep_bpf.h"

#define NUM_CLASSES 8
#define NS_PER_SEC 1000000000ULL

struct bucket {
	u64 rate;    /* bytes a second; 0: not policed */
	u64 burst;   /* bytes */
	u64 tokens;  /* bytes */
	u64 last_ns; /* when tokens was brought up to date */
	u64 passed;  /* packets */
	u64 dropped; /* packets */
};

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, NUM_CLASSES);
	TYPE(key, u32);
	TYPE(value, struct bucket);
} buckets SEC(".maps");

/* The class selector: the three upper bits of the DSCP, 0 when the packet is not IP. */
INLINE u32 class_of(void *data, void *end)
{
	struct eth_hdr *eth = data;

	if ((void *)(eth + 1) > end)
		return 0;
	if (eth->type == htons(ETH_IP)) {
		struct ip_hdr *ip = (void *)(eth + 1);

		return (void *)(ip + 1) > end ? 0 : ip->tos >> 5;
	}
	if (eth->type == htons(ETH_IP6)) {
		struct ip6_hdr *ip6 = (void *)(eth + 1);

		return (void *)(ip6 + 1) > end ? 0 : ntohl(ip6->version_class_flow) >> 25 & 7;
	}
	return 0;
}

INLINE void refill(struct bucket *b, u64 now)
{
	u64 elapsed = now - b->last_ns;

	if (elapsed > NS_PER_SEC)
		elapsed = NS_PER_SEC; /* a full second fills any bucket, and the product below stays small */
	u64 tokens = b->tokens + elapsed * b->rate / NS_PER_SEC;

	b->tokens = tokens > b->burst ? b->burst : tokens;
	b->last_ns = now;
}

SEC("tc")
int qos(struct __sk_buff *skb)
{
	u32 class = class_of(pointer(skb->data), pointer(skb->data_end));
	struct bucket *b = bpf_map_lookup_elem(&buckets, &class);

	if (!b || !b->rate)
		return TC_ACT_OK;
	refill(b, bpf_ktime_get_ns());
	if (b->tokens < skb->len) {
		b->dropped++;
		return TC_ACT_SHOT;
	}
	b->tokens -= skb->len;
	b->passed++;
	skb->priority = class;
	return TC_ACT_OK;
}

LICENSE("Dual MIT/GPL");
