package helpers

import (
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// The program types of each hook that kernel functions are registered for. (Linux: bpf_prog_type_to_kfunc_hook.)
const anyType = TypeSet(1<<prog.NumTypes - 1)

var (
	hookXDP       = SetOf(prog.XDP)
	hookTC        = SetOf(prog.SchedCLS)
	hookAct       = SetOf(prog.SchedACT)
	hookStructOps = SetOf(prog.StructOps)
	hookTracing   = SetOf(prog.Tracing, prog.Tracepoint, prog.PerfEvent, prog.LSM)
	hookSyscall   = SetOf(prog.Syscall)
	hookCgroup    = SetOf(prog.CgroupSKB, prog.CgroupSock, prog.CgroupDevice, prog.CgroupSockAddr, prog.CgroupSockopt,
		prog.CgroupSysctl, prog.SockOps)
	hookLWT = SetOf(prog.LWTIn, prog.LWTOut, prog.LWTXmit, prog.LWTSeg6Local)

	generic  = hookTracing | hookTC | hookXDP | hookStructOps | hookSyscall | hookCgroup
	cpumasks = hookTracing | hookStructOps | hookSyscall
	skbs     = hookTC | hookAct | hookCgroup | hookLWT | hookTracing | SetOf(prog.SkSKB, prog.SocketFilter, prog.Netfilter)
	crypting = hookTC | hookAct | hookXDP
)

// hookSince says since when programs of a type have more kernel functions than those that all types may call.
var hookSince = map[kver.Version]TypeSet{
	kver.V(5, 18): SetOf(prog.XDP, prog.SchedCLS, prog.StructOps, prog.Tracing, prog.Syscall),
	kver.V(6, 1):  SetOf(prog.LSM),
	kver.V(6, 4):  hookAct | hookLWT | SetOf(prog.CgroupSKB, prog.SkSKB, prog.SocketFilter, prog.Netfilter),
	kver.V(6, 10): SetOf(prog.Kprobe),
	kver.V(6, 12): SetOf(prog.Tracepoint, prog.PerfEvent, prog.CgroupSock, prog.CgroupDevice, prog.CgroupSockAddr,
		prog.CgroupSockopt, prog.CgroupSysctl),
	kver.V(6, 14): SetOf(prog.SockOps),
}

// kfuncTypesSince is the first kernel in which programs of type t have kernel functions of their own.
func kfuncTypesSince(t prog.Type) kver.Version {
	for v, types := range hookSince {
		if types.Has(t) {
			return v
		}
	}
	return kver.V(6, 2) // those of all types
}

// Flags that often come together.
const (
	acqNull    = KfuncAcquire | KfuncRetNull
	acqRCUNull = KfuncAcquire | KfuncRCU | KfuncRetNull
	iterNext   = KfuncIterNext | KfuncRetNull
)

// kfuncTable has the kernel functions of Linux 6.18 by set, each in the kernel's order.
var kfuncTable = []Kfunc{
	// generic_btf_ids
	{Decl: "void crash_kexec(struct pt_regs *regs)", Flags: KfuncDestructive, Types: generic, Since: kver.V(6, 1)},
	{Decl: "void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign)", Flags: acqNull, Types: generic, Since: kver.V(6, 2)},
	{Decl: "void *bpf_percpu_obj_new_impl(u64 local_type_id__k, void *meta__ign)", Flags: acqNull, Types: generic, Since: kver.V(6, 7)},
	{Decl: "void bpf_obj_drop_impl(void *p__alloc, void *meta__ign)", Flags: KfuncRelease, Types: generic, Since: kver.V(6, 2)},
	{Decl: "void bpf_percpu_obj_drop_impl(void *p__alloc, void *meta__ign)", Flags: KfuncRelease, Types: generic, Since: kver.V(6, 7)},
	{Decl: "void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign)", Flags: acqRCUNull, Types: generic, Since: kver.V(6, 4)},
	{Decl: "int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off)", Types: generic, Since: kver.V(6, 4)},
	{Decl: "int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off)", Types: generic, Since: kver.V(6, 4)},
	{Decl: "struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head)", Flags: acqNull, Types: generic, Since: kver.V(6, 2)},
	{Decl: "struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head)", Flags: acqNull, Types: generic, Since: kver.V(6, 2)},
	{Decl: "struct bpf_list_node *bpf_list_front(struct bpf_list_head *head)", Flags: KfuncRetNull, Types: generic, Since: kver.V(6, 16)},
	{Decl: "struct bpf_list_node *bpf_list_back(struct bpf_list_head *head)", Flags: KfuncRetNull, Types: generic, Since: kver.V(6, 16)},
	{Decl: "struct task_struct *bpf_task_acquire(struct task_struct *p)", Flags: acqRCUNull, Types: generic, Since: kver.V(6, 2)},
	{Decl: "void bpf_task_release(struct task_struct *p)", Flags: KfuncRelease, Types: generic, Since: kver.V(6, 2)},
	{Decl: "struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node)", Flags: acqNull, Types: generic, Since: kver.V(6, 3)},
	{Decl: "int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node, callback *less, void *meta__ign, u64 off)", Types: generic, Since: kver.V(6, 4)},
	{Decl: "struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root)", Flags: KfuncRetNull, Types: generic, Since: kver.V(6, 3)},
	{Decl: "struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root)", Flags: KfuncRetNull, Types: generic, Since: kver.V(6, 16)},
	{Decl: "struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node)", Flags: KfuncRetNull, Types: generic, Since: kver.V(6, 16)},
	{Decl: "struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node)", Flags: KfuncRetNull, Types: generic, Since: kver.V(6, 16)},
	{Decl: "struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp)", Flags: acqRCUNull, Types: generic, Since: kver.V(6, 2)},
	{Decl: "void bpf_cgroup_release(struct cgroup *cgrp)", Flags: KfuncRelease, Types: generic, Since: kver.V(6, 2)},
	{Decl: "struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level)", Flags: acqRCUNull, Types: generic, Since: kver.V(6, 2)},
	{Decl: "struct cgroup *bpf_cgroup_from_id(u64 cgid)", Flags: acqNull, Types: generic, Since: kver.V(6, 4)},
	{Decl: "long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor)", Flags: KfuncRCU, Types: generic, Since: kver.V(6, 5)},
	{Decl: "struct cgroup *bpf_task_get_cgroup1(struct task_struct *task, int hierarchy_id)", Flags: acqRCUNull, Types: generic, Since: kver.V(6, 8)},
	{Decl: "struct task_struct *bpf_task_from_pid(s32 pid)", Flags: acqNull, Types: generic, Since: kver.V(6, 2)},
	{Decl: "struct task_struct *bpf_task_from_vpid(s32 vpid)", Flags: acqNull, Types: generic, Since: kver.V(6, 14)},
	{Decl: "void bpf_throw(u64 cookie)", Types: generic, Since: kver.V(6, 7)},
	{Decl: "int bpf_send_signal_task(struct task_struct *task, int sig, enum pid_type type, u64 value)", Flags: KfuncTrusted, Types: generic, Since: kver.V(6, 13)},
	{Decl: "struct bpf_key *bpf_lookup_user_key(s32 serial, u64 flags)", Flags: acqNull | KfuncSleepable, Types: generic, Since: kver.V(6, 1)},
	{Decl: "struct bpf_key *bpf_lookup_system_key(u64 id)", Flags: acqNull, Types: generic, Since: kver.V(6, 1)},
	{Decl: "void bpf_key_put(struct bpf_key *bkey)", Flags: KfuncRelease, Types: generic, Since: kver.V(6, 1)},
	{Decl: "int bpf_verify_pkcs7_signature(struct bpf_dynptr *data_p, struct bpf_dynptr *sig_p, struct bpf_key *trusted_keyring)", Flags: KfuncSleepable, Types: generic, Since: kver.V(6, 1)},

	// common_btf_ids
	{Decl: "void *bpf_cast_to_kern_ctx(void *obj)", Flags: KfuncFastCall, Types: anyType, Since: kver.V(6, 2)},
	{Decl: "void *bpf_rdonly_cast(const void *obj__ign, u32 btf_id__k)", Flags: KfuncFastCall, Types: anyType, Since: kver.V(6, 2)},
	{Decl: "void bpf_rcu_read_lock(void)", Types: anyType, Since: kver.V(6, 2)},
	{Decl: "void bpf_rcu_read_unlock(void)", Types: anyType, Since: kver.V(6, 2)},
	{Decl: "void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)", Flags: KfuncRetNull, Types: anyType, Since: kver.V(6, 4)},
	{Decl: "void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)", Flags: KfuncRetNull, Types: anyType, Since: kver.V(6, 4)},
	{Decl: "int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)", Flags: KfuncIterNew, Types: anyType, Since: kver.V(6, 4)},
	{Decl: "int *bpf_iter_num_next(struct bpf_iter_num *it)", Flags: iterNext, Types: anyType, Since: kver.V(6, 4)},
	{Decl: "void bpf_iter_num_destroy(struct bpf_iter_num *it)", Flags: KfuncIterDestroy, Types: anyType, Since: kver.V(6, 4)},
	{Decl: "int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task, u64 addr)", Flags: KfuncIterNew | KfuncRCU, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it)", Flags: iterNext, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it)", Flags: KfuncIterDestroy, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "int bpf_iter_css_task_new(struct bpf_iter_css_task *it, struct cgroup_subsys_state *css, unsigned int flags)", Flags: KfuncIterNew | KfuncTrusted, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it)", Flags: iterNext, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it)", Flags: KfuncIterDestroy, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, unsigned int flags)", Flags: KfuncIterNew | KfuncTrusted | KfuncRCUProtected, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it)", Flags: iterNext, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "void bpf_iter_css_destroy(struct bpf_iter_css *it)", Flags: KfuncIterDestroy, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task__nullable, unsigned int flags)", Flags: KfuncIterNew | KfuncTrusted | KfuncRCUProtected, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it)", Flags: iterNext, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "void bpf_iter_task_destroy(struct bpf_iter_task *it)", Flags: KfuncIterDestroy, Types: anyType, Since: kver.V(6, 7)},
	{Decl: "int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end)", Types: anyType, Since: kver.V(6, 5)},
	{Decl: "bool bpf_dynptr_is_null(const struct bpf_dynptr *p)", Types: anyType, Since: kver.V(6, 5)},
	{Decl: "bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p)", Types: anyType, Since: kver.V(6, 5)},
	{Decl: "__u32 bpf_dynptr_size(const struct bpf_dynptr *p)", Types: anyType, Since: kver.V(6, 5)},
	{Decl: "int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit)", Types: anyType, Since: kver.V(6, 5)},
	{Decl: "int bpf_dynptr_copy(struct bpf_dynptr *dst_ptr, u32 dst_off, struct bpf_dynptr *src_ptr, u32 src_off, u32 size)", Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_dynptr_memset(struct bpf_dynptr *p, u32 offset, u32 size, u8 val)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_modify_return_test_tp(int nonce)", Types: anyType, Since: kver.V(6, 10)},
	{Decl: "int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags)", Types: anyType, Since: kver.V(6, 10)},
	{Decl: "int bpf_wq_set_callback_impl(struct bpf_wq *wq, callback *callback_fn, unsigned int flags, void *aux__prog)", Types: anyType, Since: kver.V(6, 10)},
	{Decl: "int bpf_wq_start(struct bpf_wq *wq, unsigned int flags)", Types: anyType, Since: kver.V(6, 10)},
	{Decl: "void bpf_preempt_disable(void)", Types: anyType, Since: kver.V(6, 10)},
	{Decl: "void bpf_preempt_enable(void)", Types: anyType, Since: kver.V(6, 10)},
	{Decl: "int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign, u32 nr_words)", Flags: KfuncIterNew, Types: anyType, Since: kver.V(6, 11)},
	{Decl: "int *bpf_iter_bits_next(struct bpf_iter_bits *it)", Flags: iterNext, Types: anyType, Since: kver.V(6, 11)},
	{Decl: "void bpf_iter_bits_destroy(struct bpf_iter_bits *it)", Flags: KfuncIterDestroy, Types: anyType, Since: kver.V(6, 11)},
	{Decl: "int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, u64 flags)", Flags: KfuncSleepable, Types: anyType, Since: kver.V(6, 12)},
	{Decl: "int bpf_copy_from_user_task_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, struct task_struct *tsk, u64 flags)", Flags: KfuncSleepable, Types: anyType, Since: kver.V(6, 15)},
	{Decl: "struct kmem_cache *bpf_get_kmem_cache(u64 addr)", Types: anyType, Since: kver.V(6, 13)},
	{Decl: "int bpf_iter_kmem_cache_new(struct bpf_iter_kmem_cache *it)", Flags: KfuncIterNew | KfuncSleepable, Types: anyType, Since: kver.V(6, 13)},
	{Decl: "struct kmem_cache *bpf_iter_kmem_cache_next(struct bpf_iter_kmem_cache *it)", Flags: iterNext | KfuncSleepable, Types: anyType, Since: kver.V(6, 13)},
	{Decl: "void bpf_iter_kmem_cache_destroy(struct bpf_iter_kmem_cache *it)", Flags: KfuncIterDestroy | KfuncSleepable, Types: anyType, Since: kver.V(6, 13)},
	{Decl: "void bpf_local_irq_save(unsigned long *flags__irq_flag)", Types: anyType, Since: kver.V(6, 14)},
	{Decl: "void bpf_local_irq_restore(unsigned long *flags__irq_flag)", Types: anyType, Since: kver.V(6, 14)},
	{Decl: "int bpf_probe_read_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)", Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_probe_read_kernel_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)", Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_probe_read_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)", Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_probe_read_kernel_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)", Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_copy_from_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)", Flags: KfuncSleepable, Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_copy_from_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)", Flags: KfuncSleepable, Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_copy_from_user_task_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign, struct task_struct *tsk)", Flags: KfuncSleepable | KfuncTrusted, Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_copy_from_user_task_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign, struct task_struct *tsk)", Flags: KfuncSleepable | KfuncTrusted, Types: anyType, Since: kver.V(6, 16)},
	{Decl: "int bpf_iter_dmabuf_new(struct bpf_iter_dmabuf *it)", Flags: KfuncIterNew | KfuncSleepable, Types: anyType, Since: kver.V(6, 17)},
	{Decl: "struct dma_buf *bpf_iter_dmabuf_next(struct bpf_iter_dmabuf *it)", Flags: iterNext | KfuncSleepable, Types: anyType, Since: kver.V(6, 17)},
	{Decl: "void bpf_iter_dmabuf_destroy(struct bpf_iter_dmabuf *it)", Flags: KfuncIterDestroy | KfuncSleepable, Types: anyType, Since: kver.V(6, 17)},
	{Decl: "void __bpf_trap(void)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strcmp(const char *s1__ign, const char *s2__ign)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strcasecmp(const char *s1__ign, const char *s2__ign)", Types: anyType, Since: kver.V(6, 18)},
	{Decl: "int bpf_strchr(const char *s__ign, char c)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strchrnul(const char *s__ign, char c)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strnchr(const char *s__ign, size_t count, char c)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strrchr(const char *s__ign, int c)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strlen(const char *s__ign)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strnlen(const char *s__ign, size_t count)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strspn(const char *s__ign, const char *accept__ign)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strcspn(const char *s__ign, const char *reject__ign)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strstr(const char *s1__ign, const char *s2__ign)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_strnstr(const char *s1__ign, const char *s2__ign, size_t len)", Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_cgroup_read_xattr(struct cgroup *cgroup, const char *name__str, struct bpf_dynptr *value_p)", Flags: KfuncRCU, Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_stream_vprintk_impl(int stream_id, const char *fmt__str, const void *args, u32 len__sz, void *aux__prog)", Flags: KfuncTrusted, Types: anyType, Since: kver.V(6, 18)},
	{Decl: "int bpf_task_work_schedule_signal_impl(struct task_struct *task, struct bpf_task_work *tw, void *map__map, callback *callback, void *aux__prog)", Flags: KfuncTrusted, Types: anyType, Since: kver.V(6, 18)},
	{Decl: "int bpf_task_work_schedule_resume_impl(struct task_struct *task, struct bpf_task_work *tw, void *map__map, callback *callback, void *aux__prog)", Flags: KfuncTrusted, Types: anyType, Since: kver.V(6, 18)},

	// Other sets for all types: bpf_map_iter_kfunc_ids, rqspinlock_kfunc_ids, arena_kfuncs, xdp_metadata_kfunc_ids
	{Decl: "s64 bpf_map_sum_elem_count(const struct bpf_map *map)", Flags: KfuncTrusted, Types: anyType, Since: kver.V(6, 6)},
	{Decl: "int bpf_res_spin_lock(struct bpf_res_spin_lock *lock)", Flags: KfuncRetNull, Types: anyType, Since: kver.V(6, 15)},
	{Decl: "void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock)", Types: anyType, Since: kver.V(6, 15)},
	{Decl: "int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags__irq_flag)", Flags: KfuncRetNull, Types: anyType, Since: kver.V(6, 15)},
	{Decl: "void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags__irq_flag)", Types: anyType, Since: kver.V(6, 15)},
	{Decl: "void *bpf_arena_alloc_pages(void *p__map, void *addr__ign, u32 page_cnt, int node_id, u64 flags)", Flags: KfuncTrusted | KfuncSleepable, Types: anyType, Since: kver.V(6, 9)},
	{Decl: "void bpf_arena_free_pages(void *p__map, void *ptr__ign, u32 page_cnt)", Flags: KfuncTrusted | KfuncSleepable, Types: anyType, Since: kver.V(6, 9)},
	{Decl: "int bpf_arena_reserve_pages(void *p__map, void *ptr__ign, u32 page_cnt)", Flags: KfuncTrusted | KfuncSleepable, Types: anyType, Since: kver.V(6, 17)},
	{Decl: "int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, u64 *timestamp)", Flags: KfuncDeviceBound, Types: anyType, Since: kver.V(6, 3)},
	{Decl: "int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, u32 *hash, enum xdp_rss_hash_type *rss_type)", Flags: KfuncDeviceBound, Types: anyType, Since: kver.V(6, 3)},
	{Decl: "int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto, u16 *vlan_tci)", Flags: KfuncDeviceBound, Types: anyType, Since: kver.V(6, 8)},

	// Packets and sockets
	{Decl: "int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit)", Flags: KfuncTrusted, Types: skbs, Since: kver.V(6, 4)},
	{Decl: "int bpf_dynptr_from_skb_meta(struct __sk_buff *skb_, u64 flags, struct bpf_dynptr *ptr__uninit)", Flags: KfuncTrusted, Types: hookTC | hookAct, Since: kver.V(6, 18)},
	{Decl: "int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr__uninit)", Types: hookXDP, Since: kver.V(6, 4)},
	{Decl: "int bpf_xdp_pull_data(struct xdp_md *x, u32 len)", Flags: KfuncChangesPacket, Types: hookXDP, Since: kver.V(6, 18)},
	{Decl: "int bpf_sock_addr_set_sun_path(struct bpf_sock_addr_kern *sa_kern, const u8 *sun_path, u32 sun_path__sz)", Types: hookCgroup, Since: kver.V(6, 7)},
	{Decl: "int bpf_sk_assign_tcp_reqsk(struct __sk_buff *s, struct sock *sk, struct bpf_tcp_req_attrs *attrs, int attrs__sz)", Flags: KfuncTrusted, Types: hookTC, Since: kver.V(6, 9)},
	{Decl: "int bpf_sock_ops_enable_tx_tstamp(struct bpf_sock_ops_kern *skops, u64 flags)", Flags: KfuncTrusted, Types: hookCgroup, Since: kver.V(6, 15)},
	{Decl: "int bpf_sock_destroy(struct sock_common *sock)", Flags: KfuncTrusted, Types: hookTracing, Since: kver.V(6, 5), Only: []string{"iter/tcp", "iter/udp"}},
	{Decl: "int bpf_skb_get_xfrm_info(struct __sk_buff *skb_ctx, struct bpf_xfrm_info *to)", Types: hookTC, Since: kver.V(6, 2)},
	{Decl: "int bpf_skb_set_xfrm_info(struct __sk_buff *skb_ctx, const struct bpf_xfrm_info *from)", Types: hookTC, Since: kver.V(6, 2)},
	{Decl: "struct xfrm_state *bpf_xdp_get_xfrm_state(struct xdp_md *ctx, struct bpf_xfrm_state_opts *opts, u32 opts__sz)", Flags: acqNull, Types: hookXDP, Since: kver.V(6, 8)},
	{Decl: "void bpf_xdp_xfrm_state_release(struct xfrm_state *x)", Flags: KfuncRelease, Types: hookXDP, Since: kver.V(6, 8)},
	{Decl: "int bpf_skb_set_fou_encap(struct __sk_buff *skb_ctx, struct bpf_fou_encap *encap, int type)", Types: hookTC, Since: kver.V(6, 4)},
	{Decl: "int bpf_skb_get_fou_encap(struct __sk_buff *skb_ctx, struct bpf_fou_encap *encap)", Types: hookTC, Since: kver.V(6, 4)},
	{Decl: "struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)", Flags: acqNull, Types: hookTC | hookXDP, Since: kver.V(6, 0)},
	{Decl: "struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)", Flags: acqNull, Types: hookTC | hookXDP, Since: kver.V(5, 18)},
	{Decl: "struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)", Flags: acqNull, Types: hookTC | hookXDP, Since: kver.V(6, 0)},
	{Decl: "struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)", Flags: acqNull, Types: hookTC | hookXDP, Since: kver.V(5, 18)},
	{Decl: "struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *nfct_i)", Flags: acqNull | KfuncRelease, Types: hookTC | hookXDP, Since: kver.V(6, 0)},
	{Decl: "void bpf_ct_release(struct nf_conn *nfct)", Flags: KfuncRelease, Types: hookTC | hookXDP, Since: kver.V(5, 18)},
	{Decl: "void bpf_ct_set_timeout(struct nf_conn___init *nfct, u32 timeout)", Flags: KfuncTrusted, Types: hookTC | hookXDP, Since: kver.V(6, 0)},
	{Decl: "int bpf_ct_change_timeout(struct nf_conn *nfct, u32 timeout)", Flags: KfuncTrusted, Types: hookTC | hookXDP, Since: kver.V(6, 0)},
	{Decl: "int bpf_ct_set_status(const struct nf_conn___init *nfct, u32 status)", Flags: KfuncTrusted, Types: hookTC | hookXDP, Since: kver.V(6, 0)},
	{Decl: "int bpf_ct_change_status(struct nf_conn *nfct, u32 status)", Flags: KfuncTrusted, Types: hookTC | hookXDP, Since: kver.V(6, 0)},
	{Decl: "int bpf_ct_set_nat_info(struct nf_conn___init *nfct, union nf_inet_addr *addr, int port, enum nf_nat_manip_type manip)", Flags: KfuncTrusted, Types: hookTC | hookXDP, Since: kver.V(6, 1)},
	{Decl: "struct flow_offload_tuple_rhash *bpf_xdp_flow_lookup(struct xdp_md *ctx, struct bpf_fib_lookup *fib_tuple, struct bpf_flowtable_opts *opts, u32 opts_len__sz)", Flags: KfuncTrusted | KfuncRetNull, Types: hookXDP, Since: kver.V(6, 11)},

	// crypt_init_kfunc_btf_ids, crypt_kfunc_btf_ids
	{Decl: "struct bpf_crypto_ctx *bpf_crypto_ctx_create(const struct bpf_crypto_params *params, u32 params__sz, int *err)", Flags: acqNull | KfuncSleepable, Types: hookSyscall, Since: kver.V(6, 10)},
	{Decl: "void bpf_crypto_ctx_release(struct bpf_crypto_ctx *ctx)", Flags: KfuncRelease, Types: hookSyscall, Since: kver.V(6, 10)},
	{Decl: "struct bpf_crypto_ctx *bpf_crypto_ctx_acquire(struct bpf_crypto_ctx *ctx)", Flags: acqRCUNull, Types: hookSyscall, Since: kver.V(6, 10)},
	{Decl: "int bpf_crypto_decrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst, const struct bpf_dynptr *siv__nullable)", Flags: KfuncRCU, Types: crypting, Since: kver.V(6, 10)},
	{Decl: "int bpf_crypto_encrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst, const struct bpf_dynptr *siv__nullable)", Flags: KfuncRCU, Types: crypting, Since: kver.V(6, 10)},

	// cpumask_kfunc_btf_ids
	{Decl: "struct bpf_cpumask *bpf_cpumask_create(void)", Flags: acqNull, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "void bpf_cpumask_release(struct bpf_cpumask *cpumask)", Flags: KfuncRelease, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *cpumask)", Flags: KfuncAcquire | KfuncTrusted, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "u32 bpf_cpumask_first(const struct cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "u32 bpf_cpumask_first_zero(const struct cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "u32 bpf_cpumask_first_and(const struct cpumask *src1, const struct cpumask *src2)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 5)},
	{Decl: "void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "void bpf_cpumask_setall(struct bpf_cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "void bpf_cpumask_clear(struct bpf_cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "void bpf_cpumask_or(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "void bpf_cpumask_xor(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_equal(const struct cpumask *src1, const struct cpumask *src2)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_intersects(const struct cpumask *src1, const struct cpumask *src2)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_subset(const struct cpumask *src1, const struct cpumask *src2)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_empty(const struct cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "bool bpf_cpumask_full(const struct cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "void bpf_cpumask_copy(struct bpf_cpumask *dst, const struct cpumask *src)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 3)},
	{Decl: "u32 bpf_cpumask_any_distribute(const struct cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 5)},
	{Decl: "u32 bpf_cpumask_any_and_distribute(const struct cpumask *src1, const struct cpumask *src2)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 5)},
	{Decl: "u32 bpf_cpumask_weight(const struct cpumask *cpumask)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 8)},
	{Decl: "int bpf_cpumask_populate(struct cpumask *cpumask, void *src, size_t src__sz)", Flags: KfuncRCU, Types: cpumasks, Since: kver.V(6, 15)},

	// Sets with a filter: fs_kfunc_set_ids, kprobe_multi_kfunc_set_ids; bpf_rstat_kfunc_ids
	{Decl: "struct file *bpf_get_task_exe_file(struct task_struct *task)", Flags: KfuncAcquire | KfuncTrusted | KfuncRetNull, Types: SetOf(prog.LSM), Since: kver.V(6, 12)},
	{Decl: "void bpf_put_file(struct file *file)", Flags: KfuncRelease, Types: SetOf(prog.LSM), Since: kver.V(6, 12)},
	{Decl: "int bpf_path_d_path(const struct path *path, char *buf, size_t buf__sz)", Flags: KfuncTrusted, Types: SetOf(prog.LSM), Since: kver.V(6, 12)},
	{Decl: "int bpf_get_dentry_xattr(struct dentry *dentry, const char *name__str, struct bpf_dynptr *value_p)", Flags: KfuncSleepable | KfuncTrusted, Types: SetOf(prog.LSM), Since: kver.V(6, 13)},
	{Decl: "int bpf_get_file_xattr(struct file *file, const char *name__str, struct bpf_dynptr *value_p)", Flags: KfuncSleepable | KfuncTrusted, Types: SetOf(prog.LSM), Since: kver.V(6, 8)},
	{Decl: "int bpf_set_dentry_xattr(struct dentry *dentry, const char *name__str, const struct bpf_dynptr *value_p, int flags)", Flags: KfuncSleepable | KfuncTrusted, Types: SetOf(prog.LSM), Since: kver.V(6, 15)},
	{Decl: "int bpf_remove_dentry_xattr(struct dentry *dentry, const char *name__str)", Flags: KfuncSleepable | KfuncTrusted, Types: SetOf(prog.LSM), Since: kver.V(6, 15)},
	{Decl: "bool bpf_session_is_return(void)", Types: SetOf(prog.Kprobe), Since: kver.V(6, 10), Only: []string{"kprobe.session", "uprobe.session"}},
	{Decl: "__u64 *bpf_session_cookie(void)", Types: SetOf(prog.Kprobe), Since: kver.V(6, 10), Only: []string{"kprobe.session", "uprobe.session"}},
	{Decl: "void css_rstat_updated(struct cgroup_subsys_state *css, int cpu)", Types: hookTracing, Since: kver.V(6, 17)},
	{Decl: "void css_rstat_flush(struct cgroup_subsys_state *css)", Flags: KfuncSleepable, Types: hookTracing, Since: kver.V(6, 17)},
}
