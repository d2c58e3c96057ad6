//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Counts how often the scheduler goes from one task to another. The task before is an argument; its pid is read from memory. */
#include "trace.h"

struct pair {
	u32 prev, next;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 1024);
	TYPE(key, struct pair);
	TYPE(value, u64);
} switches SEC(".maps");

SEC("kprobe/finish_task_switch")
int task_switch(struct pt_regs *regs)
{
	struct task_struct *prev = ARG1(regs);
	struct pair key = { .next = (u32)bpf_get_current_pid_tgid() };
	u64 one = 1, *count;

	bpf_probe_read_kernel(&key.prev, sizeof(key.prev), &prev->pid);
	count = bpf_map_lookup_elem(&switches, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&switches, &key, &one, MAP_NOEXIST);
	return 0;
}

LICENSE("GPL");
