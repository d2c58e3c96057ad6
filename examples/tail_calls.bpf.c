//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A parser in stages. The entry program looks at the EtherType and jumps to the stage for that protocol, which jumps
 * on to the one for the transport. The object file itself says which program is in which slot. How far a packet came
 * is passed on in a per-CPU array, because a tail call leaves nothing on the stack.
 */
#include "skep_bpf.h"

enum stage { STAGE_IP, STAGE_IP6, STAGE_TCP, STAGE_UDP, STAGE_MISSING, NUM_STAGES };

struct progress {
	u32 offset; /* of the transport header */
	u32 proto;
	u64 seen[NUM_STAGES]; /* packets that a stage saw; of STAGE_MISSING: that found no stage */
};

struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct progress);
} progress SEC(".maps");

int parse_ip(struct xdp_md *ctx);
int parse_ip6(struct xdp_md *ctx);
int parse_tcp(struct xdp_md *ctx);
int parse_udp(struct xdp_md *ctx);

struct {
	UINT(type, MAP_PROG_ARRAY);
	UINT(max_entries, NUM_STAGES);
	UINT(key_size, sizeof(u32));
	ARRAY(values, int(void *));
} stages SEC(".maps") = {
	.values = {
		[STAGE_IP] = (void *)&parse_ip,
		[STAGE_IP6] = (void *)&parse_ip6,
		[STAGE_TCP] = (void *)&parse_tcp,
		[STAGE_UDP] = (void *)&parse_udp,
	},
};

INLINE struct progress *get_progress(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&progress, &zero);
}

/* Jumps to a stage; comes back only when its slot is empty. */
INLINE int jump(struct xdp_md *ctx, u32 stage)
{
	struct progress *p;

	bpf_tail_call(ctx, &stages, stage);
	p = get_progress();
	if (p)
		p->seen[STAGE_MISSING]++;
	return XDP_PASS;
}

INLINE u32 transport_stage(u8 proto)
{
	return proto == PROTO_TCP ? STAGE_TCP : proto == PROTO_UDP ? STAGE_UDP : STAGE_MISSING;
}

INLINE int next_stage(struct xdp_md *ctx, u32 self, u32 offset, u8 proto)
{
	struct progress *p = get_progress();

	if (!p)
		return XDP_ABORTED;
	p->offset = offset;
	p->proto = proto;
	p->seen[self]++;
	return jump(ctx, transport_stage(proto));
}

SEC("xdp")
int dispatch(struct xdp_md *ctx)
{
	struct eth_hdr *eth = pointer(ctx->data);

	if ((void *)(eth + 1) > pointer(ctx->data_end))
		return XDP_ABORTED;
	if (eth->type == htons(ETH_IP))
		return jump(ctx, STAGE_IP);
	if (eth->type == htons(ETH_IP6))
		return jump(ctx, STAGE_IP6);
	return XDP_PASS;
}

SEC("xdp/parse_ip")
int parse_ip(struct xdp_md *ctx)
{
	struct ip_hdr *ip = pointer(ctx->data) + sizeof(struct eth_hdr);

	if ((void *)(ip + 1) > pointer(ctx->data_end))
		return XDP_ABORTED;
	u32 len = ip_header_len(ip);

	if (!len)
		return XDP_ABORTED;
	return next_stage(ctx, STAGE_IP, sizeof(struct eth_hdr) + len, ip->proto);
}

SEC("xdp/parse_ip6")
int parse_ip6(struct xdp_md *ctx)
{
	struct ip6_hdr *ip6 = pointer(ctx->data) + sizeof(struct eth_hdr);

	if ((void *)(ip6 + 1) > pointer(ctx->data_end))
		return XDP_ABORTED;
	return next_stage(ctx, STAGE_IP6, sizeof(struct eth_hdr) + sizeof(*ip6), ip6->next);
}

/* The port at a distance from the transport header, 0 when the packet ends before it. */
INLINE be16 port_at(struct xdp_md *ctx, const struct progress *p, u32 distance)
{
	u32 offset = p->offset;

	if (offset > 256)
		return 0;
	be16 *port = pointer(ctx->data) + offset + distance;

	return (void *)(port + 1) > pointer(ctx->data_end) ? 0 : *port;
}

/* Drops TCP to the discard port. */
SEC("xdp/parse_tcp")
int parse_tcp(struct xdp_md *ctx)
{
	struct progress *p = get_progress();

	if (!p)
		return XDP_ABORTED;
	p->seen[STAGE_TCP]++;
	return port_at(ctx, p, 2) == htons(9) ? XDP_DROP : XDP_PASS;
}

/* Drops UDP from the chargen port. */
SEC("xdp/parse_udp")
int parse_udp(struct xdp_md *ctx)
{
	struct progress *p = get_progress();

	if (!p)
		return XDP_ABORTED;
	p->seen[STAGE_UDP]++;
	return port_at(ctx, p, 0) == htons(19) ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
