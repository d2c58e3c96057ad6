//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: returns a length where the kernel takes 0 or 1. */
#include "../skep_bpf.h"

SEC("cgroup_skb/ingress")
int wrong_return(struct __sk_buff *skb)
{
	return (int)skb->len;
}

LICENSE("Dual MIT/GPL");
