/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Troubles of single maps and programs, and several programs in one section. */
#include "skep_bpf.h"

struct {
	UINT(type, 99);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u32);
} future SEC(".maps");

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 1);
	UINT(nonsense, 7);
} misspelt SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 2);
	TYPE(key, u32);
	TYPE(value, u64);
} fine SEC(".maps");

SEC("xdp")
int uses_future(struct xdp_md *ctx)
{
	u32 key = 0;

	return bpf_map_lookup_elem(&future, &key) != NULL;
}

SEC("xdp")
int uses_misspelt(struct xdp_md *ctx)
{
	u32 key = 0;

	return bpf_map_lookup_elem(&misspelt, &key) != NULL;
}

SEC("xdp")
int uses_fine(struct xdp_md *ctx)
{
	u32 key = 0;

	return bpf_map_lookup_elem(&fine, &key) != NULL;
}

SEC("my_section")
int unknown_section(void *ctx)
{
	return 0;
}

SEC("?tc/ingress")
int optional(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

LICENSE("GPL");
