/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * All that the example programs need to be compiled with nothing but clang: fixed-size types, the contexts, packet
 * headers, the helpers that they call and the macros of BTF map definitions. Layouts and numbers are the kernel's ABI.
 */
#ifndef SKEP_BPF_H
#define SKEP_BPF_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;
typedef u16 be16;
typedef u32 be32;

#define NULL ((void *)0)
#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define LICENSE(text) char _license[] SEC("license") = text

/* Targets are little-endian (bpfel). */
#define htons(x) ((be16)(__builtin_constant_p(x) ? (((x) & 0xff) << 8 | ((x) >> 8 & 0xff)) : __builtin_bswap16(x)))
#define ntohs(x) htons(x)
#define htonl(x) ((be32)__builtin_bswap32(x))
#define ntohl(x) htonl(x)

/* Forget what is known of x, so that clang neither reorders nor rewrites the checks on it. */
#define OPAQUE(x) asm volatile("" : "+r"(x))

/* ---- maps ---- */

/* A BTF map definition is a variable whose type says everything: numbers are the length of an array type. */
#define UINT(name, val) int (*name)[val]
#define TYPE(name, val) typeof(val) *name
#define ARRAY(name, val) typeof(val) *name[]

enum map_type {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PROG_ARRAY = 3,
	MAP_PERF_EVENT_ARRAY = 4,
	MAP_PERCPU_HASH = 5,
	MAP_PERCPU_ARRAY = 6,
	MAP_LRU_HASH = 9,
	MAP_LPM_TRIE = 11,
	MAP_ARRAY_OF_MAPS = 12,
	MAP_HASH_OF_MAPS = 13,
	MAP_DEVMAP = 14,
	MAP_RINGBUF = 27,
};

/* Flags of map updates. */
enum { MAP_ANY = 0, MAP_NOEXIST = 1, MAP_EXIST = 2 };

/* ---- contexts and verdicts ---- */

enum xdp_action { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

enum { TC_ACT_OK = 0, TC_ACT_SHOT = 2 };

struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
	u32 napi_id;
};

INLINE void *pointer(u32 field) { return (void *)(long)field; }

/* ---- packet headers ---- */

enum { ETH_IP = 0x0800, ETH_IP6 = 0x86dd, ETH_VLAN = 0x8100, ETH_QINQ = 0x88a8 };
enum { PROTO_HOP = 0, PROTO_ICMP = 1, PROTO_IPIP = 4, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ROUTING = 43,
       PROTO_FRAGMENT = 44, PROTO_ICMP6 = 58, PROTO_DSTOPTS = 60 };

struct eth_hdr {
	u8 dst[6];
	u8 src[6];
	be16 type;
};

struct vlan_hdr {
	be16 tci;
	be16 type;
};

struct ip_hdr {
	u8 version_ihl;
	u8 tos;
	be16 len;
	be16 id;
	be16 frag; /* 3 bits of flags, 13 of offset */
	u8 ttl;
	u8 proto;
	u16 check;
	be32 src;
	be32 dst;
};

struct ip6_hdr {
	be32 version_class_flow;
	be16 payload_len;
	u8 next;
	u8 hop_limit;
	be32 src[4];
	be32 dst[4];
};

struct tcp_hdr {
	be16 sport;
	be16 dport;
	be32 seq;
	be32 ack;
	u8 offset;
	u8 flags;
	be16 window;
	u16 check;
	be16 urgent;
};

struct udp_hdr {
	be16 sport;
	be16 dport;
	be16 len;
	u16 check;
};

#define FRAG_OFFSET 0x1fff
#define FRAG_MORE 0x2000

/* Bytes of an IPv4 header, 0 when the field is nonsense. */
INLINE u32 ip_header_len(const struct ip_hdr *ip)
{
	u32 len = (ip->version_ihl & 0xf) * 4;

	return ip->version_ihl >> 4 == 4 && len >= sizeof(*ip) ? len : 0;
}

/* ---- checksums (RFC 1624) ---- */

INLINE u16 csum_fold(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)sum;
}

/* The checksum after a 16-bit field changed from old to new. */
INLINE u16 csum_replace2(u16 check, u16 old, u16 new)
{
	return (u16)~csum_fold((u32)(u16)~check + (u16)~old + new);
}

/* The checksum after a 32-bit field changed from old to new. */
INLINE u16 csum_replace4(u16 check, u32 old, u32 new)
{
	u32 sum = (u16)~check;

	sum += (u16)~old + (u16)~(old >> 16);
	sum += (new & 0xffff) + (new >> 16);
	return (u16)~csum_fold(sum);
}

/* Swaps the MAC addresses. They are aligned to two bytes, and so is the copy: clang moves 16 bits at a time. */
INLINE void swap_mac(struct eth_hdr *eth)
{
	u16 mac[3];

	__builtin_memcpy(mac, eth->dst, 6);
	__builtin_memcpy(eth->dst, eth->src, 6);
	__builtin_memcpy(eth->src, mac, 6);
}

/* ---- helpers ---- */

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_tail_call)(void *ctx, void *prog_array, u32 index) = (void *)12;
static long (*const bpf_skb_load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static long (*const bpf_skb_pull_data)(struct __sk_buff *skb, u32 len) = (void *)39;
static long (*const bpf_get_numa_node_id)(void) = (void *)42;
static long (*const bpf_xdp_adjust_head)(struct xdp_md *xdp, int delta) = (void *)44;
static void *(*const bpf_ringbuf_reserve)(void *ringbuf, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static void (*const bpf_ringbuf_discard)(void *data, u64 flags) = (void *)133;

#endif
