//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Sockets that are there and that are not, interfaces that are not there, cgroups. */
#include "referee.h"

enum { MAP_CGROUP_ARRAY = 8, MAP_SOCKMAP = 15, MAP_SOCKHASH = 18, MAP_CGROUP_STORAGE = 19, MAP_PERCPU_CGROUP_STORAGE = 21, MAP_SK_STORAGE = 24 };

static long (*const bpf_current_task_under_cgroup)(void *map, u32 index) = (void *)37;
static u64 (*const bpf_skb_cgroup_id)(struct __sk_buff *skb) = (void *)79;
static void *(*const bpf_get_local_storage)(void *map, u64 flags) = (void *)81;
static void *(*const bpf_sk_lookup_tcp)(void *ctx, void *tuple, u32 size, u64 netns, u64 flags) = (void *)84;
static void *(*const bpf_sk_lookup_udp)(void *ctx, void *tuple, u32 size, u64 netns, u64 flags) = (void *)85;
static long (*const bpf_sk_release)(void *sk) = (void *)86;
static void *(*const bpf_sk_fullsock)(void *sk) = (void *)95;
static void *(*const bpf_tcp_sock)(void *sk) = (void *)96;
static void *(*const bpf_get_listener_sock)(void *sk) = (void *)98;
static void *(*const bpf_skc_lookup_tcp)(void *ctx, void *tuple, u32 size, u64 netns, u64 flags) = (void *)99;
static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value, u64 flags) = (void *)107;
static long (*const bpf_sk_storage_delete)(void *map, void *sk) = (void *)108;
static long (*const bpf_tcp_check_syncookie)(void *sk, void *ip, u32 ip_len, struct tcp_hdr *tcp, u32 tcp_len) = (void *)100;
static s64 (*const bpf_tcp_gen_syncookie)(void *sk, void *ip, u32 ip_len, struct tcp_hdr *tcp, u32 tcp_len) = (void *)110;
static u64 (*const bpf_skb_ancestor_cgroup_id)(struct __sk_buff *skb, int level) = (void *)83;
static u64 (*const bpf_get_netns_cookie)(void *ctx) = (void *)122;
static u64 (*const bpf_get_current_ancestor_cgroup_id)(int level) = (void *)123;
static u64 (*const bpf_sk_cgroup_id)(void *sk) = (void *)128;
static u64 (*const bpf_sk_ancestor_cgroup_id)(void *sk, int level) = (void *)129;
static long (*const bpf_check_mtu)(void *ctx, u32 ifindex, u32 *len, s32 diff, u64 flags) = (void *)163;

#define MAP(name, kind, k, v)          \
	struct {                       \
		UINT(type, kind);      \
		UINT(max_entries, 3);  \
		TYPE(key, k);          \
		TYPE(value, v);        \
	} name SEC(".maps")

MAP(groups, MAP_CGROUP_ARRAY, u32, u32);
MAP(sockmap, MAP_SOCKMAP, u32, u32);
MAP(sockhash, MAP_SOCKHASH, u64, u32);

struct {
	UINT(type, MAP_SK_STORAGE);
	UINT(map_flags, NO_PREALLOC);
	TYPE(key, u32);
	TYPE(value, u64);
} storage SEC(".maps");

struct storage_key {
	u64 cgroup;
	u32 attach;
	u32 pad;
};

struct {
	UINT(type, MAP_CGROUP_STORAGE);
	TYPE(key, struct storage_key);
	TYPE(value, u64);
} local SEC(".maps");

struct {
	UINT(type, MAP_PERCPU_CGROUP_STORAGE);
	TYPE(key, struct storage_key);
	TYPE(value, u64);
} local_percpu SEC(".maps");

#define NOWHERE 0x7ffffff0

struct tuple {
	be32 src, dst;
	be16 sport, dport;
};

#define LOOK(name)                                                                        \
	do {                                                                              \
		void *sk = bpf_##name(skb, &t, sizeof(t), (u64)-1 /* this netns */, 0);   \
		PUT(!sk);                                                                 \
		if (sk)                                                                   \
			bpf_sk_release(sk);                                               \
		sk = bpf_##name(skb, &t, 5 /* no tuple */, (u64)-1, 0);                   \
		PUT(!sk);                                                                 \
		if (sk)                                                                   \
			bpf_sk_release(sk);                                               \
		sk = bpf_##name(skb, &t, sizeof(t), (u64)-1, 1 /* no such flag */);       \
		PUT(!sk);                                                                 \
		if (sk)                                                                   \
			bpf_sk_release(sk);                                               \
	} while (0)

SEC("tc")
int lookups(struct __sk_buff *skb)
{
	struct tuple t = {htonl(0xc0000205), htonl(0xcb007101), htons(1), htons(2)};
	u32 k = 1;
	u64 k64 = 1;
	void *sk;

	LOOK(sk_lookup_tcp);
	LOOK(sk_lookup_udp);
	LOOK(skc_lookup_tcp);
	sk = bpf_map_lookup_elem(&sockmap, &k);
	PUT(!sk);
	if (sk)
		bpf_sk_release(sk);
	sk = bpf_map_lookup_elem(&sockhash, &k64);
	PUT(!sk);
	if (sk)
		bpf_sk_release(sk);
	return 0;
}

/* What the tests listen on. */
struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct tuple);
} target SEC(".maps");

/* A socket that is there: it listens. */
SEC("tc")
int found(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct tuple *t = bpf_map_lookup_elem(&target, &zero);
	struct ip_hdr ip = {.version_ihl = 0x45};
	struct tcp_hdr tcp = {.offset = 5 << 4, .flags = TCP_RST};
	u64 first = 5, *v;

	if (!t)
		return 1;
	void *sk = bpf_sk_lookup_tcp(skb, t, sizeof(*t), (u64)-1, 0), *listener;
	PUT(!sk);
	if (!sk)
		return 2;
	PUT(!bpf_sk_fullsock(sk));
	PUT(!bpf_tcp_sock(sk));
	listener = bpf_get_listener_sock(sk);
	PUT(!listener);
	PUT(bpf_tcp_check_syncookie(sk, &ip, sizeof(ip), &tcp, sizeof(tcp)));
	PUT(bpf_tcp_gen_syncookie(sk, &ip, sizeof(ip), &tcp, sizeof(tcp)));
	PUT(!bpf_sk_storage_get(&storage, sk, NULL, 0));
	v = bpf_sk_storage_get(&storage, sk, &first, 1 /* create */);
	PUT(!v);
	if (v)
		PUT((*v)++);
	v = bpf_sk_storage_get(&storage, sk, NULL, 0);
	if (v)
		PUT(*v);
	PUT(bpf_sk_storage_delete(&storage, sk));
	PUT(bpf_sk_storage_delete(&storage, sk));
	bpf_sk_release(sk);
	return 0;
}

SEC("tc")
int mtu(struct __sk_buff *skb)
{
	u32 len = 0;

	PUT(bpf_check_mtu(skb, NOWHERE, &len, 0, 0));
	PUT(bpf_check_mtu(skb, NOWHERE, &len, 0, 1 << 20));
	PUT(len);
	return 0;
}

SEC("tc")
int cgroups(struct __sk_buff *skb)
{
	PUT(bpf_current_task_under_cgroup(&groups, 1));
	PUT(bpf_current_task_under_cgroup(&groups, 3));
	PUT(!bpf_skb_cgroup_id(skb) - !bpf_skb_cgroup_id(skb));
	PUT(bpf_skb_ancestor_cgroup_id(skb, 1000)); /* deeper than any is */
	PUT(bpf_skb_ancestor_cgroup_id(skb, -1));
	PUT(bpf_get_current_ancestor_cgroup_id(1000));
	PUT(bpf_get_current_ancestor_cgroup_id(-1));
	PUT(bpf_get_netns_cookie(skb) == bpf_get_netns_cookie(skb));
	PUT(!bpf_get_netns_cookie(NULL));
	return 0;
}

SEC("cgroup_skb/ingress")
int cgroup_storage(struct __sk_buff *skb)
{
	u64 *v = bpf_get_local_storage(&local, 0), *p = bpf_get_local_storage(&local_percpu, 0);

	PUT(*v);
	PUT(*p);
	*v += skb->len;
	*p += 1;
	PUT(*v + *p);
	*v = *p = 0; /* a test run of the kernel has new storage each time */
	return 1;
}

SEC("cgroup_skb/egress")
int cgroup_socket(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct tuple *t = bpf_map_lookup_elem(&target, &zero);
	void *sk = t ? bpf_sk_lookup_tcp(skb, t, sizeof(*t), (u64)-1, 0) : NULL;

	PUT(!sk);
	if (!sk)
		return 0;
	PUT(bpf_sk_cgroup_id(sk) == bpf_sk_cgroup_id(sk));
	PUT(bpf_sk_ancestor_cgroup_id(sk, 1000));
	PUT(bpf_sk_ancestor_cgroup_id(sk, -1));
	bpf_sk_release(sk);
	return 1;
}

LICENSE("Dual MIT/GPL");
