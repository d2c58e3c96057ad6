/* Functions, callbacks, tail calls. */
#include "corpus.h"

FD_MAP(stages, MAP_PROG_ARRAY, 8);
MAP(totals, MAP_ARRAY, u32, u64, 8);
MAP(pairs, MAP_HASH, u32, u64, 64);

NOINLINE static u32 mix(u32 a, u32 b, u32 c) { return hash3(a, b, c); }

NOINLINE static int count(u32 key)
{
	u64 *n = bpf_map_lookup_elem(&totals, &key);

	if (!n)
		return 0;
	*n += 1;
	return *n > 5;
}

NOINLINE static u32 sum_words(u32 *w, int n)
{
	u32 s = 0;

	NO_UNROLL
	for (int i = 0; i < 8 && i < n; i++)
		s += w[i];
	return s;
}

NOINLINE static void fill(u64 *p, u64 v)
{
	p[0] = v;
	p[1] = v >> 8;
	p[2] = v ^ 5;
}

SEC("xdp") int call_chain(struct xdp_md *ctx)
{
	u32 h = mix(ctx->rx_queue_index, ctx->ingress_ifindex, 7);

	if (count(h & 7) && count((h >> 3) & 7))
		return XDP_DROP;
	return XDP_PASS;
}

SEC("xdp") int call_stack_args(struct xdp_md *ctx)
{
	u32 w[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	u64 p[3];

	w[ctx->rx_queue_index & 7] = ctx->ingress_ifindex;
	fill(p, ctx->ingress_ifindex);
	return (sum_words(w, 8) + p[0] + p[1] + p[2]) & 1 ? XDP_DROP : XDP_PASS;
}

NOINLINE static int depth4(int n) { volatile u64 pad[4] = {n}; return pad[0] + 1; }
NOINLINE static int depth3(int n) { volatile u64 pad[4] = {n}; return depth4(pad[0]) + 1; }
NOINLINE static int depth2(int n) { volatile u64 pad[4] = {n}; return depth3(pad[0]) + 1; }
NOINLINE static int depth1(int n) { volatile u64 pad[4] = {n}; return depth2(pad[0]) + 1; }

SEC("xdp") int deep(struct xdp_md *ctx) { return depth1(ctx->rx_queue_index) > 100 ? XDP_DROP : XDP_PASS; }

SEC("xdp") int tail_first(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &stages, ctx->rx_queue_index);
	return XDP_PASS;
}

NOINLINE static int tail_in(struct xdp_md *ctx, u32 i)
{
	bpf_tail_call(ctx, &stages, i);
	return XDP_DROP;
}

SEC("xdp") int tail_from_function(struct xdp_md *ctx)
{
	u8 *at = pointer(ctx->data);

	if (at + 14 > (u8 *)pointer(ctx->data_end))
		return XDP_PASS;
	int r = tail_in(ctx, at[12]);
	return r == XDP_DROP ? XDP_PASS : XDP_DROP;
}

struct acc { u64 sum; u32 n, max; };

static long add_elem(void *map, u32 *key, u64 *val, struct acc *a)
{
	a->sum += *val;
	a->n++;
	return a->n > 100;
}

SEC("xdp") int each_elem(struct xdp_md *ctx)
{
	struct acc a = {};

	bpf_for_each_map_elem(&pairs, add_elem, &a, 0);
	return a.sum > 1000 ? XDP_DROP : XDP_PASS;
}

static long add_index(u32 i, struct acc *a)
{
	a->sum += i;
	return 0;
}

SEC("xdp") int loop_sum(struct xdp_md *ctx)
{
	struct acc a = {};

	bpf_loop(ctx->rx_queue_index & 0xff, add_index, &a, 0);
	return a.sum & 1 ? XDP_DROP : XDP_PASS;
}

static long inner_cb(u32 i, u64 *n) { *n += i; return *n > 1000; }
static long outer_cb(u32 i, u64 *n) { bpf_loop(4, inner_cb, n, 0); return 0; }

SEC("xdp") int loop_nested(struct xdp_md *ctx)
{
	u64 n = 0;

	bpf_loop(16, outer_cb, &n, 0);
	return n & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int loop_checked_index(struct xdp_md *ctx)
{
	u32 w[8] = {};
	struct acc a = {};

	bpf_loop(8, add_index, &a, 0);
	u32 i = a.sum;
	if (i < 8)
		w[i] = 1;
	return w[0] + w[7];
}

static long bad_cb_ret(u32 i, void *c) { return 2; }

SEC("xdp") int bad_callback_return(struct xdp_md *ctx) { return bpf_loop(8, bad_cb_ret, ctx, 0); }

static long bad_cb_write(void *map, u32 *key, u64 *val, void *c) { *key = 1; return 0; }

SEC("xdp") int bad_callback_key(struct xdp_md *ctx)
{
	bpf_for_each_map_elem(&pairs, bad_cb_write, NULL, 0);
	return XDP_PASS;
}

static long over_cb(u32 i, u32 *w) { w[i] = 1; return 0; }

SEC("xdp") int bad_callback_index(struct xdp_md *ctx)
{
	u32 w[8] = {};

	bpf_loop(8, over_cb, w, 0);
	return w[3];
}

NOINLINE static u64 *escape(u64 n) { u64 x = n; u64 *p = &x; OPAQUE(p); return p; }

SEC("xdp") int bad_stack_escape(struct xdp_md *ctx) { return *escape(ctx->rx_queue_index); }

SEC("xdp") int bad_big_stack(struct xdp_md *ctx)
{
	volatile u64 pad[50];

	pad[0] = ctx->rx_queue_index;
	pad[49] = depth1(pad[0]);
	return pad[49];
}

SEC("xdp") int bad_return_pointer_type(struct xdp_md *ctx)
{
	u32 r = 0;
	u64 *n = bpf_map_lookup_elem(&totals, &r);

	return n ? *(volatile u64 *)n + 70000 : bpf_tail_call(ctx, &totals, 0);
}
