/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Relocations by type (CO-RE): the fields of struct record are elsewhere, or missing, in core_target.c. */
#include "skep_bpf.h"

#define CORE __attribute__((preserve_access_index))

enum colour { RED = 1, GREEN = 2 };

struct record {
	u32 first;
	u32 second;
	u16 bits : 5;
	u64 gone;
} CORE;

struct vanished {
	u32 field;
} CORE;

static struct record *(*const get_record)(int) = (void *)200;

SEC("xdp")
int core(struct xdp_md *ctx)
{
	struct record *r = get_record(0);
	u64 n = r->first + r->second;

	n += __builtin_preserve_type_info(*(struct record *)0, 1); /* size */
	n += __builtin_preserve_enum_value(*(enum colour *)GREEN, 1);
	n += __builtin_preserve_enum_value(*(enum colour *)GREEN, 0) << 8;
	if (__builtin_preserve_field_info(r->gone, 2)) /* exists */
		n += r->gone;
	n += __builtin_preserve_type_info(*(struct vanished *)0, 0) << 4; /* exists */
	return (int)n;
}

LICENSE("GPL");
