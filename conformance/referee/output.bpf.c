//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Ring buffers, dynptrs, perf events without a reader, tail calls, loops. */
#include "referee.h"

enum { MAP_PERF = 4 };

struct bpf_dynptr {
	u64 opaque[2];
} __attribute__((aligned(8)));

static long (*const bpf_perf_event_output)(void *ctx, void *map, u64 flags, void *data, u64 size) = (void *)25;
static u64 (*const bpf_perf_event_read)(void *map, u64 flags) = (void *)22;
static long (*const bpf_perf_event_read_value)(void *map, u64 flags, void *to, u32 size) = (void *)55;
static long (*const bpf_get_branch_snapshot)(void *to, u32 size, u64 flags) = (void *)176;
static u64 (*const bpf_ringbuf_query)(void *ringbuf, u64 flags) = (void *)134;
static long (*const bpf_loop)(u32 rounds, void *callback, void *ctx, u64 flags) = (void *)181;
static long (*const bpf_dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)197;
static long (*const bpf_ringbuf_reserve_dynptr)(void *ringbuf, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)198;
static void (*const bpf_ringbuf_submit_dynptr)(struct bpf_dynptr *ptr, u64 flags) = (void *)199;
static void (*const bpf_ringbuf_discard_dynptr)(struct bpf_dynptr *ptr, u64 flags) = (void *)200;
static long (*const bpf_dynptr_read)(void *to, u64 len, const struct bpf_dynptr *from, u64 offset, u64 flags) = (void *)201;
static long (*const bpf_dynptr_write)(const struct bpf_dynptr *to, u64 offset, void *from, u64 len, u64 flags) = (void *)202;
static void *(*const bpf_dynptr_data)(const struct bpf_dynptr *ptr, u64 offset, u64 len) = (void *)203;

struct {
	UINT(type, MAP_RINGBUF);
	UINT(max_entries, 4096);
} ring SEC(".maps");

struct {
	UINT(type, MAP_PERF);
	UINT(key_size, 4);
	UINT(value_size, 4);
	UINT(max_entries, 2);
} events SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64[4]);
} memory SEC(".maps");

SEC("tc")
int ringbuf(struct __sk_buff *skb)
{
	u64 data[3] = {1, 2, skb->len}, *r;

	PUT(bpf_ringbuf_output(&ring, data, 24, 0));
	PUT(bpf_ringbuf_output(&ring, data, 5, 1 /* no wakeup */));
	PUT(bpf_ringbuf_output(&ring, data, 8, 2 /* wakeup */));
	PUT(bpf_ringbuf_output(&ring, data, 8, 4 /* no such flag */));
	r = bpf_ringbuf_reserve(&ring, 16, 0);
	PUT(!r);
	if (r) {
		r[0] = skb->len;
		r[1] = 7;
		bpf_ringbuf_submit(r, 0);
	}
	r = bpf_ringbuf_reserve(&ring, 24, 0);
	if (r)
		bpf_ringbuf_discard(r, 1);
	r = bpf_ringbuf_reserve(&ring, 5000, 0); /* larger than the ring */
	PUT(!r);
	if (r)
		bpf_ringbuf_discard(r, 0);
	PUT(bpf_ringbuf_query(&ring, 0));
	PUT(bpf_ringbuf_query(&ring, 1));
	PUT(bpf_ringbuf_query(&ring, 2));
	PUT(bpf_ringbuf_query(&ring, 3));
	PUT(bpf_ringbuf_query(&ring, 4));
	return 0;
}

SEC("tc")
int dynptrs(struct __sk_buff *skb)
{
	struct bpf_dynptr p, q;
	u32 zero = 0;
	u64 *m = bpf_map_lookup_elem(&memory, &zero), data[2] = {skb->len, 3}, *at;

	if (!m)
		return 1;
	PUT(bpf_dynptr_from_mem(m, 32, 0, &p));
	PUT(bpf_dynptr_write(&p, 4, data, 16, 0));
	PUT(bpf_dynptr_write(&p, 17, data, 16, 0)); /* beyond */
	PUT(bpf_dynptr_write(&p, 0, data, 4, 1));   /* no such flag */
	PUT(bpf_dynptr_read(data, 16, &p, 8, 0));
	PUT(data[0] + data[1]);
	PUT(bpf_dynptr_read(data, 16, &p, 20, 0));
	at = bpf_dynptr_data(&p, 16, 8);
	PUT(!at);
	if (at)
		*at += 5;
	PUT(!bpf_dynptr_data(&p, 30, 8));
	PUT(bpf_dynptr_from_mem(m, 32, 1, &q)); /* no such flag */
	PUT(bpf_dynptr_read(data, 1, &q, 0, 0));
	PUT(bpf_ringbuf_reserve_dynptr(&ring, 40, 0, &q));
	PUT(bpf_dynptr_write(&q, 0, data, 16, 0));
	PUT(bpf_dynptr_write(&q, 16, data, 16, 0));
	PUT(bpf_dynptr_write(&q, 24, data, 16, 0));
	bpf_ringbuf_submit_dynptr(&q, 0);
	PUT(bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &q));
	bpf_ringbuf_discard_dynptr(&q, 0);
	PUT(bpf_ringbuf_reserve_dynptr(&ring, 5000, 0, &q));
	PUT(bpf_dynptr_write(&q, 0, data, 1, 0));
	bpf_ringbuf_discard_dynptr(&q, 0);
	return 0;
}

SEC("tc")
int perf(struct __sk_buff *skb)
{
	u64 data[2] = {1, skb->len};

	PUT(bpf_perf_event_output(skb, &events, 0xffffffff /* this CPU */, data, 16));
	PUT(bpf_perf_event_output(skb, &events, bpf_get_smp_processor_id() ^ 1, data, 16)); /* another CPU's */
	PUT(bpf_perf_event_output(skb, &events, 0xffffffff | 20ULL << 32, data, 12)); /* and of the packet */
	PUT(bpf_perf_event_output(skb, &events, 0xffffffff | 0xffffULL << 32, data, 16)); /* more than there is */
	PUT(bpf_perf_event_output(skb, &events, 2, data, 16)); /* not in the map */
	PUT(bpf_perf_event_output(skb, &events, 1ULL << 60, data, 16)); /* no such flag */
	PUT(bpf_perf_event_read(&events, 5));
	PUT(bpf_perf_event_read(&events, 1ULL << 40));
	u64 counters[3] = {1, 2, 3};
	PUT(bpf_perf_event_read_value(&events, 5, counters, 24));
	PUT(counters[0]);
	PUT(bpf_perf_event_read_value(&events, 1ULL << 40, counters, 24));
	PUT(bpf_perf_event_read_value(&events, 0xffffffff, counters, 23));
	PUT(bpf_get_branch_snapshot(counters, 24, 1));
	return 0;
}

int second(struct __sk_buff *skb);
int third(struct __sk_buff *skb);

struct {
	UINT(type, MAP_PROG_ARRAY);
	UINT(max_entries, 4);
	UINT(key_size, 4);
	ARRAY(values, int(void *));
} jumps SEC(".maps") = {.values = {(void *)&second, NULL, (void *)&third}};

SEC("tc/second")
int second(struct __sk_buff *skb)
{
	put(60, skb->len);
	bpf_tail_call(skb, &jumps, 2);
	return 1;
}

/* Calls itself until the kernel's limit, and goes on. */
SEC("tc/third")
int third(struct __sk_buff *skb)
{
	put(61, skb->len);
	bpf_tail_call(skb, &jumps, 2);
	return 2;
}

SEC("tc")
int tail_calls(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &jumps, 1); /* empty */
	put(62, 1);
	bpf_tail_call(skb, &jumps, 4); /* not in the map */
	put(63, 1);
	bpf_tail_call(skb, &jumps, 0);
	return 3;
}

struct state {
	u64 sum;
	u32 last;
	u32 pad;
};

static long round_of(u32 i, struct state *s)
{
	s->sum += i * i + 1;
	return i >= s->last;
}

SEC("tc")
int loops(struct __sk_buff *skb)
{
	struct state all = {.last = 1000}, some = {.last = skb->len};

	PUT(bpf_loop(100, round_of, &all, 0));
	PUT(all.sum);
	PUT(bpf_loop(100, round_of, &some, 0));
	PUT(some.sum);
	PUT(bpf_loop(0, round_of, &some, 0));
	PUT(bpf_loop((1 << 23) + 1, round_of, &some, 0)); /* too many */
	PUT(bpf_loop(1, round_of, &some, 1));		  /* no such flag */
	return 0;
}

LICENSE("Dual MIT/GPL");
