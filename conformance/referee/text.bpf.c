//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Numbers and text, memory that may not be there, and what the machine says of itself: of clocks, random numbers and tasks only what
 * must hold of them. */
#include "referee.h"

static long (*const bpf_trace_printk)(const char *format, u32 size, ...) = (void *)6;
static u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*const bpf_get_current_uid_gid)(void) = (void *)15;
static long (*const bpf_get_current_comm)(char *to, u32 size) = (void *)16;
static u64 (*const bpf_get_current_task)(void) = (void *)35;
static u64 (*const bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*const bpf_get_ns_current_pid_tgid)(u64 dev, u64 ino, u32 *to, u32 size) = (void *)120;
static long (*const bpf_strtol)(const char *from, u64 len, u64 flags, s64 *to) = (void *)105;
static long (*const bpf_strtoul)(const char *from, u64 len, u64 flags, u64 *to) = (void *)106;
static long (*const bpf_probe_read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const bpf_probe_read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static long (*const bpf_probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static u64 (*const bpf_jiffies64)(void) = (void *)118;
static u64 (*const bpf_ktime_get_boot_ns)(void) = (void *)125;
static u64 (*const bpf_ktime_get_coarse_ns)(void) = (void *)160;
static long (*const bpf_snprintf)(char *to, u32 size, const char *format, const u64 *data, u32 bytes) = (void *)165;
static long (*const bpf_trace_vprintk)(const char *format, u32 size, const u64 *data, u32 bytes) = (void *)177;
static long (*const bpf_strncmp)(const char *s, u32 size, const char *constant) = (void *)182;
static u64 (*const bpf_ktime_get_tai_ns)(void) = (void *)208;

/* What is printed, for all to see. */
struct line {
	char text[64];
};

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 16);
	TYPE(key, u32);
	TYPE(value, struct line);
} lines SEC(".maps");

static const char numbers[12][24] = {"0", "-1", "42 and more", "0x1f", "017", "  7", "9223372036854775807", "9223372036854775808",
				     "-9223372036854775808", "18446744073709551616", "z", ""};

SEC("tc")
int conversions(struct __sk_buff *skb)
{
	for (u32 i = 0; i < 12; i++) {
		s64 s = 5;
		u64 u = 6;

		put(0, (u64)bpf_strtol(numbers[i], 24, 0, &s));
		put(1, (u64)s);
		put(2, (u64)bpf_strtoul(numbers[i], 24, 0, &u));
		put(3, u);
		put(4, (u64)bpf_strtol(numbers[i], 3, 8, &s));
		put(5, (u64)s);
		put(6, (u64)bpf_strtoul(numbers[i], 24, 16, &u));
		put(7, u);
		put(8, (u64)bpf_strtol(numbers[i], 24, 10, &s));
		put(9, (u64)s);
		put(10, (u64)bpf_strtoul(numbers[i], 24, 7, &u)); /* no such base */
		put(11, (u64)bpf_strncmp(numbers[i], 24, "42 and more"));
		put(12, (u64)bpf_strncmp(numbers[i], 2, "-1"));
	}
	return 0;
}

static const char formats[6][48] = {"%d %u %x", "%lld|%llu|%llx", "%5d|%-5d|%05d", "%s and %c%%", "%x %-8llX|%+d", "%d %d %d %d"};

/* The format has to be of a map that cannot be written, at a constant place. */
#define PRINT(i, size, ...)                                                     \
	do {                                                                    \
		u64 data[] = {__VA_ARGS__};                                     \
		u32 at = i;                                                     \
		struct line *l = bpf_map_lookup_elem(&lines, &at);              \
		if (l)                                                          \
			PUT(bpf_snprintf(l->text, size, formats[(i) % 6], data, sizeof(data))); \
	} while (0)

SEC("tc")
int print(struct __sk_buff *skb)
{
	PRINT(0, 64, (u64)-5, skb->len, 255);
	PRINT(1, 64, (u64)-5, (u64)-5, (u64)-5);
	PRINT(2, 64, 42, 42, 42);
	PRINT(3, 64, (u64)numbers[2], 'x');
	PRINT(4, 64, 10, 1ULL << 40, 7);
	PRINT(5, 9, 1000, 2000, 3000, 4000); /* cut */
	return 0;
}

SEC("tc")
int trace(struct __sk_buff *skb)
{
	static const char plain[] = "skep referee";
	static const char some[] = "skep referee %d %u";
	u64 data[2] = {1, skb->len};

	PUT(bpf_trace_printk(plain, sizeof(plain)));
	PUT(bpf_trace_printk(some, sizeof(some), -1, skb->len));
	PUT(bpf_trace_vprintk(some, sizeof(some), data, sizeof(data)));
	PUT(bpf_trace_vprintk(some, sizeof(some), data, 8)); /* too little data */
	return 0;
}

SEC("tc")
int memory(struct __sk_buff *skb)
{
	char to[16] = "0123456789abcde";

	PUT(bpf_probe_read_kernel(to, 8, NULL));
	PUT(*(u64 *)to);
	PUT(bpf_probe_read_kernel(to + 8, 8, (void *)0x10));
	PUT(*(u64 *)(to + 8));
	PUT(bpf_probe_read_kernel_str(to, 8, NULL));
	PUT(*(u64 *)to);
	PUT(bpf_probe_read_user(to, 8, (void *)0x10));
	PUT(*(u64 *)to);
	PUT(bpf_probe_read_user_str(to, 8, (void *)0x10));
	PUT(*(u64 *)to);
	PUT(bpf_probe_read_kernel(to, 16, numbers[2]));
	PUT(*(u64 *)to);
	PUT(bpf_probe_read_kernel_str(to, 16, numbers[2]));
	PUT(*(u64 *)(to + 8));
	PUT(bpf_probe_read_kernel_str(to, 4, numbers[2]));
	PUT(*(u64 *)to);
	PUT(bpf_probe_read_kernel_str(to, 1, numbers[2]));
	PUT(to[0]);
	return 0;
}

SEC("tc")
int clocks(struct __sk_buff *skb)
{
	u64 a = bpf_ktime_get_ns(), b = bpf_ktime_get_ns();

	PUT(a <= b);
	PUT(bpf_ktime_get_boot_ns() <= bpf_ktime_get_boot_ns());
	PUT(bpf_ktime_get_boot_ns() >= a);
	PUT(bpf_ktime_get_coarse_ns() + 1000000000 >= a);
	PUT(bpf_ktime_get_tai_ns() <= bpf_ktime_get_tai_ns());
	PUT(bpf_jiffies64() <= bpf_jiffies64());
	return 0;
}

SEC("tc")
int machine(struct __sk_buff *skb)
{
	char comm[16];
	u32 or = 0, and = ~0u;

	for (u32 i = 0; i < 100; i++) {
		u32 r = bpf_get_prandom_u32();

		or |= r;
		and &= r;
	}
	PUT(or);
	PUT(and);
	PUT(bpf_get_smp_processor_id());
	PUT(bpf_get_numa_node_id());
	PUT(bpf_get_current_pid_tgid() == bpf_get_current_pid_tgid());
	PUT(bpf_get_current_uid_gid() == bpf_get_current_uid_gid());
	PUT(bpf_get_current_comm(comm, sizeof(comm)));
	PUT(comm[15]);
	PUT(bpf_get_current_comm(comm, 4));
	PUT(comm[3]);
	u32 ns[2] = {1, 2};
	PUT(bpf_get_ns_current_pid_tgid(0, 0, ns, 8)); /* no such namespace */
	PUT(ns[0] + ns[1]);
	ns[0] = 5;
	PUT(bpf_get_ns_current_pid_tgid(0, 0, ns, 7));
	PUT(ns[0]);
	PUT(bpf_get_current_task() == bpf_get_current_task());
	PUT(bpf_get_current_cgroup_id() == bpf_get_current_cgroup_id());
	return 0;
}

LICENSE("Dual MIT/GPL");
