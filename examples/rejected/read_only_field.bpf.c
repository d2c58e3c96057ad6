//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: writes a field of the ctx that may only be read. */
#include "../skep_bpf.h"

SEC("tc")
int read_only_field(struct __sk_buff *skb)
{
	skb->len = 64;
	return TC_ACT_OK;
}

LICENSE("Dual MIT/GPL");
