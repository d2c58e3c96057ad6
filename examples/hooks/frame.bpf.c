// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Puts a length before every message that a socket sends, and sends messages that begin with '!' to another socket. */
#include "hook.h"

struct {
	UINT(type, MAP_SOCKMAP);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
} urgent SEC(".maps");

SEC("sk_msg")
int frame(struct sk_msg_md *msg)
{
	u32 size = msg->size;
	u8 *data;

	if (bpf_msg_pull_data(msg, 0, 1, 0))
		return SK_DROP;
	data = msg->data;
	if ((void *)(data + 1) > msg->data_end)
		return SK_DROP;
	if (*data == '!')
		return bpf_msg_redirect_map(msg, &urgent, 0, 0);
	if (*data == ' ')
		bpf_msg_pop_data(msg, 0, 1, 0), size--;
	if (bpf_msg_push_data(msg, 0, 4, 0) || bpf_msg_pull_data(msg, 0, 4, 0))
		return SK_DROP;
	data = msg->data;
	if ((void *)(data + 4) > msg->data_end)
		return SK_DROP;
	*(be32 *)data = htonl(size);
	bpf_msg_apply_bytes(msg, size + 4);
	return SK_PASS;
}

LICENSE("Dual BSD/GPL");
