// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Asks the device what it knows of a packet beside its bytes: counts, for each receive queue, the packets that have a hash and those whose VLAN tag
 * the device took out, and drops what comes by VLAN 100. A kernel runs it bound to a device only.
 */
#include "../skep_bpf.h"

#define KSYM __attribute__((section(".ksyms")))

enum { RSS_L4 = 1 << 3 }; /* XDP_RSS_L4 */

extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, u32 *hash, u32 *type) KSYM;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, be16 *proto, u16 *tci) KSYM;

struct counts {
	u64 packets, hashed, with_ports, tagged;
};

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, struct counts);
} queues SEC(".maps");

SEC("xdp")
int receive(struct xdp_md *ctx)
{
	u32 queue = ctx->rx_queue_index, hash = 0, kind = 0;
	struct counts *c = bpf_map_lookup_elem(&queues, &queue);
	be16 proto = 0;
	u16 tci = 0;

	if (!c)
		return XDP_ABORTED;
	__sync_fetch_and_add(&c->packets, 1);
	if (!bpf_xdp_metadata_rx_hash(ctx, &hash, &kind)) {
		__sync_fetch_and_add(&c->hashed, 1);
		if (kind & RSS_L4)
			__sync_fetch_and_add(&c->with_ports, 1);
	}
	if (bpf_xdp_metadata_rx_vlan_tag(ctx, &proto, &tci))
		return XDP_PASS;
	__sync_fetch_and_add(&c->tagged, 1);
	return (tci & 0xfff) == 100 ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual BSD/GPL");
