// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Guards sysctls: only net/ may be written, and net/ipv4/tcp_max_syn_backlog keeps to 4096 at most. */
#include "hook.h"

static const char backlog[] = "net/ipv4/tcp_max_syn_backlog";

SEC("cgroup/sysctl")
int guard(struct bpf_sysctl *ctx)
{
	char name[64] = {}, value[16] = {};
	unsigned long number = 0;

	if (!ctx->write)
		return 1;
	if (bpf_sysctl_get_name(ctx, name, sizeof(name), 0) < 0)
		return 0;
	if (name[0] != 'n' || name[1] != 'e' || name[2] != 't' || name[3] != '/')
		return 0;
	if (__builtin_memcmp(name, backlog, sizeof(backlog) - 1))
		return 1;
	if (bpf_sysctl_get_new_value(ctx, value, sizeof(value)) < 0 || bpf_strtoul(value, sizeof(value), 0, &number) < 0)
		return 0;
	if (number > 4096)
		return bpf_sysctl_set_new_value(ctx, "4096", 4) == 0;
	return 1;
}

LICENSE("Dual BSD/GPL");
