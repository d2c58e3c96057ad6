// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Connections to a virtual address go to a backend, without a packet being changed; who asks for the peer's name gets the virtual
 * one. Connections to port 25 are refused, with a reason.
 */
#include "hook.h"

struct address {
	be32 ip;
	u32 port;
};

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 16);
	TYPE(key, struct address);
	TYPE(value, struct address);
} backends SEC(".maps");

struct {
	UINT(type, MAP_HASH);
	UINT(max_entries, 16);
	TYPE(key, struct address);
	TYPE(value, struct address);
} originals SEC(".maps");

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct address to = {ctx->user_ip4, ctx->user_port}, *backend;

	if (to.port == PORT(25)) {
		bpf_set_retval(-111); /* ECONNREFUSED */
		return 0;
	}
	backend = bpf_map_lookup_elem(&backends, &to);
	if (!backend)
		return 1;
	ctx->user_ip4 = backend->ip;
	ctx->user_port = backend->port;
	bpf_map_update_elem(&originals, backend, &to, MAP_ANY);
	return 1;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct address is = {ctx->user_ip4, ctx->user_port}, *original;

	original = bpf_map_lookup_elem(&originals, &is);
	if (original) {
		ctx->user_ip4 = original->ip;
		ctx->user_port = original->port;
	}
	return 1;
}

/* Clients leave by one address of the machine. */
SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct {
		u16 family;
		be16 port;
		u32 flow, ip[4], scope;
	} from = {INET6, 0, 0, {htonl(0xfd000000), 0, 0, htonl(0x77)}, 0};

	return bpf_bind(ctx, &from, sizeof(from)) == 0;
}

LICENSE("Dual BSD/GPL");
