package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// flagRow is a row of testdata/replayflags.txt.
type flagRow struct {
	flag, mode string
	args       []string
	what, want string
}

func flagRows(t *testing.T) (rows []flagRow) {
	text, err := os.ReadFile("testdata/replayflags.txt")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		left, right, ok := strings.Cut(line, " => ")
		require.True(t, ok, line)
		words := strings.Fields(left)
		what, want, _ := strings.Cut(right, " ")
		rows = append(rows, flagRow{words[0], words[1], words[2:], what, want})
	}
	return rows
}

// makeFlagFiles makes the files that the rows name, in the current directory.
func makeFlagFiles(t *testing.T, source string) {
	for name, file := range map[string]string{"chain.o": "object/testdata/chain.o", "timers.o": "conformance/kernel/testdata/timers.o",
		"bounce.o": "examples/tx_bounce.bpf.o", "receive.o": "examples/hooks/receive.bpf.o", "ddos.o": "examples/ddos.bpf.o", "t.pcap": "traffic/sample.pcap"} {
		data, err := os.ReadFile(filepath.Join(source, file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name, data, 0o644))
		if name == "t.pcap" {
			require.NoError(t, os.WriteFile("cut.pcap", data[:len(data)-5], 0o644))
		}
	}
	for name, src := range map[string]string{
		"drop.o":   "r0 = 1; exit",
		"bad.o":    "r0 = *(u8 *)(r10 - 600); exit",
		"random.o": "call 7; r0 &= 1; r0 += 1; exit",
		"queue.o":  "r0 = *(u32 *)(r1 + 16); exit",
		"device.o": "r0 = *(u32 *)(r1 + 12); exit",
		// Passes the packets of the capture and drops those of now.
		"late.o": "call 5; r1 = 1767300000000000000 ll; r2 = r0; r0 = 1; if r2 > r1 goto +1; r0 = 2; exit",
	} {
		code, out := runReplay("asm", "-o", name, "--format", "elf", "--name", strings.TrimSuffix(name, ".o"), sourceFile(t, "src", strings.ReplaceAll(src, "; ", "\n")))
		require.Zero(t, code, out)
	}
	code, out := runReplay("asm", "-o", "plain.bin", "--format", "raw", sourceFile(t, "src", "r0 = 2\nexit\n"))
	require.Zero(t, code, out)
	for name, flags := range map[string][]string{"cooked.pcap": {"--link", "sll"}, "raw.pcap": {"--link", "raw"}, "snap.pcap": {"--snap", "60"}} {
		code, out = runReplay(append([]string{"generate", "-w", name, "--packets", "50"}, flags...)...)
		require.Zero(t, code, out)
	}
}

func sourceFile(t *testing.T, name, text string) string {
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	return name
}

// runReplay runs a command and returns its exit code and all that it printed.
func runReplay(args ...string) (int, string) {
	var out bytes.Buffer
	return run(args, strings.NewReader(""), &out, &out), out.String()
}

// without is the arguments but for those of a flag, which come first.
func (r *flagRow) without(fl *pflag.FlagSet) []string {
	n := 2
	if strings.Contains(r.args[0], "=") && !strings.HasPrefix(r.args[0], "--diff") || fl.Lookup(r.flag).NoOptDefVal != "" {
		n = 1
	}
	return r.args[n:]
}

// TestReplayFlags: with an object, with a chain, with filters or captures alone, every flag of replay is used, or refused in words.
func TestReplayFlags(t *testing.T) {
	source, err := filepath.Abs("../..")
	require.NoError(t, err)
	rows := flagRows(t)
	fl := (&app{}).replayCommand().Flags()
	have := map[string][]string{}
	for _, r := range rows {
		require.NotNil(t, fl.Lookup(r.flag), "no flag --%s", r.flag)
		have[r.flag] = append(have[r.flag], r.mode)
	}
	fl.VisitAll(func(f *pflag.Flag) {
		modes := []string{"object", "chain", "filters", "captures"}
		switch f.Name {
		case "xdp", "tc", "egress": // make it a chain
			modes = modes[1:2]
		case "filter": // with captures alone makes filters alone
			modes = modes[:3]
		case "type": // makes what comes first an object
			modes = modes[:2]
		}
		slices.Sort(modes)
		slices.Sort(have[f.Name])
		require.Equal(t, modes, have[f.Name], "testdata/replayflags.txt needs a row for --%s in each mode", f.Name)
	})
	t.Chdir(t.TempDir())
	makeFlagFiles(t, source)
	for _, r := range rows {
		t.Run(r.flag+" "+r.mode, func(t *testing.T) { r.check(t, fl) })
	}
}

func (r *flagRow) check(t *testing.T, fl *pflag.FlagSet) {
	require.True(t, strings.HasPrefix(r.args[0], "--"+r.flag), "--%s is to come first", r.flag)
	code, got := runReplay(append([]string{"replay"}, r.args...)...)
	if r.what == "refused" {
		require.Equal(t, exitUsage, code, "%s: %s", r.args, got)
		require.Contains(t, got, r.want, "%s", r.args)
		return
	}
	if r.what == "file" {
		require.Zero(t, code, "%s: %s", r.args, got)
		require.FileExists(t, r.want)
		require.NoError(t, os.Remove(r.want))
		return
	}
	_, plain := runReplay(append([]string{"replay"}, r.without(fl)...)...)
	want := regexp.MustCompile("(?m)" + r.want)
	with, base := want.MatchString(got), want.MatchString(plain)
	switch r.what {
	case "has":
		require.True(t, with, "%s\n%s", r.args, got)
		require.False(t, base, "without the flag: %s\n%s", r.args, plain)
	case "lacks":
		require.False(t, with, "%s\n%s", r.args, got)
		require.True(t, base, "without the flag: %s\n%s", r.args, plain)
	default:
		t.Fatalf("unknown word %q", r.what)
	}
}
