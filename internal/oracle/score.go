package oracle

import (
	"strings"

	"github.com/skepvm/skep/prog"
)

// Capabilities of the loaders that the answers "unpriv" and "noperfmon" are for.
const (
	UnprivCaps    = prog.NoCaps
	NoPerfmonCaps = prog.CapBPF | prog.CapNetAdmin
)

// Answer is a verdict and the words that go with it.
type Answer struct {
	Accepted  bool
	Words     string // of a rejection
	Processed int    // instructions visited, where a live kernel said so
}

func (a Answer) String() string {
	switch {
	case a.Accepted:
		return "accepted"
	case a.Words == "":
		return "rejected"
	}
	return "rejected: " + strings.ReplaceAll(a.Words, "\n", " / ")
}

// Rules says what the kernel answers under some rules; known is false where the case has no answer.
type Rules func(c *Case) (a Answer, known bool)

// The kernel's answers, by the name of a profile.
var AnswersBy = map[string]Rules{
	"6.18":      seen618,
	"6.1":       meant61,
	"unpriv":    meantUnpriv,
	"noperfmon": seenNoPerfmon,
	"dag":       dag,
}

// seen618 is what a live 6.18 said.
func seen618(c *Case) (Answer, bool) {
	return Answer{c.Actual == "ACCEPT", c.ErrLine, c.Processed}, c.Actual != ""
}

// seenNoPerfmon is what the live 6.18 said to a loader without CAP_PERFMON.
func seenNoPerfmon(c *Case) (Answer, bool) {
	n := &c.NoPerfmon
	return Answer{n.Actual == "ACCEPT", n.ErrLine, n.Processed}, n.Actual != ""
}

// meant61 is what the case's author says of 6.1 with privileges.
func meant61(c *Case) (Answer, bool) { return meant(c.Expect, c.ErrStr) }

// meantUnpriv is what the author says of 6.1 without privileges, which may load two program types.
func meantUnpriv(c *Case) (Answer, bool) {
	if c.ProgTypeName != "socket_filter" && c.ProgTypeName != "cgroup_skb" {
		return Answer{}, false
	}
	verdict, words := c.ExpectUnpriv, c.ErrUnpriv
	if verdict == "UNDEF" || verdict == "" {
		verdict = c.Expect
	}
	if words == "" {
		words = c.ErrStr
	}
	return meant(verdict, words)
}

func meant(verdict, words string) (Answer, bool) {
	switch verdict {
	case "ACCEPT", "VERBOSE_ACCEPT":
		return Answer{Accepted: true}, true
	case "REJECT":
		return Answer{Words: words}, true
	}
	return Answer{}, false
}

// classicInsns is the most instructions of a program under the classic rules (Linux: BPF_MAXINSNS).
const classicInsns = 4096

// dag is 6.18's answer, but no for a back edge of any kind and for a long program.
func dag(c *Case) (Answer, bool) {
	a, known := seen618(c)
	if c.Static.HasBackEdge || len(c.Insns) > 16*classicInsns {
		return Answer{}, true
	}
	return a, known
}

// SameWords reports whether what was said has the kernel's words. want is a line of the message, or parts of it in
// their order with tabs between.
func SameWords(said, want string) bool {
	for _, part := range strings.Split(want, "\t") {
		part = strings.TrimSpace(part)
		_, after, ok := strings.Cut(said, part)
		if !ok {
			return false
		}
		said = after
	}
	return true
}
