/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* One source for several instruction sets: see build.sh for the -mcpu values. */
#include "skep_bpf.h"

SEC("xdp")
int isa(struct xdp_md *ctx)
{
	s32 a = (s32)ctx->ingress_ifindex, b = (s32)ctx->rx_queue_index;
	s64 wide = (signed char)a;

	if (a < b)
		wide += __builtin_bswap32(b);
	return (int)(wide >> 3);
}

LICENSE("GPL");
