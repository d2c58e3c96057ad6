//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Functions that are really called. A static one is checked anew at each call, with what the caller knows of its
 * arguments; a global one is checked once, for any argument of its type. Between them they walk the extension headers
 * of an IPv6 packet in a bounded loop and drop packets that carry a routing header or too many headers.
 */
#include "skep_bpf.h"

#define MAX_HEADERS 6
#define TOO_MANY 255

u64 dropped;
u64 passed;
u64 depth[MAX_HEADERS + 1]; /* packets by number of extension headers */

struct cursor {
	u32 offset;
	u8 next;
	u8 headers;
	u8 routing;
};

static NOINLINE int is_extension(u8 next)
{
	return next == PROTO_HOP || next == PROTO_ROUTING || next == PROTO_FRAGMENT || next == PROTO_DSTOPTS;
}

/* Steps over one extension header: 0 when it did, 1 when the packet ends first. */
static NOINLINE int step(struct xdp_md *ctx, struct cursor *c)
{
	void *end = pointer(ctx->data_end);
	u32 offset = c->offset;

	if (offset > 2048)
		return 1;
	u8 *hdr = pointer(ctx->data) + offset;
	if ((void *)(hdr + 8) > end)
		return 1;
	if (c->next == PROTO_ROUTING)
		c->routing = 1;
	c->offset = offset + (c->next == PROTO_FRAGMENT ? 8 : (hdr[1] + 1) * 8);
	c->next = hdr[0];
	c->headers++;
	return 0;
}

/* The number of extension headers, TOO_MANY when there are more than MAX_HEADERS, -1 when one is not allowed. */
NOINLINE int count_headers(struct xdp_md *ctx)
{
	struct cursor c = {.offset = sizeof(struct eth_hdr) + sizeof(struct ip6_hdr)};
	struct ip6_hdr *ip6 = pointer(ctx->data) + sizeof(struct eth_hdr);

	if ((void *)(ip6 + 1) > pointer(ctx->data_end))
		return -1;
	c.next = ip6->next;
	for (int i = 0; i < MAX_HEADERS; i++) {
		if (!is_extension(c.next))
			return c.routing ? -1 : c.headers;
		if (step(ctx, &c))
			return -1;
	}
	if (is_extension(c.next))
		return TOO_MANY;
	return c.routing ? -1 : c.headers;
}

/* Counts a verdict and hands it back. */
NOINLINE int finish(int headers)
{
	if (headers < 0 || headers > MAX_HEADERS) {
		__sync_fetch_and_add(&dropped, 1);
		return XDP_DROP;
	}
	__sync_fetch_and_add(&depth[headers], 1);
	__sync_fetch_and_add(&passed, 1);
	return XDP_PASS;
}

SEC("xdp")
int subprogs(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);

	if ((void *)(eth + 1) > pointer(ctx->data_end))
		return XDP_DROP;
	if (eth->type != htons(ETH_IP6))
		return XDP_PASS;
	return finish(count_headers(ctx));
}

LICENSE("Dual MIT/GPL");
