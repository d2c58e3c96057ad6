/* Programs of cgroups: addresses rewritten, sockets bound and marked, options, devices and kernel variables guarded. */
#include "corpus.h"

struct service { be32 addr; be16 port; u16 pad; };
struct service6 { u32 addr[4]; be16 port; u16 pad; };
struct origin { u64 cookie; u32 addr[4], port; };
struct usage { u64 packets, bytes; };
struct per_sock { u64 sent; u32 opened, flags; };

MAP(services, MAP_HASH, struct service, struct service, 1024);
MAP(services6, MAP_HASH, struct service6, struct service6, 1024);
MAP(origins, MAP_LRU_HASH, u64, struct origin, 4096);
MAP(allowed, MAP_HASH, u64, u32, 64);
struct cg_key { u64 cgroup; u32 attach, pad; };
struct {
	UINT(type, MAP_CGROUP_STORAGE);
	TYPE(key, struct cg_key);
	TYPE(value, struct usage);
} usage SEC(".maps");
struct {
	UINT(type, MAP_SK_STORAGE);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, int);
	TYPE(value, struct per_sock);
} socks SEC(".maps");

enum { SOL_SOCKET = 1, SO_MARK = 36, SO_SNDBUF = 7, SO_BINDTODEVICE = 25, IPPROTO_TCP = 6, TCP_CONGESTION = 13, CREATE = 1 };
enum { DEV_BLOCK = 1, DEV_CHAR = 2, DEV_READ = 2 << 16, DEV_WRITE = 4 << 16 };

SEC("cgroup/connect4") int connect_service(struct sock_addr_md *ctx)
{
	struct service key = {ctx->user_ip4, ctx->user_port, 0}, *to;

	if (ctx->type != 1 && ctx->type != 2)
		return 1;
	to = bpf_map_lookup_elem(&services, &key);
	if (!to)
		return 1;
	struct origin from = {bpf_get_socket_cookie(ctx), {key.addr}, key.port};
	bpf_map_update_elem(&origins, &from.cookie, &from, MAP_ANY);
	ctx->user_ip4 = to->addr;
	ctx->user_port = to->port;
	return 1;
}

SEC("cgroup/connect6") int connect_service6(struct sock_addr_md *ctx)
{
	struct service6 key = {}, *to;

	key.addr[0] = ctx->user_ip6[0];
	key.addr[1] = ctx->user_ip6[1];
	key.addr[2] = ctx->user_ip6[2];
	key.addr[3] = ctx->user_ip6[3];
	key.port = ctx->user_port;
	to = bpf_map_lookup_elem(&services6, &key);
	if (!to)
		return 1;
	UNROLL for (int i = 0; i < 4; i++)
		ctx->user_ip6[i] = to->addr[i];
	ctx->user_port = to->port;
	return 1;
}

SEC("cgroup/connect4") int connect_alive(struct sock_addr_md *ctx)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	int ok = 0;

	t.ipv4.daddr = ctx->user_ip4;
	t.ipv4.dport = ctx->user_port;
	if (ctx->protocol == PROTO_TCP)
		sk = bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), -1, 0);
	else
		sk = bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv4), -1, 0);
	if (!sk)
		return 0;
	if (sk->src_ip4 == t.ipv4.daddr && sk->src_port == ntohs((be16)t.ipv4.dport))
		ok = 1;
	bpf_sk_release(sk);
	return ok;
}

SEC("cgroup/connect4") int connect_bind(struct sock_addr_md *ctx)
{
	struct { u16 family; be16 port; be32 addr; u8 zero[8]; } sa = {AF_INET, 0, htonl(0x7f000001)};

	if (ctx->family != AF_INET)
		return 1;
	return bpf_bind(ctx, &sa, sizeof(sa)) ? 0 : 1;
}

SEC("cgroup/connect4") int connect_options(struct sock_addr_md *ctx)
{
	int mark = 7, buf = 0;
	char cc[] = "cubic";

	if (bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		return 0;
	if (bpf_getsockopt(ctx, SOL_SOCKET, SO_SNDBUF, &buf, sizeof(buf)) || buf < 4096)
		return 0;
	if (ctx->sk && ctx->sk->protocol == PROTO_TCP)
		bpf_setsockopt(ctx, IPPROTO_TCP, TCP_CONGESTION, cc, sizeof(cc));
	return 1;
}

SEC("cgroup/getpeername4") int peer_name(struct sock_addr_md *ctx)
{
	u64 cookie = bpf_get_socket_cookie(ctx);
	struct origin *o = bpf_map_lookup_elem(&origins, &cookie);

	if (o) {
		ctx->user_ip4 = o->addr[0];
		ctx->user_port = o->port;
	}
	return 1;
}

SEC("cgroup/sendmsg4") int send_from(struct sock_addr_md *ctx)
{
	if (ctx->user_port == htons(53)) {
		ctx->msg_src_ip4 = htonl(0x0a000001);
		ctx->user_ip4 = htonl(0x0a000035);
	}
	return 1;
}

SEC("cgroup/sendmsg6") int send_from6(struct sock_addr_md *ctx)
{
	volatile u32 *src = ctx->msg_src_ip6;

	src[0] = htonl(0xfd000000);
	src[3] = htonl(1);
	return ctx->user_ip6[0] != 0;
}

SEC("cgroup/sendmsg6") int bad_source_words(struct sock_addr_md *ctx)
{
	*(volatile u64 *)&ctx->msg_src_ip6[2] = 1ULL << 56;
	return 1;
}

SEC("cgroup/recvmsg4") int receive_from(struct sock_addr_md *ctx)
{
	u64 cookie = bpf_get_socket_cookie(ctx);
	struct origin *o = bpf_map_lookup_elem(&origins, &cookie);

	if (o && ctx->user_ip4 == htonl(0x0a000035))
		ctx->user_ip4 = o->addr[0];
	return 1;
}

SEC("cgroup/bind4") int bind_low(struct sock_addr_md *ctx)
{
	u16 port = ntohs((u16)ctx->user_port);
	u8 first = *(volatile u8 *)&ctx->user_ip4;

	if (port < 1024 && (bpf_get_current_uid_gid() & 0xffffffff))
		return 0;
	return first == 127 ? 3 : 1;
}

SEC("cgroup/post_bind4") int after_bind(struct cgroup_sock_md *ctx)
{
	if (ctx->src_port < 1024 && ctx->src_ip4 != htonl(0x7f000001))
		return 0;
	return 1;
}

SEC("cgroup/sock_create") int mark_new(struct cgroup_sock_md *ctx)
{
	u64 cg = bpf_get_current_cgroup_id();
	u32 *mark = bpf_map_lookup_elem(&allowed, &cg);

	if (ctx->family != AF_INET && ctx->family != AF_INET6)
		return 1;
	if (!mark)
		return ctx->type != 3;
	ctx->mark = *mark;
	ctx->priority = 6;
	ctx->bound_dev_if = 1;
	return 1;
}

SEC("cgroup_skb/egress") int account(struct sk_buff_md *ctx)
{
	struct usage *u = bpf_get_local_storage(&usage, 0);

	__sync_fetch_and_add(&u->packets, 1);
	__sync_fetch_and_add(&u->bytes, ctx->len);
	return u->bytes > 1 << 30 ? 2 : 1;
}

SEC("cgroup_skb/ingress") int firewall(struct sk_buff_md *ctx)
{
	struct ip_hdr *ip = pointer(ctx->data);
	void *end = pointer(ctx->data_end);

	if ((void *)(ip + 1) > end)
		return 0;
	if (ip->version_ihl != 0x45 || ip->proto != PROTO_TCP)
		return 1;
	struct tcp_hdr *tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > end)
		return 0;
	return tcp->dport == htons(22) || ctx->remote_port == 22;
}

SEC("cgroup_skb/egress") int sock_state(struct sk_buff_md *ctx)
{
	struct bpf_sock *sk = ctx->sk, *full;
	struct bpf_tcp_sock *tcp;
	struct per_sock *p;

	if (!sk)
		return 1;
	full = bpf_sk_fullsock(sk);
	if (!full || full->protocol != PROTO_TCP)
		return 1;
	tcp = bpf_tcp_sock(full);
	if (!tcp)
		return 1;
	p = bpf_sk_storage_get(&socks, full, 0, CREATE);
	if (!p)
		return 1;
	p->sent += ctx->len;
	p->flags = tcp->snd_cwnd << 16 | (tcp->srtt_us & 0xffff);
	return 1;
}

SEC("cgroup_skb/egress") int sock_state_cb(struct sk_buff_md *ctx)
{
	ctx->mark = 5;
	ctx->priority = ctx->hash;
	ctx->cb[3] = ctx->ifindex;
	return 1;
}

SEC("cgroup/dev") int devices(struct cgroup_dev_md *ctx)
{
	u16 kind = ctx->access_type & 0xffff;
	u32 access = ctx->access_type >> 16;

	if (kind == DEV_CHAR && ctx->major == 1)
		return ctx->minor == 3 || ctx->minor == 5 || (ctx->minor == 8 && !(access & 4));
	return 0;
}

SEC("cgroup/sysctl") int sysctl_guard(struct sysctl_md *ctx)
{
	char name[64], value[16] = {};
	long n;

	if (!ctx->write)
		return 1;
	n = bpf_sysctl_get_name(ctx, name, sizeof(name), 0);
	if (n < 8 || n >= sizeof(name))
		return 0;
	if (*(u32 *)name != 0x2f74656e) /* "net/" */
		return 0;
	long parsed;
	n = bpf_sysctl_get_current_value(ctx, value, sizeof(value));
	if (n < 0 || bpf_strtol(value, sizeof(value), 0, &parsed) <= 0)
		return 0;
	if (ctx->file_pos)
		ctx->file_pos = 0;
	return parsed < 1000;
}

SEC("cgroup/setsockopt") int set_option(struct sockopt_md *ctx)
{
	u8 *val = ctx->optval, *end = ctx->optval_end;

	if (ctx->level != SOL_SOCKET || ctx->optname != SO_SNDBUF) {
		ctx->optlen = -1;
		return 1;
	}
	if (val + 4 > end)
		return 0;
	if (*(u32 *)val > 65536)
		*(u32 *)val = 65536;
	ctx->optlen = 4;
	return 1;
}

SEC("cgroup/getsockopt") int get_option(struct sockopt_md *ctx)
{
	u8 *val = ctx->optval, *end = ctx->optval_end;
	struct per_sock *p;

	if (!ctx->sk || ctx->retval < 0)
		return 1;
	p = bpf_sk_storage_get(&socks, ctx->sk, 0, CREATE);
	if (!p || val + 1 > end)
		return 0;
	val[0] = p->flags;
	ctx->retval = 0;
	BARRIER();
	ctx->optlen = 1;
	return 1;
}

SEC("cgroup/connect4") int bad_connect_ret(struct sock_addr_md *ctx)
{
	return ctx->user_port == htons(80) ? 2 : 1;
}

SEC("cgroup/connect4") int bad_connect_ip6(struct sock_addr_md *ctx)
{
	return ctx->user_ip6[0] != 0;
}

SEC("cgroup/connect4") int bad_family_write(struct sock_addr_md *ctx)
{
	ctx->family = AF_INET6;
	return 1;
}

SEC("cgroup/connect4") int bad_connect_src(struct sock_addr_md *ctx)
{
	ctx->msg_src_ip4 = 0;
	return 1;
}

SEC("cgroup/connect4") int bad_port_narrow_write(struct sock_addr_md *ctx)
{
	*(volatile u16 *)&ctx->user_port = htons(80);
	return 1;
}

SEC("cgroup/connect4") int bad_sock_leak(struct sock_addr_md *ctx)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk = bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), -1, 0);

	return sk ? sk->state == 10 : 0;
}

SEC("cgroup/connect4") int bad_sock_release_null(struct sock_addr_md *ctx)
{
	struct bpf_sock_tuple t = {};

	bpf_sk_release(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), -1, 0));
	return 1;
}

SEC("cgroup/connect4") int bad_sk_unchecked(struct sock_addr_md *ctx)
{
	return ctx->sk->protocol == PROTO_TCP;
}

SEC("cgroup/sendmsg4") int bad_send_bind(struct sock_addr_md *ctx)
{
	struct { u16 family; be16 port; be32 addr; u8 zero[8]; } sa = {AF_INET};

	return bpf_bind(ctx, &sa, sizeof(sa)) == 0;
}

SEC("cgroup/recvmsg4") int bad_recv_ret(struct sock_addr_md *ctx)
{
	return ctx->user_ip4 != 0;
}

SEC("cgroup/bind4") int bad_bind_ret(struct sock_addr_md *ctx)
{
	return ctx->user_port & 7;
}

SEC("cgroup/post_bind4") int bad_post_ip6(struct cgroup_sock_md *ctx)
{
	return ctx->src_ip6[0] == 0;
}

SEC("cgroup/sock_create") int bad_create_src(struct cgroup_sock_md *ctx)
{
	return ctx->src_ip4 != 0;
}

SEC("cgroup/post_bind4") int bad_post_mark(struct cgroup_sock_md *ctx)
{
	ctx->mark = 1;
	return 1;
}

SEC("cgroup_skb/ingress") int bad_ingress_ret(struct sk_buff_md *ctx)
{
	return ctx->len > 1500 ? 2 : 1;
}

SEC("cgroup_skb/egress") int bad_packet_write(struct sk_buff_md *ctx)
{
	u8 *at = pointer(ctx->data), *end = pointer(ctx->data_end);

	if (at + 20 > end)
		return 1;
	at[1] = 0;
	return 1;
}

SEC("cgroup_skb/egress") int bad_classid(struct sk_buff_md *ctx)
{
	return ctx->tc_classid & 1;
}

SEC("cgroup_skb/egress") int bad_storage_common(struct sk_buff_md *ctx)
{
	struct per_sock *p;

	if (!ctx->sk)
		return 1;
	p = bpf_sk_storage_get(&socks, ctx->sk, 0, CREATE);
	return p->sent < 100;
}

SEC("cgroup_skb/egress") int bad_storage_flags(struct sk_buff_md *ctx)
{
	struct usage *u = bpf_get_local_storage(&usage, ctx->len);

	return u->bytes & 1;
}

SEC("cgroup/dev") int bad_dev_write(struct cgroup_dev_md *ctx)
{
	ctx->major = 1;
	return 1;
}

SEC("cgroup/dev") int bad_dev_narrow(struct cgroup_dev_md *ctx)
{
	return *(volatile u8 *)&ctx->minor & 1;
}

SEC("cgroup/sysctl") int bad_sysctl_uninit(struct sysctl_md *ctx)
{
	char value[16];
	long parsed;

	return bpf_strtol(value, sizeof(value), 0, &parsed) > 0;
}

SEC("cgroup/sysctl") int bad_sysctl_write(struct sysctl_md *ctx)
{
	ctx->write = 0;
	return 1;
}

SEC("cgroup/getsockopt") int bad_get_level(struct sockopt_md *ctx)
{
	ctx->level = 0;
	return 1;
}

SEC("cgroup/setsockopt") int bad_set_retval(struct sockopt_md *ctx)
{
	ctx->retval = 0;
	return 1;
}

SEC("cgroup/setsockopt") int bad_optval_unchecked(struct sockopt_md *ctx)
{
	return *(u8 *)ctx->optval & 1;
}
