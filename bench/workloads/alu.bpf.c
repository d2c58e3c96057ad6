//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * 544 ALU64 instructions without a jump: four independent chains of 136. A chain is 13 steps of xorshift64*, each of which
 * copies, shifts and xors three times and multiplies once, and two thirds of the shifts of another step.
 */
#include "xorshift.h"

SEC("xdp")
int alu(struct xdp_md *ctx)
{
	u64 a = seed(ctx, 1), b = seed(ctx, 2), c = seed(ctx, 3), d = seed(ctx, 4), star = STAR;

	OPAQUE(star); /* keep it in a register */
#pragma clang loop unroll(full)
	for (int i = 0; i < 13; i++) {
		a = next(a) * star;
		b = next(b) * star;
		c = next(c) * star;
		d = next(d) * star;
	}
	return verdict(begin(a) + begin(b) + begin(c) + begin(d));
}

LICENSE("Dual MIT/GPL");
