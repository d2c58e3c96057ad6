package vmtest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Run runs every case of dir on the engines that make returns. A nil engine skips the case: a JIT has none for programs
// that the verifier refuses. It fails when all are skipped.
func Run(t *testing.T, dir string, make func(cpu *vm.CPU, l *vm.Linked) vm.Engine) {
	t.Helper()
	cases, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{t: t, make: make}
	defer w.close()
	ran := 0
	for _, c := range cases {
		if w.run(c) {
			ran++
		}
		if w.failures >= maxFailures {
			t.Fatal("too many failures")
		}
	}
	if ran == 0 {
		t.Fatal("no engine took any case")
	}
	t.Logf("%d of %d cases", ran, len(cases))
}

// maxFailures ends a run: one bug in an engine fails many cases.
const maxFailures = 20

// worker runs cases; those without maps or a budget of their own share a machine.
type worker struct {
	t      *testing.T
	make   func(cpu *vm.CPU, l *vm.Linked) vm.Engine
	shared *vm.Machine
	frames map[prog.Type]*prog.Buffer // of the shared machine

	failures int
}

func (w *worker) errorf(format string, args ...any) {
	w.t.Helper()
	w.failures++
	w.t.Errorf(format, args...)
}

func (w *worker) close() {
	if w.shared != nil {
		w.shared.Close()
	}
}

// run reports whether there was an engine for the case.
func (w *worker) run(c *Case) bool {
	w.t.Helper()
	m, buf, done := w.machine(c)
	if m == nil {
		return false
	}
	defer done()
	var entry *vm.Linked
	link := m.Link
	if c.Verified {
		link = m.LinkVerified
	}
	for _, p := range c.Programs {
		l, err := link(p)
		if err != nil {
			w.errorf("%s: %v", c.Name, err)
			return false
		}
		if entry == nil {
			entry = l
		}
	}
	if err := m.SetProgs(nil, nil); err != nil {
		w.errorf("%s: %v", c.Name, err)
		return false
	}
	if err := setUp(m, c); err != nil {
		w.errorf("%s: %v", c.Name, err)
		return false
	}
	engine := w.make(m.CPU(0), entry)
	if engine == nil {
		return false
	}
	for i := range c.Runs - 1 {
		_, err := engine.Run(w.setPacket(buf, c, i))
		if c.Advance != nil && err == nil {
			_, err = m.CPU(0).RunTimers(uint64(i+1) * *c.Advance)
		}
		if err != nil {
			w.errorf("%s on %s: early run: %v", c.Name, engine.Name(), err)
			return true
		}
	}
	res, err := engine.Run(w.setPacket(buf, c, c.Runs-1))
	w.compare(c, engine, res, err, buf)
	if c.Late != nil {
		_, err := m.CPU(0).RunTimers(uint64(c.Runs) * *c.Advance)
		w.compareLate(c, engine, err)
	}
	return true
}

// setUp gives the machine what a case has beside maps and packets.
func setUp(m *vm.Machine, c *Case) error {
	for _, s := range c.Sends {
		ring, ok := m.Maps().ByName(s.Map).(*maps.UserRing)
		if !ok {
			return fmt.Errorf("%s is no user ring buffer", s.Map)
		}
		addr := ring.Reserve(uint64(len(s.Data)))
		if addr == 0 {
			return fmt.Errorf("%s is full", s.Map)
		}
		view, _ := m.Space().Bytes(addr, uint32(len(s.Data)))
		copy(view, s.Data)
		if err := ring.Commit(addr, s.Discard); err != nil {
			return err
		}
	}
	if c.Task != nil {
		m.CPU(0).Env.Task = c.Task
	}
	if c.Cgroup != 0 {
		m.CPU(0).Env.Cgroup = c.Cgroup
	}
	return nil
}

func (w *worker) compareLate(c *Case, engine vm.Engine, err error) {
	w.t.Helper()
	var got *vm.Fault
	if !errors.As(err, &got) || got.Kind != c.Late.Kind || got.PC != c.Late.PC {
		w.errorf("%s on %s: timers end with %v, want %s at %d", c.Name, engine.Name(), err, c.Late.Kind, c.Late.PC)
	}
}

func (w *worker) setPacket(buf *prog.Buffer, c *Case, run int) uint32 {
	in := prog.Input{}
	if c.Advance != nil {
		in.Time = uint64(run) * *c.Advance
	}
	if err := buf.Set(c.Packet, &in); err != nil {
		w.t.Fatalf("%s: %v", c.Name, err)
	}
	return buf.Ctx()
}

// machine gives a machine and a packet buffer for the case, and what to do with them afterwards.
func (w *worker) machine(c *Case) (*vm.Machine, *prog.Buffer, func()) {
	own := len(c.Maps) > 0 || c.Budget != 0 || len(c.Programs) > 1
	m := w.shared
	if own || m == nil {
		var err error
		m, err = vm.NewMachine(vm.Config{Space: mem.Options{Shadow: true}, Budget: c.Budget})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if !own && w.shared == nil {
		w.shared, w.frames = m, map[prog.Type]*prog.Buffer{}
	}
	typ := c.Programs[0].Type
	buf := w.frames[typ]
	if own || buf == nil {
		var err error
		if buf, err = prog.NewBuffer(m.Space(), typ, 0); err != nil {
			w.t.Fatalf("%s: %v", c.Name, err)
		}
	}
	if own {
		return m, buf, func() { m.Close() }
	}
	w.frames[typ] = buf
	return m, buf, func() {}
}

func (w *worker) compare(c *Case, engine vm.Engine, res vm.Result, err error, buf *prog.Buffer) {
	w.t.Helper()
	want := c.Fault
	if engine.Name() == "checked" && c.Checked != nil {
		want = c.Checked
	}
	var got *vm.Fault
	if err != nil && !errors.As(err, &got) {
		w.errorf("%s on %s: error is no Fault: %v", c.Name, engine.Name(), err)
		return
	}
	switch {
	case want == nil && got != nil:
		w.errorf("%s on %s: %v\n%s", c.Name, engine.Name(), got, got.Dump())
		return
	case want != nil && got == nil:
		w.errorf("%s on %s: no fault, want %s at %d", c.Name, engine.Name(), want.Kind, want.PC)
		return
	case want != nil:
		if got.Kind != want.Kind || got.PC != want.PC ||
			want.Size != 0 && (got.Addr != want.Addr || got.Size != want.Size || got.Write != want.Write) {
			w.errorf("%s on %s: fault %v, want %v", c.Name, engine.Name(), got, want)
		}
		if want != c.Fault {
			return // R0 and the count are those of a run that isn't checked
		}
	}
	if c.R0 != nil && got == nil && res.R0 != *c.R0 {
		w.errorf("%s on %s: r0 = %#x, want %#x", c.Name, engine.Name(), res.R0, *c.R0)
	}
	if c.Insns != nil && res.Insns != *c.Insns {
		w.errorf("%s on %s: %d instructions, want %d", c.Name, engine.Name(), res.Insns, *c.Insns)
	}
	if c.After != nil {
		var out prog.Output
		if !buf.Read(&out) || !bytes.Equal(out.Data, c.After) {
			w.errorf("%s on %s: packet is % x, want % x", c.Name, engine.Name(), out.Data, c.After)
		}
	}
}
