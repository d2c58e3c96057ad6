package helpers

import "strings"

// notRun says why helpers and kernel functions do not run here, by reason. What makes no sense outside of a kernel is told from what
// is only not written yet: notYet.
var notRun = []struct{ why, names string }{
	{"needs the objects of a running kernel", `
		bpf_skc_to_tcp6_sock bpf_skc_to_tcp_sock bpf_skc_to_tcp_timewait_sock bpf_skc_to_tcp_request_sock bpf_skc_to_udp6_sock
		bpf_skc_to_unix_sock bpf_skc_to_mptcp_sock bpf_sock_from_file bpf_d_path bpf_path_d_path bpf_find_vma bpf_task_pt_regs
		bpf_get_task_stack bpf_copy_from_user_task bpf_copy_from_user_task_str bpf_copy_from_user_task_dynptr
		bpf_copy_from_user_task_str_dynptr bpf_bprm_opts_set bpf_inode_storage_get bpf_inode_storage_delete bpf_cgrp_storage_get
		bpf_cgrp_storage_delete bpf_task_acquire bpf_task_release bpf_task_from_pid bpf_task_from_vpid bpf_send_signal_task
		bpf_cgroup_acquire bpf_cgroup_release bpf_cgroup_ancestor bpf_cgroup_from_id bpf_task_under_cgroup bpf_task_get_cgroup1
		bpf_iter_task_vma_new bpf_iter_task_vma_next bpf_iter_task_vma_destroy bpf_iter_css_task_new bpf_iter_css_task_next
		bpf_iter_css_task_destroy bpf_iter_css_new bpf_iter_css_next bpf_iter_css_destroy bpf_iter_task_new bpf_iter_task_next
		bpf_iter_task_destroy bpf_get_kmem_cache bpf_iter_kmem_cache_new bpf_iter_kmem_cache_next bpf_iter_kmem_cache_destroy
		bpf_iter_dmabuf_new bpf_iter_dmabuf_next bpf_iter_dmabuf_destroy bpf_cgroup_read_xattr bpf_get_task_exe_file bpf_put_file
		bpf_get_dentry_xattr bpf_get_file_xattr bpf_set_dentry_xattr bpf_remove_dentry_xattr css_rstat_updated css_rstat_flush
		bpf_task_work_schedule_signal_impl bpf_task_work_schedule_resume_impl bpf_sock_destroy bpf_sk_assign_tcp_reqsk
		bpf_sock_ops_enable_tx_tstamp`},
	{"needs the kernel's types and variables", `
		bpf_snprintf_btf bpf_seq_printf_btf bpf_btf_find_by_name_kind bpf_kallsyms_lookup_name bpf_per_cpu_ptr bpf_this_cpu_ptr
		bpf_rdonly_cast`},
	{"only for programs of a type that does not run here", `
		bpf_seq_printf bpf_seq_write bpf_get_func_arg bpf_get_func_ret bpf_get_func_arg_cnt bpf_skb_output bpf_xdp_output
		bpf_tcp_send_ack bpf_rc_repeat bpf_rc_keydown bpf_rc_pointer_rel bpf_session_is_return bpf_session_cookie`},
	{"conntrack is not provided", `
		bpf_xdp_ct_alloc bpf_xdp_ct_lookup bpf_skb_ct_alloc bpf_skb_ct_lookup bpf_ct_insert_entry bpf_ct_release bpf_ct_set_timeout
		bpf_ct_change_timeout bpf_ct_set_status bpf_ct_change_status bpf_ct_set_nat_info bpf_xdp_flow_lookup`},
	{"IPsec is not provided", `
		bpf_skb_get_xfrm_state bpf_skb_get_xfrm_info bpf_skb_set_xfrm_info bpf_xdp_get_xfrm_state bpf_xdp_xfrm_state_release`},
	{"keys and the kernel's cryptography are not provided", `
		bpf_lookup_user_key bpf_lookup_system_key bpf_key_put bpf_verify_pkcs7_signature bpf_ima_inode_hash bpf_ima_file_hash
		bpf_crypto_ctx_create bpf_crypto_ctx_release bpf_crypto_ctx_acquire bpf_crypto_decrypt bpf_crypto_encrypt`},
	{"a program here makes no system calls", "bpf_sys_bpf bpf_sys_close"},
	{"it would take the system down", "crash_kexec"},
	{"no program may call it", "__bpf_trap bpf_modify_return_test_tp"},
	{"the verifier does not know it yet", `
		bpf_obj_new_impl bpf_percpu_obj_new_impl bpf_obj_drop_impl bpf_percpu_obj_drop_impl bpf_refcount_acquire_impl
		bpf_list_push_front_impl bpf_list_push_back_impl bpf_list_pop_front bpf_list_pop_back bpf_list_front bpf_list_back
		bpf_rbtree_remove bpf_rbtree_add_impl bpf_rbtree_first bpf_rbtree_root bpf_rbtree_left bpf_rbtree_right
		bpf_res_spin_lock bpf_res_spin_unlock bpf_res_spin_lock_irqsave bpf_res_spin_unlock_irqrestore`},
}

// notYet is the reason of what is in no list of refusals.
const notYet = "not yet"

var refusedFor = func() map[string]string {
	m := map[string]string{}
	for _, r := range notRun {
		for name := range strings.FieldsSeq(r.names) {
			m[name] = r.why
		}
	}
	return m
}()

// WhyNot says why a helper or kernel function that does not run here does not.
func WhyNot(name string) string {
	if why := refusedFor[name]; why != "" {
		return why
	}
	return notYet
}
