// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Sockets of a cgroup: no raw ones, a mark for the others, and no service at the ports below 1024 but 80. */
#include "hook.h"

u64 released;

SEC("cgroup/sock_create")
int create(struct bpf_sock *sk)
{
	if (sk->type == SOCK_RAW)
		return 0;
	sk->mark = 0x66;
	if (sk->protocol == PROTO_UDP)
		sk->priority = 6;
	return 1;
}

SEC("cgroup/post_bind4")
int post_bind(struct bpf_sock *sk)
{
	return sk->src_port >= 1024 || sk->src_port == 80;
}

SEC("cgroup/sock_release")
int release(struct bpf_sock *sk)
{
	released += sk->mark == 0x66;
	return 1;
}

LICENSE("Dual BSD/GPL");
