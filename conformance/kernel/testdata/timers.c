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

struct bpf_wq {
	u64 opaque[2];
} __attribute__((aligned(8)));

#define KSYM __attribute__((section(".ksyms")))
extern int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) KSYM;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int(callback_fn)(void *, int *, void *), unsigned int flags, void *aux__prog) KSYM;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) KSYM;
static long (*bpf_copy_from_user)(void *dst, u32 size, const void *user_ptr) = (void *)148;

struct job {
	u64 done;
	struct bpf_wq work;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 8);
	TYPE(key, int);
	TYPE(value, struct job);
} jobs SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 8);
	TYPE(key, int);
	TYPE(value, struct job);
} other_jobs SEC(".maps");

static int do_job(void *map, int *key, void *value)
{
	struct job *j = value;

	j->done++;
	note(40 + (*key & 7), j->done);
	if (j->done < 3)
		note(30, bpf_wq_start(&j->work, 0));
	return 0;
}

static int sleepy_job(void *map, int *key, void *value)
{
	u64 there = 7;

	note(31, bpf_copy_from_user(&there, sizeof(there), NULL));
	note(32, there);
	return 0;
}

static int bad_job(void *map, int *key, void *value)
{
	return 1;
}

static struct job *job(int key)
{
	struct job zero = {};

	bpf_map_update_elem(&jobs, &key, &zero, 0);
	return bpf_map_lookup_elem(&jobs, &key);
}

SEC("tc")
int work(struct __sk_buff *skb)
{
	struct job *j = job(5);

	if (!j)
		return 1;
	note(0, bpf_wq_start(&j->work, 0));
	note(1, bpf_wq_set_callback_impl(&j->work, do_job, 0, NULL));
	note(2, bpf_wq_init(&j->work, &jobs, 1));
	note(3, bpf_wq_init(&j->work, &jobs, 0));
	note(4, bpf_wq_init(&j->work, &jobs, 0));
	note(5, bpf_wq_start(&j->work, 0));
	note(6, bpf_wq_set_callback_impl(&j->work, do_job, 1, NULL));
	note(7, bpf_wq_set_callback_impl(&j->work, do_job, 0, NULL));
	note(8, bpf_wq_start(&j->work, 2));
	note(9, bpf_wq_start(&j->work, 0));
	j = job(6);
	if (!j)
		return 2;
	note(10, bpf_wq_init(&j->work, &jobs, 0));
	note(11, bpf_wq_set_callback_impl(&j->work, sleepy_job, 0, NULL));
	note(12, bpf_wq_start(&j->work, 0));
	return 0;
}

SEC("tc")
int bad_return(struct __sk_buff *skb)
{
	struct job *j = job(5);

	if (j)
		bpf_wq_set_callback_impl(&j->work, bad_job, 0, NULL);
	return 0;
}

SEC("tc")
int bad_map(struct __sk_buff *skb)
{
	struct job *j = job(5);

	if (j)
		bpf_wq_init(&j->work, &other_jobs, 0);
	return 0;
}

SEC("tc")
int bad_place(struct __sk_buff *skb)
{
	struct job *j = job(5);

	if (j)
		bpf_wq_init((void *)j, &jobs, 0);
	return 0;
}

SEC("tc")
int bad_null(struct __sk_buff *skb)
{
	struct job *j = job(5);

	bpf_wq_start(&j->work, 0);
	return 0;
}

SEC("tc")
int bad_stack(struct __sk_buff *skb)
{
	struct bpf_wq w = {};

	bpf_wq_start(&w, 0);
	return 0;
}

static int sleepy_timer(void *map, u32 *key, struct elem *e)
{
	u64 there = 7;

	note(31, bpf_copy_from_user(&there, sizeof(there), NULL));
	return 0;
}

SEC("tc")
int bad_sleep(struct __sk_buff *skb)
{
	struct elem *e = fresh(4);

	if (e)
		bpf_timer_set_callback(&e->timer, sleepy_timer);
	return 0;
}

LICENSE("GPL");
