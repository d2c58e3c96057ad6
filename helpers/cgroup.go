package helpers

import (
	"encoding/binary"
	"slices"

	"github.com/skepvm/skep/maps"
)

// Group is the control group of a task or a socket: its id, and those of the groups above it, the nearest first.
type Group struct {
	ID        uint64
	Ancestors []uint64
}

// under reports whether g is the group of that id or below it (Linux: cgroup_is_descendant). nil is under none.
func (g *Group) under(id uint64) bool {
	return g != nil && (g.ID == id || slices.Contains(g.Ancestors, id))
}

// getLocalStorage: see Linux bpf_get_local_storage. The group is Env.Cgroup, the way Env.Attach.
func getLocalStorage(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	s, ok := m.(*maps.CgroupStorages)
	if !ok {
		return 0, &ArgError{1, r1, "is no cgroup storage"}
	}
	addr := s.At(e.CPU, e.Cgroup, uint32(e.Attach))
	if addr == 0 { // the kernel made room when the program was attached
		return 0, &ArgError{1, r1, "has no room for another cgroup"}
	}
	return uint64(addr), nil
}

// cgroupAt is the id of the control group in an array's element, or an error number (Linux: bpf_current_task_under_cgroup).
func (e *Env) cgroupAt(arg int, handle, index uint64) (id uint64, errno maps.Errno, err error) {
	m, err := e.mapArg(arg, handle)
	if err != nil {
		return 0, 0, err
	}
	if m.Spec().Type != maps.CgroupArray {
		return 0, 0, &ArgError{arg, handle, "is no array of cgroups"}
	}
	if uint32(index) >= m.Spec().MaxEntries {
		return 0, maps.E2BIG, nil
	}
	key := e.scratch[:4]
	binary.LittleEndian.PutUint32(key, uint32(index))
	addr := m.LookupAddr(e.CPU, key)
	if addr == 0 {
		return 0, maps.EAGAIN, nil
	}
	return uint64(e.Space.Load32(addr)), 0, nil
}

func currentTaskUnderCgroup(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	id, errno, err := e.cgroupAt(1, r1, r2)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	t := e.task()
	return boolWord64((&Group{t.CgroupID, t.Ancestors}).under(id)), nil
}

// skbUnderCgroup asks for the group of the packet's socket (Linux: bpf_skb_under_cgroup).
func skbUnderCgroup(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	s := e.skOfCtx(r1)
	if s == nil || !s.isFull() {
		return maps.ENOENT.Ret(), nil
	}
	id, errno, err := e.cgroupAt(2, r2, r3)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	return boolWord64(s.Cgroup.under(id)), nil
}

func boolWord64(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// currentTask is the guest address of the current task's struct task_struct: its object in Env.Memory.
func (e *Env) currentTask() uint32 {
	if e.Memory == nil {
		return 0
	}
	t := e.task()
	i, found := e.Memory.search(t.Addr)
	if !found || t.Addr == 0 {
		return 0
	}
	o := &e.Memory.objects[i]
	return o.addr + uint32(t.Addr-o.at)
}

// Described is how many bytes of a described object follow a guest address.
func (e *Env) Described(addr uint32) uint32 {
	if e.Memory == nil {
		return 0
	}
	for _, o := range e.Memory.objects {
		if off := addr - o.addr; addr >= o.addr && off < o.size {
			return o.size - off
		}
	}
	return 0
}

// getCurrentTaskBTF gives the current task as memory that programs read through. There must be a description of it.
func getCurrentTaskBTF(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	addr := e.currentTask()
	if addr == 0 {
		return 0, &ArgError{1, e.task().Addr, "is the current task's address, where nothing is described"}
	}
	return uint64(addr), nil
}

// taskKey is a task's key in task storage, its pid. Deviation: the only task that is known is the current one.
func (e *Env) taskKey(ptr uint64) ([]byte, bool) {
	if at := e.currentTask(); at == 0 || uint64(at) != ptr {
		return nil, false
	}
	key := e.scratch[:4]
	binary.LittleEndian.PutUint32(key, e.task().PID)
	return key, true
}

// taskStorageGet: see Linux bpf_task_storage_get.
func taskStorageGet(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil || r2 == 0 || r4&^uint64(storageCreate) != 0 {
		return 0, err
	}
	key, ok := e.taskKey(r2)
	if !ok {
		return 0, nil
	}
	return e.storageGet(m, key, r3, r4)
}

// taskStorageDelete: see Linux bpf_task_storage_delete.
func taskStorageDelete(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	if r2 == 0 {
		return maps.EINVAL.Ret(), nil
	}
	key, ok := e.taskKey(r2)
	if !ok {
		return maps.ENOENT.Ret(), nil
	}
	return ret(m.Delete(key))
}
