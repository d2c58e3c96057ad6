/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* A function without a section name: it ends up in .text. */
#include "skep_bpf.h"

int plain(struct xdp_md *ctx)
{
	return XDP_PASS;
}
