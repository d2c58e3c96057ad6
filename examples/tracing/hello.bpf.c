//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Says hello whenever a process starts another. */
#include "trace.h"

SEC("kprobe/__x64_sys_clone")
int hello(void)
{
	PRINT("Hello, World!");
	return 0;
}

LICENSE("GPL");
