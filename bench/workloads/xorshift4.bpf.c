//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* As xorshift, but 1000 numbers of each of four independent generators. */
#include "xorshift.h"

SEC("xdp")
int xorshift4(struct xdp_md *ctx)
{
	u64 a = seed(ctx, 1), b = seed(ctx, 2), c = seed(ctx, 3), d = seed(ctx, 4), star = STAR, sum = 0, left = 1000;

	OPAQUE(star);
	do {
		a = next(a);
		b = next(b);
		c = next(c);
		d = next(d);
		sum -= (a + b + c + d) * star; /* a sum would need another move */
		left--;
		OPAQUE(left); /* or clang counts in a second variable */
	} while (left);
	return verdict(sum);
}

LICENSE("Dual MIT/GPL");
