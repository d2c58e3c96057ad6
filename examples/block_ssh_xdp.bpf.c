//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Drops TCP segments to port 22 over IPv4 and IPv6 before the stack sees them. */
#include "block_ssh.h"

SEC("xdp")
int block_ssh(struct xdp_md *ctx)
{
	return is_ssh(pointer(ctx->data), pointer(ctx->data_end)) ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
