package fuzz_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/conformance/fuzz"
)

// TestMain is the other side of TestPeer when the environment says so.
func TestMain(m *testing.M) {
	how := os.Getenv("FUZZ_PEER")
	if how == "" {
		os.Exit(m.Run())
	}
	_, err := fuzz.Run(context.Background(), fuzz.Options{Seed: 40, Count: 10, Levels: []fuzz.Level{fuzz.Insns},
		Digest: func(l fuzz.Level, seed, digest uint64) {
			if how == "different" && seed == 44 {
				digest++
			}
			fmt.Println(fuzz.DigestLine(l, seed, digest))
		}})
	if how == "noise" {
		fmt.Println("no digest")
	}
	if how == "disagrees" {
		fmt.Fprintln(os.Stderr, "two engines differ")
		os.Exit(1)
	}
	if err != nil || how == "fails" {
		fmt.Fprintln(os.Stderr, "the peer says why", err)
		os.Exit(3)
	}
	os.Exit(0)
}

// TestPeer compares with a process of another machine, which is this one here.
func TestPeer(t *testing.T) {
	if err := exec.Command(os.Args[0], "-test.run=^$").Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this machine cannot start the test: it runs the tests under an emulator")
	}
	peer := func(how string) (*fuzz.Report, uint64, error) {
		t.Setenv("FUZZ_PEER", how)
		return fuzz.RunPeer(t.Context(), fuzz.Options{Seed: 40, Count: 10, Levels: []fuzz.Level{fuzz.Insns}, Command: "skep fuzz --arm64"},
			[]string{os.Args[0]})
	}
	r, compared, err := peer("same")
	require.NoError(t, err)
	require.Empty(t, r.Findings)
	require.EqualValues(t, 10, compared)

	r, _, err = peer("different")
	require.NoError(t, err)
	require.Len(t, r.Findings, 1)
	require.Equal(t, "skep fuzz --arm64 --seed 44 --count 1 --level insns", r.Findings[0].Reproduce)

	r, _, err = peer("disagrees")
	require.NoError(t, err)
	require.Len(t, r.Findings, 1)
	require.Contains(t, r.Findings[0].Problem, "two engines differ")
	_, _, err = peer("noise")
	require.ErrorContains(t, err, "no digest")
	_, _, err = peer("fails")
	require.ErrorContains(t, err, "the peer says why")
}
