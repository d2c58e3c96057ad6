//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: calls a helper for GPL-compatible programs under another licence. */
#include "../skep_bpf.h"

static long (*const bpf_trace_printk)(const char *format, u32 size, ...) = (void *)6;

SEC("xdp")
int not_gpl(struct xdp_md *ctx)
{
	char text[] = "hello";

	(void)ctx;
	bpf_trace_printk(text, sizeof(text));
	return XDP_PASS;
}

LICENSE("Proprietary");
