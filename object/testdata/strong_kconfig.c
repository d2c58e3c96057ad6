/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* A configuration value that nobody knows and that is not weak. */
#include "skep_bpf.h"

extern u64 CONFIG_NOBODY_KNOWS __attribute__((section(".kconfig")));

SEC("xdp")
int needs_it(struct xdp_md *ctx)
{
	return (int)CONFIG_NOBODY_KNOWS;
}

SEC("xdp")
int does_not(struct xdp_md *ctx)
{
	return XDP_PASS;
}

LICENSE("GPL");
