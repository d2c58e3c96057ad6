package fuzz

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// found notes a finding and saves it.
func (s *session) found(c *candidate, problem, text string, packets uint64) {
	command := s.Command
	if command == "" {
		command = "skep fuzz"
	}
	f := &Finding{Level: c.level, LevelName: c.level.String(), Seed: c.seed, Problem: problem, Text: text,
		Reproduce: fmt.Sprintf("%s --seed %d --count 1 --level %s", command, c.seed, c.level)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.findings = append(s.findings, f)
	if len(s.findings) >= maxFindings {
		s.cancel()
	}
	if s.Save == "" {
		return
	}
	var err error
	if f.File, err = save(s.Save, f, c, packets); err != nil {
		f.Problem += "\nnot saved: " + err.Error()
	}
}

// save writes a finding as a file of fixtures: moved to conformance/testdata, it is a test from then on. Its verdict is what
// the verifier says now.
func save(dir string, f *Finding, c *candidate, packets uint64) (file string, err error) {
	fixture := &conformance.Fixture{
		Name: fmt.Sprintf("%s of seed %d", f.Level, f.Seed), Type: c.Type, Caps: prog.AllCaps, Text: f.Text, Packets: packets,
		Verdict: "unknown",
	}
	if p, err := fixture.Program(); err == nil {
		fixture.Verdict = verdict(p, f)
	}
	comment := "# " + strings.ReplaceAll(strings.TrimSpace(f.Problem), "\n", "\n# ") + "\n# " + f.Reproduce + "\n\n"
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	file = filepath.Join(dir, fmt.Sprintf("%s-%d.txt", f.Level, f.Seed))
	return file, os.WriteFile(file, []byte(comment+fixture.String()), 0o666)
}

// verdict asks the verifier once more, unless it is what panics or hangs.
func verdict(p *prog.Program, f *Finding) string {
	if strings.HasPrefix(f.Problem, "panic") || strings.HasPrefix(f.Problem, "hang") {
		return "accept"
	}
	_, err := verifier.Verify(p, verifier.Options{})
	return conformance.Verdict(err)
}
