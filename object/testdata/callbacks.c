/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Addresses of functions, functions shared by programs, calls of calls. */
#include "skep_bpf.h"

static long (*const bpf_loop)(u32 n, void *callback, void *ctx, u64 flags) = (void *)181;

static NOINLINE int twice(int n)
{
	return n * 2 + (n >> 3);
}

static int on_turn(u32 index, void *ctx)
{
	*(u32 *)ctx += twice(index);
	return 0;
}

/* Hidden: visible to the linker, but static for the kernel. */
__attribute__((visibility("hidden"))) NOINLINE int hidden(int n)
{
	return twice(n) + 1;
}

NOINLINE int shared(int n)
{
	return hidden(n) - twice(n + 1);
}

SEC("xdp")
int loops(struct xdp_md *ctx)
{
	u32 sum = 0;

	bpf_loop(ctx->rx_queue_index, on_turn, &sum, 0);
	return shared(sum) & 1;
}

SEC("tc")
int calls(struct __sk_buff *skb)
{
	return shared(skb->len) & 1;
}

LICENSE("GPL");
