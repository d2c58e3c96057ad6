/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Definitions of maps in all their variety: maps of maps, locks, timers, bit fields, enums, flags. */
#include "skep_bpf.h"

struct bpf_spin_lock {
	u32 val;
};

struct bpf_timer {
	u64 opaque[2];
} __attribute__((aligned(8)));

enum mode { MODE_OFF = -1, MODE_ON = 1 };

typedef const volatile u32 odd_u32;

struct node {
	struct node *next; /* a pointer to its own type */
	struct bpf_spin_lock lock;
	odd_u32 number;
	struct {
		u8 low : 3;
		u8 high : 5;
		_Bool flag;
		char name[6];
	};
	enum mode mode;
	union {
		u32 word;
		u8 bytes[4];
	} u;
};

struct armed {
	u64 count;
	struct bpf_timer timer;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 8);
	UINT(map_flags, 1);
	UINT(pinning, 1);
	TYPE(key, enum mode);
	TYPE(value, struct node);
} nodes SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 2);
	TYPE(key, u32);
	TYPE(value, struct armed);
} timers SEC(".maps");

struct inner {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 4);
	TYPE(key, u32);
	TYPE(value, u64);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	UINT(type, MAP_ARRAY_OF_MAPS);
	UINT(max_entries, 3);
	TYPE(key, u32);
	ARRAY(values, struct inner);
} outer SEC(".maps") = {
	.values = {[0] = &inner_b, [2] = &inner_a},
};

struct {
	UINT(type, MAP_PERF_EVENT_ARRAY);
} events SEC(".maps");

static u32 hits = 7;
static const char greeting[] = "hello";
struct node global;

SEC("tc")
int kinds(struct __sk_buff *skb)
{
	u32 key = 0;

	hits += greeting[skb->len & 3];
	global.u.word++;
	return bpf_map_lookup_elem(&outer, &key) != bpf_map_lookup_elem(&nodes, &key) && hits > 9 &&
	       bpf_map_lookup_elem(&timers, &key);
}

LICENSE("Dual BSD/GPL");
