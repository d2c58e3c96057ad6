// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Takes a trailer of four bytes off every packet, wherever it lies: jumbo frames come in several buffers, of which pointers reach the
 * first alone.
 */
#include "hook.h"

enum { TRAILER = 0x0badbee5 };

static u64 (*const bpf_xdp_get_buff_len)(struct xdp_md *xdp) = (void *)188;
static long (*const bpf_xdp_load_bytes)(struct xdp_md *xdp, u32 off, void *to, u32 len) = (void *)189;
static long (*const bpf_xdp_adjust_tail)(struct xdp_md *xdp, int by) = (void *)65;

SEC("xdp.frags")
int jumbo(struct xdp_md *xdp)
{
	u32 len = bpf_xdp_get_buff_len(xdp);
	be32 trailer;

	if (len < sizeof(struct eth_hdr) + sizeof(trailer) || bpf_xdp_load_bytes(xdp, len - sizeof(trailer), &trailer, sizeof(trailer)))
		return XDP_DROP;
	if (trailer != htonl(TRAILER))
		return XDP_DROP;
	return bpf_xdp_adjust_tail(xdp, -(int)sizeof(trailer)) ? XDP_ABORTED : XDP_PASS;
}

LICENSE("Dual BSD/GPL");
