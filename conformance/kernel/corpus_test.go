package kernel_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

var (
	update   = flag.Bool("update", false, "rewrite what the kernel says of the corpus")
	variants = flag.String("variants", "v3-O2", "how the corpus is compiled: v1-O1,v3-Os or all")
)

const corpus = "../corpus"

// Programs that the kernel walks for longer have logs that nobody reads, and that take seconds to write.
const readableLog = 5000

// answer is what a verifier says of a program of the corpus, as a line of answers.txt.
type answer struct {
	program string
	verdict *kernel.Verdict
}

func (a answer) String() string {
	v := a.verdict
	verdict := "rejected"
	if v.Accepted {
		verdict = "accepted"
	}
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s", a.program, verdict, v.Processed, v.MaxStatesPerInsn, v.States, v.PeakStates,
		v.Stack, v.Words)
}

// ours verifies a program here and reads the answer from the log, as from the kernel's.
func ours(t *testing.T, p *prog.Program, level verifier.LogLevel) *kernel.Verdict {
	var log []string
	_, err := verifier.Verify(p, verifier.Options{LogLevel: level, Log: func(l string) { log = append(log, l) }})
	v, broken := kernel.ReadLog(log, err == nil)
	require.NoError(t, broken, p.Name)
	return v
}

// objectAnswers are our answers to all programs of an object, by the name of its source.
func objectAnswers(t *testing.T, path string) (out []answer, obj *object.Object) {
	obj, err := object.LoadFile(path, object.Options{})
	require.NoError(t, err)
	name := strings.TrimSuffix(filepath.Base(path), ".bpf.o")
	for _, p := range obj.Programs {
		out = append(out, answer{name + "/" + p.Name, ours(t, p, verifier.LogStats)})
	}
	return out, obj
}

// TestCorpus compares verdicts, words and counts of the committed objects with what Linux 6.18 said of them
// (answers.txt), and some logs line by line (logs).
func TestCorpus(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(corpus, "answers.txt"))
	require.NoError(t, err)
	want := strings.Split(strings.TrimSpace(string(text)), "\n")[1:]
	paths, err := filepath.Glob(filepath.Join(corpus, "*.bpf.o"))
	require.NoError(t, err)
	var got []string
	for _, path := range paths {
		answers, obj := objectAnswers(t, path)
		for i, a := range answers {
			got = append(got, a.String())
			log, err := os.ReadFile(filepath.Join(corpus, "logs", strings.ReplaceAll(a.program, "/", ".")+".log"))
			if err == nil {
				v := ours(t, obj.Programs[i], verifier.LogInsns)
				require.Equal(t, string(log), strings.Join(normalLog(v.Log), "\n")+"\n", a.program)
			}
		}
	}
	require.Len(t, got, len(want))
	deviations, err := os.ReadFile(filepath.Join(corpus, "deviations.txt"))
	require.NoError(t, err)
	for i := range want {
		name, _, _ := strings.Cut(want[i], "\t")
		if !strings.Contains(string(deviations), "\n"+name+": ") {
			require.Equal(t, want[i], got[i])
			continue
		}
		require.NotEqual(t, want[i], got[i], "%s agrees now: take it off deviations.txt", name)
		require.Equal(t, verdictOf(want[i]), verdictOf(got[i]))
	}
}

// verdictOf is what a line of answers.txt has besides counts.
func verdictOf(line string) []string {
	f := strings.Split(line, "\t")
	return append(f[:2:2], f[len(f)-1])
}

// compile makes an object of a source of the corpus; variant is "v3-O2" and the like.
func compile(t *testing.T, source, variant string) []byte {
	out := filepath.Join(t.TempDir(), "out.o")
	cpu, opt, _ := strings.Cut(variant, "-")
	cmd := exec.Command("clang-19", "-g", "-"+opt, "-target", "bpf", "-mcpu="+cpu, "-c", filepath.Base(source), "-o", out)
	cmd.Dir = corpus
	msg, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", source, variant, msg)
	elf, err := os.ReadFile(out)
	require.NoError(t, err)
	return elf
}

func chosenVariants() (all []string) {
	if *variants != "all" {
		return strings.Split(*variants, ",")
	}
	for _, cpu := range []string{"v1", "v2", "v3", "v4"} {
		for _, opt := range []string{"O1", "O2", "Os"} {
			all = append(all, cpu+"-"+opt)
		}
	}
	return all
}

// TestCorpusLive compiles the corpus and compares our answers, and the logs of levels 1 and 2, with the live kernel's.
// With -update it writes the objects and the kernel's answers of variant v3-O2.
func TestCorpusLive(t *testing.T) {
	requireKernel(t)
	if _, err := exec.LookPath("clang-19"); err != nil {
		t.Skip("needs clang-19")
	}
	sources, err := filepath.Glob(filepath.Join(corpus, "*.bpf.c"))
	require.NoError(t, err)
	var answers []string
	s := &corpusScore{}
	for _, variant := range chosenVariants() {
		for _, source := range sources {
			elf := compile(t, source, variant)
			name := strings.TrimSuffix(filepath.Base(source), ".bpf.c")
			if *update && variant == "v3-O2" {
				require.NoError(t, os.WriteFile(strings.TrimSuffix(source, "c")+"o", elf, 0o644))
			}
			for _, a := range s.compare(t, name, variant, elf) {
				if variant == "v3-O2" {
					answers = append(answers, a.String())
				}
			}
		}
	}
	t.Logf("%d programs: verdicts %d, words %d, counts %d; logs of level 1 %d of %d, of level 2 %d of %d", s.programs, s.verdicts, s.words,
		s.counts, s.logs[1], s.logged[1], s.logs[2], s.logged[2])
	require.Equal(t, s.programs, s.verdicts)
	require.GreaterOrEqual(t, s.counts*100, s.programs*95, "equal counts")
	require.GreaterOrEqual(t, s.logs[2]*100, s.logged[2]*90, "equal logs")
	if *update {
		head := "# program, verdict, processed instructions, most states of one, states, peak, stack, last words: Linux 6.18\n"
		require.NoError(t, os.WriteFile(filepath.Join(corpus, "answers.txt"), []byte(head+strings.Join(answers, "\n")+"\n"), 0o644))
	}
}

// corpusScore counts programs about which both verifiers agree.
type corpusScore struct {
	programs, verdicts, words, counts int
	logs, logged                      [3]int // equal and compared ones, by level
}

// compare asks both verifiers about an object and returns the kernel's answers.
func (s *corpusScore) compare(t *testing.T, name, variant string, elf []byte) (answers []answer) {
	theirs, err := kernel.Verify(elf, 4)
	require.NoError(t, err, name)
	logs := map[int]map[string]*kernel.Verdict{}
	for level := 1; level <= 2; level++ {
		logs[level], err = kernel.VerifySome(elf, uint32(level), func(p string) bool { return theirs[p].Processed < readableLog })
		require.NoError(t, err, name)
	}
	obj, err := object.LoadBytes(elf, name, object.Options{})
	require.NoError(t, err)
	for _, p := range obj.Programs {
		k, u := theirs[p.Name], ours(t, p, verifier.LogStats)
		id := name + "/" + p.Name
		answers = append(answers, answer{id, k})
		s.programs++
		if k.Accepted != u.Accepted {
			t.Errorf("%s %s: kernel accepts: %v (%s), here: %v (%s)", variant, id, k.Accepted, k.Words, u.Accepted, u.Words)
			continue
		}
		s.verdicts++
		if k.Words == u.Words {
			s.words++
		} else {
			t.Logf("%s %s: words\n  kernel %s\n  here   %s", variant, id, k.Words, u.Words)
		}
		if k.Stats == u.Stats {
			s.counts++
		} else {
			t.Logf("%s %s: counts\n  kernel %+v\n  here   %+v", variant, id, k.Stats, u.Stats)
		}
		for level := 1; level <= 2; level++ {
			if l := logs[level][p.Name]; l != nil {
				s.logged[level]++
				if d := firstDifference(normalLog(l.Log), normalLog(ours(t, p, verifier.LogLevel(level)).Log)); d == "" {
					s.logs[level]++
				} else {
					t.Logf("%s %s: log of level %d: %s", variant, id, level, d)
				}
			}
		}
		if golden := filepath.Join(corpus, "logs", name+"."+p.Name+".log"); *update && variant == "v3-O2" && logs[2][p.Name] != nil {
			if _, err := os.Stat(golden); err == nil {
				text := strings.Join(normalLog(logs[2][p.Name].Log), "\n") + "\n"
				require.NoError(t, os.WriteFile(golden, []byte(text), 0o644))
			}
		}
	}
	return answers
}

var address = regexp.MustCompile(`^(.*\(18\) r\d+ = )0xffff[0-9a-f]{12}(?:( *);)?`)

// normalLog is a log without what differs from run to run: addresses in the kernel, which are 0 here, and spaces at the
// ends of lines, which the loader's library drops.
func normalLog(log []string) []string {
	out := make([]string, len(log))
	for i, line := range log {
		line = address.ReplaceAllStringFunc(line, func(s string) string {
			m := address.FindStringSubmatch(s)
			if strings.HasSuffix(s, ";") {
				return m[1] + "0x0" + m[2] + strings.Repeat(" ", len("0xffff888000000000")-len("0x0")) + ";"
			}
			return m[1] + "0x0"
		})
		out[i] = strings.TrimRight(line, " ")
	}
	return out
}

func firstDifference(kernel, here []string) string {
	for i := range max(len(kernel), len(here)) {
		k, h := "(end)", "(end)"
		if i < len(kernel) {
			k = kernel[i]
		}
		if i < len(here) {
			h = here[i]
		}
		if k != h {
			return fmt.Sprintf("line %d\n  kernel %s\n  here   %s", i+1, k, h)
		}
	}
	return ""
}
