/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Arithmetic that neither a compiler nor a verifier can do ahead: its seed is a field of the context. */
#ifndef XORSHIFT_H
#define XORSHIFT_H

#include "../../examples/skep_bpf.h"

INLINE u64 seed(struct xdp_md *ctx, u32 n) { return 88172645463325252 + ctx->ingress_ifindex + n; }

/* The first two of the three shifts of a step. */
INLINE u64 begin(u64 x)
{
	x ^= x >> 12;
	return x ^ x << 25;
}

/* A state of the generator xorshift64*, and the next. The number that it gives is the state times STAR. */
INLINE u64 next(u64 x)
{
	x = begin(x);
	return x ^ x >> 27;
}

#define STAR 2685821657736338717

/* An XDP verdict that depends on x. */
INLINE int verdict(u64 x) { return XDP_DROP + (x >> 63); }

#endif
