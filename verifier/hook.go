package verifier

import (
	"strconv"
	"strings"
	"sync"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// The ctx of tracing and LSM programs is the arguments of the kernel's function that they are attached to, 8 bytes each. Their types
// come from the kernel's BTF.

// hook is what such a program is attached to.
type hook struct {
	name   string
	params []btf.Member
	ret    btf.ID
	// null has a bit for each parameter that may be NULL, errs for each that may be an error.
	null, errs uint16
	known      bool // else there is no BTF of the kernel
}

// maxHookArgs is the most parameters (Linux: MAX_BPF_FUNC_ARGS).
const maxHookArgs = 12

// hookPrefixes are what the kernel's names of hooks begin with.
var hookPrefixes = map[prog.Attach]string{prog.AttachTraceRawTP: "btf_trace_", prog.AttachTraceIter: "bpf_iter_",
	prog.AttachLSMMac: "bpf_lsm_", prog.AttachLSMCgroup: "bpf_lsm_"}

// hooked reports whether the ctx are the arguments of a hook.
func (v *verifier) hooked() bool { return v.prog.Type == prog.Tracing || v.prog.Type == prog.LSM }

// findHook finds what the program's section says that it is attached to (kernel: bpf_check_attach_target).
func (v *verifier) findHook() *Error {
	switch v.prog.Type {
	case prog.Ext:
		return v.failAt(-1, Unsupported, "what an extension program may do is up to the program that it replaces a function of")
	case prog.StructOps:
		return v.failAt(-1, Unsupported, "what a struct_ops program may do is up to the operation that it implements")
	}
	if !v.hooked() || v.givenBTF == nil {
		return nil
	}
	_, name, _ := strings.Cut(v.prog.Section, "/")
	full := hookPrefixes[v.attach] + name
	h := &v.hook
	types := v.givenBTF
	var proto btf.ID
	if v.attach == prog.AttachTraceRawTP {
		id, ok := types.Find(btf.Typedef, full)
		proto, h.name = types.Resolve(types.At(types.Resolve(id)).Ref), name
		if !ok || types.At(proto).Kind != btf.FuncProto {
			return v.failAt(-1, BadHook, "%s is not in the kernel's BTF", full)
		}
	} else {
		id, ok := types.Find(btf.Func, full)
		if proto, h.name = types.At(id).Ref, full; !ok {
			return v.failAt(-1, BadHook, "%s is not in the kernel's BTF", full)
		}
	}
	t := types.At(proto)
	h.params, h.ret, h.known = types.Members(t), t.Ref, true
	if v.attach == prog.AttachTraceRawTP {
		v.findNullable()
	}
	return v.checkHook()
}

// checkHook refuses what BTF does not tell enough of, and functions that no program can be attached to.
func (v *verifier) checkHook() *Error {
	h := &v.hook
	switch v.attach {
	case prog.AttachModifyReturn:
		if !strings.HasPrefix(h.name, "security_") {
			return v.failAt(-1, Unsupported, "whether %s() is modifiable is not in BTF", h.name)
		}
	case prog.AttachTraceIter:
		if iterArgs[strings.TrimPrefix(h.name, "bpf_iter_")] == nil {
			return v.failAt(-1, Unsupported, "iterators of %s are not supported", h.name)
		}
	}
	switch {
	case v.sleepable && v.attach != prog.AttachTraceIter:
		return v.failAt(-1, Unsupported, "whether %s is sleepable is not in BTF", h.name)
	case deniedHooks[h.name]:
		return v.failAt(-1, BadHook, "attaching tracing programs to function '%s' is rejected.", h.name)
	case len(h.params) > maxHookArgs+1 || v.attach != prog.AttachTraceRawTP && len(h.params) > maxHookArgs:
		return v.failAt(-1, BadHook, "The function %s has %d arguments. Too many.", h.name, len(h.params))
	case len(h.params) > 0 && h.params[len(h.params)-1].Type == 0:
		return v.failAt(-1, BadHook, "The function %s with variable args is unsupported.", h.name)
	}
	return nil
}

// deniedHooks are functions that programs may not be attached to (kernel: btf_id_deny, bpf_lsm_disabled_hooks).
var deniedHooks = words("migrate_disable migrate_enable rcu_read_unlock_strict preempt_count_add preempt_count_sub __rcu_read_lock " +
	"__rcu_read_unlock bpf_lsm_vm_enough_memory bpf_lsm_inode_need_killpriv bpf_lsm_inode_getsecurity bpf_lsm_inode_listsecurity " +
	"bpf_lsm_inode_copy_up_xattr bpf_lsm_getselfattr bpf_lsm_getprocattr bpf_lsm_setprocattr bpf_lsm_key_getsecurity " +
	"bpf_lsm_audit_rule_match bpf_lsm_xfrm_decode_session bpf_lsm_ismaclabel")

// distrustedHooks are LSM hooks whose objects are just made or about to go (kernel: untrusted_lsm_hooks).
var distrustedHooks = words("bpf_lsm_bpf_map_free bpf_lsm_bpf_prog_free bpf_lsm_file_alloc_security bpf_lsm_file_free_security " +
	"bpf_lsm_sk_alloc_security bpf_lsm_sk_free_security bpf_lsm_task_free")

// boolHooks are LSM hooks that answer yes or no (kernel: bool_lsm_hooks).
var boolHooks = words("bpf_lsm_xfrm_state_pol_flow_match bpf_lsm_audit_rule_known bpf_lsm_inode_xattr_skipcap")

func words(list string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(list) {
		m[w] = true
	}
	return m
}

// iterArgs are what the arguments of iterators' functions point to, after the first one, by the name of the iterator (kernel:
// ctx_arg_info of struct bpf_iter_reg).
var iterArgs = map[string][]regFlags{
	"task": {trusted | maybeNull}, "bpf_map": {trusted | maybeNull}, "bpf_prog": {trusted | maybeNull}, "bpf_link": {trusted | maybeNull},
	"cgroup": {trusted | maybeNull}, "tcp": {trusted | maybeNull}, "udp": {trusted | maybeNull}, "unix": {trusted | maybeNull},
	"netlink": {trusted | maybeNull},
}

// nullArgs are arguments of tracepoints that may be NULL (1) or an error (2), four bits each in hexadecimal
// (kernel: raw_tp_null_args, and what 6.18 was seen to refuse).
const nullArgs = `
	sched_pi_setprio:10 sched_process_wait:1 sched_stick_numa:100 sched_swap_numa:100 afs_make_fs_call:10 afs_make_fs_calli:10
	afs_make_fs_call1:10 afs_make_fs_call2:10 afs_protocol_error:1 afs_flock_ev:10 cachefiles_lookup:201 cachefiles_unlink:1
	cachefiles_rename:1 cachefiles_prep_read:1 cachefiles_mark_active:1 cachefiles_mark_failed:1 cachefiles_mark_inactive:1
	cachefiles_vfs_error:1 cachefiles_io_error:1 cachefiles_ondemand_open:1 cachefiles_ondemand_copen:1
	cachefiles_ondemand_close:1 cachefiles_ondemand_read:1 cachefiles_ondemand_cread:1 cachefiles_ondemand_fd_write:1
	cachefiles_ondemand_fd_release:1 ext4_mballoc_discard:10 ext4_mballoc_free:10 fib_table_lookup:100 posix_lock_inode:10
	fcntl_setlk:10 locks_remove_posix:10 flock_lock_inode:10 break_lease_noblock:10 break_lease_block:10 break_lease_unblock:10
	generic_delete_lease:10 time_out_leases:10 host1x_cdma_push_gather:10000 mm_khugepaged_scan_pmd:10
	mm_collapse_huge_page_isolate:1 mm_khugepaged_scan_file:10 mm_khugepaged_collapse_file:10 mm_page_alloc:1
	mm_page_pcpu_drain:1 mm_page_alloc_zone_locked:1 netfs_failure:10 device_pm_callback_start:10 qdisc_dequeue:1000
	rxrpc_recvdata:1 rxrpc_resend:10 signal_generate:20 signal_deliver:20 kfree_skb:1000 xs_stream_read_data:1
	xprt_reserve_cong:10 xprt_release_cong:10 xprt_get_cong:10 xprt_put_cong:10 tcp_send_reset:11 tegra_dma_tx_status:100
	tmigr_update_events:1 writeback_dirty_folio:10 folio_wait_writeback:10 mr_integ_alloc:2000 hugetlbfs_alloc_inode:10
	xfs_inodegc_flush:1 xfs_inodegc_push:1 xfs_inodegc_start:1 xfs_inodegc_stop:1 xfs_inodegc_queue:1 xfs_inodegc_throttle:1
	xfs_fs_sync_fs:1 xfs_blockgc_start:1 xfs_blockgc_stop:1 xfs_blockgc_worker:1 xfs_blockgc_flush_all:1
	xfs_map_blocks_found:10000 xfs_map_blocks_alloc:10000 xfs_defer_create_intent:1 xfs_defer_cancel_list:1
	xfs_defer_pending_finish:1 xfs_defer_pending_abort:1 xfs_defer_relog_intent:1 xfs_defer_isolate_paused:1
	xfs_defer_item_pause:1 xfs_defer_item_unpause:1 xfs_defer_add_item:1 xfs_defer_cancel_item:1 xfs_defer_finish_item:1
	xfs_ioc_free_eofblocks:10 xfs_blockgc_free_space:10`

var nullArgMasks = sync.OnceValue(func() map[string]uint64 {
	m := map[string]uint64{}
	for _, w := range strings.Fields(nullArgs) {
		name, mask, _ := strings.Cut(w, ":")
		m[name], _ = strconv.ParseUint(mask, 16, 64)
	}
	return m
})

// findNullable finds the arguments of a tracepoint that may be NULL: those that are listed, and those whose name says so. The names
// are those of a function that the tracepoint may share with others, so all of its type count.
func (v *verifier) findNullable() {
	h := &v.hook
	h.params = h.params[min(1, len(h.params)):] // the first is the probe's own
	mask := nullArgMasks()[h.name]
	for i := range h.params {
		h.null |= uint16(mask>>(4*i)&1) << i
		h.errs |= uint16(mask>>(4*i+1)&1) << i
	}
	types := v.givenBTF
	for id := range btf.ID(types.Len()) {
		f := types.At(id)
		if f.Kind != btf.Func || !strings.HasPrefix(f.Name, "__bpf_trace_") {
			continue
		}
		params := types.Members(types.At(f.Ref))
		if len(params) != len(h.params)+1 {
			continue
		}
		same, null := true, uint16(0)
		for i, p := range params[1:] {
			same = same && v.sameParam(p.Type, h.params[i].Type)
			if strings.HasSuffix(p.Name, "__nullable") {
				null |= 1 << i
			}
		}
		if same {
			h.null |= null
		}
	}
}

// sameParam reports whether two types are the same, or pointers to the same.
func (v *verifier) sameParam(a, b btf.ID) bool {
	types := v.givenBTF
	a, b = types.Resolve(a), types.Resolve(b)
	x, y := types.At(a), types.At(b)
	return a == b || x.Kind == btf.Ptr && y.Kind == btf.Ptr && types.Resolve(x.Ref) == types.Resolve(y.Ref)
}

// accessArgs is a load of an argument of the hook (kernel: tracing_prog_is_valid_access, btf_ctx_access).
func (v *verifier) accessArgs(a *access) *Error {
	h := &v.hook
	if !h.known {
		return v.needBTF("what %s has at offset %d of its ctx", v.prog.Section, a.off)
	}
	words := ""
	arg, isRet := 0, false
	off := int(a.off)
	switch {
	case off < 0 || off >= 8*maxHookArgs || a.write || off%a.size != 0:
	case off%8 != 0:
		words = v.hookWords("offset %d is not multiple of 8", off)
	default:
		if arg, isRet, words = v.hookArg(off); words == "" {
			return v.loadArg(a, arg, isRet)
		}
	}
	return v.failArgs(a, words)
}

func (v *verifier) failArgs(a *access, words string) *Error {
	if words != "" {
		words += "\n"
	}
	return v.fail(CtxAccess, "%sinvalid bpf_context access off=%d size=%d", words, a.off, a.size)
}

func (v *verifier) hookWords(format string, args ...any) string {
	return "func '" + v.hook.name + "' " + v.fail(CtxAccess, format, args...).Kernel
}

// hookArg is the number of the argument at an offset; isRet says that it is the result.
func (v *verifier) hookArg(off int) (arg int, isRet bool, words string) {
	h := &v.hook
	at := 0
	for ; arg < len(h.params); arg++ {
		size, _ := v.givenBTF.Size(h.params[arg].Type)
		if at += max(8, int(size+7)/8*8); off < at {
			return arg, false, ""
		}
	}
	switch {
	case off >= at+8:
	case v.attach == prog.AttachTraceFexit, v.attach == prog.AttachLSMMac, v.attach == prog.AttachLSMCgroup, v.attach == prog.AttachModifyReturn:
		return arg, true, ""
	}
	return arg, false, v.hookWords("doesn't have %d-th argument", arg+(off-at)/8+1)
}

// loadArg loads an argument, or the result.
func (v *verifier) loadArg(a *access, arg int, isRet bool) *Error {
	types, h := v.givenBTF, &v.hook
	typ := h.ret
	if !isRet {
		typ = h.params[arg].Type
	}
	t := types.At(types.Resolve(typ))
	switch {
	case t.Number() || t.Struct():
		v.loaded(a)
		return nil
	case t.Kind != btf.Ptr:
		return v.failArgs(a, v.hookWords("arg%d '%s' has type %s. Only pointer access is allowed", arg, t.Name, t.Kind))
	case a.size != 8:
		return v.failArgs(a, v.hookWords("size %d must be 8", a.size))
	}
	to := types.At(types.Resolve(t.Ref))
	if to.Kind == btf.Void || to.Kind == btf.Int { // as good as a number
		v.loaded(a)
		return nil
	}
	if !to.Struct() {
		return v.failArgs(a, v.hookWords("arg%d type %s is not a struct", arg, to.Kind))
	}
	if a.signed {
		return v.failArgs(a, "")
	}
	if a.value == noValue {
		return nil
	}
	dst := &v.regs()[a.value]
	if h.errs>>arg&1 != 0 && !isRet {
		*dst = unknownReg()
		return nil
	}
	*dst = ptrReg(ptrBTF)
	dst.aux = int32(types.Resolve(t.Ref))
	dst.flags = v.argFlags(arg, isRet)
	if tag := types.At(t.Ref); tag.Kind == btf.TypeTag {
		dst.flags |= tagFlags[tag.Name] &^ rcu
	}
	if dst.null() {
		dst.id = v.newID()
	}
	return nil
}

// argFlags say how far an argument is to be trusted.
func (v *verifier) argFlags(arg int, isRet bool) regFlags {
	h := &v.hook
	flags := regFlags(0)
	switch {
	case v.attach == prog.AttachTraceIter && arg > 0:
		if list := iterArgs[strings.TrimPrefix(h.name, "bpf_iter_")]; arg <= len(list) {
			return list[arg-1]
		}
		return untrusted
	case v.attach == prog.AttachTraceRawTP, v.attach == prog.AttachTraceIter, v.prog.Type == prog.LSM && !distrustedHooks[h.name]:
		flags = trusted
	}
	if !isRet && (h.null>>arg&1 != 0 || strings.HasSuffix(h.params[arg].Name, "__nullable")) {
		flags |= maybeNull
	}
	return flags
}

// checkLSMReturn checks what an LSM program returns. Without BTF only what every hook takes is right: 0.
func (v *verifier) checkLSMReturn(n uint8) *Error {
	want, ok := v.lsmRange()
	if !ok && v.hook.known || !v.profile.Kernel.AtLeast(lsmRangeSince) {
		return nil
	}
	r := v.regs()[n]
	if r.typ != scalar {
		return v.fail(ReturnValue, "At program exit the register R%d is not a known value (%s)", n, r.typeString())
	}
	v.markPrecise(n)
	r.smin, r.smax = int64(r.smin32), int64(r.smax32) // the kernel's functions return 32 bits
	if !ok && (r.smin != 0 || r.smax != 0) {
		return v.needBTF("what %s may return", v.prog.Section)
	}
	return v.checkRange(&r, want.Min, want.Max, "At program exit the register R0")
}

var lsmRangeSince = kver.V(6, 12)

// lsmRange is what an LSM program may return; false when it may return anything (kernel: bpf_lsm_get_retval_range).
func (v *verifier) lsmRange() (prog.Range, bool) {
	switch {
	case !v.hook.known || v.hook.ret == 0:
		return prog.Range{}, false
	case boolHooks[v.hook.name]:
		return prog.Range{Min: 0, Max: 1}, true
	}
	return prog.Range{Min: -maxErrno, Max: 0}, true
}

// pathHooks are the functions in which a path may be resolved (kernel: btf_allowlist_d_path).
var pathHooks = words("security_file_permission security_inode_getattr security_file_open security_path_truncate vfs_truncate " +
	"vfs_fallocate dentry_open vfs_getattr filp_close")

// checkProbe refuses bpf_d_path where the locks that it takes may be held already.
func (v *verifier) checkProbe(r *helpers.Row) *Error {
	switch {
	case r.Name != "bpf_d_path", v.prog.Type == prog.Tracing && pathHooks[v.hook.name]:
		return nil
	case v.prog.Type == prog.LSM:
		return v.fail(Unsupported, "whether %s may resolve paths is not known", v.prog.Section)
	}
	return v.fail(HelperUnavailable, "helper call is not allowed in probe")
}
