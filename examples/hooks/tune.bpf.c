// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Tunes TCP connections: a short SYN timeout and another congestion control within 10.0.0.0/8, a larger window to start with, and a
 * TCP option of its own that tells the peer how many segments were sent again.
 */
#include "hook.h"

enum { TCP_CONGESTION = 13, TCP_BPF_IW = 1001 };
enum { WRITE_HDR_OPT_FLAG = 1 << 6, RETRANS_FLAG = 1 << 1 };
enum { OPTION = 253, MAGIC = 0xeb9f };

struct note {
	u8 kind, len;
	be16 magic;
	be32 resent;
} __attribute__((packed));

u64 seen; /* of the peer's options, the last number */

static int established(struct bpf_sock_ops *ops)
{
	char control[] = "dctcp";
	int window = 40;

	if (bpf_setsockopt(ops, SOL_TCP, TCP_CONGESTION, control, sizeof(control)))
		return -1;
	bpf_setsockopt(ops, SOL_TCP, TCP_BPF_IW, &window, sizeof(window));
	bpf_sock_ops_cb_flags_set(ops, WRITE_HDR_OPT_FLAG | RETRANS_FLAG);
	return 0;
}

SEC("sockops")
int tune(struct bpf_sock_ops *ops)
{
	struct note note = {OPTION, sizeof(note), htons(MAGIC), 0};
	int reply = -1;

	if (ops->family != INET || (ops->remote_ip4 & 0xff) != 10)
		return 1;
	switch (ops->op) {
	case OP_TIMEOUT_INIT:
		reply = 100; /* jiffies */
		break;
	case OP_ACTIVE_ESTABLISHED:
	case OP_PASSIVE_ESTABLISHED:
		reply = established(ops);
		break;
	case OP_HDR_OPT_LEN:
		bpf_reserve_hdr_opt(ops, sizeof(note), 0);
		break;
	case OP_WRITE_HDR_OPT:
		note.resent = htonl(ops->total_retrans);
		bpf_store_hdr_opt(ops, &note, sizeof(note), 0);
		break;
	case OP_PARSE_HDR_OPT:
		note.len = 4; /* look for the kind and two bytes of magic */
		if (bpf_load_hdr_opt(ops, &note, sizeof(note), 0) == sizeof(note))
			seen = ntohl(note.resent);
		break;
	}
	ops->reply = reply;
	return 1;
}

LICENSE("Dual BSD/GPL");
