/* Tracers: kprobes, tracepoints, raw tracepoints and perf events that read memory, count, build strings and send records. */
#include "corpus.h"

enum { PATH_MAX = 256, COMM = 16 };

struct event { u64 ns; u32 pid, tgid; s64 ret; char comm[COMM], path[PATH_MAX]; };
struct start { u64 ns, arg; };
struct sched_switch { u64 common; char prev_comm[COMM]; s32 prev_pid, prev_prio; s64 prev_state; char next_comm[COMM]; s32 next_pid, next_prio; };
struct sys_enter { u64 common; s64 id; u64 args[6]; };
struct sys_exit { u64 common; s64 id, ret; };
struct key { u32 pid; s32 user, kernel; };
struct reading { u64 counter, enabled, running; };
struct list { struct list *next; u64 val; };

MAP(starts, MAP_HASH, u32, struct start, 10240);
MAP(by_pid, MAP_PERCPU_HASH, u32, u64, 1024);
MAP(scratch, MAP_PERCPU_ARRAY, u32, struct event, 1);
MAP(hist, MAP_ARRAY, u32, u64, 64);
MAP(stack_counts, MAP_HASH, struct key, u64, 1024);
RINGBUF(rb, 1 << 16);
FD_MAP(events, MAP_PERF_EVENT_ARRAY, 4);
struct {
	UINT(type, MAP_STACK_TRACE);
	UINT(key_size, 4);
	UINT(value_size, 8 * 127);
	UINT(max_entries, 128);
} stacks SEC(".maps");

#define CURRENT_CPU 0xffffffffULL

static volatile const u32 wanted_pid = 0;
static volatile const u64 shortest_ns = 1000;

INLINE u32 pid_of(void) { return bpf_get_current_pid_tgid() >> 32; }

INLINE u32 log2_of(u64 v)
{
	u32 n = 0;

	UNROLL for (u32 bit = 32; bit; bit >>= 1)
		if (v >> bit) {
			v >>= bit;
			n += bit;
		}
	return n;
}

SEC("kprobe/do_unlinkat") int unlink_enter(struct pt_regs_md *ctx)
{
	u32 pid = pid_of();
	struct start s = {bpf_ktime_get_ns(), ctx->si};

	if (wanted_pid && pid != wanted_pid)
		return 0;
	bpf_map_update_elem(&starts, &pid, &s, MAP_ANY);
	return 0;
}

SEC("kretprobe/do_unlinkat") int unlink_exit(struct pt_regs_md *ctx)
{
	u32 pid = pid_of();
	struct start *s = bpf_map_lookup_elem(&starts, &pid);

	if (!s)
		return 0;
	u64 took = bpf_ktime_get_ns() - s->ns;
	if (took >= shortest_ns) {
		struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
		if (e) {
			u64 id = bpf_get_current_pid_tgid();
			e->ns = took;
			e->pid = id;
			e->tgid = id >> 32;
			e->ret = (s32)ctx->ax;
			bpf_get_current_comm(e->comm, sizeof(e->comm));
			const char *name = 0;
			bpf_probe_read_kernel(&name, sizeof(name), (void *)s->arg);
			if (bpf_probe_read_kernel_str(e->path, sizeof(e->path), name) < 0)
				e->path[0] = 0;
			bpf_ringbuf_submit(e, 0);
		}
	}
	bpf_map_delete_elem(&starts, &pid);
	return 0;
}

SEC("kprobe/vfs_read") int histogram(struct pt_regs_md *ctx)
{
	u32 slot = log2_of(ctx->dx);
	u64 *v;

	if (slot >= 64)
		return 0;
	v = bpf_map_lookup_elem(&hist, &slot);
	if (v)
		__sync_fetch_and_add(v, 1);
	return 0;
}

SEC("kprobe/tcp_connect") int chase(struct pt_regs_md *ctx)
{
	void *sk = (void *)ctx->di, *net;
	u16 family;
	u32 addr[4] = {}, inum = 0;

	bpf_probe_read_kernel(&family, sizeof(family), sk + 16);
	if (family == AF_INET)
		bpf_probe_read_kernel(addr, 4, sk);
	else if (family == AF_INET6)
		bpf_probe_read_kernel(addr, 16, sk + 56);
	else
		return 0;
	if (!bpf_probe_read_kernel(&net, sizeof(net), sk + 48) && net)
		bpf_probe_read_kernel(&inum, sizeof(inum), net + 144);
	addr[3] ^= inum;
	return bpf_perf_event_output(ctx, &events, CURRENT_CPU, addr, sizeof(addr));
}

SEC("kprobe/list_walk") int walk_list(struct pt_regs_md *ctx)
{
	struct list *at = (void *)ctx->di, node;
	u64 sum = 0;

	NO_UNROLL for (int i = 0; i < 10 && at; i++) {
		if (bpf_probe_read_kernel(&node, sizeof(node), at))
			break;
		sum += node.val;
		at = node.next;
	}
	return bpf_ringbuf_output(&rb, &sum, sizeof(sum), 0);
}

SEC("uprobe/readline") int read_user(struct pt_regs_md *ctx)
{
	char line[80];
	long n = bpf_probe_read_user_str(line, sizeof(line), (void *)ctx->di);

	if (n <= 0 || n > sizeof(line))
		return 0;
	bpf_ringbuf_output(&rb, line, n, 0);
	return 0;
}

SEC("kprobe/do_sys_open") int scratch_path(struct pt_regs_md *ctx)
{
	u32 zero = 0;
	struct event *e = bpf_map_lookup_elem(&scratch, &zero);

	if (!e)
		return 0;
	e->ns = bpf_ktime_get_boot_ns();
	bpf_get_current_comm(&e->comm, sizeof(e->comm));
	long n = bpf_probe_read_user_str(e->path, sizeof(e->path), (void *)ctx->si);
	if (n < 0)
		return 0;
	u64 len = __builtin_offsetof(struct event, path) + (n & (PATH_MAX - 1));
	bpf_perf_event_output(ctx, &events, CURRENT_CPU, e, len);
	return 0;
}

SEC("kprobe/cgroup_path") int build_path(struct pt_regs_md *ctx)
{
	u32 zero = 0, off = 0;
	struct event *e = bpf_map_lookup_elem(&scratch, &zero);
	void *node = (void *)ctx->di;

	if (!e)
		return 0;
	NO_UNROLL for (int i = 0; i < 6; i++) {
		void *name;
		if (off > PATH_MAX - 32)
			break;
		if (bpf_probe_read_kernel(&name, sizeof(name), node + 104))
			break;
		long n = bpf_probe_read_kernel_str(e->path + off, 32, name);
		if (n <= 1 || n > 32)
			break;
		off += n - 1;
		e->path[off++ & (PATH_MAX - 1)] = '/';
		bpf_probe_read_kernel(&node, sizeof(node), node + 8);
		if (!node)
			break;
	}
	bpf_ringbuf_output(&rb, e->path, off & (PATH_MAX - 1), 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat") int tp_open(struct sys_enter *ctx)
{
	struct event e = {};

	e.pid = pid_of();
	bpf_probe_read_user_str(e.path, sizeof(e.path), (void *)ctx->args[1]);
	if (e.path[0] != '/')
		return 0;
	bpf_get_current_comm(e.comm, sizeof(e.comm));
	bpf_perf_event_output(ctx, &events, CURRENT_CPU, &e, sizeof(e));
	return 0;
}

SEC("tp/syscalls/sys_exit_read") int tp_count(struct sys_exit *ctx)
{
	u32 pid = pid_of();
	u64 one = 1, *n;

	if (ctx->ret < 0)
		return 0;
	n = bpf_map_lookup_elem(&by_pid, &pid);
	if (n)
		*n += ctx->ret;
	else
		bpf_map_update_elem(&by_pid, &pid, &one, MAP_NOEXIST);
	return 0;
}

SEC("tp/sched/sched_switch") int tp_switch(struct sched_switch *ctx)
{
	u32 prev = ctx->prev_pid, next = ctx->next_pid, slot;
	struct start s = {bpf_ktime_get_ns(), ctx->prev_state}, *was;

	if (prev)
		bpf_map_update_elem(&starts, &prev, &s, 0);
	was = bpf_map_lookup_elem(&starts, &next);
	if (!was || s.ns < was->ns)
		return 0;
	slot = log2_of((s.ns - was->ns) / 1000);
	u64 *v = bpf_map_lookup_elem(&hist, &slot);
	if (v)
		*v += 1;
	bpf_map_delete_elem(&starts, &next);
	return 0;
}

SEC("raw_tp/sys_enter") int raw_enter(struct raw_tp_md *ctx)
{
	struct pt_regs_md *regs = (void *)ctx->args[0];
	u64 nr = ctx->args[1], arg = 0;
	char comm[COMM];

	if (nr != 59 && nr != 322)
		return 0;
	bpf_probe_read_kernel(&arg, sizeof(arg), &regs->di);
	bpf_get_current_comm(comm, sizeof(comm));
	if (!bpf_strncmp(comm, 4, "bash"))
		return 0;
	static const char fmt[] = "exec %d %llx";
	bpf_trace_printk(fmt, sizeof(fmt), (u32)nr, arg);
	return 0;
}

SEC("raw_tracepoint.w/nbd_send_request") int raw_writable(struct raw_tp_md *ctx)
{
	u32 *request = (void *)ctx->args[0];

	request[1] = request[0] + 1;
	return 0;
}

SEC("raw_tp/task_rename") int raw_format(struct raw_tp_md *ctx)
{
	static const char fmt[] = "%s %d %lu";
	char out[64], comm[COMM] = {};
	u64 args[3] = {(u64)comm, pid_of(), ctx->args[1]};

	bpf_get_current_comm(comm, sizeof(comm));
	long n = bpf_snprintf(out, sizeof(out), fmt, args, sizeof(args));
	if (n > 0 && n <= sizeof(out))
		bpf_ringbuf_output(&rb, out, n, 0);
	return 0;
}

SEC("perf_event") int profile(struct perf_md *ctx)
{
	struct key k = {};
	u64 one = 1, *n;

	k.pid = pid_of();
	k.user = bpf_get_stackid(ctx, &stacks, 1 << 8);
	k.kernel = bpf_get_stackid(ctx, &stacks, 0);
	if (k.user < 0 && k.kernel < 0)
		return 0;
	n = bpf_map_lookup_elem(&stack_counts, &k);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&stack_counts, &k, &one, MAP_NOEXIST);
	return 0;
}

SEC("perf_event") int perf_value(struct perf_md *ctx)
{
	struct reading r;
	u32 slot = (ctx->regs.ip >> 12) & 63;
	u64 *v, period = ctx->sample_period;

	if (bpf_perf_prog_read_value(ctx, &r, sizeof(r)) || !r.running)
		return 0;
	v = bpf_map_lookup_elem(&hist, &slot);
	if (v)
		*v += r.counter * period / r.running + ctx->addr;
	return 0;
}

SEC("perf_event") int perf_stack(struct perf_md *ctx)
{
	u64 ips[16];
	long n = bpf_get_stack(ctx, ips, sizeof(ips), 0);

	if (n < 8)
		return 0;
	return bpf_ringbuf_output(&rb, ips, n, 0);
}

SEC("perf_event") int perf_half(struct perf_md *ctx)
{
	u32 low = *(u32 *)&ctx->sample_period, *v;
	u32 slot = *(u16 *)&ctx->addr & 63;

	v = bpf_map_lookup_elem(&hist, &slot);
	if (v)
		*v = low;
	return 0;
}

SEC("kprobe/session") int cookie_and_ip(struct pt_regs_md *ctx)
{
	u64 rec[2] = {bpf_get_attach_cookie(ctx), bpf_get_func_ip(ctx)};
	u32 half = *(u32 *)&ctx->ip;

	rec[1] -= half;
	return bpf_ringbuf_output(&rb, rec, sizeof(rec), 0);
}

SEC("kprobe/bad") int bad_deref(struct pt_regs_md *ctx)
{
	u64 *task = (void *)ctx->di;

	return task[2];
}

SEC("kprobe/bad") int bad_regs_write(struct pt_regs_md *ctx)
{
	ctx->ax = 0;
	return 0;
}

SEC("kprobe/bad") int bad_regs_past(struct pt_regs_md *ctx)
{
	return (&ctx->ss)[1];
}

SEC("kprobe/bad") int bad_regs_unaligned(void *ctx)
{
	return *(volatile u64 *)(ctx + 12);
}

SEC("kprobe/bad") int bad_uninit_key(struct pt_regs_md *ctx)
{
	struct key k;
	u64 one = 1;

	k.pid = pid_of();
	k.user = ctx->ip;
	return bpf_map_update_elem(&stack_counts, &k, &one, 0);
}

SEC("kprobe/bad") int bad_str_unbounded(struct pt_regs_md *ctx)
{
	char line[80];
	long n = bpf_probe_read_user_str(line, sizeof(line), (void *)ctx->di);

	if (n < 0)
		return 0;
	bpf_ringbuf_output(&rb, line, n, 0);
	return 0;
}

SEC("kprobe/bad") int bad_str_signed(struct pt_regs_md *ctx)
{
	char line[80];
	s32 n = ctx->si;

	if (n > (s32)sizeof(line))
		return 0;
	return bpf_probe_read_kernel(line, n, (void *)ctx->di);
}

SEC("kprobe/bad") int bad_ring_leak(struct pt_regs_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);

	if (!e)
		return 0;
	if (bpf_probe_read_kernel(&e->ret, sizeof(e->ret), (void *)ctx->di))
		return 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("kprobe/bad") int bad_skb_helper(struct pt_regs_md *ctx)
{
	u32 word;

	return bpf_skb_load_bytes((void *)ctx, 0, &word, sizeof(word));
}

SEC("tp/bad") int bad_tp_write(struct sys_exit *ctx)
{
	ctx->ret = 0;
	return 0;
}

SEC("tp/bad") int bad_tp_far(u8 *ctx)
{
	return *(volatile u64 *)(ctx + 8192);
}

SEC("tp/bad") int bad_tp_stack_output(struct sys_exit *ctx)
{
	struct event e;

	e.ns = bpf_ktime_get_ns();
	return bpf_perf_event_output(ctx, &events, CURRENT_CPU, &e, sizeof(e));
}

SEC("raw_tp/bad") int bad_raw_deref(struct raw_tp_md *ctx)
{
	struct pt_regs_md *regs = (void *)ctx->args[0];

	return regs->di;
}

SEC("raw_tp/bad") int bad_raw_past(struct raw_tp_md *ctx)
{
	return (&ctx->args[11])[1];
}

SEC("raw_tp/bad") int bad_raw_stackid(struct raw_tp_md *ctx)
{
	return bpf_get_stackid(ctx, &hist, 0);
}

SEC("raw_tracepoint.w/bad") int bad_buffer_var(struct raw_tp_md *ctx)
{
	u32 *request = (void *)ctx->args[0];

	return request[pid_of() & 7];
}

SEC("perf_event") int bad_period_write(struct perf_md *ctx)
{
	ctx->sample_period = 1;
	return 0;
}

SEC("perf_event") int bad_period_past(struct perf_md *ctx)
{
	return (&ctx->addr)[1];
}

SEC("perf_event") int bad_value_size(struct perf_md *ctx)
{
	struct reading r;

	bpf_perf_prog_read_value(ctx, &r, sizeof(r) - 8);
	return r.running;
}

SEC("perf_event") int bad_func_ip(struct perf_md *ctx)
{
	return bpf_get_func_ip(ctx);
}
