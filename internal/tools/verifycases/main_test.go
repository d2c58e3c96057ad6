package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cases are four of our own: right verdicts with and without the words, a false accept, a false reject, and one outside
// of the core. The kernel's answers are made up where they have to be wrong.
const cases = `{"id":1,"file":"a","name":"fine","prog_type_name":"xdp","packet_core":true,"insns":"b7000000020000009500000000000000","actual":"ACCEPT","processed":2}
{"id":2,"file":"a","name":"words","prog_type_name":"xdp","packet_core":true,"insns":"9500000000000000","actual":"REJECT","err_line":"R0 !read_ok"}
{"id":3,"file":"a","name":"other words","prog_type_name":"xdp","packet_core":true,"insns":"9500000000000000","actual":"REJECT","err_line":"R1 !read_ok"}
{"id":4,"file":"a","name":"false accept","prog_type_name":"xdp","packet_core":true,"insns":"b7000000020000009500000000000000","actual":"REJECT","err_line":"no"}
{"id":5,"file":"a","name":"false reject","prog_type_name":"xdp","packet_core":true,"insns":"9500000000000000","actual":"ACCEPT","processed":1}
{"id":6,"file":"a","name":"not core","prog_type_name":"kprobe","insns":"9500000000000000","actual":"ACCEPT"}
{"id":7,"file":"a","name":"count","prog_type_name":"xdp","packet_core":true,"insns":"b7000000020000009500000000000000","actual":"ACCEPT","processed":9}
`

func TestScore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cases.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(cases), 0o644))
	var out strings.Builder
	bad, err := run([]string{file, "--profile", "6.18"}, &out)
	require.NoError(t, err)
	require.True(t, bad)
	require.Equal(t, `4 a: false accept	ours: accepted	kernel: rejected: no
5 a: false reject	ours: rejected: R0 !read_ok	kernel: accepted
6 a: not core (not packet_core)	ours: rejected: R0 !read_ok	kernel: accepted
verdicts 4/6, false accepts 1, false rejects 1, words 1/2, processed within 10% 1/2
`, out.String())

	out.Reset()
	_, err = run([]string{"-o", "json", file}, &out)
	require.NoError(t, err)
	var s score
	require.NoError(t, json.Unmarshal([]byte(out.String()), &s))
	require.Equal(t, []int{4, 6, 1, 1, 1, 3}, []int{s.Right, s.Cases, s.FalseAccepts, s.FalseRejects, s.Other, len(s.Misses)})
}

func TestBadUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cases.jsonl")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o644))
	for _, args := range [][]string{{}, {"nowhere.jsonl"}, {file}, {file, "--profile", "5"}, {file, "-o", "xml"}, {file, file}} {
		_, err := run(args, os.Stderr)
		require.Error(t, err, "%q", args)
	}
}
