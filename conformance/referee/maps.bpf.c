//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Map types and the helpers on maps: every flag, full maps, elements that are there and that are not. */
#include "referee.h"

enum { MAP_QUEUE = 22, MAP_STACK = 23, MAP_BLOOM = 30 };

static long (*const bpf_map_push_elem)(void *map, const void *value, u64 flags) = (void *)87;
static long (*const bpf_map_pop_elem)(void *map, void *value) = (void *)88;
static long (*const bpf_map_peek_elem)(void *map, void *value) = (void *)89;
static long (*const bpf_spin_lock)(void *lock) = (void *)93;
static long (*const bpf_spin_unlock)(void *lock) = (void *)94;
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *ctx, u64 flags) = (void *)164;
static void *(*const bpf_map_lookup_percpu_elem)(void *map, const void *key, u32 cpu) = (void *)195;

struct bpf_spin_lock {
	u32 val;
};

#define MAP(name, kind, entries, k, v) \
	struct {                       \
		UINT(type, kind);      \
		UINT(max_entries, entries); \
		TYPE(key, k);          \
		TYPE(value, v);        \
	} name SEC(".maps")

struct three {
	u8 byte[3];
};

struct wide {
	u64 word[5];
};

MAP(hash, MAP_HASH, 4, u32, u64);
MAP(hash_odd, MAP_HASH, 4, struct three, struct wide);
MAP(percpu_hash, MAP_PERCPU_HASH, 4, u64, u32);
MAP(lru, MAP_LRU_HASH, 64, u32, u32);
MAP(lru_percpu, MAP_LRU_PERCPU_HASH, 64, u32, u64);
MAP(array, MAP_ARRAY, 5, u32, struct three);
MAP(percpu_array, MAP_PERCPU_ARRAY, 3, u32, u64);

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 8);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, u64);
	TYPE(value, u32);
} sparse SEC(".maps");

struct prefix {
	u32 bits;
	u8 data[6];
	u16 pad;
};

struct {
	UINT(type, MAP_LPM_TRIE);
	UINT(max_entries, 6);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, struct prefix);
	TYPE(value, u32);
} trie SEC(".maps");

struct {
	UINT(type, MAP_QUEUE);
	UINT(max_entries, 3);
	TYPE(value, u32);
} queue SEC(".maps");

struct {
	UINT(type, MAP_STACK);
	UINT(max_entries, 3);
	TYPE(value, u32);
} stack SEC(".maps");

struct {
	UINT(type, MAP_BLOOM);
	UINT(max_entries, 4096);
	TYPE(value, u32);
} bloom SEC(".maps");

struct inner {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 2);
	TYPE(key, u32);
	TYPE(value, u32);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	UINT(type, MAP_ARRAY_OF_MAPS);
	UINT(max_entries, 3);
	TYPE(key, u32);
	ARRAY(values, struct inner);
} array_of_maps SEC(".maps") = {.values = {&inner_a, NULL, &inner_b}};

struct {
	UINT(type, MAP_HASH_OF_MAPS);
	UINT(max_entries, 3);
	TYPE(key, u32);
	ARRAY(values, struct inner);
} hash_of_maps SEC(".maps") = {.values = {[1] = &inner_b}};

struct locked {
	u32 before;
	struct bpf_spin_lock lock;
	u64 after;
};

MAP(locks, MAP_HASH, 3, u32, struct locked);

/* The last bytes of the packet make keys differ from packet to packet. */
INLINE u32 salt(struct __sk_buff *skb)
{
	u8 b = 0;

	bpf_skb_load_bytes(skb, skb->len - 1, &b, 1);
	return b & 3;
}

/* Every sort of update, lookup and deletion, in a map with u32 keys. */
#define EXERCISE(map, key, value)                                     \
	do {                                                          \
		PUT(bpf_map_update_elem(&map, &key, &value, MAP_EXIST));   \
		PUT(bpf_map_update_elem(&map, &key, &value, MAP_NOEXIST)); \
		PUT(bpf_map_update_elem(&map, &key, &value, MAP_NOEXIST)); \
		PUT(bpf_map_update_elem(&map, &key, &value, MAP_ANY));     \
		PUT(bpf_map_update_elem(&map, &key, &value, 3));           \
		PUT(bpf_map_update_elem(&map, &key, &value, 8));           \
		PUT(!bpf_map_lookup_elem(&map, &key));                     \
	} while (0)

SEC("tc")
int hashes(struct __sk_buff *skb)
{
	u32 k = salt(skb), v32 = skb->len, missing = 77;
	u64 k64 = k, v64 = skb->len;
	struct three k3 = {{(u8)k, 1, 2}};
	struct wide wide = {{1, 2, 3, k, skb->len}};

	EXERCISE(hash, k, v64);
	EXERCISE(hash_odd, k3, wide);
	EXERCISE(percpu_hash, k64, v32);
	EXERCISE(sparse, k64, v32);
	EXERCISE(lru, k, v32);
	EXERCISE(lru_percpu, k, v64);
	PUT(bpf_map_delete_elem(&hash, &missing));
	PUT(!bpf_map_lookup_elem(&hash, &missing));
	if (k == 2)
		PUT(bpf_map_delete_elem(&hash, &k));
	/* Full: four are the most. */
	for (u32 i = 10; i < 16; i++) {
		u32 more = i;

		put(90, (u64)bpf_map_update_elem(&hash, &more, &v64, MAP_ANY));
	}
	return 0;
}

SEC("tc")
int arrays(struct __sk_buff *skb)
{
	u32 k = salt(skb), beyond = 5;
	struct three v = {{(u8)skb->len, 2, 3}};
	u64 v64 = skb->len;

	EXERCISE(array, k, v);
	EXERCISE(percpu_array, k, v64);
	PUT(bpf_map_update_elem(&array, &beyond, &v, MAP_ANY));
	PUT(!bpf_map_lookup_elem(&array, &beyond));
	PUT(bpf_map_delete_elem(&array, &k));
	PUT(bpf_map_delete_elem(&percpu_array, &k));
	return 0;
}

SEC("tc")
int tries(struct __sk_buff *skb)
{
	u32 k = salt(skb), v = skb->len;
	struct prefix p = {.bits = 8 * k, .data = {1, 2, 3, 4, 5, 6}};

	EXERCISE(trie, p, v);
	p.bits = 81; /* longer than the data */
	PUT(bpf_map_update_elem(&trie, &p, &v, MAP_ANY));
	PUT(bpf_map_delete_elem(&trie, &p));
	p.bits = 64;
	for (u32 i = 0; i < 7; i++) {
		p.data[i % 6] ^= 0x80;
		u32 *found = bpf_map_lookup_elem(&trie, &p);

		put(70, found ? *found : ~0u);
	}
	for (u32 i = 0; i < 7; i++) {
		p.bits = 9 + i;
		p.data[1] = (u8)(i * 37);
		put(71, (u64)bpf_map_update_elem(&trie, &p, &v, MAP_ANY));
	}
	p.bits = 10;
	put(72, (u64)bpf_map_delete_elem(&trie, &p));
	return 0;
}

SEC("tc")
int queues(struct __sk_buff *skb)
{
	u32 v = skb->len, out = 9;

	for (u32 i = 0; i < 4; i++) {
		v += i;
		put(0, (u64)bpf_map_push_elem(&queue, &v, i == 3 ? MAP_EXIST : MAP_ANY));
		put(1, (u64)bpf_map_push_elem(&stack, &v, i == 3 ? MAP_EXIST : MAP_ANY));
	}
	put(2, (u64)bpf_map_push_elem(&queue, &v, MAP_ANY));
	put(3, (u64)bpf_map_push_elem(&stack, &v, MAP_NOEXIST));
	put(4, (u64)bpf_map_peek_elem(&queue, &out));
	put(5, out);
	put(6, (u64)bpf_map_peek_elem(&stack, &out));
	put(7, out);
	for (u32 i = 0; i < 2 + salt(skb); i++) {
		put(8, (u64)bpf_map_pop_elem(&queue, &out));
		put(9, out);
		put(10, (u64)bpf_map_pop_elem(&stack, &out));
		put(11, out);
	}
	put(12, (u64)bpf_map_push_elem(&bloom, &v, MAP_ANY));
	put(13, (u64)bpf_map_push_elem(&bloom, &v, MAP_NOEXIST));
	put(14, (u64)bpf_map_peek_elem(&bloom, &v));
	return 0;
}

SEC("tc")
int maps_of_maps(struct __sk_buff *skb)
{
	for (u32 n = 0; n < 4; n++) {
		u32 i = n, k = n & 1, *v;
		void *inner = bpf_map_lookup_elem(&array_of_maps, &i);

		put(20 + i, !inner);
		if (inner && (v = bpf_map_lookup_elem(inner, &k)))
			*v += skb->len;
		inner = bpf_map_lookup_elem(&hash_of_maps, &i);
		put(24 + i, !inner);
		if (inner)
			put(28, (u64)bpf_map_update_elem(inner, &i, &i, MAP_ANY));
	}
	return 0;
}

struct walk {
	u64 sum;
	u32 calls;
	u32 most;
};

static long visit(void *map, const u32 *key, u64 *value, struct walk *w)
{
	w->sum += *value * (*key + 3);
	*value += 1;
	return ++w->calls >= w->most;
}

static long drop(void *map, const u32 *key, u64 *value, struct walk *w)
{
	w->calls++;
	return *key >= 10 ? 0 * bpf_map_delete_elem(map, key) : 0;
}

SEC("tc")
int for_each(struct __sk_buff *skb)
{
	struct walk all = {.most = 99}, some = {.most = 2}, gone = {};

	for (u32 n = 0; n < 3; n++) {
		u32 i = n;
		u64 v = i + skb->len;

		bpf_map_update_elem(&percpu_array, &i, &v, MAP_ANY);
		bpf_map_update_elem(&hash, &i, &v, MAP_ANY);
	}
	put(30, (u64)bpf_for_each_map_elem(&percpu_array, visit, &all, 0));
	put(31, all.sum);
	put(32, (u64)bpf_for_each_map_elem(&percpu_array, visit, &some, 0));
	put(33, some.sum);
	put(34, (u64)bpf_for_each_map_elem(&hash, visit, &all, 0));
	put(35, all.sum);
	put(36, (u64)bpf_for_each_map_elem(&hash, drop, &gone, 0));
	put(37, gone.calls);
	put(38, (u64)bpf_for_each_map_elem(&hash, visit, &all, 1)); /* no such flag */
	return 0;
}

SEC("tc")
int percpu(struct __sk_buff *skb)
{
	u32 k = salt(skb);
	u64 *v = bpf_map_lookup_percpu_elem(&percpu_array, &k, (u32)bpf_get_smp_processor_id());

	put(40, !v);
	if (v)
		*v += skb->len;
	put(41, !bpf_map_lookup_percpu_elem(&percpu_array, &k, 0xffffff)); /* no such CPU */
	return 0;
}

SEC("tc")
int spin(struct __sk_buff *skb)
{
	u32 k = salt(skb);
	struct locked fresh = {.before = 1, .after = skb->len}, *l;

	put(50, (u64)bpf_map_update_elem(&locks, &k, &fresh, MAP_NOEXIST));
	l = bpf_map_lookup_elem(&locks, &k);
	if (!l)
		return 1;
	bpf_spin_lock(&l->lock);
	l->before++;
	l->after += skb->len;
	bpf_spin_unlock(&l->lock);
	fresh.before = 7;
	put(51, (u64)bpf_map_update_elem(&locks, &k, &fresh, 4 /* BPF_F_LOCK */));
	put(52, l->before);
	return 0;
}

LICENSE("Dual MIT/GPL");
