/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The question that block_ssh_xdp and block_ssh_tc ask: is this frame TCP to port 22? */
#ifndef BLOCK_SSH_H
#define BLOCK_SSH_H

#include "skep_bpf.h"

#define SSH_PORT 22

/* Where the TCP header starts, NULL when the frame has none: not TCP, a later fragment, or cut short. */
INLINE struct tcp_hdr *find_tcp(void *data, void *end)
{
	struct eth_hdr *eth = data;
	void *next = eth + 1;

	if (next > end)
		return NULL;
	if (eth->type == htons(ETH_IP)) {
		struct ip_hdr *ip = next;

		if ((void *)(ip + 1) > end || ip->proto != PROTO_TCP || ip->frag & htons(FRAG_OFFSET))
			return NULL;
		u32 len = ip_header_len(ip);

		if (!len)
			return NULL;
		next += len;
	} else if (eth->type == htons(ETH_IP6)) {
		struct ip6_hdr *ip6 = next;

		if ((void *)(ip6 + 1) > end || ip6->next != PROTO_TCP)
			return NULL;
		next = ip6 + 1;
	} else {
		return NULL;
	}
	return next + sizeof(struct tcp_hdr) > end ? NULL : next;
}

INLINE int is_ssh(void *data, void *end)
{
	struct tcp_hdr *tcp = find_tcp(data, end);

	return tcp && tcp->dport == htons(SSH_PORT);
}

#endif
