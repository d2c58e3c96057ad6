package helpers

import (
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// allTypes is every program type.
const allTypes TypeSet = 1<<prog.NumTypes - 2

// Table is indexed by helper id.
var Table = []Row{
	1: {ID: 1, Name: "bpf_map_lookup_elem", Args: [5]Arg{ArgMapPtr, ArgMapKey}, Ret: RetMapValue | RetMaybeNull,
		Types: allTypes, Since: kver.V(3, 19)},
	2: {ID: 2, Name: "bpf_map_update_elem", Args: [5]Arg{ArgMapPtr, ArgMapKey, ArgMapValue, ArgAny},
		Types: allTypes, Since: kver.V(3, 19)},
	3: {ID: 3, Name: "bpf_map_delete_elem", Args: [5]Arg{ArgMapPtr, ArgMapKey}, Types: allTypes, Since: kver.V(3, 19)},
	5: {ID: 5, Name: "bpf_ktime_get_ns", Types: allTypes, Since: kver.V(4, 1)},
	6: {ID: 6, Name: "bpf_trace_printk", Args: [5]Arg{ArgMem | ArgReadOnly, ArgSize}, GPL: true, Types: allTypes,
		Since: kver.V(4, 1)},
	7:  {ID: 7, Name: "bpf_get_prandom_u32", Types: allTypes, Since: kver.V(4, 1)},
	8:  {ID: 8, Name: "bpf_get_smp_processor_id", Types: allTypes, Since: kver.V(4, 1)},
	12: {ID: 12, Name: "bpf_tail_call", Args: [5]Arg{ArgCtx, ArgMapPtr, ArgAny}, Ret: RetVoid, Types: allTypes, Since: kver.V(4, 2), Engine: true},
	28: {ID: 28, Name: "bpf_csum_diff", Args: [5]Arg{ArgMem | ArgMaybeNull | ArgReadOnly, ArgSizeOrZero,
		ArgMem | ArgMaybeNull | ArgReadOnly, ArgSizeOrZero, ArgAny}, Types: allTypes, Since: kver.V(4, 6)},
	44: {ID: 44, Name: "bpf_xdp_adjust_head", Args: [5]Arg{ArgCtx, ArgAny}, ChangesPacket: true, Types: SetOf(prog.XDP),
		Since: kver.V(4, 10)},
	51: {ID: 51, Name: "bpf_redirect_map", Args: [5]Arg{ArgMapPtr, ArgAny, ArgAny}, Types: SetOf(prog.XDP), Since: kver.V(4, 14)},
}
