package seccomp

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite what the files of testdata expect")

// testCase is an input and what is expected of it. Files hold them as
//
//	input
//	lines
//	=> expected
//	=> lines
//	(blank line)
type testCase struct {
	text string
	want []string
	got  []string
}

var read = map[string][]*testCase{}

func cases(t *testing.T, file string) []*testCase {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var out []*testCase
	for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		c := &testCase{}
		for line := range strings.SplitSeq(block, "\n") {
			if want, ok := strings.CutPrefix(line, "=>"); ok {
				c.want = append(c.want, strings.TrimPrefix(want, " "))
			} else {
				c.text += line + "\n"
			}
		}
		c.text = strings.TrimSuffix(c.text, "\n")
		out = append(out, c)
	}
	read[file] = out
	require.NotEmpty(t, out)
	return out
}

func (c *testCase) check(t *testing.T, got string) {
	t.Helper()
	c.got = strings.Split(strings.TrimSpace(got), "\n")
	if !*update {
		require.Equal(t, c.want, c.got, c.text)
	}
}

// writeCases writes back what was said, with -update.
func writeCases(t *testing.T, file string) {
	if !*update {
		return
	}
	var b strings.Builder
	for _, c := range read[file] {
		b.WriteString(c.text + "\n")
		for _, line := range c.got {
			b.WriteString(strings.TrimRight("=> "+line, " ") + "\n")
		}
		b.WriteString("\n")
	}
	require.NoError(t, os.WriteFile(file, []byte(strings.TrimSpace(b.String())+"\n"), 0o644))
}
