package verifier

import (
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

func isSockMap(m *maps.Spec) bool { return m.Type == maps.SockMap || m.Type == maps.SockHash }
func isXSK(m *maps.Spec) bool     { return m.Type == maps.XSKMap }

// onlyHelpers are the map types that only the listed helpers take.
var onlyHelpers = map[maps.Type][]int32{
	maps.ProgArray:           {12},
	maps.PerfEventArray:      {22, 25, 55, 111, 121},
	maps.RingBuf:             {130, 131, 134, 198, 199, 200},
	maps.UserRingBuf:         {209},
	maps.StackTrace:          {27},
	maps.CgroupArray:         {33, 37},
	maps.CgroupStorage:       {81},
	maps.PerCPUCgroupStorage: {81},
	maps.DevMap:              {51, 1},
	maps.DevMapHash:          {51, 1},
	maps.CPUMap:              {51},
	maps.XSKMap:              {51, 1},
	maps.ArrayOfMaps:         {1},
	maps.HashOfMaps:          {1},
	maps.SockMap:             {52, 53, 3, 60, 82, 1, 2},
	maps.SockHash:            {72, 70, 3, 71, 82, 1, 2},
	maps.ReuseportSockArray:  {82},
	maps.Queue:               {89, 88, 87},
	maps.Stack:               {89, 88, 87},
	maps.SKStorage:           {107, 108, 194},
	maps.InodeStorage:        {145, 146, 194},
	maps.TaskStorage:         {156, 157, 194},
	maps.CgrpStorage:         {210, 211, 194},
	maps.BloomFilter:         {89, 87},
}

// onlyMaps are the helpers that take only the listed map types.
var onlyMaps = map[int32][]maps.Type{
	12: {maps.ProgArray},
	22: {maps.PerfEventArray}, 25: {maps.PerfEventArray}, 55: {maps.PerfEventArray}, 111: {maps.PerfEventArray}, 121: {maps.PerfEventArray},
	130: {maps.RingBuf}, 131: {maps.RingBuf}, 134: {maps.RingBuf}, 198: {maps.RingBuf}, 199: {maps.RingBuf},
	200: {maps.RingBuf}, 209: {maps.UserRingBuf},
	27: {maps.StackTrace}, 33: {maps.CgroupArray}, 37: {maps.CgroupArray},
	51: {maps.DevMap, maps.DevMapHash, maps.CPUMap, maps.XSKMap},
	52: {maps.SockMap}, 53: {maps.SockMap}, 60: {maps.SockMap},
	70: {maps.SockHash}, 71: {maps.SockHash}, 72: {maps.SockHash},
	81: {maps.CgroupStorage, maps.PerCPUCgroupStorage},
	82: {maps.ReuseportSockArray, maps.SockMap, maps.SockHash},
	87: {maps.Queue, maps.Stack, maps.BloomFilter}, 88: {maps.Queue, maps.Stack}, 89: {maps.Queue, maps.Stack, maps.BloomFilter},
	107: {maps.SKStorage}, 108: {maps.SKStorage}, 145: {maps.InodeStorage}, 146: {maps.InodeStorage},
	156: {maps.TaskStorage}, 157: {maps.TaskStorage}, 210: {maps.CgrpStorage}, 211: {maps.CgrpStorage},
	195: {maps.PerCPUArray, maps.PerCPUHash, maps.LRUPerCPUHash},
	164: {maps.Array, maps.PerCPUArray, maps.Hash, maps.PerCPUHash, maps.LRUHash, maps.LRUPerCPUHash},
}

// checkMapFits checks that the helper and the map belong together (kernel: check_map_func_compatibility), and that the
// call does not go through two maps where the engines resolve one.
func (v *verifier) checkMapFits(id int32) *Error {
	m := v.call.m
	if m == nil {
		return nil
	}
	ok := true
	if ids, listed := onlyHelpers[m.Type]; listed {
		ok = contains(ids, id)
	}
	if types, listed := onlyMaps[id]; listed {
		ok = ok && contains(types, m.Type)
	}
	if ok && isSockMap(m) && !v.updatesSockMap(id) {
		return v.fail(MapHelper, "cannot update sockmap in this context\ncannot pass map_type %d into func %s#%d", m.Type,
			v.call.row.Name, id)
	}
	if !ok {
		return v.fail(MapHelper, "cannot pass map_type %d into func %s#%d", m.Type, v.call.row.Name, id)
	}
	return v.checkMapFlags(id, m)
}

// sockMapUpdaters are the program types that may change a map of sockets with the helpers for all maps.
var sockMapUpdaters = helpers.SetOf(prog.SocketFilter, prog.SchedCLS, prog.SchedACT, prog.XDP, prog.SkReuseport, prog.FlowDissector,
	prog.SkLookup)

// updatesSockMap reports whether the program may call helper id on a map of sockets, as far as it would change it (kernel:
// may_update_sockmap).
func (v *verifier) updatesSockMap(id int32) bool {
	switch {
	case id != helperMapUpdate && id != helperMapDelete, sockMapUpdaters.Has(v.prog.Type):
		return true
	case v.prog.Type == prog.SockOps:
		return id == helperMapDelete
	}
	return v.prog.Type == prog.Tracing && v.attach == prog.AttachTraceIter
}

// checkMapFlags checks that a helper which changes or reads the map may (kernel: record_func_map).
func (v *verifier) checkMapFlags(id int32, m *maps.Spec) *Error {
	switch id {
	case helperMapUpdate, helperMapDelete, 87, 88:
		if !m.ProgWrites() {
			return v.fail(ReadOnlyMem, "write into map forbidden")
		}
	}
	return nil
}

func contains[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}
