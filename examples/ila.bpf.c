//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Identifier-locator addressing. The lower half of an IPv6 destination names an endpoint and the upper half says
 * where it is. A standing prefix (SIR) is replaced by the endpoint's locator. Where the map entry says so, the
 * identifier takes the difference, so that no transport checksum changes; else the TCP or UDP checksum is patched.
 */
#include "skep_bpf.h"

const volatile u32 sir_prefix[2] = {0xb80d0120, 0x0000adde}; /* 2001:db8:dead:0::/64, network order */

struct identifier {
	be32 half[2];
};

enum adjust { ADJUST_NEUTRAL, ADJUST_TRANSPORT, ADJUST_NONE };

struct locator {
	be32 half[2];
	u32 adjust; /* enum adjust */
	u32 pad;
	u64 packets;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 1024);
	TYPE(key, struct identifier);
	TYPE(value, struct locator);
} identifiers SEC(".maps");

/* What a checksum over the old prefix must have added to be one over the locator: ~old + new, folded. */
INLINE u16 difference(const struct locator *to)
{
	u32 sum = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < 2; i++) {
		u32 old = ~sir_prefix[i], new = to->half[i];

		sum += (old & 0xffff) + (old >> 16) + (new & 0xffff) + (new >> 16);
	}
	return csum_fold(sum);
}

INLINE void fix_transport(struct ip6_hdr *ip6, void *end, u16 diff)
{
	u16 *check;

	if (ip6->next == PROTO_TCP) {
		struct tcp_hdr *tcp = (void *)(ip6 + 1);

		check = &tcp->check;
	} else if (ip6->next == PROTO_UDP) {
		struct udp_hdr *udp = (void *)(ip6 + 1);

		check = &udp->check;
	} else {
		return;
	}
	if ((void *)(check + 1) > end)
		return;
	u16 new = (u16)~csum_fold((u32)(u16)~*check + diff);
	*check = ip6->next == PROTO_UDP && !new ? 0xffff : new;
}

SEC("xdp")
int ila(struct xdp_md *ctx)
{
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip6_hdr *ip6 = (void *)(eth + 1);

	if ((void *)(ip6 + 1) > end || eth->type != htons(ETH_IP6))
		return XDP_PASS;
	if (ip6->dst[0] != sir_prefix[0] || ip6->dst[1] != sir_prefix[1])
		return XDP_PASS;

	struct identifier id = {{ip6->dst[2], ip6->dst[3]}};
	struct locator *to = bpf_map_lookup_elem(&identifiers, &id);
	if (!to)
		return XDP_DROP;

	u16 diff = difference(to);
	if (to->adjust == ADJUST_NEUTRAL) {
		/* The last 16 bits take the difference: the sum over the address stays as it was. */
		u16 *last = (u16 *)&ip6->dst[3] + 1;

		*last = csum_fold((u32)*last + (u16)~diff);
	} else if (to->adjust == ADJUST_TRANSPORT) {
		fix_transport(ip6, end, diff);
	}
	ip6->dst[0] = to->half[0];
	ip6->dst[1] = to->half[1];
	__sync_fetch_and_add(&to->packets, 1);
	return XDP_TX;
}

LICENSE("Dual MIT/GPL");
