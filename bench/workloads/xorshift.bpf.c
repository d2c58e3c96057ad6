//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Adds up 1000 numbers of one xorshift64* generator: most instructions wait for the one before. */
#include "xorshift.h"

SEC("xdp")
int xorshift(struct xdp_md *ctx)
{
	u64 x = seed(ctx, 0), star = STAR, sum = 0, left = 1000;

	OPAQUE(star); /* keep it in a register */
	do {
		x = next(x);
		sum -= x * star; /* a sum would need another move */
		left--;
		OPAQUE(left); /* or clang counts in a second variable */
	} while (left);
	return verdict(sum);
}

LICENSE("Dual MIT/GPL");
