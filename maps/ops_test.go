package maps

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skepvm/skep/mem"
)

var flagNames = map[string]uint32{
	"NoPrealloc": NoPrealloc, "NoCommonLRU": NoCommonLRU, "NUMANode": NUMANode, "ReadOnlyProg": ReadOnlyProg,
	"WriteOnlyProg": WriteOnlyProg, "Mmapable": Mmapable, "ZeroSeed": ZeroSeed, "ReadOnly": ReadOnly, "WriteOnly": WriteOnly,
	"StackBuildID": StackBuildID,
}

func newSpace(t testing.TB) *mem.Space {
	t.Helper()
	s, err := mem.New(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newMap(t testing.TB, s *mem.Space, spec *Spec, cpus int) Map {
	t.Helper()
	m, err := New(s, spec, Options{CPUs: cpus})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// parseSpec reads "type key value max flags".
func parseSpec(f []string) (*Spec, error) {
	typ, ok := TypeOf(f[0])
	if !ok {
		return nil, fmt.Errorf("no map type %s", f[0])
	}
	spec := &Spec{Name: f[0], Type: typ, LockOff: -1, TimerOff: -1}
	if _, err := fmt.Sscan(strings.Join(f[1:4], " "), &spec.KeySize, &spec.ValueSize, &spec.MaxEntries); err != nil {
		return nil, err
	}
	if f[4] == "0" {
		return spec, nil
	}
	for _, name := range strings.Split(f[4], "|") {
		flag, ok := flagNames[name]
		if !ok {
			return nil, fmt.Errorf("no flag %s", name)
		}
		spec.Flags |= flag
	}
	return spec, nil
}

// outcome is "ok" or the error number's name.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	s := ErrnoOf(err).String()
	return s[strings.LastIndex(s, "(")+1 : len(s)-1]
}

// lines gives the lines of a file without comments.
func lines(t *testing.T, file string, each func(at string, fields []string)) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(b), "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			each(fmt.Sprintf("%s:%d: %s", file, i+1, line), strings.Fields(line))
		}
	}
}

func TestCreate(t *testing.T) {
	s := newSpace(t)
	lines(t, "testdata/create.txt", func(at string, f []string) {
		spec, err := parseSpec(f)
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		inUse := s.InUse()
		m, err := New(s, spec, Options{})
		if got := outcome(err); got != f[5] && !(f[5] == "ok" && s.Size() < mem.MaxSize && got == "ENOMEM") {
			t.Errorf("%s: got %s (%v)", at, got, err)
		}
		if err == nil {
			m.Close()
		}
		if s.InUse() != inUse {
			t.Errorf("%s: %d bytes leak", at, s.InUse()-inUse)
		}
	})
}

func TestOps(t *testing.T) {
	files, err := filepath.Glob("testdata/ops/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no test files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := newSpace(t)
			var m Map
			lines(t, file, func(at string, f []string) {
				if f[0] == "map" {
					spec, err := parseSpec(f[1:])
					if err != nil {
						t.Fatalf("%s: %v", at, err)
					}
					m = newMap(t, s, spec, 1)
					return
				}
				want := f[len(f)-1]
				if got := runOp(t, at, s, m, f[:len(f)-2]); got != want {
					t.Errorf("%s: got %s", at, got)
				}
			})
		})
	}
}

func unhex(t *testing.T, at, s string) []byte {
	if s == "-" {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	return b
}

var updateFlags = map[string]uint64{"any": Any, "noexist": NoExist, "exist": Exist, "3": 3, "4": Lock, "8": 8}

func runOp(t *testing.T, at string, s *mem.Space, m Map, f []string) string {
	arg := func(i int) []byte { return unhex(t, at, f[i]) }
	queue, _ := m.(Pusher)
	value := make([]byte, m.Spec().ValueSize)
	switch f[0] {
	case "lookup":
		return runLookup(t, at, s, m, arg(1))
	case "update":
		return outcome(m.Update(0, arg(1), arg(2), updateFlags[f[3]]))
	case "delete":
		return outcome(m.Delete(arg(1)))
	case "next":
		if key, ok := m.Next(arg(1)); ok {
			return hex.EncodeToString(key)
		}
		return "none"
	case "len":
		return fmt.Sprint(m.Len())
	case "clear":
		m.Clear()
		return "ok"
	case "push":
		return outcome(queue.Push(arg(1), updateFlags[f[2]]))
	case "peek-value":
		return outcome(queue.Peek(arg(1)))
	case "pop", "peek":
		err := queue.Pop
		if f[0] == "peek" {
			err = queue.Peek
		}
		if err := err(value); err != nil {
			return outcome(err)
		}
		return hex.EncodeToString(value)
	}
	t.Fatalf("%s: no such operation", at)
	return ""
}

// runLookup asks both the program's side and the host's side, which must agree.
func runLookup(t *testing.T, at string, s *mem.Space, m Map, key []byte) string {
	addr := m.LookupAddr(0, key)
	value, err := m.HostLookup(key)
	if (addr == 0) != (err != nil) {
		t.Errorf("%s: LookupAddr %#x, HostLookup %v", at, addr, err)
	}
	if addr == 0 {
		return "none"
	}
	view, _ := s.Bytes(addr, m.Spec().ValueSize)
	if string(view) != string(value) {
		t.Errorf("%s: guest sees % x, host % x", at, view, value)
	}
	return hex.EncodeToString(value)
}

func TestTypes(t *testing.T) {
	for i := range Types {
		row := Type(i).Row()
		if !strings.EqualFold(row.Kernel, "BPF_MAP_TYPE_"+row.Short) {
			t.Errorf("type %d: %q and %q", i, row.Kernel, row.Short)
		}
		for _, name := range []string{row.Kernel, row.Short} {
			if got, ok := TypeOf(name); !ok || got != Type(i) {
				t.Errorf("TypeOf(%q) = %d", name, got)
			}
		}
		if row.Since.Major == 0 && i != int(Unspec) {
			t.Errorf("%s: no kernel version", row.Short)
		}
		if i > 0 && row.Implemented() && row.rules.flags == 0 {
			t.Errorf("%s: implemented without rules", row.Short)
		}
	}
	if Type(NumTypes).Row() != &Types[Unspec] || Arena != 33 || RingBuf != 27 {
		t.Error("the table is out of step")
	}
}
