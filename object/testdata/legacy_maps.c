/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Map definitions and section names from before BTF: libbpf 0.x, and iproute2 with its longer structure. */
#include "skep_bpf.h"

struct bpf_map_def {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
};

struct bpf_map_def SEC("maps") counters = {MAP_HASH, 4, 8, 128, 1};
struct bpf_map_def SEC("maps") slots = {MAP_ARRAY, 4, 16, 4, 0};
struct bpf_map_def SEC("maps") strange = {99, 4, 4, 1, 0};

SEC("xdp_first")
int first(struct xdp_md *ctx)
{
	u32 key = 1;
	u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return bpf_map_lookup_elem(&slots, &key) ? XDP_PASS : XDP_DROP;
}

SEC("xdp_second")
int second(struct xdp_md *ctx)
{
	u32 key = 1;

	return bpf_map_lookup_elem(&strange, &key) ? XDP_PASS : XDP_DROP;
}

LICENSE("GPL");
