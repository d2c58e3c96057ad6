//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Timers that do not fire while they are looked at, and a ring buffer that user space wrote nothing to. */
#include "referee.h"

enum { MAP_USER_RINGBUF = 31 };

struct bpf_timer {
	u64 opaque[2];
} __attribute__((aligned(8)));

static long (*const bpf_timer_init)(struct bpf_timer *timer, void *map, u64 flags) = (void *)169;
static long (*const bpf_timer_set_callback)(struct bpf_timer *timer, void *callback) = (void *)170;
static long (*const bpf_timer_start)(struct bpf_timer *timer, u64 ns, u64 flags) = (void *)171;
static long (*const bpf_timer_cancel)(struct bpf_timer *timer) = (void *)172;
static long (*const bpf_user_ringbuf_drain)(void *ringbuf, void *callback, void *ctx, u64 flags) = (void *)209;

struct job {
	u64 runs;
	struct bpf_timer timer;
};

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct job);
} jobs SEC(".maps");

struct {
	UINT(type, MAP_USER_RINGBUF);
	UINT(max_entries, 4096);
} commands SEC(".maps");

static int fired(void *map, u32 *key, struct job *job)
{
	job->runs++;
	return 0;
}

SEC("tc")
int timers(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct job *j = bpf_map_lookup_elem(&jobs, &zero);

	if (!j)
		return 1;
	PUT(bpf_timer_init(&j->timer, &jobs, 1)); /* the clock; the first time only */
	PUT(bpf_timer_init(&j->timer, &jobs, 1));
	PUT(bpf_timer_init(&j->timer, &jobs, 99));
	PUT(bpf_timer_set_callback(&j->timer, fired));
	PUT(bpf_timer_start(&j->timer, 3600000000000, 0));
	PUT(bpf_timer_start(&j->timer, 3600000000000, 1 << 8));
	PUT(bpf_timer_cancel(&j->timer));
	PUT(bpf_timer_cancel(&j->timer));
	PUT(bpf_timer_start(&j->timer, 3600000000000, 0));
	PUT(bpf_timer_set_callback(&j->timer, fired));
	PUT(bpf_timer_start(&j->timer, 3600000000000, 0));
	PUT(j->runs);
	return 0;
}

static long command(void *dynptr, u64 *count)
{
	++*count;
	return 0;
}

SEC("tc")
int drain(struct __sk_buff *skb)
{
	u64 count = 0;

	PUT(bpf_user_ringbuf_drain(&commands, command, &count, 0));
	PUT(bpf_user_ringbuf_drain(&commands, command, &count, 1));
	PUT(bpf_user_ringbuf_drain(&commands, command, &count, 1 << 9));
	PUT(count);
	return 0;
}

LICENSE("Dual MIT/GPL");
