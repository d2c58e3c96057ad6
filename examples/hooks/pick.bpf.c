// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Picks a socket of a SO_REUSEPORT group by the first byte of a datagram, so that one sender's requests can go to several workers. */
#include "hook.h"

struct {
	UINT(type, MAP_REUSEPORT_SOCKARRAY);
	UINT(max_entries, 4);
	TYPE(key, u32);
	TYPE(value, u64);
} workers SEC(".maps");

SEC("sk_reuseport")
int pick(struct sk_reuseport_md *md)
{
	u8 *payload = md->data + sizeof(struct udp_hdr);
	u32 worker;

	if (md->ip_protocol != PROTO_UDP || (void *)(payload + 1) > md->data_end)
		return SK_DROP;
	worker = *payload % 4;
	if (bpf_sk_select_reuseport(md, &workers, &worker, 0) == 0)
		return SK_PASS;
	worker = 0; /* who else */
	return bpf_sk_select_reuseport(md, &workers, &worker, 0) ? SK_DROP : SK_PASS;
}

LICENSE("Dual BSD/GPL");
