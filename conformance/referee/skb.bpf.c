//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Helpers on sk_buffs: surgery, checksums, metadata, tunnels, redirects that go nowhere. */
#include "referee.h"

static long (*const bpf_clone_redirect)(struct __sk_buff *skb, u32 ifindex, u64 flags) = (void *)13;
static u32 (*const bpf_get_cgroup_classid)(struct __sk_buff *skb) = (void *)17;
static long (*const bpf_skb_vlan_push)(struct __sk_buff *skb, be16 proto, u16 tci) = (void *)18;
static long (*const bpf_skb_vlan_pop)(struct __sk_buff *skb) = (void *)19;
static long (*const bpf_skb_get_tunnel_key)(struct __sk_buff *skb, void *key, u32 size, u64 flags) = (void *)20;
static long (*const bpf_skb_set_tunnel_key)(struct __sk_buff *skb, void *key, u32 size, u64 flags) = (void *)21;
static u32 (*const bpf_get_route_realm)(struct __sk_buff *skb) = (void *)24;
static long (*const bpf_skb_get_tunnel_opt)(struct __sk_buff *skb, void *opt, u32 size) = (void *)29;
static long (*const bpf_skb_set_tunnel_opt)(struct __sk_buff *skb, void *opt, u32 size) = (void *)30;
static long (*const bpf_skb_change_proto)(struct __sk_buff *skb, be16 proto, u64 flags) = (void *)31;
static long (*const bpf_skb_change_type)(struct __sk_buff *skb, u32 type) = (void *)32;
static u32 (*const bpf_get_hash_recalc)(struct __sk_buff *skb) = (void *)34;
static s64 (*const bpf_csum_update)(struct __sk_buff *skb, u32 csum) = (void *)40;
static void (*const bpf_set_hash_invalid)(struct __sk_buff *skb) = (void *)41;
static long (*const bpf_skb_change_head)(struct __sk_buff *skb, u32 len, u64 flags) = (void *)43;
static u64 (*const bpf_get_socket_cookie)(struct __sk_buff *skb) = (void *)46;
static u32 (*const bpf_get_socket_uid)(struct __sk_buff *skb) = (void *)47;
static long (*const bpf_set_hash)(struct __sk_buff *skb, u32 hash) = (void *)48;
static long (*const bpf_skb_load_bytes_relative)(const void *skb, u32 offset, void *to, u32 len, u32 start) = (void *)68;
static long (*const bpf_skb_ecn_set_ce)(struct __sk_buff *skb) = (void *)97;
static long (*const bpf_csum_level)(struct __sk_buff *skb, u64 level) = (void *)135;
static long (*const bpf_redirect_neigh)(u32 ifindex, void *params, int size, u64 flags) = (void *)152;
static long (*const bpf_redirect_peer)(u32 ifindex, u64 flags) = (void *)155;
static long (*const bpf_skb_set_tstamp)(struct __sk_buff *skb, u64 tstamp, u32 type) = (void *)192;

struct tunnel_key {
	u32 id;
	u32 remote[4];
	u8 tos;
	u8 ttl;
	u16 ext;
	u32 label;
	u32 local[4];
};

#define NOWHERE 0x7ffffff0 /* an interface that nobody has */

SEC("tc")
int load(struct __sk_buff *skb)
{
	u8 b[40] = {};

	PUT(bpf_skb_load_bytes(skb, 0, b, 14));
	PUT(b[13]);
	PUT(bpf_skb_load_bytes(skb, skb->len - 4, b, 4));
	PUT(b[3]);
	PUT(bpf_skb_load_bytes(skb, skb->len - 3, b, 4));
	PUT(b[0]);
	PUT(bpf_skb_load_bytes(skb, 0xffffffff, b, 4));
	PUT(bpf_skb_load_bytes_relative(skb, 0, b, 8, 0));
	PUT(b[7]);
	PUT(bpf_skb_load_bytes_relative(skb, 2, b, 2, 1));
	PUT(b[1]);
	PUT(bpf_skb_load_bytes_relative(skb, 2, b, 2, 2));
	PUT(bpf_skb_load_bytes_relative(skb, 2000, b, 2, 1));
	PUT(bpf_skb_pull_data(skb, 0));
	PUT(bpf_skb_pull_data(skb, 30));
	PUT(bpf_skb_pull_data(skb, 5000));
	return 0;
}

SEC("tc")
int store(struct __sk_buff *skb)
{
	u8 b[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	PUT(bpf_skb_store_bytes(skb, 20, b, 8, 0));
	PUT(bpf_skb_store_bytes(skb, 29, b, 3, 1 /* recompute */));
	PUT(bpf_skb_store_bytes(skb, 31, b, 4, 2 /* forget the hash */));
	PUT(bpf_skb_store_bytes(skb, skb->len - 2, b, 4, 0));
	PUT(bpf_skb_store_bytes(skb, 0xffff, b, 4, 0));
	PUT(bpf_skb_store_bytes(skb, 0, b, 4, 8));
	return 0;
}

SEC("tc")
int checksums(struct __sk_buff *skb)
{
	u32 from[2] = {1, 2}, to[3] = {3, 0xffffffff, 5};
	s64 diff = bpf_csum_diff(from, 8, to, 12, 7);

	PUT(diff);
	PUT(bpf_csum_diff(NULL, 0, to, 12, 0));
	PUT(bpf_csum_diff(from, 8, NULL, 0, 0xffffffff));
	PUT(bpf_l3_csum_replace(skb, 24, 0, diff, 0));
	PUT(bpf_l3_csum_replace(skb, 24, 0x1234, 0x4321, 2));
	PUT(bpf_l3_csum_replace(skb, 24, 0x12345678, 0x87654321, 4));
	PUT(bpf_l3_csum_replace(skb, 24, 0, 0, 3));
	PUT(bpf_l3_csum_replace(skb, 0xfffe, 0, 0, 2));
	PUT(bpf_l4_csum_replace(skb, 40, 0x1234, 0x4321, 2));
	PUT(bpf_l4_csum_replace(skb, 40, 0x12345678, 0x87654321, PSEUDO_HEADER | 4));
	PUT(bpf_l4_csum_replace(skb, 40, 0, diff, PSEUDO_HEADER | MANGLED_ZERO));
	PUT(bpf_l4_csum_replace(skb, 40, 0, diff, MANGLED_ZERO | 64 /* enforce */));
	PUT(bpf_l4_csum_replace(skb, 40, 0, 0, 5));
	PUT(bpf_l4_csum_replace(skb, 40, 0, 0, 1 << 12));
	PUT(bpf_csum_update(skb, 7));
	PUT(bpf_csum_level(skb, 0));
	PUT(bpf_csum_level(skb, 1));
	PUT(bpf_csum_level(skb, 2));
	PUT(bpf_csum_level(skb, 3));
	PUT(bpf_csum_level(skb, 4));
	PUT(bpf_csum_level(skb, 9));
	return 0;
}

SEC("tc")
int vlan(struct __sk_buff *skb)
{
	PUT(skb->vlan_present);
	PUT(skb->vlan_tci);
	PUT(bpf_skb_vlan_push(skb, htons(0x8100), 5));
	PUT(skb->vlan_tci);
	PUT(bpf_skb_vlan_push(skb, htons(0x88a8), 6));
	PUT(skb->vlan_proto);
	PUT(bpf_skb_vlan_pop(skb));
	PUT(skb->vlan_tci);
	PUT(bpf_skb_vlan_push(skb, htons(0x1234), 7)); /* taken for 802.1Q */
	PUT(skb->len);
	return 0;
}

SEC("tc")
int untag(struct __sk_buff *skb)
{
	PUT(bpf_skb_vlan_pop(skb));
	PUT(bpf_skb_vlan_pop(skb));
	PUT(bpf_skb_vlan_pop(skb));
	PUT(skb->protocol);
	return 0;
}

SEC("tc")
int grow(struct __sk_buff *skb)
{
	PUT(bpf_skb_change_head(skb, 10, 0));
	PUT(bpf_skb_change_head(skb, 10, 1));
	PUT(bpf_skb_change_tail(skb, skb->len + 20, 0));
	PUT(bpf_skb_change_tail(skb, skb->len + 20, 1));
	PUT(skb->len);
	return 0;
}

SEC("tc")
int shrink(struct __sk_buff *skb)
{
	PUT(bpf_skb_change_tail(skb, skb->len - 5, 0));
	PUT(bpf_skb_change_tail(skb, 3, 0));
	PUT(bpf_skb_change_tail(skb, 0xfffff, 0));
	PUT(skb->len);
	return 0;
}

/* Room at both places, by every flag of encapsulation. */
#define ROOM(name, diff, mode, flags)                                 \
	SEC("tc") int name(struct __sk_buff *skb)                     \
	{                                                             \
		PUT(bpf_skb_adjust_room(skb, diff, mode, flags));     \
		PUT(skb->len);                                        \
		PUT(skb->protocol);                                   \
		return 0;                                             \
	}

ROOM(room_net, 24, ROOM_NET, 0)
ROOM(room_mac, 24, ROOM_MAC, 0)
ROOM(room_less, -8, ROOM_NET, 0)
ROOM(room_less_mac, -8, ROOM_MAC, 0)
ROOM(room_ipv4, 20, ROOM_MAC, 1 << 1)
ROOM(room_ipv6, 40, ROOM_NET, ROOM_ENCAP_IPV6)
ROOM(room_gre, 28, ROOM_NET, 1 << 1 | 1 << 3)
ROOM(room_udp, 28, ROOM_NET, 1 << 1 | 1 << 4)
ROOM(room_vxlan, 50, ROOM_MAC, 1 << 1 | 1 << 4 | 14ULL << 56 | 1 << 6)
ROOM(room_decap, -20, ROOM_MAC, ROOM_DECAP_IPV4)
ROOM(room_both, 20, ROOM_MAC, ROOM_ENCAP_IPV6 | 1 << 1)
ROOM(room_much, 4000, ROOM_NET, 0)
ROOM(room_mode, 8, 2, 0)
ROOM(room_flag, 8, ROOM_NET, 1 << 20)

SEC("tc")
int proto(struct __sk_buff *skb)
{
	PUT(bpf_skb_change_proto(skb, htons(ETH_IP), 1));
	PUT(bpf_skb_change_proto(skb, htons(0x1234), 0));
	PUT(bpf_skb_change_proto(skb, skb->protocol == htons(ETH_IP) ? htons(ETH_IP6) : htons(ETH_IP), 0));
	PUT(skb->protocol);
	PUT(skb->len);
	PUT(bpf_skb_change_type(skb, 1));
	PUT(skb->pkt_type);
	PUT(bpf_skb_change_type(skb, 4));
	PUT(bpf_skb_ecn_set_ce(skb));
	return 0;
}

SEC("tc")
int ecn(struct __sk_buff *skb)
{
	PUT(bpf_skb_ecn_set_ce(skb));
	PUT(bpf_skb_ecn_set_ce(skb));
	return 0;
}

SEC("tc")
int metadata(struct __sk_buff *skb)
{
	PUT(bpf_set_hash(skb, 0x1234));
	PUT(bpf_get_hash_recalc(skb));
	PUT(skb->hash);
	bpf_set_hash_invalid(skb);
	PUT(skb->hash);
	PUT(bpf_get_hash_recalc(skb) == bpf_get_hash_recalc(skb));
	PUT(bpf_get_cgroup_classid(skb));
	PUT(bpf_get_route_realm(skb));
	PUT(!!bpf_get_socket_cookie(skb));
	PUT(bpf_get_socket_cookie(skb) == bpf_get_socket_cookie(skb));
	PUT(bpf_get_socket_uid(skb));
	PUT(bpf_skb_set_tstamp(skb, 5, 1));
	PUT(bpf_skb_set_tstamp(skb, 0, 0));
	PUT(bpf_skb_set_tstamp(skb, 7, 0));
	PUT(bpf_skb_set_tstamp(skb, 0, 1));
	PUT(bpf_skb_set_tstamp(skb, 7, 9));
	return 0;
}

SEC("tc")
int tunnel(struct __sk_buff *skb)
{
	struct tunnel_key key = {.id = 5, .remote = {0x0100000a}, .tos = 2, .ttl = 9}, got = {};
	u8 opt[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	PUT(bpf_skb_get_tunnel_key(skb, &got, sizeof(got), 0));
	PUT(bpf_skb_get_tunnel_opt(skb, opt, sizeof(opt)));
	PUT(bpf_skb_set_tunnel_opt(skb, opt, sizeof(opt)));
	PUT(bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 0));
	PUT(bpf_skb_get_tunnel_key(skb, &got, sizeof(got), 0));
	PUT(bpf_skb_set_tunnel_opt(skb, opt, sizeof(opt)));
	PUT(bpf_skb_set_tunnel_opt(skb, opt, 7));
	PUT(bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 1 << 20));
	PUT(bpf_skb_set_tunnel_key(skb, &key, 7, 0));
	PUT(bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 1 /* IPv6 */));
	key.label = 0x123456;
	PUT(bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 0));
	return 0;
}

/* Redirects return what the program returns; where the packet would go is not tried. */
SEC("tc")
int redirects(struct __sk_buff *skb)
{
	PUT(bpf_redirect(NOWHERE, 0));
	PUT(bpf_redirect(NOWHERE, 1));
	PUT(bpf_redirect(NOWHERE, 2));
	PUT(bpf_redirect_peer(NOWHERE, 1));
	PUT(bpf_redirect_peer(NOWHERE, 0));
	PUT(bpf_redirect_neigh(NOWHERE, NULL, 0, 1));
	PUT(bpf_redirect_neigh(NOWHERE, NULL, 0, 0));
	PUT(bpf_clone_redirect(skb, NOWHERE, 0));
	PUT(bpf_clone_redirect(skb, NOWHERE, 2));
	return 7;
}

LICENSE("Dual MIT/GPL");
