/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Timers: every call's result, and what callbacks find, goes to the map results in the order of the calls. */
#include "skep_bpf.h"

struct bpf_timer {
	u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_spin_lock {
	u32 val;
};

static long (*bpf_timer_init)(struct bpf_timer *timer, void *map, u64 flags) = (void *)169;
static long (*bpf_timer_set_callback)(struct bpf_timer *timer, void *callback) = (void *)170;
static long (*bpf_timer_start)(struct bpf_timer *timer, u64 nsecs, u64 flags) = (void *)171;
static long (*bpf_timer_cancel)(struct bpf_timer *timer) = (void *)172;

struct elem {
	u64 fired;
	struct bpf_timer timer;
	struct bpf_spin_lock lock;
	u32 key;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, struct elem);
} hash SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, struct elem);
} array SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 64);
	TYPE(key, u32);
	TYPE(value, s64);
} results SEC(".maps");

static void note(u32 at, s64 result)
{
	bpf_map_update_elem(&results, &at, &result, 0);
}

/* A callback counts, and notes its key. */
static int count(void *map, u32 *key, struct elem *e)
{
	e->fired++;
	e->key = *key;
	note(40 + (*key & 7), e->fired);
	return 0;
}

/* Starts itself twice more, cancels itself, which it cannot, and at last deletes its own element. */
static int again(void *map, u32 *key, struct elem *e)
{
	e->fired++;
	note(48, e->fired);
	note(49, bpf_timer_cancel(&e->timer));
	if (e->fired < 3) {
		note(50, bpf_timer_start(&e->timer, 1000, 0));
		return 0;
	}
	u32 k = *key;
	note(51, bpf_map_delete_elem(&hash, &k));
	note(52, bpf_timer_start(&e->timer, 1000, 0));
	note(53, bpf_timer_cancel(&e->timer));
	return 0;
}

static struct elem *fresh(u32 key)
{
	struct elem zero = {};
	bpf_map_update_elem(&hash, &key, &zero, 0);
	return bpf_map_lookup_elem(&hash, &key);
}

SEC("tc")
int errors(struct __sk_buff *skb)
{
	u32 key = 3;
	struct elem *e = bpf_map_lookup_elem(&array, &key);

	if (!e)
		return 1;
	note(0, bpf_timer_start(&e->timer, 0, 0));
	note(1, bpf_timer_cancel(&e->timer));
	note(2, bpf_timer_set_callback(&e->timer, count));
	note(3, bpf_timer_init(&e->timer, &array, 2));
	note(4, bpf_timer_init(&e->timer, &array, 16));
	note(5, bpf_timer_init(&e->timer, &array, 1 | 1ULL << 40));
	note(6, bpf_timer_init(&e->timer, &array, 0));
	note(7, bpf_timer_init(&e->timer, &array, 1));
	note(8, bpf_timer_start(&e->timer, 0, 0));
	note(9, bpf_timer_cancel(&e->timer));
	note(10, bpf_timer_set_callback(&e->timer, count));
	note(11, bpf_timer_start(&e->timer, 0, 4));
	note(12, bpf_timer_start(&e->timer, 1ULL << 40, 2));
	note(13, bpf_timer_cancel(&e->timer));
	note(14, bpf_timer_start(&e->timer, 0, 0));
	note(15, bpf_timer_cancel(&e->timer));
	note(16, bpf_timer_set_callback(&e->timer, count));
	note(17, bpf_timer_start(&e->timer, 1000, 0));
	return 0;
}

/* What updates and deletions do to timers. */
SEC("tc")
int freed(struct __sk_buff *skb)
{
	struct elem zero = {};
	struct elem *e = fresh(1);
	u32 key = 1;

	if (!e)
		return 1;
	note(0, bpf_timer_init(&e->timer, &hash, 1));
	note(1, bpf_timer_set_callback(&e->timer, count));
	note(2, bpf_timer_start(&e->timer, 10000000, 0));
	note(3, bpf_map_update_elem(&hash, &key, &zero, 4));
	e = bpf_map_lookup_elem(&hash, &key);
	if (!e)
		return 2;
	note(4, bpf_timer_cancel(&e->timer));
	note(5, bpf_timer_set_callback(&e->timer, count));
	note(6, bpf_timer_start(&e->timer, 10000000, 0));
	note(7, bpf_map_update_elem(&hash, &key, &zero, 0));
	e = bpf_map_lookup_elem(&hash, &key);
	if (!e)
		return 3;
	note(8, bpf_timer_cancel(&e->timer));
	note(9, bpf_timer_init(&e->timer, &hash, 1));
	note(10, bpf_timer_set_callback(&e->timer, count));
	note(11, bpf_timer_start(&e->timer, 10000000, 0));
	note(12, bpf_map_delete_elem(&hash, &key));
	e = bpf_map_lookup_elem(&hash, &key);
	note(13, e != 0);
	key = 5;
	e = bpf_map_lookup_elem(&array, &key);
	if (!e)
		return 4;
	note(14, bpf_timer_init(&e->timer, &array, 1));
	note(15, bpf_timer_set_callback(&e->timer, count));
	note(16, bpf_timer_start(&e->timer, 10000000, 0));
	note(17, bpf_map_update_elem(&array, &key, &zero, 0));
	note(18, bpf_timer_cancel(&e->timer));
	note(19, bpf_timer_init(&e->timer, &array, 1));
	note(20, bpf_map_update_elem(&array, &key, &zero, 4));
	note(21, bpf_timer_cancel(&e->timer));
	return 0;
}

SEC("tc")
int fires(struct __sk_buff *skb)
{
	struct elem *e = fresh(4);

	if (!e)
		return 1;
	note(0, bpf_timer_init(&e->timer, &hash, 7));
	note(1, bpf_timer_set_callback(&e->timer, again));
	note(2, bpf_timer_start(&e->timer, 1000, 0));
	e = fresh(6);
	if (!e)
		return 2;
	note(3, bpf_timer_init(&e->timer, &hash, 1));
	note(4, bpf_timer_set_callback(&e->timer, count));
	note(5, bpf_timer_start(&e->timer, 5, 1)); /* long ago */
	e = fresh(2);
	if (!e)
		return 3;
	note(6, bpf_timer_init(&e->timer, &hash, 1));
	note(7, bpf_timer_set_callback(&e->timer, count));
	note(8, bpf_timer_start(&e->timer, -5, 0)); /* never */
	return 0;
}

LICENSE("GPL");
