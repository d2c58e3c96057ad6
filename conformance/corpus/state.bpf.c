/* Locks, rate limiters, NAT, state machines, global data. */
#include "corpus.h"

struct bucket { struct bpf_spin_lock lock; u32 pad; u64 tokens, last; };
struct nat { u32 addr; u16 port, pad; };

MAP(buckets, MAP_ARRAY, u32, struct bucket, 64);
MAP(nat_out, MAP_HASH, u64, struct nat, 1024);
RINGBUF(events, 4096);
FD_MAP(perf, MAP_PERF_EVENT_ARRAY, 64);

const volatile u64 rate = 1000000;
const volatile u32 features = 5;
u64 drops, passes, histogram[32];
static u32 state_now;

SEC("xdp") int token_bucket(struct xdp_md *ctx)
{
	u32 key = ctx->rx_queue_index & 63, verdict = XDP_DROP;
	u64 now = bpf_ktime_get_ns(), len = ctx->data_end - ctx->data;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key);

	if (!b)
		return XDP_PASS;
	bpf_spin_lock(&b->lock);
	u64 add = (now - b->last) >> 10;
	b->last = now;
	b->tokens = b->tokens + add > rate ? rate : b->tokens + add;
	if (b->tokens >= len) {
		b->tokens -= len;
		verdict = XDP_PASS;
	}
	bpf_spin_unlock(&b->lock);
	return verdict;
}

SEC("xdp") int global_counters(struct xdp_md *ctx)
{
	u32 len = ctx->data_end - ctx->data, slot = 0;

	UNROLL
	for (int i = 4; i >= 0; i--)
		if (len >> (slot + (1 << i)))
			slot += 1 << i;
	__sync_fetch_and_add(&histogram[slot & 31], 1);
	if (features & 1 && len > 1500) {
		drops++;
		return XDP_DROP;
	}
	passes++;
	return XDP_PASS;
}

SEC("xdp") int feature_off(struct xdp_md *ctx)
{
	if (features & 2)
		return bpf_redirect(7, 0);
	return XDP_PASS;
}

SEC("xdp") int snat(struct xdp_md *ctx)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (at + 42 > end || *(u16 *)(at + 12) != htons(ETH_IP) || at[14] != 0x45 || at[23] != PROTO_UDP)
		return XDP_PASS;
	struct ip_hdr *ip = (void *)(at + 14);
	struct udp_hdr *udp = (void *)(at + 34);
	u64 key = (u64)ip->src << 16 | udp->sport;
	struct nat *n = bpf_map_lookup_elem(&nat_out, &key);
	if (!n) {
		struct nat fresh = {.addr = 0x0100a8c0, .port = htons(40000 + (hash3(ip->src, udp->sport, 7) & 0x3fff))};
		if (bpf_map_update_elem(&nat_out, &key, &fresh, MAP_NOEXIST))
			return XDP_DROP;
		n = bpf_map_lookup_elem(&nat_out, &key);
		if (!n)
			return XDP_DROP;
	}
	ip->check = csum_replace4(ip->check, ip->src, n->addr);
	if (udp->check)
		udp->check = csum_replace4(csum_replace2(udp->check, udp->sport, n->port), ip->src, n->addr);
	ip->src = n->addr;
	udp->sport = n->port;
	return XDP_TX;
}

struct event { u64 time; u32 kind, len; u8 head[16]; };

SEC("xdp") int ring_event(struct xdp_md *ctx)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);
	struct event *e;

	if (at + 16 > end)
		return XDP_PASS;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return XDP_PASS;
	e->time = bpf_ktime_get_ns();
	e->kind = 1;
	e->len = end - at;
	__builtin_memcpy(e->head, at, 16);
	if (e->head[0] & 1)
		bpf_ringbuf_discard(e, 0);
	else
		bpf_ringbuf_submit(e, 0);
	return XDP_PASS;
}

SEC("xdp") int perf_event(struct xdp_md *ctx)
{
	struct event e = {.time = bpf_ktime_get_ns(), .kind = 2};
	u64 len = ctx->data_end - ctx->data;

	e.len = len;
	if (len > 128)
		len = 128;
	bpf_perf_event_output(ctx, &perf, len << 32 | 0xffffffff, &e, sizeof(e));
	return XDP_PASS;
}

SEC("tc") int tcp_machine(struct sk_buff_md *skb)
{
	u8 flags[8] = {};
	u32 st = state_now;

	if (bpf_skb_load_bytes(skb, 47, flags, 8))
		return TC_ACT_OK;
	NO_UNROLL
	for (int i = 0; i < 8; i++) {
		u8 f = flags[i];
		switch (st) {
		case 0: st = f & 2 ? 1 : 0; break;
		case 1: st = f & 16 ? 2 : f & 4 ? 0 : 1; break;
		case 2: st = f & 1 ? 3 : f & 4 ? 0 : 2; break;
		case 3: st = f & 16 ? 4 : 3; break;
		case 4: st = f & 2 ? 1 : 4; break;
		default: st = 0;
		}
	}
	state_now = st;
	return st == 4 ? TC_ACT_SHOT : TC_ACT_OK;
}

#define STEP(n) \
	do { if (w[(n) & 7] & (1 << ((n) & 15))) acc = acc * 31 + (n); else acc ^= (n) * 7; if (acc > 100000) acc &= 0xffff; } while (0)
#define STEPS8(n) STEP(n); STEP(n + 1); STEP(n + 2); STEP(n + 3); STEP(n + 4); STEP(n + 5); STEP(n + 6); STEP(n + 7)

SEC("xdp") int generated(struct xdp_md *ctx)
{
	u16 *w = pointer(ctx->data);
	u32 acc = ctx->rx_queue_index;

	if ((void *)(w + 8) > pointer(ctx->data_end))
		return XDP_PASS;
	STEPS8(0);
	STEPS8(8);
	STEPS8(16);
	STEPS8(24);
	return acc & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int bad_lock_leak(struct xdp_md *ctx)
{
	u32 key = 0;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key);

	if (!b)
		return XDP_PASS;
	bpf_spin_lock(&b->lock);
	if (b->tokens > 7)
		return XDP_DROP;
	bpf_spin_unlock(&b->lock);
	return XDP_PASS;
}

SEC("xdp") int bad_call_locked(struct xdp_md *ctx)
{
	u32 key = 0;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key);

	if (!b)
		return XDP_PASS;
	bpf_spin_lock(&b->lock);
	b->last = bpf_ktime_get_ns();
	bpf_spin_unlock(&b->lock);
	return XDP_PASS;
}

SEC("xdp") int bad_other_lock(struct xdp_md *ctx)
{
	u32 key = 0, two = 2;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key), *c = bpf_map_lookup_elem(&buckets, &two);

	if (!b || !c)
		return XDP_PASS;
	bpf_spin_lock(&b->lock);
	bpf_spin_unlock(&c->lock);
	return XDP_PASS;
}

SEC("xdp") int bad_lock_access(struct xdp_md *ctx)
{
	u32 key = 0;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key);

	if (b)
		b->lock.val = 0;
	return XDP_PASS;
}

SEC("xdp") int bad_rodata_write(struct xdp_md *ctx)
{
	*(u64 *)&rate = 3;
	return XDP_PASS;
}

SEC("xdp") int bad_ring_leak(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return XDP_PASS;
	e->kind = 1;
	if (ctx->rx_queue_index)
		return XDP_DROP;
	bpf_ringbuf_submit(e, 0);
	return XDP_PASS;
}

SEC("xdp") int bad_ring_twice(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return XDP_PASS;
	bpf_ringbuf_submit(e, 0);
	bpf_ringbuf_submit(e, 0);
	return XDP_PASS;
}

SEC("xdp") int bad_ring_after(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return XDP_PASS;
	bpf_ringbuf_submit(e, 0);
	return e->kind;
}

SEC("xdp") int bad_ring_size(struct xdp_md *ctx)
{
	u8 *e = bpf_ringbuf_reserve(&events, 16, 0);

	if (!e)
		return XDP_PASS;
	e[16] = 1;
	bpf_ringbuf_submit(e, 0);
	return XDP_PASS;
}

SEC("xdp") int bad_event_uninit(struct xdp_md *ctx)
{
	struct event e;
	u8 *p = (void *)&e;

	bpf_perf_event_output(ctx, &perf, 0xffffffff, p - 8, sizeof(e) + 500);
	return XDP_PASS;
}

SEC("xdp") int bad_histogram(struct xdp_md *ctx)
{
	u32 slot = ctx->data_end - ctx->data;

	histogram[slot & 63]++;
	return XDP_PASS;
}
