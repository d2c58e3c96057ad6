//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The rule of block_ssh_xdp as a traffic control classifier, on either direction. */
#include "block_ssh.h"

SEC("tc")
int block_ssh(struct __sk_buff *skb)
{
	return is_ssh(pointer(skb->data), pointer(skb->data_end)) ? TC_ACT_SHOT : TC_ACT_OK;
}

LICENSE("Dual MIT/GPL");
