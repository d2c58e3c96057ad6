package verifier

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/skepvm/skep/internal/oracle"
	"github.com/skepvm/skep/prog"
)

var update = flag.Bool("update", false, "rewrite golden files")

// oracleCases reads the cases; the test is skipped when they are not there. The file is not part of the project: see DESIGN.
func oracleCases(t *testing.T) []oracle.Case {
	t.Helper()
	dir := os.Getenv("SKEP_ORACLE")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "oracle")
	}
	cases, err := oracle.ReadFile(filepath.Join(dir, "verifier_cases.jsonl.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no kernel answers to compare with: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// program makes a case loadable.
func program(t *testing.T, c *oracle.Case) *prog.Program {
	t.Helper()
	p, err := c.Program()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var golden = filepath.Join("testdata", "disagreements.txt")

func knownDisagreements() map[string]bool {
	known := map[string]bool{}
	if b, err := os.ReadFile(golden); err == nil {
		for _, l := range strings.Split(string(b), "\n") {
			if l != "" && !strings.HasPrefix(l, "#") {
				known[l] = true
			}
		}
	}
	return known
}

// TestOracle compares verdicts with those of a real Linux 6.18. testdata/disagreements.txt lists the cases that differ:
// a case that is not listed fails the test, and so does a listed one that agrees, so that the list only gets shorter.
// Packet programs that the kernel rejects and we accept are not excused at all.
func TestOracle(t *testing.T) {
	cases := oracleCases(t)
	known := knownDisagreements()
	var found []string
	var total, agree, packet, packetAgree, rejected, words int
	for i := range cases {
		c := &cases[i]
		profile := Newest()
		profile.StrictAlign = c.Strict()
		_, err := Verify(program(t, c), Options{Profile: profile})
		got := "ACCEPT"
		if err != nil {
			got = "REJECT"
		}
		total++
		if c.PacketCore {
			packet++
		}
		if got == c.Actual {
			agree++
			if c.PacketCore {
				packetAgree++
			}
			if err != nil {
				rejected++
				if oracle.SameWords(err.(*Error).Kernel, c.ErrLine) {
					words++
				} else if testing.Verbose() {
					t.Logf("WORDS %s\n  kernel: %s\n  skep:   %s", c.Key(), c.ErrLine, err)
				}
			}
			continue
		}
		kind := "false reject"
		if got == "ACCEPT" {
			kind = "false accept"
			if c.PacketCore {
				t.Errorf("FALSE ACCEPT in packet core: %s (kernel: %s)", c.Key(), c.ErrLine)
			}
		}
		line := kind + "\t" + c.Key()
		found = append(found, line)
		if testing.Verbose() {
			t.Logf("%s\n  kernel: %s\n  skep:   %v", line, c.ErrLine, err)
		}
		if !known[line] && !*update {
			t.Errorf("new disagreement: %s\n  kernel: %s %s\n  skep:   %v", line, c.Actual, c.ErrLine, err)
		}
		delete(known, line)
	}
	t.Logf("verdicts: %d of %d, packet core %d of %d; messages: %d of %d rejections", agree, total, packetAgree, packet, words, rejected)
	if *update {
		sort.Strings(found)
		text := "# Cases of the kernel oracle with another verdict than Linux 6.18. This list may only get shorter.\n" +
			strings.Join(found, "\n") + "\n"
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for l := range known {
		t.Errorf("agrees now, take it off the list: %s", l)
	}
}

// TestOracle61 compares verdicts with what the cases' authors say of Linux 6.1, where they say something.
func TestOracle61(t *testing.T) {
	cases := oracleCases(t)
	for i := range cases {
		c := &cases[i]
		profile := Linux(6, 1)
		profile.StrictAlign = c.Strict()
		_, err := Verify(program(t, c), Options{Profile: profile})
		want, ok := map[string]bool{"ACCEPT": true, "VERBOSE_ACCEPT": true, "REJECT": false}[c.Expect]
		if ok && want != (err == nil) {
			t.Errorf("%s: kernel 6.1: %s, skep: %v", c.Key(), c.Expect, err)
		}
	}
}

// TestOracleCaps compares verdicts for loaders that lack capabilities: without any, what the cases' authors say of Linux
// 6.1; without CAP_PERFMON, what a real 6.18 said, also of how many instructions it visited.
func TestOracleCaps(t *testing.T) {
	cases := oracleCases(t)
	for _, p := range []struct {
		name  string
		rules *Profile
	}{
		{"unpriv", Linux(6, 1).With(oracle.UnprivCaps)},
		{"noperfmon", Newest().With(oracle.NoPerfmonCaps)},
	} {
		t.Run(p.name, func(t *testing.T) {
			total, rejected, words := 0, 0, 0
			for i := range cases {
				c := &cases[i]
				want, known := oracle.AnswersBy[p.name](c)
				if !known || !c.PacketCore {
					continue
				}
				total++
				profile := *p.rules
				profile.StrictAlign = c.Strict()
				v, err := Verify(program(t, c), Options{Profile: &profile})
				switch {
				case want.Accepted != (err == nil):
					t.Errorf("%s: kernel: %v, skep: %v", c.Key(), want, err)
				case err == nil && want.Processed > 0 && v.Stats().Processed != want.Processed:
					t.Logf("%s: visited %d, the kernel %d", c.Key(), v.Stats().Processed, want.Processed)
				case err != nil:
					rejected++
					if oracle.SameWords(err.(*Error).Kernel, want.Words) {
						words++
					} else {
						t.Logf("%s\n  kernel: %v\n  skep:   %v", c.Key(), want, err)
					}
				}
			}
			t.Logf("%d verdicts; messages: %d of %d rejections", total, words, rejected)
			if 100*words < 95*rejected {
				t.Error("too few messages with the kernel's words")
			}
		})
	}
}

// TestOracleDAG checks that the DAG profile accepts no program with a back edge, and nothing that Newest refuses.
func TestOracleDAG(t *testing.T) {
	cases := oracleCases(t)
	for i := range cases {
		c := &cases[i]
		dag, newest := DAG(), Newest()
		dag.StrictAlign, newest.StrictAlign = c.Strict(), c.Strict()
		_, err := Verify(program(t, c), Options{Profile: dag})
		_, errNewest := Verify(program(t, c), Options{Profile: newest})
		if err == nil && (c.Static.HasBackEdge || errNewest != nil) {
			t.Errorf("%s: DAG accepts it; back edge %v, newest: %v", c.Key(), c.Static.HasBackEdge, errNewest)
		}
	}
}
