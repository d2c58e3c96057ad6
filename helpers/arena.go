package helpers

import "github.com/skepvm/skep/maps"

// arenaRows are the kernel functions for arenas. What programs have of pages are addresses of the arena's user.
var arenaRows = []Row{
	{Name: "bpf_arena_alloc_pages", Args: [5]Arg{ArgMapPtr, ArgAny, ArgAny, ArgAny, ArgAny}, Fn: arenaAllocPages},
	{Name: "bpf_arena_free_pages", Args: [5]Arg{ArgMapPtr, ArgAny, ArgAny}, Fn: arenaFreePages},
	{Name: "bpf_arena_reserve_pages", Args: [5]Arg{ArgMapPtr, ArgAny, ArgAny}, Fn: arenaReservePages},
}

// arenaArg is the arena whose handle is in argument 1; nil when the map is none.
func (e *Env) arenaArg(handle uint64) (*maps.Pages, error) {
	m, err := e.mapArg(1, handle)
	if err != nil {
		return nil, err
	}
	arena, _ := maps.PagesOf(m)
	return arena, nil
}

// anyNode is the NUMA node that stands for all (Linux: NUMA_NO_NODE). Otherwise there is one, 0.
const anyNode = -1

// arenaAllocPages: see Linux bpf_arena_alloc_pages. It gives an address, or 0.
func arenaAllocPages(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	arena, err := e.arenaArg(r1)
	if node := int32(r4); err != nil || arena == nil || r5 != 0 || node != anyNode && node != 0 {
		return 0, err
	}
	return arena.Alloc(r2, uint32(r3)), nil
}

// arenaFreePages: see Linux bpf_arena_free_pages.
func arenaFreePages(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	arena, err := e.arenaArg(r1)
	if err == nil && arena != nil && r2 != 0 {
		arena.Free(r2, uint32(r3))
	}
	return 0, err
}

// arenaReservePages: see Linux bpf_arena_reserve_pages.
func arenaReservePages(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	arena, err := e.arenaArg(r1)
	switch {
	case err != nil:
		return 0, err
	case arena == nil:
		return intRet(maps.EINVAL), nil
	}
	return intRet(maps.ErrnoOf(arena.Reserve(r2, uint32(r3)))), nil
}
