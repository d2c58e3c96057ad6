/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* User ring buffers, storage and arrays of control groups: every call's result goes to the map results in the order of the calls. */
#include "skep_bpf.h"

static long (*bpf_user_ringbuf_drain)(void *map, void *callback, void *ctx, u64 flags) = (void *)209;
static long (*bpf_dynptr_read)(void *dst, u64 len, void *src, u64 offset, u64 flags) = (void *)201;
static void *(*bpf_dynptr_data)(void *ptr, u64 offset, u64 len) = (void *)203;
static void *(*bpf_get_local_storage)(void *map, u64 flags) = (void *)81;
static long (*bpf_current_task_under_cgroup)(void *map, u64 index) = (void *)37;

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 64);
	TYPE(key, u32);
	TYPE(value, long);
} results SEC(".maps");

struct {
	UINT(type, 31); /* BPF_MAP_TYPE_USER_RINGBUF */
	UINT(max_entries, 4096);
} samples SEC(".maps");

struct {
	UINT(type, 19); /* BPF_MAP_TYPE_CGROUP_STORAGE */
	UINT(key_size, 16);
	TYPE(value, u64);
} storage SEC(".maps");

struct {
	UINT(type, 8); /* BPF_MAP_TYPE_CGROUP_ARRAY */
	UINT(key_size, 4);
	UINT(value_size, 4);
	UINT(max_entries, 2);
} groups SEC(".maps");

struct notes {
	u32 next;
	u32 most;
};

static void note(struct notes *n, long v)
{
	u32 at = n->next++;
	bpf_map_update_elem(&results, &at, &v, 0);
}

static long sample(void *dynptr, void *ctx)
{
	struct notes *n = ctx;
	u64 word = 0;

	note(n, bpf_dynptr_read(&word, 4, dynptr, 0, 0));
	note(n, word);
	note(n, bpf_dynptr_read(&word, 8, dynptr, 4, 0));
	note(n, word);
	note(n, bpf_dynptr_data(dynptr, 0, 8) != 0);
	return --n->most == 0;
}

SEC("tc")
int drains(void *ctx)
{
	struct notes n = { .next = 0, .most = 2 };

	note(&n, bpf_user_ringbuf_drain(&samples, sample, &n, 4));
	note(&n, bpf_user_ringbuf_drain(&samples, sample, &n, 1));
	n.most = 100;
	note(&n, bpf_user_ringbuf_drain(&samples, sample, &n, 0));
	note(&n, bpf_user_ringbuf_drain(&samples, sample, &n, 2));
	return 0;
}

SEC("cgroup_skb/egress")
int stores(void *ctx)
{
	struct notes n = {};
	u64 *v = bpf_get_local_storage(&storage, 0);

	note(&n, *v);
	*v += 5;
	v = bpf_get_local_storage(&storage, 0);
	note(&n, *v);
	return 0;
}

SEC("tc")
int asks(void *ctx)
{
	struct notes n = {};

	note(&n, bpf_current_task_under_cgroup(&groups, 0));
	note(&n, bpf_current_task_under_cgroup(&groups, 2));
	note(&n, bpf_current_task_under_cgroup(&groups, (u64)-1));
	return 0;
}

/* A ring buffer of the other direction is none to drain. */
struct {
	UINT(type, MAP_RINGBUF);
	UINT(max_entries, 4096);
} other SEC(".maps");

SEC("tc")
int bad_drain(void *ctx)
{
	struct notes n = {};
	bpf_user_ringbuf_drain(&other, sample, &n, 0);
	return 0;
}

/* Storage takes no flags. */
SEC("cgroup_skb/egress")
int bad_flags(void *ctx)
{
	u64 *v = bpf_get_local_storage(&storage, 1);
	return *v;
}

/* The helper does not go with every map. */
SEC("cgroup_skb/egress")
int bad_storage(void *ctx)
{
	u64 *v = bpf_get_local_storage(&results, 0);
	return *v;
}

LICENSE("GPL");
