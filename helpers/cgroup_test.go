package helpers

import (
	"net/netip"
	"testing"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// cgroupEnv is an Env with maps of the specs and the sockets of a text.
func cgroupEnv(t *testing.T, sockets string, specs ...*maps.Spec) (*Env, []maps.Map) {
	t.Helper()
	space, err := mem.New(mem.Options{Size: 1 << 28})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = space.Close() })
	list, err := ParseSockets([]byte(sockets))
	if err != nil {
		t.Fatal(err)
	}
	table, err := NewSockets(space, list)
	if err != nil {
		t.Fatal(err)
	}
	e := &Env{Space: space, Maps: maps.NewTable(space), NumCPUs: 1, Type: prog.SchedCLS, Sockets: table}
	var all []maps.Map
	for _, s := range specs {
		m, err := maps.New(space, s, maps.Options{})
		if err != nil {
			t.Fatal(err)
		}
		e.Maps.Add(m)
		all = append(all, m)
	}
	return e, all
}

func do(t *testing.T, e *Env, f Func, args ...uint64) int64 {
	t.Helper()
	var a [5]uint64
	copy(a[:], args)
	r, err := f(e, a[0], a[1], a[2], a[3], a[4])
	if err != nil {
		t.Fatal(err)
	}
	return int64(r)
}

func TestSkbUnderCgroup(t *testing.T) {
	e, all := cgroupEnv(t, `[{"proto": "udp", "local": "10.0.0.1:53", "cgroup_id": 9, "cgroup_ancestors": [5, 1]},
		{"proto": "tcp", "local": "10.0.0.1:80", "remote": "10.0.0.2:5000", "state": "TIME-WAIT", "cgroup_id": 9},
		{"proto": "udp", "local": "10.0.0.1:54"}]`,
		&maps.Spec{Type: maps.CgroupArray, KeySize: 4, ValueSize: 4, MaxEntries: 4})
	for i, id := range []byte{9, 5, 6} {
		if err := all[0].HostUpdate([]byte{byte(i), 0, 0, 0}, []byte{id, 0, 0, 0}, maps.Any); err != nil {
			t.Fatal(err)
		}
	}
	ctx, err := e.Space.Alloc(256, 8)
	if err != nil {
		t.Fatal(err)
	}
	handle := uint64(all[0].Handle())
	for _, c := range []struct {
		socket int // -1: none
		index  uint64
		want   int64
	}{
		{0, 0, 1}, {0, 1, 1}, {0, 2, 0}, {0, 3, -int64(maps.EAGAIN)}, {0, 4, -int64(maps.E2BIG)},
		{-1, 0, -int64(maps.ENOENT)}, {1, 0, -int64(maps.ENOENT)}, // a socket in TIME-WAIT is no full one
		{2, 0, 0},
	} {
		sk := uint64(0)
		if c.socket >= 0 {
			sk = uint64(e.Sockets.Addr(c.socket))
		}
		e.Space.Store64(ctx+prog.SKBSk, sk)
		if got := do(t, e, skbUnderCgroup, uint64(ctx), handle, c.index); got != c.want {
			t.Errorf("socket %d, index %d: %d, want %d", c.socket, c.index, got, c.want)
		}
	}
}

// The current task has a description in memory, and a value in the map.
func TestTaskStorage(t *testing.T) {
	e, all := cgroupEnv(t, "[]", &maps.Spec{Type: maps.TaskStorage, KeySize: 4, ValueSize: 8, Flags: maps.NoPrealloc})
	const at = 0xffff888000001000
	object, err := e.Space.Alloc(64, 8)
	if err != nil {
		t.Fatal(err)
	}
	initial, err := e.Space.Alloc(8, 8)
	if err != nil {
		t.Fatal(err)
	}
	e.Space.Store64(initial, 42)
	if _, err := getCurrentTaskBTF(e, 0, 0, 0, 0, 0); err == nil {
		t.Error("there is no description of the task, and no error")
	}
	e.Memory = &Memory{}
	e.Memory.Add(at, object, 64, false)
	e.Task = &Task{PID: 7, TGID: 7, Addr: at}
	task := uint64(do(t, e, getCurrentTaskBTF))
	if task != uint64(object) {
		t.Fatalf("the task is at %#x, want %#x", task, object)
	}
	handle := uint64(all[0].Handle())
	if got := do(t, e, taskStorageGet, handle, task, 0, 0); got != 0 {
		t.Errorf("a value before there is one: %#x", got)
	}
	if got := do(t, e, taskStorageDelete, handle, task); got != -int64(maps.ENOENT) {
		t.Errorf("delete of none: %d", got)
	}
	value := do(t, e, taskStorageGet, handle, task, uint64(initial), storageCreate)
	if value == 0 || e.Space.Load64(uint32(value)) != 42 {
		t.Fatalf("a value at %#x", value)
	}
	if again := do(t, e, taskStorageGet, handle, task, 0, 0); again != value {
		t.Errorf("another value: %#x, %#x", again, value)
	}
	if b, err := all[0].HostLookup([]byte{7, 0, 0, 0}); err != nil || b[0] != 42 {
		t.Errorf("by pid: % x, %v", b, err)
	}
	for name, got := range map[string]int64{
		"flags":              do(t, e, taskStorageGet, handle, task, 0, 2),
		"no task":            do(t, e, taskStorageGet, handle, 0, 0, storageCreate),
		"another task":       do(t, e, taskStorageGet, handle, task+8, 0, storageCreate),
		"delete without one": do(t, e, taskStorageDelete, handle, 0) + int64(maps.EINVAL),
		"delete":             do(t, e, taskStorageDelete, handle, task),
	} {
		if got != 0 {
			t.Errorf("%s: %#x", name, got)
		}
	}
	e.Task.PID = 8
	if got := do(t, e, taskStorageGet, handle, task, 0, 0); got != 0 {
		t.Errorf("another task has a value at %#x", got)
	}
}

func TestParseSocketsCgroup(t *testing.T) {
	list, err := ParseSockets([]byte(`[{"proto": "udp", "local": "[::1]:53", "cgroup_id": 9, "cgroup_ancestors": [5]}, {"proto": "udp", "local": "[::1]:54"}]`))
	if err != nil || list[0].Cgroup == nil || list[0].Cgroup.ID != 9 || list[0].Cgroup.Ancestors[0] != 5 || list[1].Cgroup != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if list[0].Local != netip.MustParseAddrPort("[::1]:53") {
		t.Error(list[0].Local)
	}
}
