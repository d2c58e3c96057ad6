/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Compiles a workload for the host: included before its source (clang -include), it gives the source the header that
 * it asks for, and native code for maps and helpers. Packets lie below 4 GiB, so the fields of struct xdp_md are
 * pointers here too.
 */
#ifndef NATIVE_H
#define NATIVE_H

/* What the header calls helpers are numbers of the kernel's table; they get out of the way. */
#define bpf_map_lookup_elem number_of_map_lookup_elem
#define bpf_map_update_elem number_of_map_update_elem
#define bpf_get_numa_node_id number_of_get_numa_node_id
#include "../../examples/skep_bpf.h"
#undef bpf_map_lookup_elem
#undef bpf_map_update_elem
#undef bpf_get_numa_node_id
#undef LICENSE
#define LICENSE(text) extern const char license_of_no_use[]

/*
 * One map for each source, which is what the workloads have. Its type is known when compiling: an array is indexed in
 * place, a hash map of 4-byte keys and 8-byte values has linear probing and a multiplicative hash.
 */
enum { HASH_BITS = 15, HASH_SIZE = 1 << HASH_BITS };

static union {
	char array[1 << 16];
	struct slot {
		u32 key;
		u32 used;
		u64 value;
	} slots[HASH_SIZE];
} storage;

INLINE struct slot *find(u32 key)
{
	u32 at = (u32)(key * 0x9e3779b97f4a7c15ULL >> (64 - HASH_BITS));

	while (storage.slots[at].used && storage.slots[at].key != key)
		at = (at + 1) % HASH_SIZE;
	return &storage.slots[at];
}

INLINE void *lookup(u32 type, u32 entries, u32 size, u32 key)
{
	if (type == MAP_ARRAY)
		return key < entries ? storage.array + key * size : NULL;
	struct slot *s = find(key);

	return s->used ? &s->value : NULL;
}

/* Only for hash maps that the keys of a workload never fill. */
INLINE long insert(u32 key, u64 value)
{
	struct slot *s = find(key);

	*s = (struct slot){key, 1, value};
	return 0;
}

#define MAP_TYPE(map) (sizeof(*(map)->type) / sizeof(int))
#define MAP_ENTRIES(map) (sizeof(*(map)->max_entries) / sizeof(int))
#define bpf_map_lookup_elem(map, key) lookup(MAP_TYPE(map), MAP_ENTRIES(map), sizeof(*(map)->value), *(key))
#define bpf_map_update_elem(map, key, value, flags)                                                                    \
	({                                                                                                             \
		_Static_assert(MAP_TYPE(map) == MAP_HASH && MAP_ENTRIES(map) < HASH_SIZE, "a hash map that fits");      \
		insert(*(key), *(value));                                                                              \
	})

/* A call that stays a call. */
NOINLINE static long bpf_get_numa_node_id(void)
{
	asm volatile("");
	return 0;
}

#endif
