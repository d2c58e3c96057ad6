//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: goes on with a record of a ring buffer after it was submitted. */
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
int use_after_submit(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return XDP_PASS;
	e->time_ns = bpf_ktime_get_ns();
	e->ifindex = ctx->ingress_ifindex;
	e->len = ctx->data_end - ctx->data;
	bpf_ringbuf_submit(e, 0);
	return e->len < 64 ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
