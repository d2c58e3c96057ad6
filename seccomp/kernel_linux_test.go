package seccomp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/cbpf"
)

// The kernel's own seccomp is asked in a child process, which is this test again and puts the filters on itself only: on
// a thread that ends with the question. Calls have numbers that no kernel has, so that one that is allowed says ENOSYS.

// childEnv tells the child what to do: "run" answers questions, "one" makes one call, for those that end the process.
const childEnv = "SKEP_SECCOMP_CHILD"

// freeNR is the first of the numbers that no call has. Filters in questions are not asked about lower ones.
const freeNR = 3000

// question is one process's filters, oldest first, and the calls that it makes.
type question struct {
	Filters []cbpf.Program
	Calls   []Data
	// Raw filters see every call of the thread.
	Raw bool
}

// kernelAnswer is what the kernel said: to each filter, and to each call.
type kernelAnswer struct {
	Installed []syscall.Errno
	Returned  []syscall.Errno
}

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "run":
		childRun()
	case "one":
		childOne()
	}
}

func childRun() {
	var in []question
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var out []kernelAnswer
	for i := range in {
		done := make(chan kernelAnswer)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and with it its filters
			done <- in[i].ask()
		}()
		out = append(out, <-done)
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
	os.Exit(0)
}

// childOne makes the one call on a thread of its own and says what it returned; the process waits a little for what does
// not return.
func childOne() {
	var q question
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		os.Exit(2)
	}
	done := make(chan kernelAnswer)
	go func() {
		runtime.LockOSThread()
		done <- q.ask()
	}()
	select {
	case a := <-done:
		fmt.Printf("returned %d\n", a.Returned[0])
	case <-time.After(300 * time.Millisecond):
		fmt.Println("thread gone")
	}
	os.Exit(0)
}

func (q *question) ask() (a kernelAnswer) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return kernelAnswer{Installed: []syscall.Errno{err.(syscall.Errno)}}
	}
	for _, p := range q.Filters {
		if !q.Raw {
			p = guard(p)
		}
		a.Installed = append(a.Installed, install(p))
	}
	a.Returned = make([]syscall.Errno, 0, len(q.Calls))
	for i := range q.Calls {
		c := &q.Calls[i]
		r1, _, e := syscall.RawSyscall6(uintptr(c.NR), uintptr(c.Args[0]), uintptr(c.Args[1]), uintptr(c.Args[2]), uintptr(c.Args[3]),
			uintptr(c.Args[4]), uintptr(c.Args[5]))
		if int(r1) == -maxErrno {
			e = maxErrno // which Go takes for a result
		}
		a.Returned = append(a.Returned, e)
	}
	return a
}

// guard lets the calls that the Go runtime makes pass, and gives the program the registers that it expects at first.
func guard(p cbpf.Program) cbpf.Program {
	return append(cbpf.Program{{Op: opLoad, K: offNR}, {Op: opJge, Jt: 1, K: freeNR}, {Op: opRet, K: uint32(Allow)},
		{Op: cbpf.ClassLd | cbpf.ModeImm}}, p...)
}

func install(p cbpf.Program) syscall.Errno {
	raw := make([]unix.SockFilter, len(p))
	for i, in := range p {
		raw[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(p)), Filter: unsafe.SliceData(raw)}
	_, _, e := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(raw)
	return e
}

// hostArch is the convention of this process, or the test skips.
func hostArch(t *testing.T) *Arch {
	for _, a := range Arches {
		if a.Short == runtime.GOARCH {
			return a
		}
	}
	t.Skipf("no table of %s", runtime.GOARCH)
	return nil
}

func child(t *testing.T, mode string, in any) (string, error) {
	text, err := json.Marshal(in)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+mode, "GOTRACEBACK=none")
	cmd.Stdin = strings.NewReader(string(text))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this machine cannot start the test: it runs under an emulator")
	}
	return string(out) + errs.String(), err
}

// askKernel asks, or skips where the kernel has no seccomp or lets nobody use it.
func askKernel(t *testing.T, qs []question) []kernelAnswer {
	text, err := child(t, "run", qs)
	require.NoError(t, err, text)
	var out []kernelAnswer
	require.NoError(t, json.Unmarshal([]byte(text), &out), text)
	if e := out[0].Installed[0]; e == unix.ENOSYS || e == unix.EACCES || e == unix.EPERM {
		t.Skipf("needs a kernel that takes seccomp filters: %v", e)
	}
	return out
}

// returned is what a verdict lets a call return that no kernel has.
func returned(v Verdict) syscall.Errno {
	if v.Return.Action() == Errno {
		return syscall.Errno(v.Return.Data())
	}
	return unix.ENOSYS // executed, or refused because there is no tracer and no listener
}

// kills reports whether a filter of the question ends the thread that makes a call.
func (q *question) kills(d *Data) bool {
	for _, p := range q.Filters {
		if (&Filter{Program: guard(p)}).Run(d).Action() == KillThread {
			return true
		}
	}
	return false
}

// TestHostNumbers compares the table of this machine's architecture with the module that the test is built with.
func TestHostNumbers(t *testing.T) {
	a := hostArch(t)
	for name, want := range map[string]int32{"read": unix.SYS_READ, "openat": unix.SYS_OPENAT, "bpf": unix.SYS_BPF, "clone3": unix.SYS_CLONE3} {
		nr, ok := a.Number(name)
		require.True(t, ok && nr == want, name)
	}
}

// TestKernelRuns compares random filters, one or several at once, with the kernel.
func TestKernelRuns(t *testing.T) {
	arch := hostArch(t)
	r := rand.New(rand.NewPCG(7, 7))
	var qs []question
	for range 300 {
		var q question
		for range 1 + r.IntN(3) {
			q.Filters = append(q.Filters, randomFilter(r))
		}
		for range 40 {
			d := Data{NR: freeNR + int32(r.IntN(4)), Arch: arch.Audit,
				Args: [6]uint64{smallOrLarge(r), smallOrLarge(r), smallOrLarge(r), smallOrLarge(r), smallOrLarge(r), smallOrLarge(r)}}
			if !q.kills(&d) { // a division by zero does
				q.Calls = append(q.Calls, d)
			}
		}
		qs = append(qs, q)
	}
	errnos := map[syscall.Errno]int{}
	for i, a := range askKernel(t, qs) {
		var s Stack
		for n, p := range qs[i].Filters {
			f, err := NewFilter("random", guard(p))
			require.NoError(t, err, "the kernel said %v\n%s", a.Installed[n], p)
			require.Zero(t, a.Installed[n], "%s", p)
			require.NoError(t, s.Add(f))
		}
		for n, d := range qs[i].Calls {
			v := s.Run(&d)
			require.Equal(t, returned(v), a.Returned[n], "call %+v: %v\n%v", d, v, qs[i].Filters)
			errnos[a.Returned[n]]++
		}
	}
	require.Greater(t, len(errnos), 500)
}

// TestKernelTakes compares which programs are filters at all: valid ones with one instruction changed.
func TestKernelTakes(t *testing.T) {
	hostArch(t)
	r := rand.New(rand.NewPCG(8, 8))
	var qs []question
	for op := range uint16(256) {
		for _, k := range []uint32{0, 4, 60, 64, 2, ^uint32(0), 31, 32} {
			qs = append(qs, question{Filters: []cbpf.Program{{{Op: cbpf.ClassSt}, {Op: op, K: k}, {Op: opRet, K: uint32(Allow)}, {Op: opRet, K: uint32(Allow)}}}})
		}
	}
	for range 1500 {
		p := randomFilter(r)
		for range 1 + r.IntN(2) {
			in := &p[r.IntN(len(p))]
			switch r.IntN(5) {
			case 0:
				in.Op = uint16(r.IntN(256))
			case 1:
				in.Jt = uint8(r.IntN(64))
			case 2:
				in.Jf = uint8(r.IntN(64))
			case 3:
				in.K = r.Uint32() >> r.IntN(32)
			case 4:
				p = p[r.IntN(min(17, len(p))):]
			}
		}
		qs = append(qs, question{Filters: []cbpf.Program{p}})
	}
	taken := 0
	for i, a := range askKernel(t, qs) {
		p := guard(qs[i].Filters[0])
		_, err := NewFilter("changed", p)
		require.Equal(t, a.Installed[0] == 0, err == nil, "the kernel says %v, we %v\n%s", a.Installed[0], err, p)
		if err == nil {
			taken++
		}
	}
	require.Greater(t, taken, 500)
	require.Less(t, taken, len(qs)-500)
}

// TestKernelLimit installs filters of many lengths and mixtures until the kernel says ENOMEM, and beyond.
func TestKernelLimit(t *testing.T) {
	hostArch(t)
	r := rand.New(rand.NewPCG(9, 9))
	var qs []question
	for range 12 {
		q := question{Raw: true}
		for range 40 {
			q.Filters = append(q.Filters, longFilter(r))
		}
		qs = append(qs, q)
	}
	refused := 0
	for i, a := range askKernel(t, qs) {
		var s Stack
		for n, p := range qs[i].Filters {
			f, err := NewFilter("long", p)
			require.NoError(t, err)
			err = s.Add(f)
			want := syscall.Errno(0)
			if err != nil {
				want = unix.ENOMEM
				refused++
			}
			require.Equal(t, want, a.Installed[n], "process %d, filter %d: %v", i, n, err)
		}
	}
	require.Greater(t, refused, 50)
}

// longFilter allows everything, with instructions before the answer that the kernel makes one, two, three or five of.
func longFilter(r *rand.Rand) cbpf.Program {
	ops := []cbpf.Insn{{Op: opLoad}, {Op: opJeq, Jt: 1, Jf: 2, K: 1 << 31}, {Op: opJeq, Jt: 1, Jf: 2}, {Op: opJset, Jt: 0, Jf: 1}, {Op: opJge, Jt: 0, Jf: 1},
		{Op: opJgt, Jt: 1, Jf: 0, K: 1 << 31}, {Op: opJset, Jt: 1, K: 5}, {Op: opJset, K: 1 << 31}, {Op: cbpf.ClassMisc | cbpf.MiscTax},
		{Op: opJeq | cbpf.SrcX, Jt: 1, Jf: 2, K: 1 << 31}, {Op: cbpf.ClassSt}, {Op: opJa}, {Op: cbpf.ClassAlu | cbpf.AluNeg}}
	one := ops[r.IntN(len(ops))]
	var p cbpf.Program
	if r.IntN(2) == 0 {
		p = append(p, cbpf.Insn{Op: cbpf.ClassLdx | cbpf.ModeLen}, cbpf.Insn{Op: cbpf.ClassAlu | cbpf.AluDiv | cbpf.SrcX})
	}
	for range 1 + r.IntN(3500)>>r.IntN(4) {
		if r.IntN(3) == 0 {
			one = ops[r.IntN(len(ops))]
		}
		p = append(p, one)
	}
	allow := cbpf.Insn{Op: opRet, K: uint32(Allow)}
	return append(p, allow, allow, allow)
}

// TestKernelActions has a process make a call for each action, and sees what becomes of it.
func TestKernelActions(t *testing.T) {
	hostArch(t)
	askKernel(t, []question{{Filters: []cbpf.Program{{{Op: opRet, K: uint32(Allow)}}}}}) // skips where nothing can be asked
	for _, c := range []struct {
		ret  Return
		want string
	}{
		{Return(Allow), "returned 38"}, {Return(Log), "returned 38"}, {Return(Errno) | 13, "returned 13"}, {Return(Errno) | 0xffff, "returned 4095"},
		{Return(Trace) | 1, "returned 38"}, {Return(UserNotif), "returned 38"}, {Return(KillThread), "thread gone"},
		{Return(KillProcess), "killed"}, {Return(Trap) | 5, "SIGSYS"}, {0x12340000, "killed"}, {0x7ffe0000, "killed"}, {0x00060000, "killed"},
	} {
		text, err := child(t, "one", question{Filters: []cbpf.Program{{{Op: opRet, K: uint32(c.ret)}}}, Calls: []Data{{NR: freeNR}}})
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
				require.Equal(t, syscall.SIGSYS, w.Signal())
				text = "killed"
			}
		}
		require.Contains(t, text, c.want, "%s", c.ret)
		want := map[Action]string{KillProcess: "killed", KillThread: "thread gone", Trap: "SIGSYS"}[c.ret.Action()]
		if want == "" {
			want = fmt.Sprintf("returned %d", returned(Verdict{Return: c.ret}))
		}
		require.Equal(t, want, c.want, "what this package says of %s", c.ret)
	}
}
