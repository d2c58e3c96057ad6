/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The types that core.c meets on another kernel. Built for its BTF alone. */
#include "skep_bpf.h"

enum colour { GREEN = 20, RED = 10 };

struct record {
	u64 added;
	u32 second;
	u32 first;
	u16 bits : 5;
};

struct record kept;
enum colour colour;
