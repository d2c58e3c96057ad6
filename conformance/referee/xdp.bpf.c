//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Helpers on XDP frames, and the maps that they redirect to. */
#include "referee.h"

enum { MAP_CPUMAP = 16, MAP_XSKMAP = 17, MAP_DEVMAP_HASH = 25 };

static long (*const bpf_redirect_map)(void *map, u64 key, u64 flags) = (void *)51;
static long (*const bpf_xdp_adjust_meta)(struct xdp_md *xdp, int delta) = (void *)54;
static u64 (*const bpf_xdp_get_buff_len)(struct xdp_md *xdp) = (void *)188;
static long (*const bpf_xdp_load_bytes)(struct xdp_md *xdp, u32 offset, void *to, u32 len) = (void *)189;
static long (*const bpf_xdp_store_bytes)(struct xdp_md *xdp, u32 offset, void *from, u32 len) = (void *)190;

#define TARGETS(name, kind)            \
	struct {                       \
		UINT(type, kind);      \
		UINT(max_entries, 3);  \
		UINT(key_size, 4);     \
		UINT(value_size, 4);   \
	} name SEC(".maps")

TARGETS(devices, MAP_DEVMAP);
TARGETS(devices_hash, MAP_DEVMAP_HASH);
TARGETS(cpus, MAP_CPUMAP);
TARGETS(sockets, MAP_XSKMAP);

SEC("xdp")
int head(struct xdp_md *ctx)
{
	PUT(packet_len(ctx));
	PUT(bpf_xdp_adjust_head(ctx, -300));
	PUT(bpf_xdp_adjust_head(ctx, -20));
	u8 *b = pointer(ctx->data);
	if ((void *)(b + 20) <= pointer(ctx->data_end))
		__builtin_memset(b, 0xee, 20);
	PUT(bpf_xdp_adjust_head(ctx, 14));
	PUT(bpf_xdp_adjust_head(ctx, 5000));
	PUT(packet_len(ctx));
	PUT(bpf_xdp_get_buff_len(ctx));
	return XDP_PASS;
}

SEC("xdp")
int tail(struct xdp_md *ctx)
{
	PUT(bpf_xdp_adjust_tail(ctx, 17));
	PUT(bpf_xdp_adjust_tail(ctx, -3));
	PUT(bpf_xdp_adjust_tail(ctx, 5000));
	PUT(bpf_xdp_adjust_tail(ctx, -5000));
	PUT(packet_len(ctx));
	return XDP_TX;
}

SEC("xdp")
int meta(struct xdp_md *ctx)
{
	PUT(bpf_xdp_adjust_meta(ctx, -8));
	u32 *m = pointer(ctx->data_meta);
	if ((void *)(m + 2) <= pointer(ctx->data)) {
		m[0] = 5;
		m[1] = 6;
	}
	PUT(bpf_xdp_adjust_meta(ctx, -3));
	PUT(bpf_xdp_adjust_meta(ctx, -1000));
	PUT(bpf_xdp_adjust_meta(ctx, 4));
	PUT(bpf_xdp_adjust_meta(ctx, 400));
	PUT(bpf_xdp_adjust_head(ctx, 4));
	PUT(bpf_xdp_adjust_head(ctx, -4));
	return XDP_PASS;
}

SEC("xdp")
int bytes(struct xdp_md *ctx)
{
	u8 b[16] = {};

	PUT(bpf_xdp_load_bytes(ctx, 12, b, 16));
	PUT(b[0] + b[15]);
	PUT(bpf_xdp_load_bytes(ctx, packet_len(ctx) - 8, b, 8));
	PUT(bpf_xdp_load_bytes(ctx, packet_len(ctx) - 7, b, 8));
	PUT(b[0]);
	PUT(bpf_xdp_store_bytes(ctx, 2, b, 8));
	PUT(bpf_xdp_store_bytes(ctx, packet_len(ctx) - 3, b, 3));
	PUT(bpf_xdp_store_bytes(ctx, packet_len(ctx) - 3, b, 4));
	PUT(bpf_xdp_store_bytes(ctx, 0x10000, b, 4));
	return XDP_PASS;
}

#define NOWHERE 0x7ffffff0

/* Empty maps: what is to be done then is in the flags. */
#define EMPTY(name, map)                                   \
	SEC("xdp") int name(struct xdp_md *ctx)            \
	{                                                  \
		PUT(bpf_redirect_map(&map, 1, 0));         \
		PUT(bpf_redirect_map(&map, 1, XDP_DROP));  \
		PUT(bpf_redirect_map(&map, 7, XDP_PASS));  \
		PUT(bpf_redirect_map(&map, 1, 1 << 10));   \
		return (int)bpf_redirect_map(&map, 0, XDP_TX); \
	}

EMPTY(to_device, devices)
EMPTY(to_device_hash, devices_hash)
EMPTY(to_cpu, cpus)
EMPTY(to_socket, sockets)

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	PUT(bpf_redirect(NOWHERE, 0));
	PUT(bpf_redirect(NOWHERE, 1));
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
