// SPDX-License-Identifier: Apache-2.0
// A list in an arena: each run of push puts a number at its head, sum adds them up. build.sh compiles this file.
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __arena __attribute__((address_space(1)))
#define __ksym __attribute__((section(".ksyms")))
#define __uint(name, val) int(*name)[val]
#define __ulong(name, val) enum { ___bpf_concat_##name = val } name

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, u32 count, int node, u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, u32 count) __ksym;

struct {
	__uint(type, 33);            // BPF_MAP_TYPE_ARENA
	__uint(map_flags, 1 << 10);  // BPF_F_MMAPABLE
	__uint(max_entries, 16);     // pages
	__ulong(map_extra, 1ull << 44 | 0x7fff0000);
} arena SEC(".maps");

struct item {
	struct item __arena *next;
	u64 value;
};

struct item __arena *head;
u64 pushed, total;
u64 __arena first = 7, last;

SEC("syscall")
int push(u64 *ctx)
{
	struct item __arena *n = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);

	if (!n)
		return 0;
	n->value = *ctx;
	n->next = head;
	head = n;
	__sync_fetch_and_add(&pushed, 1);
	return 1;
}

SEC("syscall")
int sum(void *ctx)
{
	struct item __arena *n = head;
	u64 s = 0;

	asm volatile("" ::"r"(&arena)); // casts want a program that loads the arena

	for (int i = 0; i < 20 && n; i++) {
		s += n->value;
		n = n->next;
	}
	total = s;
	return (int)s;
}

SEC("syscall")
int pop(void *ctx)
{
	struct item __arena *n = head;

	if (!n)
		return 0;
	head = n->next;
	bpf_arena_free_pages(&arena, n, 1);
	return (int)n->value; // of a page that is gone: 0
}

SEC("syscall")
int globals(u64 *ctx)
{
	asm volatile("" ::"r"(&arena));
	last += first;
	first = *ctx;
	return (int)last;
}

char _license[] SEC("license") = "GPL";
