//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Rejected: checks the IP header, and then reads behind its options, the length of which the packet itself says. */
#include "../skep_bpf.h"

SEC("xdp")
int moved_pointer(struct xdp_md *ctx)
{
	void *data = pointer(ctx->data), *end = pointer(ctx->data_end);
	struct ip_hdr *ip = data + sizeof(struct eth_hdr);
	struct tcp_hdr *tcp;

	if ((void *)(ip + 1) + 60 > end)
		return XDP_PASS;
	tcp = (void *)ip + (ip->version_ihl & 0xf) * 4;
	return tcp->dport == htons(22) ? XDP_DROP : XDP_PASS;
}

LICENSE("Dual MIT/GPL");
