//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Drops sources that send too much. Each IPv4 source has a counter for the current window; one that goes over the
 * limit is put on a list of blocked sources, of which the kernel forgets the least recently seen, and user space is
 * told through a ring buffer.
 */
#include "skep_bpf.h"

const volatile u64 packet_limit = 100;		/* packets that a source may send in a window */
const volatile u64 window_ns = 1000000000;	/* length of a window */
const volatile u64 block_ns = 10000000000ULL; /* how long a source stays blocked */

struct source {
	u64 start_ns; /* when the window began */
	u64 packets;
	u64 bytes;
};

struct alert {
	u64 time_ns;
	u64 packets;
	be32 source;
	u32 ifindex;
};

enum total { TOTAL_PASSED, TOTAL_DROPPED, TOTAL_BLOCKED, TOTAL_OTHER, NUM_TOTALS };

struct count {
	u64 packets;
	u64 bytes;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 16384);
	TYPE(key, be32);
	TYPE(value, struct source);
} sources SEC(".maps");

struct {
	UINT(type, MAP_LRU_HASH);
	UINT(max_entries, 4096);
	TYPE(key, be32);
	TYPE(value, u64); /* until when, ns */
} blocked SEC(".maps");

struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, NUM_TOTALS);
	TYPE(key, u32);
	TYPE(value, struct count);
} totals SEC(".maps");

struct {
	UINT(type, MAP_RINGBUF);
	UINT(max_entries, 65536);
} alerts SEC(".maps");

INLINE int verdict(enum total what, u32 bytes, int action)
{
	u32 key = what;
	struct count *count = bpf_map_lookup_elem(&totals, &key);

	if (count) {
		count->packets++;
		count->bytes += bytes;
	}
	return action;
}

INLINE void block(struct xdp_md *ctx, be32 addr, u64 now, u64 packets)
{
	u64 until = now + block_ns;
	struct alert *alert;

	bpf_map_update_elem(&blocked, &addr, &until, MAP_ANY);
	bpf_map_delete_elem(&sources, &addr);
	alert = bpf_ringbuf_reserve(&alerts, sizeof(*alert), 0);
	if (!alert)
		return;
	alert->time_ns = now;
	alert->packets = packets;
	alert->source = addr;
	alert->ifindex = ctx->ingress_ifindex;
	bpf_ringbuf_submit(alert, 0);
}

SEC("xdp")
int ddos(struct xdp_md *ctx)
{
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip_hdr *ip = (void *)(eth + 1);
	u32 bytes = ctx->data_end - ctx->data;

	if ((void *)(ip + 1) > end || eth->type != htons(ETH_IP))
		return verdict(TOTAL_OTHER, bytes, XDP_PASS);

	be32 addr = ip->src;
	u64 now = bpf_ktime_get_ns();
	u64 *until = bpf_map_lookup_elem(&blocked, &addr);

	if (until) {
		if (now < *until)
			return verdict(TOTAL_DROPPED, bytes, XDP_DROP);
		bpf_map_delete_elem(&blocked, &addr);
	}

	struct source *source = bpf_map_lookup_elem(&sources, &addr);
	if (!source || now - source->start_ns >= window_ns) {
		struct source fresh = {.start_ns = now, .packets = 1, .bytes = bytes};

		bpf_map_update_elem(&sources, &addr, &fresh, MAP_ANY);
		return verdict(TOTAL_PASSED, bytes, XDP_PASS);
	}
	u64 packets = __sync_fetch_and_add(&source->packets, 1) + 1;
	__sync_fetch_and_add(&source->bytes, bytes);
	if (packets > packet_limit) {
		block(ctx, addr, now, packets);
		return verdict(TOTAL_BLOCKED, bytes, XDP_DROP);
	}
	return verdict(TOTAL_PASSED, bytes, XDP_PASS);
}

LICENSE("Dual MIT/GPL");
