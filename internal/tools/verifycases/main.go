// Command verifycases scores the verifier on a file of programs with a real kernel's answers.
//
//	go run ./internal/tools/verifycases FILE.jsonl[.gz] [--profile 6.18|6.1|dag|unpriv|noperfmon] [-o text|json]
//
// It prints a line for each case with another verdict, and a summary last. The summary counts the packet_core cases; the
// lines are of all. Exit code 1 when a packet_core verdict differs, 2 when the file cannot be read.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/skepvm/skep/internal/oracle"
	"github.com/skepvm/skep/verifier"
)

// profiles makes the verifier's rules of each name.
var profiles = map[string]func() *verifier.Profile{
	"6.18":      verifier.Newest,
	"6.1":       func() *verifier.Profile { return verifier.Linux(6, 1) },
	"dag":       verifier.DAG,
	"unpriv":    func() *verifier.Profile { return verifier.Linux(6, 1).With(oracle.UnprivCaps) },
	"noperfmon": func() *verifier.Profile { return verifier.Newest().With(oracle.NoPerfmonCaps) },
}

func main() {
	bad, err := run(os.Args[1:], os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "verifycases:", err)
		os.Exit(2)
	case bad:
		os.Exit(1)
	}
}

// run scores the file that args name; bad says that a verdict that counts differs.
func run(args []string, out io.Writer) (bad bool, err error) {
	flags := flag.NewFlagSet("verifycases", flag.ContinueOnError)
	profile := flags.String("profile", "6.18", "whose answers: 6.18, 6.1, dag, unpriv (6.1) or noperfmon (6.18)")
	output := flags.String("o", "text", "text or json")
	files, err := parse(flags, args)
	if err != nil {
		return false, err
	}
	makeProfile, ok := profiles[*profile]
	if !ok {
		return false, fmt.Errorf("unknown profile %q: 6.18, 6.1, dag, unpriv (6.1) or noperfmon (6.18)", *profile)
	}
	if len(files) != 1 || *output != "text" && *output != "json" {
		return false, errors.New("usage: verifycases FILE.jsonl[.gz] [--profile 6.18|6.1|dag|unpriv|noperfmon] [-o text|json]")
	}
	cases, err := oracle.ReadFile(files[0])
	if err != nil {
		return false, err
	}
	s := score{Profile: *profile, Misses: []miss{}}
	for i := range cases {
		s.add(&cases[i], makeProfile())
	}
	if *output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(&s)
	} else {
		err = s.print(out)
	}
	return s.FalseAccepts+s.FalseRejects > 0, err
}

// parse takes flags before and behind the file's name.
func parse(flags *flag.FlagSet, args []string) (files []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return files, nil
		}
		files, args = append(files, flags.Arg(0)), flags.Args()[1:]
	}
}

// score is the result. Counts are of packet_core cases.
type score struct {
	Profile      string `json:"profile"`
	Right        int    `json:"verdicts_right"`
	Cases        int    `json:"verdicts"`
	FalseAccepts int    `json:"false_accepts"`
	FalseRejects int    `json:"false_rejects"`
	Words        int    `json:"words_right"` // rejections by both with the kernel's words
	Rejections   int    `json:"words"`       // rejections by both
	Near         int    `json:"processed_near"`
	Counted      int    `json:"processed"` // acceptances by both where the kernel's count is known
	Other        int    `json:"other_misses"`
	Misses       []miss `json:"misses"`
}

// miss is a case with another verdict than the kernel's, or one that could not be tried.
type miss struct {
	ID     int    `json:"id"`
	File   string `json:"file"`
	Name   string `json:"name"`
	Core   bool   `json:"packet_core"`
	Ours   string `json:"ours"`
	Kernel string `json:"kernel"`
}

// add verifies a case and counts the answer.
func (s *score) add(c *oracle.Case, profile *verifier.Profile) {
	want, known := oracle.AnswersBy[s.Profile](c)
	if !known {
		return
	}
	got, stats := answer(c, profile)
	if got.Accepted != want.Accepted {
		s.Misses = append(s.Misses, miss{c.ID, c.File, c.Name, c.PacketCore, got.String(), want.String()})
	}
	if !c.PacketCore {
		if got.Accepted != want.Accepted {
			s.Other++
		}
		return
	}
	s.Cases++
	switch {
	case got.Accepted && !want.Accepted:
		s.FalseAccepts++
		return
	case !got.Accepted && want.Accepted:
		s.FalseRejects++
		return
	}
	s.Right++
	switch {
	case !got.Accepted && want.Words != "":
		s.Rejections++
		if oracle.SameWords(got.Words, want.Words) {
			s.Words++
		}
	case got.Accepted && want.Processed > 0:
		s.Counted++
		if off := stats.Processed - want.Processed; 10*max(off, -off) <= want.Processed {
			s.Near++
		}
	}
}

// answer is what the verifier says of a case. What cannot be loaded is rejected.
func answer(c *oracle.Case, profile *verifier.Profile) (oracle.Answer, verifier.Stats) {
	profile.StrictAlign = c.Strict()
	p, err := c.Program()
	if err != nil {
		return oracle.Answer{Words: err.Error()}, verifier.Stats{}
	}
	v, err := verifier.Verify(p, verifier.Options{Profile: profile})
	if err == nil {
		return oracle.Answer{Accepted: true}, v.Stats()
	}
	var cause *verifier.Error
	if errors.As(err, &cause) {
		words := cause.Kernel
		if cause.Code == verifier.InfiniteLoop { // the kernel's message ends with both states
			words += "\n" + cause.State
		}
		return oracle.Answer{Words: words}, cause.Stats
	}
	return oracle.Answer{Words: err.Error()}, verifier.Stats{}
}

func (s *score) print(out io.Writer) error {
	slices.SortStableFunc(s.Misses, func(a, b miss) int { return a.ID - b.ID })
	for _, m := range s.Misses {
		note := ""
		if !m.Core {
			note = " (not packet_core)"
		}
		if _, err := fmt.Fprintf(out, "%d %s: %s%s\tours: %s\tkernel: %s\n", m.ID, m.File, m.Name, note, m.Ours, m.Kernel); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "verdicts %d/%d, false accepts %d, false rejects %d, words %d/%d, processed within 10%% %d/%d\n",
		s.Right, s.Cases, s.FalseAccepts, s.FalseRejects, s.Words, s.Rejections, s.Near, s.Counted)
	return err
}
