package kernel_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// capBits are the kernel's numbers of capabilities.
var capBits = map[prog.Caps]uint{prog.CapBPF: unix.CAP_BPF, prog.CapPerfmon: unix.CAP_PERFMON,
	prog.CapNetAdmin: unix.CAP_NET_ADMIN, prog.CapSysAdmin: unix.CAP_SYS_ADMIN}

// dropCaps gives up, until the test ends, all capabilities of this thread but caps.
func dropCaps(t *testing.T, caps prog.Caps) {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var before, during [2]unix.CapUserData
	require.NoError(t, unix.Capget(&header, &before[0]))
	during = before
	during[0].Effective, during[1].Effective = 0, 0
	for c, bit := range capBits {
		if caps&c != 0 {
			during[bit/32].Effective |= 1 << (bit % 32)
		}
	}
	if err := unix.Capset(&header, &during[0]); err != nil {
		runtime.UnlockOSThread()
		t.Skipf("needs a process that may have %v: %v", caps, err)
	}
	t.Cleanup(func() {
		require.NoError(t, unix.Capset(&header, &before[0]))
		runtime.UnlockOSThread()
	})
}

// loaders are those that are tried. One without CAP_BPF can't load anything where sysctl unprivileged_bpf_disabled is set.
var loaders = []prog.Caps{prog.CapBPF | prog.CapNetAdmin, prog.CapBPF}

// explained are the differences that remain, by what is said here.
var explained = map[string]string{
	"frame pointer is read only":                                      onlySpeculative,
	"BPF_LD_[ABS|IND] instructions not allowed for this program type": onlySpeculative,
}

const onlySpeculative = "instructions that only a mispredicted branch leads to must be legal here too: engines decode them"

// TestLoaders compares the verdicts of both verifiers on generated programs for loaders that lack capabilities. Here a
// difference of either kind is an error.
func TestLoaders(t *testing.T) {
	for _, caps := range loaders {
		t.Run(caps.String(), func(t *testing.T) {
			compareLoader(t, caps, func(seed uint64) *gen.Program { return gen.Make(gen.FromSeed(seed), nil) })
		})
	}
}

// TestMasks is TestLoaders with programs about what Spectre is mitigated in.
func TestMasks(t *testing.T) {
	compareLoader(t, prog.CapBPF, func(seed uint64) *gen.Program {
		text := maskProgram(gen.FromSeed(seed))
		p, err := gen.Parse(prog.SocketFilter, text)
		require.NoError(t, err, text)
		return &gen.Program{Program: p, Text: text}
	})
}

func compareLoader(t *testing.T, caps prog.Caps, program func(seed uint64) *gen.Program) {
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	dropCaps(t, caps)
	r := newReferee(t)
	r.profile, r.words = conformance.Profile().With(caps), true
	both, neither, differ, words, why := 0, 0, tally{}, tally{}, tally{}
	for seed := *first; seed < *first+*count; seed++ {
		p := program(seed)
		if p.Callbacks {
			continue
		}
		o := r.judge(p.Program)
		switch {
		case o.impatient():
		case o.unlike():
			key := say(o.ours)
			if differ[key]++; differ[key] <= 2 && explained[key] == "" {
				t.Errorf("seed %d: here %s, kernel %s\n%s", seed, key, say(o.kernel), r.smallest(p, func(q *opinion) bool {
					return !q.impatient() && q.unlike() && (q.ours == nil) == (o.ours == nil) && explained[say(q.ours)] == ""
				}))
			}
		case o.ours == nil:
			both++
		default:
			neither++
			why[say(o.ours)]++
			if a, b := say(o.ours), say(o.kernel); a != b {
				words[a+" | "+b]++
			}
		}
		o.close()
	}
	if *stats {
		why.log(t, "both refuse")
		words.log(t, "other words")
		differ.log(t, "other verdict")
	}
	t.Logf("%d programs: both accept %d, both refuse %d, with other words %d, verdicts differ %d", *count, both, neither,
		words.sum(), differ.sum())
}

// unlike reports whether only one of the verifiers accepts the program.
func (o *opinion) unlike() bool { return (o.ours == nil) != (o.kernel == nil) }

// maskProgram makes a program of additions to pointers, masks, branches, spills and accesses: what loaders without CAP_PERFMON
// get checked most.
func maskProgram(src gen.Source) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	one := func(list ...string) string { return list[src.IntN(len(list))] }
	number := func() string { return one("r3", "r4", "r5", "r8") }
	pointer := func() string { return one("r6", "r6", "r6", "r7", "r9") }
	any := func() string { return one(number(), number(), pointer()) }
	small := func() string { return one("0", "1", "4", "7", "8") }
	imm := func() string { return one(small(), small(), "-1", "15", "40", "63", "-8", "-16") }
	slot := func() string { return one("- 8", "- 16", "- 24", "- 32") }
	line("r7 = r1\nr8 = *(u32 *)(r1 + 0)\nr4 = *(u32 *)(r1 + 40)")
	for off := 8; off <= 32; off += 8 {
		line("*(u64 *)(r10 - %d) = %s", off, one("0", "0", "1", "r8"))
	}
	line("r2 = r10\nr2 += -8\nr1 = map[%s]\ncall bpf_map_lookup_elem\nif r0 == 0 goto out", one("array", "array", "odd", "global"))
	line("r6 = r0\nr9 = %s\nr3 = %s\nr5 = %s\nr4 = %s", one("r10", "r0", "r7"), small(), one("r8", small()), one("r8", small()))
	line("%s &= %s\n%s &= 7", number(), one("7", "15"), number())
	statements := []func(){
		func() { line("%s %s %s", pointer(), one("+=", "+=", "-="), number()) },
		func() { line("%s %s %s", pointer(), one("+=", "+=", "-="), small()) },
		func() { line("%s += %s", number(), pointer()) },
		func() { line("%s %s %s", number(), one("+=", "-=", "=", "&="), number()) },
		func() { line("%s %s %s", number(), one("&=", "&=", "=", "%=", "+="), one("1", "3", "7", "15")) },
		func() { line("*(u64 *)(r10 %s) = %s", slot(), any()) },
		func() { line("*(u%s *)(r10 %s) = %s", one("8", "16", "32"), slot(), number()) },
		func() { line("%s = *(u64 *)(r10 %s)", any(), slot()) },
		func() { line("%s = *(u8 *)(%s + %s)", number(), pointer(), small()) },
		func() { line("*(u8 *)(%s + %s) = %s", pointer(), small(), number()) },
		func() { line("%s = %s", pointer(), one("r10", "r0", "r0", "r6", "r7")) },
		func() { line("r6 = r0") },
	}
	for label := range 2 + src.IntN(6) {
		if src.IntN(4) > 0 {
			line("if %s %s %s goto L%d", one(number(), number(), number(), any()), one("==", "!=", ">", "<", "s>", "s<", "&"),
				one(imm(), imm(), imm(), number()), label)
		}
		for range src.IntN(4) {
			statements[src.IntN(len(statements))]()
		}
		line("L%d:", label)
	}
	if src.IntN(2) == 0 {
		line("r0 = *(u8 *)(%s + 0)", pointer())
	}
	line("out:\nr0 = 0\nexit")
	return b.String()
}

// say is the last line of a refusal.
func say(err error) string {
	var ours *verifier.Error
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &ours):
		lines := strings.Split(ours.Kernel, "\n")
		return numbers.ReplaceAllString(lines[len(lines)-1], "N")
	}
	return numbers.ReplaceAllString(err.Error(), "N")
}

// TestLoaderObjects compares the verdicts on the example objects: real programs of clang.
func TestLoaderObjects(t *testing.T) {
	requireKernel(t)
	caps := prog.CapBPF | prog.CapNetAdmin
	dropCaps(t, caps)
	compared := 0
	for _, name := range examples.Names() {
		elf, err := examples.Open(name)
		require.NoError(t, err)
		o, err := object.LoadBytes(elf, name, object.Options{})
		require.NoError(t, err)
		verdicts, err := kernel.Verify(elf, 1)
		if err != nil {
			t.Logf("%s does not get to the kernel's verifier: %v", name, err)
			continue
		}
		for _, p := range o.Programs {
			want := verdicts[p.Name]
			v, err := verifier.Verify(p, verifier.Options{Profile: verifier.Newest().With(caps)})
			require.Equal(t, want.Accepted, err == nil, "%s: here %v, kernel %s", p.Name, err, want.Words)
			if err != nil {
				lines := strings.Split(err.(*verifier.Error).Kernel, "\n")
				require.Equal(t, want.Words, lines[len(lines)-1], p.Name)
			} else {
				require.Equal(t, want.Processed, v.Stats().Processed, p.Name)
			}
			compared++
		}
	}
	require.Greater(t, compared, 10)
}
