/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Kernel functions, dynptrs and open-coded iterators as programs use them, and as they should not. */
#include "skep_bpf.h"

#define KSYM __attribute__((section(".ksyms")))
#define WEAK __attribute__((weak))

struct bpf_dynptr {
	u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_iter_num {
	u64 __opaque[1];
} __attribute__((aligned(8)));

struct bpf_iter_bits {
	u64 __opaque[2];
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) KSYM WEAK;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) KSYM WEAK;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) KSYM WEAK;
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign, u32 nr_words) KSYM;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) KSYM;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) KSYM;
extern int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit) KSYM;
extern int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr__uninit) KSYM;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk) KSYM;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk) KSYM;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) KSYM;
extern u32 bpf_dynptr_size(const struct bpf_dynptr *p) KSYM;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit) KSYM;
extern void bpf_rcu_read_lock(void) KSYM;
extern void bpf_rcu_read_unlock(void) KSYM;
extern void bpf_preempt_disable(void) KSYM;
extern void bpf_preempt_enable(void) KSYM;
extern void bpf_local_irq_save(unsigned long *flags__irq_flag) KSYM;
extern void bpf_local_irq_restore(unsigned long *flags__irq_flag) KSYM;
extern void bpf_throw(u64 cookie) KSYM;
extern int bpf_no_such_kfunc(int n) KSYM WEAK;

static long (*bpf_dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)197;
static long (*bpf_ringbuf_reserve_dynptr)(void *map, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)198;
static void (*bpf_ringbuf_submit_dynptr)(struct bpf_dynptr *ptr, u64 flags) = (void *)199;
static void (*bpf_ringbuf_discard_dynptr)(struct bpf_dynptr *ptr, u64 flags) = (void *)200;
static long (*bpf_dynptr_read)(void *dst, u32 len, const struct bpf_dynptr *src, u32 off, u64 flags) = (void *)201;
static long (*bpf_dynptr_write)(const struct bpf_dynptr *dst, u32 off, void *src, u32 len, u64 flags) = (void *)202;
static void *(*bpf_dynptr_data)(const struct bpf_dynptr *ptr, u32 off, u32 len) = (void *)203;
static long (*user_ringbuf_drain)(void *map, void *fn, void *ctx, u64 flags) = (void *)209;
static long (*loop)(u32 n, void *fn, void *ctx, u64 flags) = (void *)181;
static u32 (*prandom)(void) = (void *)7;

struct {
	UINT(type, MAP_RINGBUF);
	UINT(max_entries, 4096);
} ring SEC(".maps");

struct {
	UINT(type, 31);
	UINT(max_entries, 4096);
} user_ring SEC(".maps");

u64 cells[64];
u64 sum;

#define FOR(i, from, to)                                                                             \
	for (struct bpf_iter_num it __attribute__((cleanup(bpf_iter_num_destroy))),                       \
	     *iter = (bpf_iter_num_new(&it, from, to), &it);                                              \
	     ({                                                                                           \
		     int *next = bpf_iter_num_next(iter);                                                 \
		     next ? (i = *next, 1) : (i = 0, 0);                                                  \
	     });)

SEC("xdp") int for_sum(struct xdp_md *ctx)
{
	int i, n = 0;

	FOR(i, 0, 100)
		n += i;
	return n & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int for_array(struct xdp_md *ctx)
{
	int i;

	FOR(i, 0, 64) {
		if (i < 0 || i >= 64)
			break;
		cells[i] += i;
	}
	return XDP_PASS;
}

SEC("xdp") int for_array_unchecked(struct xdp_md *ctx)
{
	int i;

	FOR(i, 0, 64)
		cells[i] += i;
	return XDP_PASS;
}

SEC("xdp") int for_nested(struct xdp_md *ctx)
{
	int i, j;
	u64 n = 0;

	FOR(i, 0, 10) {
		FOR(j, 0, i) {
			if (j == 5)
				continue;
			n += i * j;
		}
	}
	sum = n;
	return XDP_PASS;
}

SEC("xdp") int for_early_return(struct xdp_md *ctx)
{
	int i;

	FOR(i, 0, 64) {
		if (prandom() == 7)
			return XDP_DROP;
	}
	return XDP_PASS;
}

SEC("xdp") int for_packet(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u64 n = 0;
	int i;

	FOR(i, 0, 64) {
		u8 *p = data + (i & 63);

		if (p + 1 > end)
			break;
		n += *p;
	}
	sum = n;
	return XDP_PASS;
}

SEC("xdp") int for_packet_unchecked(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u64 n = 0;
	int i;

	if (data + 32 > end)
		return XDP_PASS;
	FOR(i, 0, 64) {
		n += data[i & 63];
	}
	sum = n;
	return XDP_PASS;
}

struct hdr {
	u8 type, len;
};

/* Options of a header: the offset grows with the loop's number. */
SEC("tc") int options(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	int i, seen = 0;

	if (bpf_dynptr_from_skb(skb, 0, &d))
		return TC_ACT_OK;
	FOR(i, 0, 40) {
		struct hdr buf, *h = bpf_dynptr_slice(&d, 14 + 2 * i, &buf, sizeof buf);

		if (!h || !h->len)
			break;
		if (h->type == 7)
			seen = 1;
	}
	return seen ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc") int slice_write(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u8 buf[14], *p;

	if (bpf_dynptr_from_skb(skb, 0, &d))
		return TC_ACT_OK;
	p = bpf_dynptr_slice_rdwr(&d, 0, buf, sizeof buf);
	if (!p)
		return TC_ACT_SHOT;
	p[0] = 1;
	if (p == buf)
		bpf_dynptr_write(&d, 0, buf, sizeof buf, 0);
	return TC_ACT_OK;
}

SEC("tc") int slice_after_write(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u8 buf[14], *p;

	if (bpf_dynptr_from_skb(skb, 0, &d))
		return TC_ACT_OK;
	p = bpf_dynptr_slice_rdwr(&d, 0, buf, sizeof buf);
	if (!p)
		return TC_ACT_SHOT;
	bpf_dynptr_write(&d, 0, buf, sizeof buf, 0);
	return p[0];
}

SEC("xdp") int xdp_slice(struct xdp_md *ctx)
{
	struct bpf_dynptr d, e;
	u8 buf[20], *p;

	if (bpf_dynptr_from_xdp(ctx, 0, &d))
		return XDP_PASS;
	if (bpf_dynptr_clone(&d, &e) || bpf_dynptr_adjust(&e, 14, bpf_dynptr_size(&d)))
		return XDP_PASS;
	p = bpf_dynptr_slice(&e, 0, buf, sizeof buf);
	if (!p)
		return XDP_DROP;
	return p[9] == 6 ? XDP_PASS : XDP_DROP;
}

struct event {
	u32 len;
	u8 head[64];
};

SEC("xdp") int ring_event(struct xdp_md *ctx)
{
	u32 len = ctx->data_end - ctx->data;
	struct bpf_dynptr d;
	u32 *p;

	if (bpf_ringbuf_reserve_dynptr(&ring, sizeof(struct event), 0, &d)) {
		bpf_ringbuf_discard_dynptr(&d, 0);
		return XDP_PASS;
	}
	p = bpf_dynptr_data(&d, 0, sizeof *p);
	if (p)
		*p = len;
	bpf_ringbuf_submit_dynptr(&d, 0);
	return XDP_PASS;
}

SEC("xdp") int ring_event_leaks(struct xdp_md *ctx)
{
	struct bpf_dynptr d;

	if (bpf_ringbuf_reserve_dynptr(&ring, sizeof(struct event), 0, &d))
		return XDP_PASS;
	bpf_ringbuf_submit_dynptr(&d, 0);
	return XDP_PASS;
}

SEC("xdp") int ring_event_late(struct xdp_md *ctx)
{
	struct bpf_dynptr d;
	u32 *p;

	bpf_ringbuf_reserve_dynptr(&ring, sizeof(struct event), 0, &d);
	p = bpf_dynptr_data(&d, 0, sizeof *p);
	bpf_ringbuf_submit_dynptr(&d, 0);
	if (p)
		*p = 1;
	return XDP_PASS;
}

static long take(struct bpf_dynptr *d, void *ctx)
{
	u32 *n = ctx, v;

	if (bpf_dynptr_read(&v, sizeof v, d, 0, 0))
		return 1;
	*n += v;
	return 0;
}

SEC("kprobe/x") int drain(void *ctx)
{
	u32 n = 0;

	user_ringbuf_drain(&user_ring, take, &n, 0);
	return n == 7;
}

static long take_submits(struct bpf_dynptr *d, void *ctx)
{
	bpf_ringbuf_submit_dynptr(d, 0);
	return 0;
}

SEC("kprobe/x") int drain_submits(void *ctx)
{
	user_ringbuf_drain(&user_ring, take_submits, NULL, 0);
	return 0;
}

static long take_two(struct bpf_dynptr *d, void *ctx)
{
	return 2;
}

SEC("kprobe/x") int drain_returns_two(void *ctx)
{
	user_ringbuf_drain(&user_ring, take_two, NULL, 0);
	return 0;
}

static long take_moves(struct bpf_dynptr *d, void *ctx)
{
	char *p = (char *)d;

	OPAQUE(p);
	p += 8;
	return bpf_dynptr_size((void *)p) & 1;
}

SEC("kprobe/x") int drain_moves(void *ctx)
{
	user_ringbuf_drain(&user_ring, take_moves, NULL, 0);
	return 0;
}

static long take_adjusts(struct bpf_dynptr *d, void *ctx)
{
	return bpf_dynptr_adjust(d, 1, 2) & 1;
}

SEC("kprobe/x") int drain_adjusts(void *ctx)
{
	user_ringbuf_drain(&user_ring, take_adjusts, NULL, 0);
	return 0;
}

static long write_cell(u32 i, void *ctx)
{
	struct bpf_dynptr *d = ctx;
	u32 v = i;

	return bpf_dynptr_write(d, i & 7, &v, sizeof v, 0) != 0;
}

SEC("xdp") int loop_dynptr(struct xdp_md *ctx)
{
	struct bpf_dynptr d;

	bpf_dynptr_from_mem(cells, sizeof cells, 0, &d);
	loop(10, write_cell, &d, 0);
	return bpf_dynptr_size(&d) & 1;
}

static long step_iter(u32 i, void *ctx)
{
	return bpf_iter_num_next(ctx) == NULL;
}

SEC("xdp") int loop_iter(struct xdp_md *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	loop(10, step_iter, &it, 0);
	bpf_iter_num_destroy(&it);
	return XDP_PASS;
}

static long end_iter(u32 i, void *ctx)
{
	bpf_iter_num_destroy(ctx);
	return 1;
}

SEC("xdp") int loop_ends_iter(struct xdp_md *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	loop(1, end_iter, &it, 0);
	return XDP_PASS;
}

static NOINLINE int next_of(struct bpf_iter_num *it)
{
	int *p = bpf_iter_num_next(it);

	return p ? *p : -1;
}

SEC("xdp") int iter_in_function(struct xdp_md *ctx)
{
	struct bpf_iter_num it;
	int v;
	u64 n = 0;

	bpf_iter_num_new(&it, 0, 10);
	while ((v = next_of(&it)) >= 0)
		n += v;
	bpf_iter_num_destroy(&it);
	sum = n;
	return XDP_PASS;
}

SEC("xdp") int bits(struct xdp_md *ctx)
{
	struct bpf_iter_bits it;
	u64 words[2] = {ctx->rx_queue_index, 5}, n = 0;
	int *bit;

	bpf_iter_bits_new(&it, words, 2);
	while ((bit = bpf_iter_bits_next(&it)))
		n += *bit;
	bpf_iter_bits_destroy(&it);
	sum = n;
	return XDP_PASS;
}

SEC("xdp") int min_of_cells(struct xdp_md *ctx)
{
	u64 min = ~0ULL;
	int i, at = 0;

	FOR(i, 0, 64) {
		u32 k = i;

		if (k >= 64)
			break;
		if (cells[k] < min) {
			min = cells[k];
			at = k;
		}
	}
	if (at < 0 || at > 63)
		return XDP_DROP;
	cells[at] = 0;
	return XDP_PASS;
}

SEC("xdp") int state_machine(struct xdp_md *ctx)
{
	int i, state = 0;

	FOR(i, 0, 1000) {
		switch (state) {
		case 0:
			state = prandom() & 3;
			break;
		case 1:
			state = 2;
			break;
		case 2:
			state = 0;
			sum++;
			break;
		default:
			return XDP_DROP;
		}
	}
	return state;
}

static NOINLINE u32 regions(u32 n)
{
	bpf_rcu_read_lock();
	if (n & 1) {
		bpf_preempt_disable();
		n++;
		bpf_preempt_enable();
	}
	bpf_rcu_read_unlock();
	return n;
}

SEC("xdp") int in_regions(struct xdp_md *ctx)
{
	unsigned long flags;
	u32 n;

	bpf_local_irq_save(&flags);
	n = regions(ctx->rx_queue_index);
	bpf_local_irq_restore(&flags);
	return n & 1;
}

static NOINLINE u32 region_left_open(u32 n)
{
	bpf_rcu_read_lock();
	if (n == 5)
		return 1;
	bpf_rcu_read_unlock();
	return n;
}

SEC("xdp") int region_left(struct xdp_md *ctx)
{
	return region_left_open(ctx->rx_queue_index) & 1;
}

static NOINLINE int check(u32 n)
{
	if (n > 100)
		bpf_throw(XDP_DROP);
	return n + 1;
}

SEC("xdp") int throws(struct xdp_md *ctx)
{
	return check(ctx->rx_queue_index) & 1;
}

static long throw_in_loop(u32 i, void *ctx)
{
	bpf_throw(1);
	return 0;
}

SEC("tc") int throws_in_callback(struct __sk_buff *skb)
{
	loop(10, throw_in_loop, NULL, 0);
	return 0;
}

static long check_in_loop(u32 i, void *ctx)
{
	return check(i) == 0;
}

SEC("tc") int throws_below_callback(struct __sk_buff *skb)
{
	loop(10, check_in_loop, NULL, 0);
	return 0;
}

SEC("tc") int throws_in_loop(struct __sk_buff *skb)
{
	int i;

	FOR(i, 0, 10)
		check(i);
	return 0;
}

NOINLINE int handler(u64 cookie)
{
	return cookie & 1;
}

SEC("tc") __attribute__((btf_decl_tag("exception_callback:handler"))) int throws_to_handler(struct __sk_buff *skb)
{
	if (skb->len > 5)
		bpf_throw(77);
	return 0;
}

SEC("xdp") int weak_absent(struct xdp_md *ctx)
{
	if (bpf_no_such_kfunc)
		return bpf_no_such_kfunc(1);
	return XDP_PASS;
}

SEC("xdp") int weak_present(struct xdp_md *ctx)
{
	int i, n = 0;

	if (bpf_iter_num_new) {
		FOR(i, 0, 10)
			n++;
	}
	return n & 1;
}

SEC("xdp") int weak_called(struct xdp_md *ctx)
{
	return bpf_no_such_kfunc(1) & 1;
}

NOINLINE int global_sum(int n)
{
	int i;
	u64 s = 0;

	FOR(i, 0, n)
		s += i;
	return s & 1;
}

SEC("xdp") int in_global(struct xdp_md *ctx)
{
	return global_sum(ctx->rx_queue_index);
}

LICENSE("GPL");
