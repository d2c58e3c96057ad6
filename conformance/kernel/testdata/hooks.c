// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Programs of types that the kernel can test-run without a packet of their own; see hooks_linux_test.go. */
#include "hooks/hook.h"

typedef _Bool bool;

/* What a program saw, and what helpers said. */
struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 32);
	TYPE(key, u32);
	TYPE(value, u64);
} seen SEC(".maps");

struct {
	UINT(type, MAP_SOCKMAP);
	UINT(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, u64);
} sockets SEC(".maps");

static long (*const bpf_skb_load)(void *ctx, u32 off, void *to, u32 len) = (void *)26;

INLINE void see(u32 i, u64 v)
{
	bpf_map_update_elem(&seen, &i, &v, MAP_ANY);
}

/* Every field of the ctx, whole and in parts. */
SEC("sk_lookup")
int lookup_fields(struct bpf_sk_lookup *ctx)
{
	see(0, ctx->family);
	see(1, ctx->protocol);
	see(2, ctx->remote_ip4);
	see(3, (u64)ctx->remote_ip6[0] << 32 | ctx->remote_ip6[3]);
	see(4, ctx->remote_port);
	see(5, ctx->local_ip4);
	see(6, (u64)ctx->local_ip6[1] << 32 | ctx->local_ip6[2]);
	see(7, ctx->local_port);
	see(8, ctx->ingress_ifindex);
	see(9, ctx->sk != NULL);
	see(10, *((volatile u8 *)&ctx->local_port + 1));
	see(11, *((volatile u16 *)&ctx->remote_ip4 + 1));
	see(12, *((volatile u8 *)&ctx->family));
	return ctx->local_port & 1;
}

INLINE void assign(struct bpf_sk_lookup *ctx, u32 i)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockets, &i);

	if (!sk)
		return;
	see(4 * i, bpf_sk_assign(ctx, sk, 0));
	see(4 * i + 1, bpf_sk_assign(ctx, sk, 1));
	see(4 * i + 2, bpf_sk_assign(ctx, sk, 3));
	see(4 * i + 3, bpf_sk_assign(ctx, sk, 4));
	bpf_sk_release(sk);
}

INLINE void assign_once(struct bpf_sk_lookup *ctx, u32 i)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockets, &i);

	if (!sk)
		return;
	see(24 + i, bpf_sk_assign(ctx, sk, 0));
	bpf_sk_release(sk);
}

/* bpf_sk_assign of each socket, with flags 0, replace, no-reuseport and one that there is not. */
SEC("sk_lookup")
int lookup_assign(struct bpf_sk_lookup *ctx)
{
	struct bpf_sock *chosen;

	assign(ctx, 0);
	assign(ctx, 1);
	assign(ctx, 2);
	assign(ctx, 3);
	chosen = ctx->sk;
	if (chosen) {
		see(16, chosen->family);
		see(17, chosen->protocol);
		see(18, chosen->type);
		see(19, chosen->state);
		see(20, chosen->src_ip4);
	}
	see(21, bpf_sk_assign(ctx, NULL, 1));
	see(22, ctx->sk == NULL);
	if (ctx->remote_port)
		return 0; /* with nothing chosen */
	assign_once(ctx, 0);
	assign_once(ctx, 1);
	assign_once(ctx, 2);
	assign_once(ctx, 3);
	if (ctx->local_port & 2)
		bpf_sk_assign(ctx, NULL, 1);
	assign_once(ctx, 4);
	assign_once(ctx, 5);
	return ctx->protocol == PROTO_TCP; /* without, the choice does not count */
}

/* What the kernel gives in, and how it corrects what comes out: the packet's first bytes are the offsets. */
SEC("flow_dissector")
int flow_offsets(struct flow_skb *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	u8 *data = pointer(skb->data), *end = pointer(skb->data_end);

	see(0, keys->nhoff);
	see(1, keys->thoff);
	see(2, keys->n_proto);
	see(3, keys->flags);
	see(4, end - data);
	if (data + 4 > end)
		return 2;
	keys->nhoff = data[0] << 8 | data[1];
	keys->thoff = data[2] << 8 | data[3];
	keys->flow_label = 0x12345678;
	keys->ipv6_dst[3] = 5;
	return 129;
}

/* Loads behind a program's back. */
SEC("flow_dissector")
int flow_load(struct flow_skb *skb)
{
	u32 buf = 0x55555555;

	see(0, bpf_skb_load(skb, 0, &buf, 4));
	see(1, buf);
	see(2, bpf_skb_load(skb, 1 << 16, &buf, 4));
	return 0;
}

static u64 (*const bpf_xdp_get_buff_len)(struct xdp_md *xdp) = (void *)188;
static long (*const bpf_xdp_load_bytes)(struct xdp_md *xdp, u32 off, void *to, u32 len) = (void *)189;
static long (*const bpf_xdp_store_bytes)(struct xdp_md *xdp, u32 off, void *from, u32 len) = (void *)190;
static long (*const bpf_xdp_adjust_tail)(struct xdp_md *xdp, int by) = (void *)65;

struct bpf_dynptr {
	u64 opaque[2];
} __attribute__((aligned(8)));

static long (*const bpf_dynptr_read)(void *to, u32 len, struct bpf_dynptr *from, u32 off, u64 flags) = (void *)201;
static long (*const bpf_dynptr_write)(struct bpf_dynptr *to, u32 off, void *from, u32 len, u64 flags) = (void *)202;

int bpf_dynptr_from_xdp(struct xdp_md *xdp, u64 flags, struct bpf_dynptr *ptr) __attribute__((section(".ksyms")));
void *bpf_dynptr_slice(struct bpf_dynptr *ptr, u32 off, void *buf, u32 size) __attribute__((section(".ksyms")));
u32 bpf_dynptr_size(struct bpf_dynptr *ptr) __attribute__((section(".ksyms")));

/* Where frags programs look, and by how much they change the end. Set from outside. */
volatile u32 at;
volatile int by;

/* Bytes across the pieces, then a new end, then the same again. */
SEC("xdp.frags")
int frags(struct xdp_md *xdp)
{
	u64 buf = 0x1122334455667788;

	see(0, bpf_xdp_get_buff_len(xdp));
	see(1, xdp->data_end - xdp->data);
	see(2, bpf_xdp_load_bytes(xdp, at, &buf, sizeof(buf)));
	see(3, buf);
	buf = ~buf;
	see(4, bpf_xdp_store_bytes(xdp, at, &buf, sizeof(buf)));
	see(5, bpf_xdp_adjust_tail(xdp, by));
	see(6, bpf_xdp_get_buff_len(xdp));
	see(7, xdp->data_end - xdp->data);
	buf = 0;
	see(8, bpf_xdp_load_bytes(xdp, at, &buf, sizeof(buf)));
	see(9, buf);
	see(10, bpf_xdp_load_bytes(xdp, 0x10000, &buf, sizeof(buf)));
	see(11, bpf_xdp_adjust_tail(xdp, 1));
	return XDP_PASS;
}

SEC("xdp.frags")
int frags_dynptr(struct xdp_md *xdp)
{
	u8 buf[16] = "0123456789abcdef";
	struct bpf_dynptr ptr;
	u64 *p;

	bpf_dynptr_from_xdp(xdp, 0, &ptr);
	see(0, bpf_dynptr_size(&ptr));
	see(1, bpf_dynptr_write(&ptr, at, buf, 8, 0));
	see(2, bpf_dynptr_read(buf + 8, 8, &ptr, at + 2, 0));
	see(3, *(u64 *)(buf + 8));
	p = bpf_dynptr_slice(&ptr, at + 1, buf, 8);
	see(4, p != NULL);
	if (p)
		see(5, *p);
	see(6, p == (void *)buf);
	p = bpf_dynptr_slice(&ptr, at + 3, NULL, 8);
	see(7, p != NULL);
	return XDP_TX;
}

/* Objects of the kernel: members are found where it has them. */
struct net_device {
	int ifindex;
} __attribute__((preserve_access_index));

struct sk_buff {
	u32 len;
	u32 mark;
	be16 protocol;
	struct net_device *dev;
} __attribute__((preserve_access_index));

struct nf_hook_state {
	u8 hook, pf;
	struct net_device *in, *out;
} __attribute__((preserve_access_index));

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) __attribute__((section(".ksyms")));
bool bpf_dynptr_is_rdonly(struct bpf_dynptr *ptr) __attribute__((section(".ksyms")));

SEC("netfilter")
int nf_fields(struct bpf_nf_ctx *ctx)
{
	const struct nf_hook_state *state = ctx->state;
	struct net_device *in = state->in, *out = state->out;
	struct sk_buff *skb = ctx->skb;
	struct bpf_dynptr ptr;
	u64 buf = 0, *p;

	see(0, state->hook);
	see(1, state->pf);
	see(2, in ? in->ifindex : -1);
	see(3, out ? out->ifindex : -1);
	see(4, in->ifindex); /* 0 of what is not there */
	see(5, skb->len);
	see(6, skb->mark);
	see(7, skb->protocol);
	see(8, bpf_dynptr_from_skb((struct __sk_buff *)skb, 0, &ptr));
	see(9, bpf_dynptr_size(&ptr));
	see(10, bpf_dynptr_is_rdonly(&ptr));
	p = bpf_dynptr_slice(&ptr, 8, &buf, sizeof(buf));
	see(11, p ? *p : 0);
	see(12, bpf_dynptr_read(&buf, sizeof(buf), &ptr, at, 0));
	see(13, buf);
	see(14, bpf_dynptr_write(&ptr, 0, &buf, sizeof(buf), 0));
	return skb->len & 1;
}

struct call {
	u64 a, b;
	u32 op, result;
	u8 bytes[8];
};

SEC("syscall")
int call(struct call *ctx)
{
	ctx->result = ctx->op == 1 ? ctx->a + ctx->b : ctx->a - ctx->b;
	see(0, ctx->a);
	for (int i = 0; i < 4; i++) {
		u8 b = ctx->bytes[i];

		ctx->bytes[i] = ctx->bytes[7 - i];
		ctx->bytes[7 - i] = b;
	}
	return ctx->op;
}

LICENSE("GPL");
