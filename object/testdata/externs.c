/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What a kernel would have to supply: functions, variables, configuration values; some weak, some not. */
#include "skep_bpf.h"

#define WEAK __attribute__((weak))
#define KSYM __attribute__((section(".ksyms")))
#define KCONFIG __attribute__((section(".kconfig")))

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

extern int LINUX_KERNEL_VERSION KCONFIG;
extern u32 CONFIG_HZ KCONFIG;
extern _Bool CONFIG_BPF_SYSCALL KCONFIG WEAK;
extern enum libbpf_tristate CONFIG_IPV6 KCONFIG WEAK;
extern char CONFIG_CC_VERSION_TEXT[16] KCONFIG WEAK;
extern u64 CONFIG_NOBODY_KNOWS KCONFIG WEAK;

extern const void weak_symbol KSYM WEAK;
extern const void strong_symbol KSYM;
extern u64 bpf_xdp_some_kfunc(struct xdp_md *ctx, int n) KSYM;
extern u64 bpf_xdp_weak_kfunc(struct xdp_md *ctx, int n) KSYM WEAK;
extern int missing(int n);

SEC("xdp")
int kconfig(struct xdp_md *ctx)
{
	return LINUX_KERNEL_VERSION + CONFIG_HZ + CONFIG_BPF_SYSCALL + (int)CONFIG_NOBODY_KNOWS +
	       CONFIG_IPV6 + CONFIG_CC_VERSION_TEXT[0];
}

SEC("xdp")
int kfuncs(struct xdp_md *ctx)
{
	u64 n = bpf_xdp_some_kfunc(ctx, 1);

	if (bpf_xdp_weak_kfunc)
		n += bpf_xdp_weak_kfunc(ctx, 2);
	return n + bpf_xdp_some_kfunc(ctx, 3);
}

SEC("xdp")
int weak_ksym(struct xdp_md *ctx)
{
	return &weak_symbol ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int strong_ksym(struct xdp_md *ctx)
{
	return (long)&strong_symbol & 1;
}

SEC("xdp")
int undefined(struct xdp_md *ctx)
{
	return missing(ctx->rx_queue_index);
}

LICENSE("GPL");
