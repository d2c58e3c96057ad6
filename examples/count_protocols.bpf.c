//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Two socket filters that count packets by IP protocol number. One copies the byte out with bpf_skb_load_bytes, the
 * other uses the packet load instructions that eBPF inherited from classic BPF.
 */
#include "skep_bpf.h"

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 256);
	TYPE(key, u32);
	TYPE(value, u64);
} packets SEC(".maps");

#define OFF_TYPE 12	 /* of the EtherType */
#define OFF_IP_PROTO 23	 /* of the protocol in an IPv4 header */
#define OFF_IP6_NEXT 20	 /* of the next header in an IPv6 header */
#define ACCEPT 0xffff	 /* bytes to keep */

/* The compiler turns these into LD_ABS: network order in, host order out, and the program ends with 0 when the
 * packet is too short. The first argument must be in R6. */
unsigned long long load_byte(void *skb, unsigned long long off) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long off) asm("llvm.bpf.load.half");

INLINE int count(u32 proto)
{
	u64 *value = bpf_map_lookup_elem(&packets, &proto);

	if (value)
		__sync_fetch_and_add(value, 1);
	return ACCEPT;
}

SEC("socket")
int count_load_bytes(struct __sk_buff *skb)
{
	be16 type;
	u8 proto;

	if (bpf_skb_load_bytes(skb, OFF_TYPE, &type, sizeof(type)))
		return 0;
	if (type != htons(ETH_IP) && type != htons(ETH_IP6))
		return 0;
	if (bpf_skb_load_bytes(skb, type == htons(ETH_IP) ? OFF_IP_PROTO : OFF_IP6_NEXT, &proto, sizeof(proto)))
		return 0;
	return count(proto);
}

SEC("socket")
int count_ld_abs(struct __sk_buff *skb)
{
	u64 type = load_half(skb, OFF_TYPE);

	if (type == ETH_IP)
		return count((u8)load_byte(skb, OFF_IP_PROTO));
	if (type == ETH_IP6)
		return count((u8)load_byte(skb, OFF_IP6_NEXT));
	return 0;
}

LICENSE("Dual MIT/GPL");
