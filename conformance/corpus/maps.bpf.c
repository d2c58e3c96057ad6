/* Maps of every sort: lookups, updates, batches of keys, maps in maps, prefixes, queues, per-CPU values. */
#include "corpus.h"

struct flow { u32 src, dst; u16 sport, dport; u8 proto, pad[3]; };
struct counters { u64 packets, bytes, first, last; };
struct prefix { u32 bits, addr; };

MAP(flows, MAP_LRU_HASH, struct flow, struct counters, 4096);
MAP(percpu, MAP_PERCPU_HASH, u32, struct counters, 256);
MAP(arr, MAP_ARRAY, u32, struct counters, 16);
MAP(parr, MAP_PERCPU_ARRAY, u32, u64, 8);
struct {
	UINT(type, MAP_LPM_TRIE);
	UINT(map_flags, NO_PREALLOC);
	UINT(max_entries, 512);
	TYPE(key, struct prefix);
	TYPE(value, u32);
} routes SEC(".maps");
struct {
	UINT(type, MAP_QUEUE);
	UINT(max_entries, 32);
	TYPE(value, u64);
} queue SEC(".maps");
struct inner {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 4);
	TYPE(key, u32);
	TYPE(value, u64);
} inner_a SEC(".maps"), inner_b SEC(".maps");
struct {
	UINT(type, MAP_ARRAY_OF_MAPS);
	UINT(max_entries, 2);
	TYPE(key, u32);
	ARRAY(values, struct inner);
} outer SEC(".maps") = {.values = {&inner_a, &inner_b}};

INLINE int flow_of(struct xdp_md *ctx, struct flow *f)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (at + 38 > end || *(u16 *)(at + 12) != htons(ETH_IP) || at[14] != 0x45)
		return -1;
	f->src = *(u32 *)(at + 26);
	f->dst = *(u32 *)(at + 30);
	f->sport = *(u16 *)(at + 34);
	f->dport = *(u16 *)(at + 36);
	f->proto = at[23];
	return 0;
}

SEC("xdp") int flow_table(struct xdp_md *ctx)
{
	struct flow f = {};
	u64 bytes = ctx->data_end - ctx->data;

	if (flow_of(ctx, &f))
		return XDP_PASS;
	struct counters *c = bpf_map_lookup_elem(&flows, &f);
	if (c) {
		__sync_fetch_and_add(&c->packets, 1);
		__sync_fetch_and_add(&c->bytes, bytes);
		c->last = bpf_ktime_get_ns();
	} else {
		struct counters fresh = {1, bytes, bpf_ktime_get_ns(), 0};
		bpf_map_update_elem(&flows, &f, &fresh, MAP_NOEXIST);
	}
	return XDP_PASS;
}

SEC("xdp") int route(struct xdp_md *ctx)
{
	struct flow f = {};

	if (flow_of(ctx, &f))
		return XDP_PASS;
	struct prefix p = {32, f.dst};
	u32 *port = bpf_map_lookup_elem(&routes, &p);
	return port ? bpf_redirect(*port, 0) : XDP_PASS;
}

SEC("xdp") int map_in_map(struct xdp_md *ctx)
{
	u32 key = ctx->rx_queue_index & 1, idx = 3;
	void *m = bpf_map_lookup_elem(&outer, &key);

	if (!m)
		return XDP_PASS;
	u64 *v = bpf_map_lookup_elem(m, &idx);
	if (v)
		__sync_fetch_and_add(v, 1);
	return XDP_PASS;
}

SEC("xdp") int queue_turn(struct xdp_md *ctx)
{
	u64 val = bpf_ktime_get_ns(), old = 0;

	if (bpf_map_push_elem(&queue, &val, 0)) {
		bpf_map_pop_elem(&queue, &old);
		return XDP_DROP;
	}
	return bpf_map_peek_elem(&queue, &old) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int index_masked(struct xdp_md *ctx)
{
	u32 zero = 0, i = ctx->rx_queue_index & 3;
	struct counters *c = bpf_map_lookup_elem(&arr, &zero);

	if (!c)
		return XDP_PASS;
	((u64 *)c)[i]++;
	return XDP_PASS;
}

SEC("xdp") int index_checked(struct xdp_md *ctx)
{
	u32 zero = 0, i = ctx->rx_queue_index;
	struct counters *c = bpf_map_lookup_elem(&arr, &zero);

	if (!c || i >= 4)
		return XDP_PASS;
	((u64 *)c)[i]++;
	return XDP_PASS;
}

SEC("xdp") int copy_value(struct xdp_md *ctx)
{
	u32 a = 1, b = 2;
	struct counters *x = bpf_map_lookup_elem(&arr, &a), *y = bpf_map_lookup_elem(&arr, &b);

	if (!x || !y)
		return XDP_PASS;
	*x = *y;
	return bpf_map_update_elem(&arr, &a, y, MAP_ANY) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int percpu_sum(struct xdp_md *ctx)
{
	u32 key = 1;
	u64 sum = 0;

	NO_UNROLL
	for (u32 cpu = 0; cpu < 4; cpu++) {
		u64 *v = bpf_map_lookup_percpu_elem(&parr, &key, cpu);
		if (v)
			sum += *v;
	}
	return sum > 1000 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int delete_old(struct xdp_md *ctx)
{
	struct flow f = {};

	if (flow_of(ctx, &f))
		return XDP_PASS;
	struct counters *c = bpf_map_lookup_elem(&flows, &f);
	if (c && bpf_ktime_get_ns() - c->last > 1000000000ull)
		bpf_map_delete_elem(&flows, &f);
	return XDP_PASS;
}

SEC("xdp") int bad_index(struct xdp_md *ctx)
{
	u32 zero = 0, i = ctx->rx_queue_index;
	struct counters *c = bpf_map_lookup_elem(&arr, &zero);

	if (!c || i > 4)
		return XDP_PASS;
	((u64 *)c)[i]++;
	return XDP_PASS;
}

SEC("xdp") int bad_signed_index(struct xdp_md *ctx)
{
	u32 zero = 0;
	s32 i = ctx->rx_queue_index;
	struct counters *c = bpf_map_lookup_elem(&arr, &zero);

	if (!c || i > 3)
		return XDP_PASS;
	((u64 *)c)[i]++;
	return XDP_PASS;
}

SEC("xdp") int bad_inner_unchecked(struct xdp_md *ctx)
{
	u32 key = 0;
	void *m = bpf_map_lookup_elem(&outer, &key);
	u64 *v = bpf_map_lookup_elem(m, &key);

	return v ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int bad_key_unset(struct xdp_md *ctx)
{
	struct flow f;
	struct counters *c = bpf_map_lookup_elem((void *)&flows, (u8 *)&f + 12);

	return c ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int bad_value_as_map(struct xdp_md *ctx)
{
	u32 key = 0;
	struct counters *c = bpf_map_lookup_elem(&arr, &key);

	return c && bpf_map_lookup_elem(c, &key) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int bad_null_arith(struct xdp_md *ctx)
{
	u32 key = ctx->rx_queue_index;
	u64 *c = bpf_map_lookup_elem(&percpu, &key);

	c += 2;
	OPAQUE(c);
	if (c)
		*c = 1;
	return XDP_PASS;
}
