//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: two functions, each with a buffer on the stack, need more than 512 bytes together. */
#include "../skep_bpf.h"

NOINLINE static u32 sum(struct __sk_buff *skb, u32 offset)
{
	u8 copy[320];
	u32 total = 0;

	if (bpf_skb_load_bytes(skb, offset, copy, sizeof(copy)) < 0)
		return 0;
	for (u32 i = 0; i < sizeof(copy); i++)
		total += copy[i];
	return total;
}

SEC("socket")
int big_stack(struct __sk_buff *skb)
{
	u8 head[256];

	if (bpf_skb_load_bytes(skb, 0, head, sizeof(head)) < 0)
		return 0;
	return sum(skb, head[0]) == head[1];
}

LICENSE("Dual MIT/GPL");
