//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Prints an argument of a kernel function: who opens which file. */
#include "trace.h"

SEC("kprobe/do_sys_openat2")
int open_file(struct pt_regs *regs)
{
	char path[64], comm[16];

	if (bpf_probe_read_user_str(path, sizeof(path), ARG2(regs)) < 0)
		return 0;
	bpf_get_current_comm(comm, sizeof(comm));
	PRINT("%d %s opens %s", (u32)bpf_get_current_pid_tgid(), comm, path);
	return 0;
}

LICENSE("GPL");
