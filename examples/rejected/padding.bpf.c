//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: a key with bytes between its fields that nobody writes; kernels from 6.3 on let loaders with CAP_PERFMON do so. */
#include "../skep_bpf.h"

struct flow {
	u8 proto;
	u32 ifindex;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 64);
	TYPE(key, struct flow);
	TYPE(value, u64);
} flows SEC(".maps");

SEC("xdp")
int padding(struct xdp_md *ctx)
{
	struct flow key;

	key.proto = PROTO_TCP;
	key.ifindex = ctx->ingress_ifindex;
	return bpf_map_lookup_elem(&flows, &key) ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
