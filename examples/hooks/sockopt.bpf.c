// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Socket options of a cgroup: receive buffers of 64 KiB at most, and SO_MARK shows as 0. */
#include "hook.h"

enum { SO_RCVBUF = 8, SO_MARK = 36, MOST = 65536 };

SEC("cgroup/setsockopt")
int set(struct bpf_sockopt *ctx)
{
	u32 *value = ctx->optval;

	if (ctx->level != SOL_SOCKET || ctx->optname != SO_RCVBUF) {
		if (ctx->optlen > 4096)
			ctx->optlen = 0; /* it was not shown, and the kernel is to use the caller's */
		return 1;
	}
	if ((void *)(value + 1) > ctx->optval_end)
		return 0;
	if (*value > MOST)
		*value = MOST;
	ctx->optlen = sizeof(*value);
	return 1;
}

SEC("cgroup/getsockopt")
int get(struct bpf_sockopt *ctx)
{
	u32 *value = ctx->optval;

	if (ctx->level == SOL_SOCKET && ctx->optname == SO_MARK && (void *)(value + 1) <= ctx->optval_end) {
		*value = 0;
		ctx->retval = 0;
	}
	return 1;
}

LICENSE("Dual BSD/GPL");
