// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Devices of a cgroup: null, zero, random and urandom, and reading of any block device. */
#include "hook.h"

enum { DEV_BLOCK = 1, DEV_CHAR = 2, ACC_MKNOD = 1, ACC_READ = 2, ACC_WRITE = 4 };

SEC("cgroup/dev")
int device(struct bpf_cgroup_dev_ctx *ctx)
{
	u32 type = ctx->access_type & 0xffff, access = ctx->access_type >> 16;

	if (type == DEV_BLOCK)
		return access == ACC_READ;
	if (type != DEV_CHAR || ctx->major != 1 || access & ACC_MKNOD)
		return 0;
	return ctx->minor == 3 || ctx->minor == 5 || ctx->minor == 8 || ctx->minor == 9;
}

LICENSE("Dual BSD/GPL");
