package tracing

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sort"
	"strings"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/internal/jsonpos"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// Event is one time that a hook is hit. Values are numbers, or strings such as "0x1f" and "@object"; arrays of bytes may be text.
type Event struct {
	NS     uint64         `json:"ns"`      // time of the event
	Regs   map[string]any `json:"regs"`    // kprobe, uprobe, perf_event: registers, or arg1, arg2 …, ret
	Fields map[string]any `json:"fields"`  // tracepoint: by the names of its format; perf_event: sample_period, addr
	Args   []any          `json:"args"`    // raw_tracepoint: arguments
	FuncIP any            `json:"func_ip"` // address of the function that a probe is at the start of
	Cookie uint64         `json:"cookie"`  // what bpf_get_attach_cookie says
	Task   *Task          `json:"task"`    // the current task; nil: as in the event before
	Line   int            `json:"-"`       // in the file it was read from, 0: in none
}

// Task is the current task of an Event.
type Task struct {
	PID       uint32   `json:"pid"`
	TGID      uint32   `json:"tgid"`
	UID       uint32   `json:"uid"`
	GID       uint32   `json:"gid"`
	Comm      string   `json:"comm"`
	Addr      any      `json:"addr"` // of its task_struct
	CgroupID  uint64   `json:"cgroup_id"`
	Ancestors []uint64 `json:"cgroup_ancestors"` // ids of the control groups above that one, the nearest first
	NSDev     uint32   `json:"ns_dev"`           // its pid namespace: device and inode number, and the task's numbers in it
	NSIno     uint64   `json:"ns_ino"`
	NSPID     uint32   `json:"ns_pid"`
	NSTGID    uint32   `json:"ns_tgid"`
	Stack     []any    `json:"stack"`      // return addresses in the kernel, the innermost first
	UserStack []any    `json:"user_stack"` // and in user space
}

// EventError says what of an event cannot be used.
type EventError struct {
	Line   int // of the file, from 1; 0: of none
	Field  string
	Reason string
}

func (e *EventError) Error() string {
	at := ""
	if e.Line > 0 {
		at = fmt.Sprintf("line %d: ", e.Line)
	}
	if e.Field != "" {
		at += e.Field + ": "
	}
	return at + e.Reason
}

// maxLine bounds a line of events in bytes.
const maxLine = 1 << 20

// Events reads events, a JSON object a line; empty lines are skipped. It ends after the first error, an *EventError.
func Events(r io.Reader) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		n := 0
		for lines.Scan() {
			n++
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			ev, err := parseEvent(lines.Bytes(), n)
			if !yield(ev, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, &EventError{Line: n + 1, Reason: err.Error()})
		}
	}
}

func parseEvent(line []byte, n int) (*Event, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	d.UseNumber()
	ev := &Event{Line: n}
	if err := jsonpos.Decode(d, ev); err != nil {
		offset, reason := jsonpos.Of(err, d, line)
		return nil, &EventError{Line: n, Reason: fmt.Sprintf("column %d: %s", offset, reason)}
	}
	return ev, nil
}

// Hook is a place for contexts of programs of one type.
type Hook struct {
	space  *mem.Space
	typ    prog.Type
	arch   *Arch
	format *Format
	size   int
	ctx    uint32
}

// HookError says that programs of a type have no simulated hook.
type HookError struct{ Type prog.Type }

func (e *HookError) Error() string {
	return fmt.Sprintf("programs of type %s run on no simulated event: want kprobe, tracepoint, raw_tracepoint or perf_event", e.Type)
}

// NewHook makes a place for contexts. format is needed for tracepoints only.
func NewHook(space *mem.Space, t prog.Type, arch *Arch, format *Format) (*Hook, error) {
	h := &Hook{space: space, typ: t, arch: arch, format: format}
	switch t {
	case prog.Kprobe:
		h.size = arch.Size
	case prog.PerfEvent:
		h.size = arch.Size + perfExtra
	case prog.RawTracepoint, prog.RawTracepointWritable:
		h.size = 8 * maxArgs
	case prog.Tracepoint:
		h.size = maxFormat
	default:
		return nil, &HookError{t}
	}
	base, err := space.Alloc(uint32(prog.FrameHeader+h.size), 64)
	if err != nil {
		return nil, err
	}
	h.ctx = base + prog.FrameHeader
	return h, nil
}

const (
	maxArgs   = 12 // MAX_BPF_FUNC_ARGS
	perfExtra = 16 // sample_period and addr of struct bpf_perf_event_data, behind the registers
)

// Ctx is the guest address of the context: what an engine runs on.
func (h *Hook) Ctx() uint32 { return h.ctx }

// Free gives the memory back.
func (h *Hook) Free() { h.space.Free(h.ctx - prog.FrameHeader) }

// Set makes the context of an event, and puts its task and its time where helpers find them. The error is an *EventError.
func (h *Hook) Set(e *helpers.Env, ev *Event, im *Image) error {
	frame, _ := h.space.Bytes(h.ctx-prog.FrameHeader, uint32(prog.FrameHeader+h.size))
	clear(frame)
	binary.LittleEndian.PutUint64(frame[prog.FrameHeader+prog.FrameTime:], ev.NS)
	e.Memory = im.Memory()
	ctx := frame[prog.FrameHeader:]
	var err error
	switch h.typ {
	case prog.Kprobe:
		err = h.setRegs(ctx, ev, im)
	case prog.PerfEvent:
		if err = h.setRegs(ctx, ev, im); err == nil {
			err = h.setFields(ctx, ev, im, h.perfField)
		}
	case prog.Tracepoint:
		err = h.setFields(ctx, ev, im, h.formatField)
	default:
		err = h.setArgs(ctx, ev, im)
	}
	e.Cookie, e.FuncIP = ev.Cookie, 0
	if err == nil && ev.FuncIP != nil {
		if e.FuncIP, err = im.number(ev.FuncIP); err != nil {
			return &EventError{ev.Line, "func_ip", err.Error()}
		}
	}
	if err == nil && ev.Task != nil {
		e.Task, err = ev.Task.resolve(ev.Line, im)
	}
	return err
}

func (h *Hook) setRegs(ctx []byte, ev *Event, im *Image) error {
	for _, name := range sorted(ev.Regs) {
		off, ok := h.arch.offset(name)
		err := fmt.Errorf("%s has no such register", h.arch.Name)
		if ok {
			err = im.put(ctx[off:off+8], 1, ev.Regs[name])
		}
		if err != nil {
			return &EventError{ev.Line, "regs." + name, err.Error()}
		}
	}
	return nil
}

func (h *Hook) setFields(ctx []byte, ev *Event, im *Image, find func(name string) (off, size, count int, err error)) error {
	for _, name := range sorted(ev.Fields) {
		off, size, count, err := find(name)
		if err == nil {
			err = im.put(ctx[off:off+size], count, ev.Fields[name])
		}
		if err != nil {
			return &EventError{ev.Line, "fields." + name, err.Error()}
		}
	}
	return nil
}

func (h *Hook) perfField(name string) (off, size, count int, err error) {
	switch name {
	case "sample_period":
		return h.arch.Size, 8, 1, nil
	case "addr":
		return h.arch.Size + 8, 8, 1, nil
	}
	return 0, 0, 0, errors.New("struct bpf_perf_event_data has sample_period and addr")
}

func (h *Hook) formatField(name string) (off, size, count int, err error) {
	if h.format == nil {
		return 0, 0, 0, errors.New("without the tracepoint's format file its fields are not known")
	}
	f, ok := h.format.field(name)
	if !ok {
		return 0, 0, 0, fmt.Errorf("tracepoint %s has no such field", h.format.Name)
	}
	return f.Off, f.Size, f.Count, nil
}

func (h *Hook) setArgs(ctx []byte, ev *Event, im *Image) error {
	if len(ev.Args) > maxArgs {
		return &EventError{ev.Line, "args", fmt.Sprintf("%d arguments, at most %d", len(ev.Args), maxArgs)}
	}
	for i, v := range ev.Args {
		if err := im.put(ctx[8*i:8*i+8], 1, v); err != nil {
			return &EventError{ev.Line, fmt.Sprintf("args[%d]", i), err.Error()}
		}
	}
	return nil
}

// resolve makes of a task's description what helpers want.
func (t *Task) resolve(line int, im *Image) (*helpers.Task, error) {
	out := &helpers.Task{PID: t.PID, TGID: t.TGID, UID: t.UID, GID: t.GID, Comm: t.Comm, CgroupID: t.CgroupID,
		Ancestors: t.Ancestors, NSDev: t.NSDev, NSIno: t.NSIno, NSPID: t.NSPID, NSTGID: t.NSTGID}
	if t.Addr != nil {
		addr, err := im.number(t.Addr)
		if err != nil {
			return nil, &EventError{line, "task.addr", err.Error()}
		}
		out.Addr = addr
	}
	for _, s := range []struct {
		name string
		from []any
		to   *[]uint64
	}{{"task.stack", t.Stack, &out.Stack}, {"task.user_stack", t.UserStack, &out.UserStack}} {
		for _, v := range s.from {
			ip, err := im.number(v)
			if err != nil {
				return nil, &EventError{line, s.name, err.Error()}
			}
			*s.to = append(*s.to, ip)
		}
	}
	return out, nil
}

func sorted(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// ParseRegs reads registers from text: "di=0x1f,si=@path".
func ParseRegs(text string) (map[string]any, error) {
	regs := map[string]any{}
	if text == "" {
		return regs, nil
	}
	for _, part := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || name == "" || value == "" {
			return nil, &EventError{Field: "regs", Reason: fmt.Sprintf("%q: want NAME=VALUE", part)}
		}
		regs[name] = value
	}
	return regs, nil
}
