// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Clients of a socket in the file system are sent to another one. */
#include "hook.h"

struct bpf_sock_addr_kern {}; /* its members are the kernel's business */

void *bpf_cast_to_kern_ctx(void *ctx) __attribute__((section(".ksyms")));
int bpf_sock_addr_set_sun_path(struct bpf_sock_addr_kern *ctx, const u8 *path, u32 size) __attribute__((section(".ksyms")));

SEC("cgroup/connect_unix")
int connect_unix(struct bpf_sock_addr *ctx)
{
	u8 path[] = "/run/bees";

	return bpf_sock_addr_set_sun_path(bpf_cast_to_kern_ctx(ctx), path, sizeof(path) - 1) == 0;
}

LICENSE("GPL");
