/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Programs of every hook of a chain, with libxdp's metadata of their place: what is not said is priority 50 and XDP_PASS.
 */
#include "skep_bpf.h"

static long (*const bpf_redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*const bpf_redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

#define RUN_CONFIG(f) _##f SEC(".xdp_run_config")

struct {
	UINT(priority, 20);
	UINT(XDP_PASS, 1);
	UINT(XDP_DROP, 1);
} RUN_CONFIG(odd_drop);

/* Drops every second packet; the next program may think otherwise. */
struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
} seen SEC(".maps");

SEC("xdp") int odd_drop(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *n = bpf_map_lookup_elem(&seen, &zero);

	return n && ++*n & 1 ? XDP_DROP : XDP_PASS;
}

struct {
	UINT(priority, 10);
	UINT(XDP_PASS, 0);
	UINT(XDP_TX, 1);
	UINT(banana, 1);
} RUN_CONFIG(only_tx);

SEC("xdp") int only_tx(struct xdp_md *ctx)
{
	return XDP_TX;
}

struct {
	UINT(type, MAP_DEVMAP);
	UINT(max_entries, 4);
	TYPE(key, u32);
	UINT(value_size, 8);
} devices SEC(".maps");

/* Says nothing of its place. */
SEC("xdp") int send(struct xdp_md *ctx)
{
	return bpf_redirect_map(&devices, 1, XDP_PASS);
}

SEC("xdp/devmap") int out(struct xdp_md *ctx)
{
	return ctx->egress_ifindex == 7 ? XDP_PASS : XDP_DROP;
}

SEC("tc") int route(struct __sk_buff *ctx)
{
	return bpf_redirect(9, 0);
}

SEC("tcx/egress") int policy(struct __sk_buff *ctx)
{
	return ctx->ifindex == 9 ? TC_ACT_SHOT : TC_ACT_OK;
}

LICENSE("Dual BSD/GPL");
