//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: reserves a record of a ring buffer, and on one path neither submits nor discards it. */
#include "../skep_bpf.h"

struct event {
	u64 time_ns;
	u32 ifindex;
	u32 len;
};

struct {
	UINT(type, MAP_RINGBUF);
	UINT(max_entries, 65536);
} events SEC(".maps");

SEC("xdp")
int leaked_record(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return XDP_PASS;
	e->time_ns = bpf_ktime_get_ns();
	e->ifindex = ctx->ingress_ifindex;
	e->len = ctx->data_end - ctx->data;
	if (e->len < 64)
		return XDP_DROP;
	bpf_ringbuf_submit(e, 0);
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
