//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* 544 ALU64 instructions without a jump: four independent chains of 34 steps, each step mov, rsh, xor, mul. */
#include "xorshift.h"

SEC("xdp")
int alu(struct xdp_md *ctx)
{
	u64 a = seed(ctx, 1), b = seed(ctx, 2), c = seed(ctx, 3), d = seed(ctx, 4);

#pragma clang loop unroll(full)
	for (int i = 0; i < 34; i++) {
		a = step(a);
		b = step(b);
		c = step(c);
		d = step(d);
	}
	return verdict(a ^ b ^ c ^ d);
}

LICENSE("Dual MIT/GPL");
