//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: lets the packet say how many bytes a helper copies to the stack. */
#include "../skep_bpf.h"

SEC("socket")
int unbounded_size(struct __sk_buff *skb)
{
	u8 copy[64] = {};
	u32 len = skb->len;

	if (bpf_skb_load_bytes(skb, 0, copy, len) < 0)
		return 0;
	return copy[0];
}

LICENSE("Dual MIT/GPL");
