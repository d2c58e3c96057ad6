/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* iproute2's map definitions: ids, inner maps by id, and tail calls by section name. */
#include "skep_bpf.h"

struct bpf_elf_map {
	u32 type;
	u32 size_key;
	u32 size_value;
	u32 max_elem;
	u32 flags;
	u32 id;
	u32 pinning;
	u32 inner_id;
	u32 inner_idx;
};

struct bpf_elf_map SEC("maps") jumps = {MAP_PROG_ARRAY, 4, 4, 8, 0, 2, 2, 0, 0};
struct bpf_elf_map SEC("maps") inner = {MAP_ARRAY, 4, 8, 2, 0, 7, 0, 0, 0};
struct bpf_elf_map SEC("maps") outer = {MAP_ARRAY_OF_MAPS, 4, 4, 3, 0, 8, 0, 7, 0};
struct bpf_elf_map SEC("maps") lonely = {MAP_HASH_OF_MAPS, 4, 4, 3, 0, 9, 0, 0, 0};

SEC("2/3")
int third(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("from-netdev")
int entry(struct __sk_buff *skb)
{
	u32 key = 0;

	bpf_tail_call(skb, &jumps, 3);
	return bpf_map_lookup_elem(&outer, &key) ? TC_ACT_OK : TC_ACT_SHOT;
}

LICENSE("GPL");
