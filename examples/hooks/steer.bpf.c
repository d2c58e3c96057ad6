// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Steers connections to a range of ports to one listening socket, whatever port that listens at. */
#include "hook.h"

const volatile u32 first_port = 7000, last_port = 7999;

u32 steered_to; /* the port of the last choice */

struct {
	UINT(type, MAP_SOCKMAP);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
} service SEC(".maps");

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	u32 zero = 0;
	struct bpf_sock *sk, *chosen;
	long err;

	if (ctx->protocol != PROTO_TCP || ctx->local_port < first_port || ctx->local_port > last_port)
		return SK_PASS;
	sk = bpf_map_lookup_elem(&service, &zero);
	if (!sk)
		return SK_DROP;
	err = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	chosen = ctx->sk;
	if (chosen)
		steered_to = chosen->src_port;
	return err ? SK_DROP : SK_PASS;
}

LICENSE("Dual BSD/GPL");
