// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Dissects flows for hashing: IPv4 and IPv6, TCP and UDP; what it does not know it leaves to the kernel. */
#include "hook.h"

enum { OK = 0, DROP = 2, CONTINUE = 129 };

SEC("flow_dissector")
int dissect(struct flow_skb *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	void *data = pointer(skb->data), *end = pointer(skb->data_end);
	struct udp_hdr *ports; /* of TCP too */
	u32 at = keys->nhoff;

	if (at > 256)
		return DROP;
	if (keys->n_proto == htons(ETH_IP)) {
		struct ip_hdr *ip = data + at;

		if ((void *)(ip + 1) > end || !ip_header_len(ip))
			return DROP;
		at += ip_header_len(ip);
		keys->addr_proto = ETH_IP;
		keys->ipv4_src = ip->src;
		keys->ipv4_dst = ip->dst;
		keys->ip_proto = ip->proto;
		keys->is_frag = (ip->frag & htons(FRAG_OFFSET | FRAG_MORE)) != 0;
		keys->is_first_frag = keys->is_frag && !(ip->frag & htons(FRAG_OFFSET));
	} else if (keys->n_proto == htons(ETH_IP6)) {
		struct ip6_hdr *ip = data + at;

		if ((void *)(ip + 1) > end)
			return DROP;
		at += sizeof(*ip);
		keys->addr_proto = ETH_IP6;
		__builtin_memcpy(keys->ipv6_src, ip->src, sizeof(ip->src));
		__builtin_memcpy(keys->ipv6_dst, ip->dst, sizeof(ip->dst));
		keys->ip_proto = ip->next;
		keys->flow_label = ip->version_class_flow & htonl(0xfffff);
	} else {
		return CONTINUE;
	}
	keys->thoff = at;
	if (keys->is_frag && !keys->is_first_frag)
		return OK;
	if (keys->ip_proto != PROTO_TCP && keys->ip_proto != PROTO_UDP)
		return OK;
	ports = data + at;
	if ((void *)ports + 4 > end)
		return DROP;
	keys->sport = ports->sport;
	keys->dport = ports->dport;
	return OK;
}

LICENSE("Dual BSD/GPL");
