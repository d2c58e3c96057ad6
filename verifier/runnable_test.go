package verifier_test

import (
	"strings"
	"testing"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// TestRunnable: programs that load and cannot run here are refused by the name of what is missing, with the reason.
func TestRunnable(t *testing.T) {
	for _, c := range []struct {
		typ        prog.Type
		code, want string
	}{
		{prog.XDP, "r0 = 2\n exit", ""},
		{prog.Kprobe, "r1 = 9\n call bpf_send_signal\n r0 = 0\n exit", ""},
		{prog.PerfEvent, "r2 = r10\n r2 += -24\n r3 = 24\n call bpf_perf_prog_read_value\n r0 = 0\n exit",
			"pc 3: helper bpf_perf_prog_read_value is not implemented: not yet"},
		{prog.Syscall, "r1 = 3\n call bpf_sys_close\n r0 = 0\n exit", "helper bpf_sys_close is not implemented: a program here makes no system calls"},
		{prog.SchedCLS, "r1 = 0\n call kfunc bpf_lookup_system_key\n if r0 == 0 goto +2\n r1 = r0\n call kfunc bpf_key_put\n r0 = 0\n exit",
			"kernel function bpf_lookup_system_key is not implemented: keys and the kernel's cryptography are not provided"},
	} {
		p := &prog.Program{Name: "main", Type: c.typ, License: "GPL"}
		var err error
		if p.Insns, err = parse(p, c.code); err != nil {
			t.Fatal(err)
		}
		v, err := verifier.Verify(p, verifier.Options{Outside: true})
		if err != nil {
			t.Errorf("%s: %v", c.code, err)
			continue
		}
		got := ""
		if err := v.Runnable(); err != nil {
			got = err.Error()
		}
		if got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, want %q", c.code, got, c.want)
		}
	}
}
