package tracing

import (
	"errors"
	"strings"
	"testing"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

var testTypes = btf.MustDeclare(`
struct list { struct list *next; };
struct task { int pid; char comm[16]; struct { struct task *parent; }; struct list children; unsigned short cpus[4]; unsigned ready : 1; };
`)

func newSpace(t testing.TB) *mem.Space {
	t.Helper()
	s, err := mem.New(mem.Options{Size: 1 << 22})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestImage(t *testing.T) {
	s := newSpace(t)
	im := NewImage(s)
	err := im.AddJSON([]byte(`{
		"init": {"type": "struct task", "fields": {"pid": 1, "comm": "init"}, "at": "0xffff888000001000"},
		"bash": {"type": "task", "fields": {"pid": -7, "comm": "bash", "parent": "@init", "children.next": "@bash+8", "cpus": [1, "0x2"]}},
		"path": {"text": "/etc", "user": true, "at": "0x7000"},
		"argv": {"words": ["@path", 5]},
		"raw":  {"hex": "00ff10"}}`), testTypes)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) uint64 {
		addr, ok := im.Symbol(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		return addr
	}
	bash := uint32(at("bash"))
	if pid := int32(s.Load32(bash)); pid != -7 {
		t.Errorf("pid %d", pid)
	}
	if comm, _ := s.Bytes(bash+4, 16); string(comm) != "bash"+strings.Repeat("\x00", 12) {
		t.Errorf("comm %q", comm)
	}
	for off, want := range map[uint32]uint64{24: 0xffff888000001000, 32: uint64(bash) + 8, 40: 2<<16 | 1} {
		if got := s.Load64(bash + off); got != want {
			t.Errorf("offset %d: %#x, want %#x", off, got, want)
		}
	}
	if got := s.Load64(uint32(at("argv"))); got != 0x7000 {
		t.Errorf("argv[0] = %#x", got)
	}

	// What helpers read: whole objects, parts, the other space's, beyond the end.
	e := &helpers.Env{Space: s, Memory: im.Memory()}
	buf, err := s.Alloc(64, 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		helper string
		size   uint64
		from   uint64
		want   int64
		text   string
	}{
		{"bpf_probe_read_user_str", 64, 0x7000, 5, "/etc\x00"},
		{"bpf_probe_read_user_str", 3, 0x7000, 3, "/e\x00"},
		{"bpf_probe_read_user_str", 64, 0x7002, 3, "tc\x00"},
		{"bpf_probe_read_kernel_str", 64, 0x7000, -34, "\x00\x00"},
		{"bpf_probe_read_str", 64, 0x7000, 5, "/etc\x00"},
		{"bpf_probe_read_user", 5, 0x7000, 0, "/etc\x00"},
		{"bpf_probe_read_user", 6, 0x7000, -14, "\x00\x00\x00\x00\x00\x00"},
		{"bpf_probe_read_kernel", 4, 0xffff888000001004, 0, "init"},
		{"bpf_probe_read_kernel", 4, 0xffff888000000ffe, -14, "\x00\x00\x00\x00"},
		{"bpf_probe_read_kernel", 3, at("raw"), 0, "\x00\xff\x10"},
		{"bpf_probe_read_kernel", 8, 0, -34, "\x00\x00"},
		{"bpf_probe_read_kernel", 0, 0, 0, ""},
	} {
		dst, _ := s.Bytes(buf, 64)
		copy(dst, strings.Repeat("#", 64))
		row, _ := helpers.ByName(c.helper)
		ret, err := row.Fn(e, uint64(buf), c.size, c.from, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if int64(ret) != c.want || string(dst[:len(c.text)]) != c.text {
			t.Errorf("%s %d bytes from %#x: %d %q, want %d %q", c.helper, c.size, c.from, int64(ret), dst[:len(c.text)], c.want, c.text)
		}
	}
}

func TestBadImage(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": {"text": "x"}`:                                                    "offset 19: the text ends too early",
		`{"a": null}`:                                                            `object "a": null`,
		`{"a": {}}`:                                                              `object "a": want one of type, text, hex and words`,
		`{"a": {"text": "x", "hex": "00"}}`:                                      `object "a": want one of type, text, hex and words`,
		`{"a": {"hex": "0x"}}`:                                                   `object "a": hex: not pairs of hex digits`,
		`{"a": {"type": "nonesuch"}}`:                                            `object "a": no type "nonesuch": give type information that has it`,
		`{"a": {"type": "task", "fields": {"uid": 1}}}`:                          `object "a": field "uid": struct task has no member "uid"`,
		`{"a": {"type": "task", "fields": {"ready": 1}}}`:                        `object "a": field "ready": bit fields cannot be set`,
		`{"a": {"type": "task", "fields": {"pid": "@b"}}}`:                       `object "a": field "pid": no object "b"`,
		`{"a": {"type": "task", "fields": {"pid": 4294967296}}}`:                 `object "a": field "pid": 4294967296 does not fit 32 bits`,
		`{"a": {"type": "task", "fields": {"children": 1}}}`:                     ``,
		`{"a": {"type": "task", "fields": {"comm": "0123456789abcdef"}}}`:        `object "a": field "comm": "0123456789abcdef" does not fit 16 bytes with a zero at the end`,
		`{"a": {"type": "task", "fields": {"cpus": [1,2,3,4,5]}}}`:               `object "a": field "cpus": 5 values for 4`,
		`{"a": {"text": "x", "fields": {"pid": 1}}}`:                             `object "a": field "pid": only an object with a type has fields`,
		`{"a": {"text": "x", "at": "here"}}`:                                     `object "a": at: "here" is no address`,
		`{"a": {"text": "xyz", "at": "0x10"}, "b": {"text": "x", "at": "0x12"}}`: `object "b": another object is at 0x12`,
	} {
		err := NewImage(newSpace(t)).AddJSON([]byte(text), testTypes)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		var bad *ImageError
		if !errors.As(err, &bad) || bad.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

const switchFormat = `name: sched_switch
ID: 316
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:char prev_comm[16];	offset:8;	size:16;	signed:0;
	field:pid_t prev_pid;	offset:24;	size:4;	signed:1;
	field:const char * next;	offset:32;	size:8;	signed:0;

print fmt: "prev_comm=%s"
`

func TestHooks(t *testing.T) {
	s := newSpace(t)
	im := NewImage(s)
	if err := im.AddJSON([]byte(`{"x": {"text": "x", "at": "0x7000"}}`), nil); err != nil {
		t.Fatal(err)
	}
	format, err := ParseFormat(switchFormat)
	if err != nil {
		t.Fatal(err)
	}
	if format.Name != "sched_switch" || format.Size() != 40 {
		t.Errorf("%s of %d bytes", format.Name, format.Size())
	}
	for _, c := range []struct {
		typ    prog.Type
		arch   *Arch
		event  string
		values map[uint32]uint64 // 8-byte words by offset
	}{
		{prog.Kprobe, X86, `{"regs": {"arg1": "@x+1", "si": 5, "ret": -1}}`, map[uint32]uint64{112: 0x7001, 104: 5, 80: ^uint64(0)}},
		{prog.Kprobe, ARM64, `{"regs": {"arg2": 7, "x30": 9, "pc": 1}}`, map[uint32]uint64{8: 7, 240: 9, 256: 1}},
		{prog.PerfEvent, X86, `{"regs": {"ip": 3}, "fields": {"sample_period": 4, "addr": "0x5"}}`, map[uint32]uint64{128: 3, 168: 4, 176: 5}},
		{prog.Tracepoint, X86, `{"fields": {"prev_comm": "ab", "prev_pid": -2, "next": "@x"}}`,
			map[uint32]uint64{8: 'a' | 'b'<<8, 24: 0xfffffffe, 32: 0x7000}},
		{prog.RawTracepoint, X86, `{"args": ["@x", 2, "0x3"]}`, map[uint32]uint64{0: 0x7000, 8: 2, 16: 3}},
	} {
		h, err := NewHook(s, c.typ, c.arch, format)
		if err != nil {
			t.Fatal(err)
		}
		e := &helpers.Env{Space: s, Ctx: h.Ctx()}
		for ev, err := range Events(strings.NewReader(c.event[:1] + `"ns": 77, "task": {"pid": 3, "tgid": 4, "stack": ["0xffff", 2]}, ` + c.event[1:])) {
			if err == nil {
				err = h.Set(e, ev, im)
			}
			if err != nil {
				t.Fatalf("%v: %s: %v", c.typ, c.event, err)
			}
		}
		for off, want := range c.values {
			if got := s.Load64(h.Ctx() + off); got != want {
				t.Errorf("%v: %s: offset %d: %#x, want %#x", c.typ, c.event, off, got, want)
			}
		}
		for helper, want := range map[string]uint64{"bpf_ktime_get_ns": 77, "bpf_get_current_pid_tgid": 4<<32 | 3} {
			row, _ := helpers.ByName(helper)
			if got, _ := row.Fn(e, 0, 0, 0, 0, 0); got != want {
				t.Errorf("%s: %#x, want %#x", helper, got, want)
			}
		}
		if len(e.Task.Stack) != 2 || e.Task.Stack[0] != 0xffff {
			t.Errorf("stack %#x", e.Task.Stack)
		}
		h.Free()
	}
	if _, err := NewHook(s, prog.XDP, X86, nil); err == nil {
		t.Error("a hook for XDP")
	}
}

func TestBadEvents(t *testing.T) {
	s := newSpace(t)
	for _, c := range []struct {
		typ  prog.Type
		text string
		want string
	}{
		{prog.Kprobe, "\n{", "line 2: column 1: the text ends too early"},
		{prog.Kprobe, `{"reg": {}}`, `line 1: column 11: json: unknown field "reg"`},
		{prog.Kprobe, `{} {}`, "line 1: column 3: more than one JSON value"},
		{prog.Kprobe, `{"regs": {"x0": 1}}`, "line 1: regs.x0: x86_64 has no such register"},
		{prog.Kprobe, `{"regs": {"di": "@nobody"}}`, `line 1: regs.di: no object "nobody"`},
		{prog.Kprobe, `{"regs": {"di": [1, 2]}}`, "line 1: regs.di: 2 values for 1"},
		{prog.Kprobe, `{"task": {"addr": "here"}}`, `line 1: task.addr: "here" is no number`},
		{prog.Tracepoint, `{"fields": {"pid": 1}}`, "line 1: fields.pid: without the tracepoint's format file its fields are not known"},
		{prog.PerfEvent, `{"fields": {"period": 1}}`, "line 1: fields.period: struct bpf_perf_event_data has sample_period and addr"},
		{prog.RawTracepoint, `{"args": [1,2,3,4,5,6,7,8,9,10,11,12,13]}`, "line 1: args: 13 arguments, at most 12"},
	} {
		h, err := NewHook(s, c.typ, X86, nil)
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for ev, err := range Events(strings.NewReader(c.text)) {
			if last = err; err == nil {
				last = h.Set(&helpers.Env{Space: s, Ctx: h.Ctx()}, ev, NewImage(s))
			}
		}
		var bad *EventError
		if !errors.As(last, &bad) || bad.Error() != c.want {
			t.Errorf("%v: %s\n got %v\nwant %s", c.typ, c.text, last, c.want)
		}
		h.Free()
	}
	for text, want := range map[string]string{
		"":                         "line 1: no fields: this is no format file of tracefs",
		"field:int a; offset:x;":   `line 1: offset: "x" is no number that makes sense`,
		"\nfield:int a; offset:4;": "line 2: field a: 0 bytes at 4",
		"field:int a[3]; offset:0; size:8; signed:0;": "line 1: field a: 3 elements in 8 bytes",
		"field:int a[3]; offset:0; size:4; signed:0;": "line 1: field a: 3 elements in 4 bytes",
		"field:int a; offset:8190; size:4; signed:0;": "line 1: field a: 4 bytes at 8190",
	} {
		if _, err := ParseFormat(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{"di": `regs: "di": want NAME=VALUE`, "di=1,=2": `regs: "=2": want NAME=VALUE`} {
		if _, err := ParseRegs(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzImage(f *testing.F) {
	f.Add([]byte(`{"a": {"type": "task", "fields": {"pid": 1, "comm": "x", "children.next": "@b"}}, "b": {"words": [1, "@a"], "at": "0x10"}}`))
	f.Add([]byte(`{"a": {"text": "x", "user": true}, "b": {"hex": "0011"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		im := NewImage(newSpace(t))
		var bad *ImageError
		if err := im.AddJSON(text, testTypes); err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add(`{"regs": {"di": 1}, "fields": {"prev_comm": "x", "addr": 1}, "args": [1], "task": {"pid": 1}}`, switchFormat)
	f.Fuzz(func(t *testing.T, text, layout string) {
		s := newSpace(t)
		format, err := ParseFormat(layout)
		if err != nil {
			format = nil
		}
		for _, typ := range []prog.Type{prog.Kprobe, prog.Tracepoint, prog.RawTracepoint, prog.PerfEvent} {
			h, err := NewHook(s, typ, ARM64, format)
			if err != nil {
				t.Fatal(err)
			}
			for ev, err := range Events(strings.NewReader(text)) {
				if err == nil {
					_ = h.Set(&helpers.Env{Space: s, Ctx: h.Ctx()}, ev, NewImage(s))
				}
			}
			h.Free()
		}
	})
}
