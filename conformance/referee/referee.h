/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Programs of the referee call helpers with arguments of every sort and keep what comes back in `results`, an element for
 * each call. They run on every engine and in the live kernel, and everything that they leave must be the same. So what
 * depends on the machine (clocks, random numbers, tasks) is kept as what must hold of it.
 */
#ifndef SKEP_REFEREE_H
#define SKEP_REFEREE_H

#include "../../examples/datapath/datapath.h"

/* Not every program looks at its ctx, nor every callback at its map. */
#pragma clang diagnostic ignored "-Wunused-parameter"

#define MAX_RESULTS 96

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, MAX_RESULTS);
	TYPE(key, u32);
	TYPE(value, u64);
} results SEC(".maps");

/* Keeps a result: mixes it into the element, so that every packet counts. */
static NOINLINE int put(u32 index, u64 value)
{
	u64 *at = bpf_map_lookup_elem(&results, &index);

	if (at)
		*at = *at * 31 + value + 1;
	return 0;
}

#define PUT(value) put(__COUNTER__, (u64)(value))

#endif
