package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/jit"
)

// measured matches what differs from run to run: times and rates.
var measured = regexp.MustCompile(`[0-9]+(\.[0-9]+)?( (us|s|million packets/s)\b|x\b)|\( *[0-9.]+s?\)|  +[0-9]+\.[0-9]+\b| +[0-9]{4,}\.[0-9]+\b|([0-9.]+) *\(`)

// kernelLine is there for root only.
var kernelLine = regexp.MustCompile(`(?m)^ +kernel test-run .*\n|^ +kernel +skipped.*\n`)

func normalise(s string) string {
	s = kernelLine.ReplaceAllString(s, "")
	s = measured.ReplaceAllString(s, "N")
	return regexp.MustCompile(` +`).ReplaceAllString(s, " ")
}

// TestReadme runs every "$ skep …" of the console blocks of these documents in the root of the repository and compares
// what it prints, times aside. With -update those that differ are rewritten.
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every session of the documents, benchmarks too")
	}
	if !jit.Available() {
		t.Skip("the sessions show machine code, which this machine has none of")
	}
	t.Chdir("../..")
	for _, name := range []string{"README.md", "docs/chains.md", "docs/conformance.md", "docs/filter.md", "docs/seccomp.md", "docs/verify.md"} {
		t.Run(name, func(t *testing.T) { testSessions(t, name) })
	}
}

func testSessions(t *testing.T, name string) {
	readme, err := os.ReadFile(name)
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatchIndex(string(readme), -1)
	require.NotEmpty(t, blocks)
	var made bytes.Buffer
	at := 0
	for _, b := range blocks {
		session := string(readme[b[2]:b[3]])
		got := runSession(t, session)
		switch {
		case !*update:
			require.Equal(t, normalise(session), normalise(got))
		case normalise(session) == normalise(got):
			got = session // its times may be those of a quieter machine
		}
		made.Write(readme[at:b[2]])
		made.WriteString(got)
		at = b[3]
	}
	made.Write(readme[at:])
	if *update {
		require.NoError(t, os.WriteFile(name, made.Bytes(), 0o644))
	}
}

// runSession runs the commands of a console block and returns the block as it should be.
func runSession(t *testing.T, session string) string {
	var out bytes.Buffer
	for line := range strings.Lines(session) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		if !ok {
			continue
		}
		out.WriteString("$ " + command + "\n")
		args, ok := strings.CutPrefix(command, "skep ")
		require.True(t, ok, "README session runs something else: %s", command)
		run(expand(t, words(args)), strings.NewReader(""), &out, &out)
	}
	return out.String()
}

// words splits a command line at blanks outside of single quotes, as a shell does.
func words(line string) (out []string) {
	word, quoted, begun := "", false, false
	for _, r := range line + " " {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case r == ' ' && !quoted:
			if begun {
				out = append(out, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(r), true
		}
	}
	return out
}

// expand replaces patterns of file names, as a shell does.
func expand(t *testing.T, args []string) (all []string) {
	for _, arg := range args {
		if !strings.Contains(arg, "*") {
			all = append(all, arg)
			continue
		}
		files, err := filepath.Glob(arg)
		require.NoError(t, err)
		require.NotEmpty(t, files, arg)
		all = append(all, files...)
	}
	return all
}
