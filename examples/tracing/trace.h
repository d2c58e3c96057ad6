/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the tracing examples need beyond skep_bpf.h: registers of x86-64, helpers, one field of a task. */
#ifndef TRACE_H
#define TRACE_H

#include "../skep_bpf.h"

/* struct pt_regs of x86-64. The first arguments of a function are in di, si, dx, cx, r8, r9. */
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#define ARG1(regs) ((void *)(regs)->di)
#define ARG2(regs) ((void *)(regs)->si)

/* Offsets are found when the program is loaded: the kernel's struct has many more members. */
struct task_struct {
	int pid;
	int tgid;
	char comm[16];
} __attribute__((preserve_access_index));

static long (*const bpf_trace_printk)(const char *format, u32 size, ...) = (void *)6;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*const bpf_get_current_comm)(void *to, u32 size) = (void *)16;
static long (*const bpf_probe_read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;

#define PRINT(format, ...)                                                   \
	({                                                                   \
		static const char text[] = format;                           \
		bpf_trace_printk(text, sizeof(text), ##__VA_ARGS__);         \
	})

#endif
