/* Programs of sockets: redirects between them, TCP events, lookups, groups that share a port. */
#include "corpus.h"

struct tuple { u32 remote_ip, local_ip, remote_port, local_port; };
struct route { be32 addr; u16 port, pad; };
struct conn { u64 opened, bytes; u32 rtt, retrans; };

struct {
	UINT(type, MAP_SOCKHASH);
	UINT(max_entries, 65536);
	TYPE(key, struct tuple);
	TYPE(value, u32);
} peers SEC(".maps");
FD_MAP(sockets, MAP_SOCKMAP, 64);
FD_MAP(group, MAP_REUSEPORT, 16);
MAP(conns, MAP_LRU_HASH, struct tuple, struct conn, 1024);
MAP(rtts, MAP_PERCPU_ARRAY, u32, u64, 32);
MAP(binding, MAP_HASH, struct route, u32, 64);
MAP(turn, MAP_ARRAY, u32, u32, 1);
struct {
	UINT(type, MAP_SK_STORAGE);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, int);
	TYPE(value, struct conn);
} stored SEC(".maps");

enum { OP_TIMEOUT_INIT = 1, OP_RWND_INIT = 2, OP_CONNECT = 3, OP_ACTIVE = 4, OP_PASSIVE = 5, OP_RTO = 8, OP_RETRANS = 9, OP_STATE = 10,
       OP_RTT = 12, OP_PARSE_HDR = 13, OP_HDR_LEN = 14, OP_WRITE_HDR = 15 };
enum { INGRESS = 1, CREATE = 1, SOL_TCP = 6, TCP_NODELAY = 1, TCP_BPF_IW = 1001, HDR_FLAG = 64 };

static long (*const bpf_load_hdr_opt)(void *ops, void *res, u32 len, u64 flags) UNUSED = (void *)142;
static long (*const bpf_store_hdr_opt)(void *ops, const void *from, u32 len, u64 flags) UNUSED = (void *)143;
static long (*const bpf_reserve_hdr_opt)(void *ops, u32 len, u64 flags) UNUSED = (void *)144;
static long (*const bpf_sock_hash_update)(void *ops, void *map, void *key, u64 flags) UNUSED = (void *)70;
static long (*const bpf_msg_cork_bytes)(void *msg, u32 bytes) UNUSED = (void *)62;
static long (*const bpf_msg_pop_data)(void *msg, u32 start, u32 len, u64 flags) UNUSED = (void *)91;

INLINE void tuple_of(struct sock_ops_md *ops, struct tuple *t)
{
	t->remote_ip = ops->remote_ip4;
	t->local_ip = ops->local_ip4;
	t->remote_port = ntohl(ops->remote_port);
	t->local_port = ops->local_port;
}

SEC("sockops") int establish(struct sock_ops_md *ops)
{
	struct tuple t = {};

	if (ops->family != AF_INET)
		return 0;
	switch (ops->op) {
	case OP_ACTIVE:
	case OP_PASSIVE:
		tuple_of(ops, &t);
		bpf_sock_hash_update(ops, &peers, &t, MAP_NOEXIST);
		bpf_sock_ops_cb_flags_set(ops, ops->cb_flags | 7);
		break;
	}
	return 0;
}

SEC("sockops") int tune(struct sock_ops_md *ops)
{
	int iw = 20, on = 1, reply = -1;

	switch (ops->op) {
	case OP_TIMEOUT_INIT:
		reply = 100;
		break;
	case OP_RWND_INIT:
		reply = 40;
		break;
	case OP_CONNECT:
		bpf_setsockopt(ops, SOL_TCP, TCP_NODELAY, &on, sizeof(on));
		break;
	case OP_ACTIVE:
		if (bpf_setsockopt(ops, SOL_TCP, TCP_BPF_IW, &iw, sizeof(iw)))
			return 1;
		break;
	}
	ops->reply = reply;
	return 1;
}

SEC("sockops") int measure(struct sock_ops_md *ops)
{
	struct tuple t = {};
	struct conn *c, fresh = {};
	u32 slot;
	u64 *n;

	if (!ops->is_fullsock)
		return 1;
	tuple_of(ops, &t);
	if (ops->op == OP_STATE) {
		if (ops->args[1] == 7) {
			c = bpf_map_lookup_elem(&conns, &t);
			if (c) {
				c->bytes = ops->bytes_acked + ops->bytes_received;
				c->retrans = ops->total_retrans;
			}
		}
		return 1;
	}
	if (ops->op == OP_ACTIVE) {
		fresh.opened = bpf_ktime_get_ns();
		bpf_map_update_elem(&conns, &t, &fresh, MAP_ANY);
	}
	slot = ops->srtt_us >> 13;
	if (slot > 31)
		slot = 31;
	n = bpf_map_lookup_elem(&rtts, &slot);
	if (n)
		*n += 1;
	return 1;
}

SEC("sockops") int store(struct sock_ops_md *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct conn *c;

	if (!sk)
		return 1;
	c = bpf_sk_storage_get(&stored, sk, 0, CREATE);
	if (!c)
		return 1;
	c->rtt = ops->srtt_us;
	c->bytes = ops->bytes_acked;
	if (sk->state == 1)
		c->opened = bpf_ktime_get_ns();
	return 1;
}

SEC("sockops") int options(struct sock_ops_md *ops)
{
	struct { u8 kind, len; u16 magic; u32 data; } opt = {254, 8, htons(0xeb9f), 0};

	switch (ops->op) {
	case OP_PASSIVE:
	case OP_ACTIVE:
		bpf_sock_ops_cb_flags_set(ops, HDR_FLAG);
		break;
	case OP_HDR_LEN:
		bpf_reserve_hdr_opt(ops, sizeof(opt), 0);
		break;
	case OP_WRITE_HDR:
		opt.data = bpf_get_prandom_u32();
		bpf_store_hdr_opt(ops, &opt, sizeof(opt), 0);
		break;
	case OP_PARSE_HDR:
		if (bpf_load_hdr_opt(ops, &opt, sizeof(opt), 0) == sizeof(opt))
			ops->sk_txhash = opt.data;
		break;
	}
	return 1;
}

SEC("sockops") int header(struct sock_ops_md *ops)
{
	struct tcp_hdr *tcp = ops->skb_data;

	if (ops->op != OP_PARSE_HDR)
		return 1;
	if ((void *)(tcp + 1) > ops->skb_data_end)
		return 1;
	if (tcp->flags & 2 && ops->skb_len > 40)
		ops->sk_txhash = ops->skb_tcp_flags;
	return 1;
}

SEC("sockops") int bad_reply_second(struct sock_ops_md *ops)
{
	ops->replylong[1] = ops->op;
	return 1;
}

SEC("sk_msg") int redirect_peer(struct sk_msg_md *msg)
{
	struct tuple t = {};

	if (msg->family != AF_INET)
		return SK_PASS;
	t.remote_ip = msg->local_ip4;
	t.local_ip = msg->remote_ip4;
	t.remote_port = msg->local_port;
	t.local_port = ntohl(msg->remote_port);
	return bpf_msg_redirect_hash(msg, &peers, &t, INGRESS);
}

SEC("sk_msg") int inspect(struct sk_msg_md *msg)
{
	u8 *at, *end;

	if (msg->size < 16) {
		bpf_msg_cork_bytes(msg, 16);
		return SK_PASS;
	}
	if (bpf_msg_pull_data(msg, 0, 16, 0))
		return SK_DROP;
	at = msg->data;
	end = msg->data_end;
	if (at + 16 > end)
		return SK_DROP;
	if (*(u32 *)at == 0x20544547) { /* "GET " */
		at[15] = 'x';
		bpf_msg_apply_bytes(msg, msg->size);
		return bpf_msg_redirect_map(msg, &sockets, at[4] & 63, 0);
	}
	return SK_PASS;
}

SEC("sk_msg") int insert(struct sk_msg_md *msg)
{
	if (bpf_msg_push_data(msg, 0, 4, 0))
		return SK_DROP;
	u32 *at = msg->data;
	if ((void *)(at + 1) > msg->data_end)
		return SK_DROP;
	*at = htonl(msg->size);
	return SK_PASS;
}

SEC("sk_skb/stream_parser") int parse_length(struct sk_buff_md *skb)
{
	u8 *at = pointer(skb->data), *end = pointer(skb->data_end);

	if (at + 4 > end)
		return 0;
	u32 len = ntohl(*(u32 *)at);
	return len > 65536 ? -22 : len + 4;
}

SEC("sk_skb/stream_verdict") int verdict_hash(struct sk_buff_md *skb)
{
	struct tuple t = {skb->remote_ip4, skb->local_ip4, skb->remote_port, skb->local_port};

	return bpf_sk_redirect_hash(skb, &peers, &t, 0);
}

SEC("sk_skb/stream_verdict") int verdict_rewrite(struct sk_buff_md *skb)
{
	u8 *at, *end;

	if (bpf_skb_pull_data((void *)skb, 16))
		return SK_DROP;
	at = pointer(skb->data);
	end = pointer(skb->data_end);
	if (at + 16 > end)
		return SK_DROP;
	at[0] ^= 0x20;
	u32 slot = at[1] & 63;
	if (skb->len > 1000 && bpf_skb_adjust_room(skb, -4, 0, 0))
		return SK_DROP;
	return bpf_sk_redirect_map(skb, &sockets, slot, INGRESS);
}

SEC("sk_skb") int verdict_lookup(struct sk_buff_md *skb)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;

	t.ipv4.saddr = skb->remote_ip4;
	t.ipv4.daddr = skb->local_ip4;
	t.ipv4.sport = skb->remote_port >> 16;
	t.ipv4.dport = htons((u16)skb->local_port);
	sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv4), -1, 0);
	if (!sk)
		return SK_PASS;
	u32 mark = sk->mark;
	bpf_sk_release(sk);
	skb->priority = mark;
	return mark ? SK_PASS : SK_DROP;
}

SEC("sk_lookup") int dispatch(struct sk_lookup_md *ctx)
{
	struct route r = {ctx->local_ip4, ctx->local_port, 0};
	struct bpf_sock *sk;
	u32 *slot;
	long err;

	if (ctx->family != AF_INET || ctx->protocol != PROTO_TCP)
		return SK_PASS;
	slot = bpf_map_lookup_elem(&binding, &r);
	if (!slot)
		return SK_PASS;
	sk = bpf_map_lookup_elem(&sockets, slot);
	if (!sk)
		return SK_DROP;
	err = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return err ? SK_DROP : SK_PASS;
}

SEC("sk_lookup") int dispatch6(struct sk_lookup_md *ctx)
{
	u32 prefix = ctx->local_ip6[0] ^ ctx->remote_ip6[3];
	u16 port = ctx->remote_port;

	if (ctx->family != AF_INET6 || ctx->ingress_ifindex != 1)
		return SK_PASS;
	if (ctx->sk && ctx->sk->src_port == 80)
		return SK_PASS;
	return prefix == htonl(0xfd000000) && port > 1024 ? SK_DROP : SK_PASS;
}

SEC("sk_lookup") int narrow(struct sk_lookup_md *ctx)
{
	u8 host = ((volatile u8 *)&ctx->local_ip4)[3];
	u16 low = *(volatile u16 *)&ctx->local_port, remote = *(volatile u16 *)&ctx->remote_port;

	bpf_sk_assign(ctx, 0, 1);
	return host == 1 || low == remote;
}

SEC("sk_reuseport") int by_hash(struct reuseport_md *ctx)
{
	u32 slot = ctx->hash & 15;

	if (ctx->ip_protocol != PROTO_UDP)
		return SK_PASS;
	return bpf_sk_select_reuseport(ctx, &group, &slot, 0) ? SK_DROP : SK_PASS;
}

SEC("sk_reuseport") int by_turn(struct reuseport_md *ctx)
{
	u32 zero = 0, *next = bpf_map_lookup_elem(&turn, &zero), slot;

	if (!next)
		return SK_DROP;
	slot = *next % 10;
	__sync_fetch_and_add(next, 1);
	if (bpf_sk_select_reuseport(ctx, &group, &slot, 0))
		bpf_sk_select_reuseport(ctx, &group, &zero, 0);
	return SK_PASS;
}

SEC("sk_reuseport") int by_packet(struct reuseport_md *ctx)
{
	u8 *at = ctx->data, id[8];
	u32 slot;

	if ((void *)(at + 16) > ctx->data_end || ctx->eth_protocol != htons(ETH_IP))
		return SK_PASS;
	slot = at[8] & 15;
	if (!slot && !bpf_skb_load_bytes((void *)ctx, 9, id, sizeof(id)))
		slot = id[0] % 16;
	return bpf_sk_select_reuseport(ctx, &group, &slot, 0) ? SK_DROP : SK_PASS;
}

SEC("sk_reuseport/migrate") int migrate(struct reuseport_md *ctx)
{
	u32 slot = 3;

	if (!ctx->migrating_sk)
		return SK_PASS;
	if (ctx->migrating_sk->state == 12)
		slot = ctx->sk->bound_dev_if & 15;
	return bpf_sk_select_reuseport(ctx, &group, &slot, 0) ? SK_DROP : SK_PASS;
}

SEC("sockops") int bad_ops_write(struct sock_ops_md *ops)
{
	ops->family = AF_INET;
	return 1;
}

SEC("sockops") int bad_ops_narrow(struct sock_ops_md *ops)
{
	return *(volatile u16 *)&ops->remote_port;
}

SEC("sockops") int bad_ops_bytes(struct sock_ops_md *ops)
{
	return *(volatile u32 *)&ops->bytes_acked;
}

SEC("sockops") int bad_ops_past(struct sock_ops_md *ops)
{
	return ((volatile u64 *)(&ops->skb_hwtstamp))[1];
}

SEC("sockops") int bad_ops_sk(struct sock_ops_md *ops)
{
	return ops->sk->state;
}

SEC("sockops") int bad_ops_data(struct sock_ops_md *ops)
{
	return *(u8 *)ops->skb_data;
}

SEC("sockops") int bad_ops_redirect(struct sock_ops_md *ops)
{
	struct tuple t = {};

	return bpf_msg_redirect_hash(ops, &peers, &t, 0);
}

SEC("sockops") int bad_option_uninit(struct sock_ops_md *ops)
{
	int on;

	return bpf_setsockopt(ops, SOL_TCP, TCP_NODELAY, &on, sizeof(on));
}

SEC("sockops") int bad_hash_array(struct sock_ops_md *ops)
{
	u32 zero = 0;

	return bpf_sock_map_update(ops, &turn, &zero, 0);
}

SEC("sk_msg") int bad_msg_ret(struct sk_msg_md *msg)
{
	return msg->size;
}

SEC("sk_msg") int bad_msg_stale(struct sk_msg_md *msg)
{
	u8 *at = msg->data;

	if ((void *)(at + 4) > msg->data_end)
		return SK_PASS;
	bpf_msg_pull_data(msg, 0, 8, 0);
	at[0] = 1;
	return SK_PASS;
}

SEC("sk_msg") int bad_msg_half(struct sk_msg_md *msg)
{
	return *(volatile u32 *)&msg->data & 1;
}

SEC("sk_msg") int bad_msg_write(struct sk_msg_md *msg)
{
	msg->size = 0;
	return SK_PASS;
}

SEC("sk_msg") int bad_msg_pop(struct sk_msg_md *msg)
{
	u8 *at = msg->data;

	if (bpf_msg_pop_data(msg, 0, 4, 0))
		return SK_DROP;
	return at[0] & 1;
}

SEC("sk_skb/stream_verdict") int bad_verdict_ret(struct sk_buff_md *skb)
{
	return skb->len & 3;
}

SEC("sk_skb/stream_verdict") int bad_verdict_cb(struct sk_buff_md *skb)
{
	skb->cb[0] = 1;
	return SK_PASS;
}

SEC("sk_skb/stream_verdict") int bad_verdict_mark(struct sk_buff_md *skb)
{
	skb->priority = 1;
	skb->queue_mapping = 2;
	return SK_PASS;
}

SEC("sk_skb/stream_verdict") int bad_verdict_tstamp(struct sk_buff_md *skb)
{
	return skb->tstamp & 1;
}

SEC("sk_skb/stream_verdict") int bad_verdict_leak(struct sk_buff_md *skb)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk = bpf_sk_lookup_udp(skb, &t, sizeof(t.ipv4), -1, 0);

	if (!sk)
		return SK_PASS;
	if (sk->family == AF_INET6)
		return SK_DROP;
	bpf_sk_release(sk);
	return SK_PASS;
}

SEC("sk_lookup") int bad_lookup_leak(struct sk_lookup_md *ctx)
{
	u32 zero = 0;
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockets, &zero);

	if (sk && bpf_sk_assign(ctx, sk, 0))
		return SK_DROP;
	return SK_PASS;
}

SEC("sk_lookup") int bad_lookup_ret(struct sk_lookup_md *ctx)
{
	return ctx->protocol;
}

SEC("sk_lookup") int bad_lookup_port(struct sk_lookup_md *ctx)
{
	return *(volatile u64 *)&ctx->local_port & 1;
}

SEC("sk_lookup") int bad_lookup_odd(u8 *ctx)
{
	return *(volatile u16 *)(ctx + 9) & 1;
}

SEC("sk_lookup") int bad_lookup_write(struct sk_lookup_md *ctx)
{
	ctx->local_port = 80;
	return SK_PASS;
}

SEC("sk_reuseport") int bad_group_sockets(struct reuseport_md *ctx)
{
	struct tuple t;

	t.local_ip = ctx->hash;
	return bpf_sk_select_reuseport(ctx, &peers, &t, 0) == 0;
}

SEC("sk_reuseport") int bad_group_array(struct reuseport_md *ctx)
{
	u32 slot = 0;

	return bpf_sk_select_reuseport(ctx, &turn, &slot, 0) == 0;
}

SEC("sk_reuseport") int bad_group_ret(struct reuseport_md *ctx)
{
	return ctx->hash;
}

SEC("sk_reuseport") int bad_group_narrow(struct reuseport_md *ctx)
{
	return *(volatile u16 *)&ctx->len & 1;
}

SEC("sk_reuseport") int bad_group_write(struct reuseport_md *ctx)
{
	u8 *at = ctx->data;

	if ((void *)(at + 8) > ctx->data_end)
		return SK_PASS;
	at[0] = 0;
	return SK_PASS;
}

SEC("sk_reuseport") int bad_group_lookup(struct reuseport_md *ctx)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&group, &zero) != 0;
}
