//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * An L4 load balancer. A packet to a virtual address is given to a backend: the one that its connection already has,
 * else the one that the hash of the 5-tuple selects in the virtual address's lookup table, which user space fills as
 * Maglev does (a prime number of slots, so that a lost backend moves few connections). The packet travels to the
 * backend inside another IPv4 header (IPIP), so that the backend can answer the client directly.
 */
#include "skep_bpf.h"

#define MAX_VIPS 16
#define TABLE_SIZE 251 /* slots of one virtual address; prime */
#define MAX_BACKENDS 256

const volatile be32 tunnel_source = 0x0100000a; /* 10.0.0.1 */
const volatile u8 gateway[6] = {0x02, 0, 0, 0, 0, 0xfe};

struct vip_key {
	be32 addr;
	be16 port;
	u8 proto;
	u8 pad;
};

struct vip {
	u32 index; /* which lookup table, < MAX_VIPS */
	u32 flags;
};

#define VIP_NO_LRU 1 /* do not remember connections */

struct flow {
	be32 src;
	be32 dst;
	be16 sport;
	be16 dport;
	u8 proto;
	u8 pad[3];
};

struct backend {
	be32 addr; /* 0: no such backend */
	u32 pad;
	u64 packets;
	u64 bytes;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, MAX_VIPS);
	TYPE(key, struct vip_key);
	TYPE(value, struct vip);
} vips SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, MAX_VIPS * TABLE_SIZE);
	TYPE(key, u32);
	TYPE(value, u32); /* backend */
} table SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, MAX_BACKENDS);
	TYPE(key, u32);
	TYPE(value, struct backend);
} backends SEC(".maps");

struct {
	UINT(type, MAP_LRU_HASH);
	UINT(max_entries, 65536);
	TYPE(key, struct flow);
	TYPE(value, u32); /* backend */
} connections SEC(".maps");

INLINE u32 mix(u32 h, u32 v)
{
	h ^= v;
	h *= 0x9e3779b1;
	return h ^ h >> 15;
}

INLINE u32 hash_flow(const struct flow *f)
{
	u32 h = mix(0x5ce9, f->src);

	h = mix(h, f->dst);
	h = mix(h, (u32)f->sport << 16 | f->dport);
	return mix(h, f->proto);
}

/* The backend of a flow, remembered or chosen; NULL when the table has none for it. */
INLINE struct backend *choose(const struct vip *vip, const struct flow *flow)
{
	u32 *known = NULL;

	if (!(vip->flags & VIP_NO_LRU))
		known = bpf_map_lookup_elem(&connections, flow);
	if (known) {
		u32 index = *known;
		struct backend *backend = bpf_map_lookup_elem(&backends, &index);

		if (backend && backend->addr)
			return backend;
	}

	u32 slot = vip->index * TABLE_SIZE + hash_flow(flow) % TABLE_SIZE;
	u32 *index = bpf_map_lookup_elem(&table, &slot);
	if (!index)
		return NULL;
	u32 number = *index;
	struct backend *backend = bpf_map_lookup_elem(&backends, &number);
	if (!backend || !backend->addr)
		return NULL;
	if (!(vip->flags & VIP_NO_LRU))
		bpf_map_update_elem(&connections, flow, &number, MAP_ANY);
	return backend;
}

/* The checksum of a header without options whose checksum field is 0. */
INLINE u16 ip_checksum(const struct ip_hdr *ip)
{
	const u16 *word = (const void *)ip;
	u32 sum = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += word[i];
	return (u16)~csum_fold(sum);
}

/* Puts an IPv4 header in front of the packet, whose IP packet is len bytes. */
INLINE int encapsulate(struct xdp_md *ctx, be32 to, u16 len)
{
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ip_hdr)))
		return XDP_ABORTED;

	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data);
	struct eth_hdr *old = (void *)eth + sizeof(struct ip_hdr);
	struct ip_hdr *ip = (void *)(eth + 1);
	if ((void *)(old + 1) > end || (void *)(ip + 1) > end)
		return XDP_ABORTED;

	u8 self[6];
	__builtin_memcpy(self, old->dst, 6);
	__builtin_memcpy(eth->src, self, 6);
#pragma clang loop unroll(full)
	for (int i = 0; i < 6; i++)
		eth->dst[i] = gateway[i];
	eth->type = htons(ETH_IP);

	ip->version_ihl = 0x45;
	ip->tos = 0;
	ip->len = htons((u16)(len + sizeof(*ip)));
	ip->id = 0;
	ip->frag = htons(0x4000); /* don't fragment */
	ip->ttl = 64;
	ip->proto = PROTO_IPIP;
	ip->check = 0;
	ip->src = tunnel_source;
	ip->dst = to;
	ip->check = ip_checksum(ip);
	return XDP_TX;
}

SEC("xdp")
int maglev(struct xdp_md *ctx)
{
	void *end = pointer(ctx->data_end);
	struct eth_hdr *eth = pointer(ctx->data);
	struct ip_hdr *ip = (void *)(eth + 1);
	struct udp_hdr *ports = (void *)(ip + 1); /* TCP has the ports at the same place */

	if ((void *)(ports + 1) > end || eth->type != htons(ETH_IP) || ip->version_ihl != 0x45)
		return XDP_PASS;
	if (ip->proto != PROTO_TCP && ip->proto != PROTO_UDP)
		return XDP_PASS;
	if (ip->frag & htons(FRAG_OFFSET | FRAG_MORE))
		return XDP_DROP; /* ports are only in the first fragment */

	struct vip_key key = {.addr = ip->dst, .port = ports->dport, .proto = ip->proto};
	struct vip *vip = bpf_map_lookup_elem(&vips, &key);
	if (!vip)
		return XDP_PASS;

	struct flow flow = {.src = ip->src, .dst = ip->dst, .sport = ports->sport, .dport = ports->dport,
			    .proto = ip->proto};
	struct backend *backend = choose(vip, &flow);
	if (!backend)
		return XDP_DROP;

	u16 len = ntohs(ip->len);
	__sync_fetch_and_add(&backend->packets, 1);
	__sync_fetch_and_add(&backend->bytes, len);
	return encapsulate(ctx, backend->addr, len);
}

LICENSE("Dual MIT/GPL");
