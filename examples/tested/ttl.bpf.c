//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A tc program that takes one hop off an IPv4 packet's time to live, and its tests: for each, one program makes a packet, one
 * runs what is tested, and one looks at what came of it. `skep test` runs them.
 */
#include "../skep_bpf.h"

/* Results of a check. */
enum { TEST_ERROR = 100, TEST_PASS = 101, TEST_FAIL = 102, TEST_SKIP = 103 };

/* Puts a program into slot 0 of the program array `calls` when the object is tested. */
#define TAIL __attribute__((btf_decl_tag("tail:calls/0")))

struct {
	UINT(type, MAP_PROG_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u32);
} calls SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u32);
} expired SEC(".maps");

static long (*const bpf_skb_change_tail)(struct __sk_buff *skb, u32 len, u64 flags) = (void *)38;

SEC("tc")
int ttl(struct __sk_buff *skb)
{
	struct eth_hdr *eth = pointer(skb->data);
	struct ip_hdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > pointer(skb->data_end) || eth->type != htons(ETH_IP))
		return TC_ACT_OK;
	if (ip->ttl <= 1) {
		u32 zero = 0, *count = bpf_map_lookup_elem(&expired, &zero);

		if (count)
			__sync_fetch_and_add(count, 1);
		return TC_ACT_SHOT;
	}
	ip->check = csum_replace2(ip->check, htons(ip->ttl << 8), htons((ip->ttl - 1) << 8));
	ip->ttl--;
	return TC_ACT_OK;
}

/* ---- tests ---- */

SEC("tc/tail")
TAIL int ttl_by_tail_call(struct __sk_buff *skb)
{
	return ttl(skb);
}

INLINE int make(struct __sk_buff *skb, u8 hops)
{
	struct eth_hdr *eth;
	struct ip_hdr *ip;

	if (bpf_skb_change_tail(skb, sizeof(*eth) + sizeof(*ip), 0))
		return TEST_ERROR;
	eth = pointer(skb->data);
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > pointer(skb->data_end))
		return TEST_ERROR;
	eth->type = htons(ETH_IP);
	ip->version_ihl = 0x45;
	ip->len = htons(sizeof(*ip));
	ip->ttl = hops;
	return 0;
}

/* The packet that setup left, behind the four bytes of what it returned. */
INLINE struct ip_hdr *result(struct __sk_buff *skb, u32 verdict)
{
	u32 *returned = pointer(skb->data);
	struct ip_hdr *ip = (void *)(returned + 1) + sizeof(struct eth_hdr);

	if ((void *)(ip + 1) > pointer(skb->data_end) || *returned != verdict)
		return NULL;
	return ip;
}

SEC("tc/test/one hop less/pktgen")
int less_pktgen(struct __sk_buff *skb)
{
	return make(skb, 64);
}

SEC("tc/test/one hop less/setup")
int less_setup(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &calls, 0);
	return TEST_ERROR;
}

SEC("tc/test/one hop less/check")
int less_check(struct __sk_buff *skb)
{
	struct ip_hdr *ip = result(skb, TC_ACT_OK);

	return ip && ip->ttl == 63 ? TEST_PASS : TEST_FAIL;
}

SEC("tc/test/expired/pktgen")
int expired_pktgen(struct __sk_buff *skb)
{
	return make(skb, 1);
}

SEC("tc/test/expired/setup")
int expired_setup(struct __sk_buff *skb)
{
	return ttl(skb);
}

SEC("tc/test/expired/check")
int expired_check(struct __sk_buff *skb)
{
	u32 zero = 0, *count = bpf_map_lookup_elem(&expired, &zero);

	return result(skb, TC_ACT_SHOT) && count && *count == 1 ? TEST_PASS : TEST_FAIL;
}

LICENSE("GPL");
