/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the larger programs share beyond ../skep_bpf.h: helpers, headers, parsing, hashing. */
#ifndef SKEP_DATAPATH_H
#define SKEP_DATAPATH_H

#include "../skep_bpf.h"

enum { MAP_LRU_PERCPU_HASH = 10 };
enum { NO_PREALLOC = 1 }; /* flag of maps */

/* ---- headers ---- */

struct icmp_hdr {
	u8 type;
	u8 code;
	u16 check;
	union {
		struct {
			be16 id;
			be16 seq;
		};
		struct {
			be16 unused;
			be16 mtu;
		};
		be32 mtu6;
	};
};

struct frag6_hdr {
	u8 next;
	u8 reserved;
	be16 offset; /* 13 bits, 2 reserved, 1: more */
	be32 id;
};

enum { ICMP_ECHO_REPLY = 0, ICMP_UNREACHABLE = 3, ICMP_ECHO = 8, ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETER = 12 };
enum { ICMP_FRAG_NEEDED = 4 }; /* code of ICMP_UNREACHABLE */
enum { ICMP6_UNREACHABLE = 1, ICMP6_TOO_BIG = 2, ICMP6_TIME_EXCEEDED = 3, ICMP6_PARAMETER = 4, ICMP6_ECHO = 128, ICMP6_ECHO_REPLY = 129 };
enum { PROTO_IPV6 = 41, PROTO_NONE = 59 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };
#define FRAG_DONT 0x4000

/* Both families in one: IPv4 addresses are in the first word, the others 0. */
struct address {
	be32 word[4];
};

struct flow {
	struct address src;
	struct address dst;
	be16 sport;
	be16 dport;
	u8 proto;
	u8 family; /* 4 or 6 */
	u16 pad;
};

/* ---- hashing ---- */

INLINE u32 rotate(u32 v, u32 by) { return v << by | v >> (32 - by); }

/* Three rounds of multiply and rotate a word, and a finish that mixes the high bits down. */
INLINE u32 hash_word(u32 h, u32 v)
{
	v *= 0xcc9e2d51;
	v = rotate(v, 15) * 0x1b873593;
	return rotate(h ^ v, 13) * 5 + 0xe6546b64;
}

static NOINLINE __attribute__((unused)) u32 hash_flow(const struct flow *f)
{
	u32 h = f->proto;

#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		h = hash_word(hash_word(h, f->src.word[i]), f->dst.word[i]);
	h = hash_word(h, (u32)f->sport << 16 | f->dport);
	h ^= h >> 16;
	h *= 0x85ebca6b;
	return h ^ h >> 13;
}

/* ---- checksums ---- */

/* The sum of the 16-bit words of a header of a constant length. */
INLINE u32 sum_words(const void *from, u32 bytes)
{
	const u16 *word = from;
	u32 sum = 0;

#pragma clang loop unroll(full)
	for (u32 i = 0; i < bytes / 2; i++)
		sum += word[i];
	return sum;
}

/* The checksum of an IPv4 header without options whose checksum field is 0. */
INLINE u16 ip_checksum(const struct ip_hdr *ip) { return (u16)~csum_fold(sum_words(ip, sizeof(*ip))); }

/* The sum of the pseudo header of IPv6 (RFC 8200 section 8.1), lengths up to 65535. */
INLINE u32 pseudo6(const struct ip6_hdr *ip6, u32 len, u8 proto)
{
	return sum_words(ip6->src, 32) + (u32)htons((u16)len) + (u32)htons((u16)proto);
}

/* ---- bytes ---- */

/* How long the packet is. OPAQUE keeps the difference of pointers in 64 bits, as the verifier wants it. */
INLINE u32 packet_len(const struct xdp_md *ctx)
{
	long len = pointer(ctx->data_end) - pointer(ctx->data);

	OPAQUE(len);
	return (u32)len;
}

INLINE void copy_address(struct address *to, const be32 *from)
{
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		to->word[i] = from[i];
}

INLINE void set_address(be32 *to, const struct address *from)
{
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		to[i] = from->word[i];
}

INLINE void copy_mac(u8 *to, const u8 *from)
{
#pragma clang loop unroll(full)
	for (int i = 0; i < 6; i++)
		to[i] = from[i];
}

/* ---- more helpers ---- */

static u64 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_skb_store_bytes)(struct __sk_buff *skb, u32 offset, const void *from, u32 len, u64 flags) = (void *)9;
static long (*const bpf_l3_csum_replace)(struct __sk_buff *skb, u32 offset, u64 from, u64 to, u64 size) = (void *)10;
static long (*const bpf_l4_csum_replace)(struct __sk_buff *skb, u32 offset, u64 from, u64 to, u64 flags) = (void *)11;
static long (*const bpf_redirect)(u32 ifindex, u64 flags) = (void *)23;
static s64 (*const bpf_csum_diff)(const void *from, u32 from_size, const void *to, u32 to_size, u32 seed) = (void *)28;
static long (*const bpf_skb_change_tail)(struct __sk_buff *skb, u32 len, u64 flags) = (void *)38;
static long (*const bpf_skb_adjust_room)(struct __sk_buff *skb, s32 diff, u32 mode, u64 flags) = (void *)50;
static long (*const bpf_xdp_adjust_tail)(struct xdp_md *xdp, int delta) = (void *)65;
static long (*const bpf_ringbuf_output)(void *ringbuf, void *data, u64 size, u64 flags) = (void *)130;
static s64 (*const bpf_tcp_raw_gen_syncookie_ipv4)(struct ip_hdr *ip, struct tcp_hdr *tcp, u32 len) = (void *)204;
static s64 (*const bpf_tcp_raw_gen_syncookie_ipv6)(struct ip6_hdr *ip, struct tcp_hdr *tcp, u32 len) = (void *)205;
static long (*const bpf_tcp_raw_check_syncookie_ipv4)(struct ip_hdr *ip, struct tcp_hdr *tcp) = (void *)206;
static long (*const bpf_tcp_raw_check_syncookie_ipv6)(struct ip6_hdr *ip, struct tcp_hdr *tcp) = (void *)207;

/* Flags of bpf_l4_csum_replace beside the size of the field. */
enum { PSEUDO_HEADER = 1 << 4, MANGLED_ZERO = 1 << 5 };
/* Modes and flags of bpf_skb_adjust_room. */
enum { ROOM_NET = 0, ROOM_MAC = 1 };
enum { ROOM_ENCAP_IPV6 = 1 << 2, ROOM_DECAP_IPV4 = 1 << 7, ROOM_DECAP_IPV6 = 1 << 8 };

#endif
