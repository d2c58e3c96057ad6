package seccomp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// describe writes an event in one line.
func describe(ev *Event) string {
	s := fmt.Sprintf("%s %s(%d)", ev.Arch.Name, ev.Name, ev.Data.NR)
	for i, v := range ev.Data.Args {
		if ev.Pointers>>i&1 != 0 {
			s += " *"
			if v == 0 {
				continue
			}
		} else {
			s += " "
		}
		s += fmt.Sprintf("%#x", v)
	}
	if ev.Data.IP != 0 {
		s += fmt.Sprintf(" ip %#x", ev.Data.IP)
	}
	return s
}

// TestEvents reads testdata/events.txt: the first line of a case may be "#ARCH".
func TestEvents(t *testing.T) {
	for _, c := range cases(t, "testdata/events.txt") {
		o := EventOptions{}
		if first, _, _ := strings.Cut(c.text, "\n"); strings.HasPrefix(first, "#") {
			var err error
			o.Arch, err = ArchOf(first[1:])
			require.NoError(t, err)
		}
		r := NewEventReader(strings.NewReader(c.text), o)
		var lines []string
		for {
			ev, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				lines = append(lines, "error: "+err.Error())
				break
			}
			lines = append(lines, fmt.Sprintf("%d: %s", ev.Line, describe(ev)))
		}
		c.check(t, strings.Join(lines, "\n"))
	}
	writeCases(t, "testdata/events.txt")
}

func TestTolerant(t *testing.T) {
	var skipped []string
	r := NewEventReader(strings.NewReader("read(0, \"\", 1) = 0\nwhat is this\n{\"nr\":\n{\"nr\": \"close\"}\n"),
		EventOptions{Tolerant: true, Skipped: func(e *Error) { skipped = append(skipped, e.Error()) }})
	var names []string
	for {
		ev, err := r.Next()
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		names = append(names, ev.Name)
	}
	require.Equal(t, []string{"read", "close"}, names)
	require.Equal(t, []string{"2:1: want a system call and its arguments", "3:7: the text ends too early"}, skipped)
	r = NewEventReader(strings.NewReader("read(0)\n"+strings.Repeat("x", maxLine+1)), EventOptions{Tolerant: true})
	_, err := r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	require.ErrorContains(t, err, "2:1: a line of more than")
}

func FuzzEvents(f *testing.F) {
	text, err := os.ReadFile("testdata/events.txt")
	require.NoError(f, err)
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "=>") {
			f.Add(strings.TrimSpace(line))
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		r := NewEventReader(strings.NewReader(line), EventOptions{})
		for {
			ev, err := r.Next()
			if err == io.EOF {
				return
			}
			var e *Error
			if errors.As(err, &e) {
				require.Positive(t, e.Line)
				require.Positive(t, e.Col)
				return
			}
			require.NoError(t, err)
			require.NotNil(t, ev.Arch)
		}
	})
}
