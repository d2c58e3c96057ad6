package kernel_test

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

var (
	first = flag.Uint64("seed", 1_000_000, "first seed of generated programs")
	count = flag.Uint64("programs", 400, "number of generated programs")
	runs  = flag.Bool("runs", true, "run what both accept, too")
	stats = flag.Bool("stats", false, "print the verifiers' verdicts by message")
)

// referee asks the kernel about programs over one set of maps.
type referee struct {
	maps     *kernel.MapSet
	profile  *verifier.Profile
	words    bool   // ask also for the kernel's words
	loopback uint32 // interface that packets of test runs come in by
}

func newReferee(t testing.TB) *referee {
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	set, err := kernel.NewMaps(gen.Maps())
	require.NoError(t, err)
	t.Cleanup(set.Close)
	lo, err := net.InterfaceByName("lo")
	require.NoError(t, err)
	return &referee{maps: set, profile: conformance.Profile(), loopback: uint32(lo.Index)}
}

// opinion is what both verifiers say of a program; nil is yes.
type opinion struct {
	ours   error
	kernel error
	proof  *verifier.Verified
	loaded *kernel.Program // to be closed
}

// errNotAsked stands for the kernel's answer where it takes seconds: it visits a million instructions.
var errNotAsked = errors.New("not asked")

// ask is judge for a program in words.
func (r *referee) ask(t prog.Type, text string) (*opinion, error) {
	p, err := gen.Parse(t, text)
	if err != nil {
		return nil, err
	}
	return r.judge(p), nil
}

func (r *referee) judge(p *prog.Program) *opinion {
	o := &opinion{}
	o.proof, o.ours = verifier.Verify(p, verifier.Options{Profile: r.profile})
	var refusal *verifier.Error
	if errors.As(o.ours, &refusal) && refusal.Code == verifier.TooComplex {
		o.kernel = errNotAsked
		return o
	}
	if o.ours != nil && !*stats && !r.words {
		o.loaded, o.kernel = kernel.TryProgram(p, r.maps) // its words are of no interest
	} else {
		o.loaded, o.kernel = kernel.LoadProgram(p, r.maps)
	}
	return o
}

func (o *opinion) close() {
	if o.loaded != nil {
		o.loaded.Close()
	}
}

// falseAccept reports whether we accept what the kernel refuses for another reason than its patience.
func (o *opinion) falseAccept() bool { return o.ours == nil && o.kernel != nil && !o.impatient() }

// impatient reports whether the kernel gave up: where states meet is a matter of heuristics, not of rules.
func (o *opinion) impatient() bool {
	if o.kernel == nil {
		return false
	}
	words := o.kernel.Error()
	return errors.Is(o.kernel, errNotAsked) || strings.HasPrefix(words, "BPF program is too large. Processed") || strings.Contains(words, "jumps is too complex")
}

// comparable reports whether a run here and one in the kernel must end alike. Test runs of socket filters begin at
// another header.
func comparable(p *prog.Program) bool {
	return p.Type != prog.SocketFilter && !conformance.MayGoto(p) && conformance.Definite(p)
}

// run compares what the program does here and there.
func (r *referee) run(o *opinion, seed uint64) (string, error) {
	for _, packet := range conformance.Packets(seed) {
		if len(packet) < 54 {
			continue // the kernel refuses headers that are cut
		}
		p := o.proof.Program()
		if err := r.maps.Reset(p.Maps); err != nil {
			return "", err
		}
		want, err := o.loaded.Run(packet)
		if err != nil {
			return "", err
		}
		got, err := conformance.Execute(o.proof, "interp", [][]byte{packet}, prog.Input{Ifindex: r.loopback})
		if err != nil {
			return "", err
		}
		switch g := got.Runs[0]; {
		case g.Fault != "":
			return g.Fault, nil
		case uint32(g.R0) != want.Ret:
			return fmt.Sprintf("r0: kernel %#x, here %#x", want.Ret, uint32(g.R0)), nil
		case string(g.Data) != string(want.Data):
			return fmt.Sprintf("packet: kernel\n%x, here\n%x", want.Data, g.Data), nil
		}
	}
	return "", nil
}

var numbers = regexp.MustCompile(`-?(0x[0-9a-f]+|\b[0-9]+|[Rr][0-9]+)`)

// class is a message without its numbers.
func class(err error) string {
	var ours *verifier.Error
	text := err.Error()
	if errors.As(err, &ours) {
		text = ours.Kernel
	}
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > 100 {
		text = text[:100]
	}
	return numbers.ReplaceAllString(text, "N")
}

type tally map[string]int

func (c tally) log(t *testing.T, title string) {
	var keys []string
	for k := range c {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(a, b int) bool { return c[keys[a]] > c[keys[b]] })
	for _, k := range keys[:min(len(keys), 40)] {
		t.Logf("%s: %5d %s", title, c[k], k)
	}
}

// TestSoundness compares the verdicts of both verifiers on generated programs. To accept what the kernel refuses is
// an error; to refuse what it accepts is not.
func TestSoundness(t *testing.T) {
	r := newReferee(t)
	both, neither, oursOnly, kernelOnly, ran, impatient := 0, tally{}, tally{}, tally{}, 0, 0
	for seed := *first; seed < *first+*count; seed++ {
		if n := seed - *first; n > 0 && n%10_000 == 0 {
			t.Logf("%d programs, %d that only we accept", n, oursOnly.sum())
		}
		p := gen.Make(gen.FromSeed(seed), nil)
		if p.Callbacks {
			continue
		}
		o := r.judge(p.Program)
		switch {
		case o.falseAccept():
			oursOnly[class(o.kernel)]++
			if oursOnly[class(o.kernel)] <= 2 {
				r.report(t, p, seed, "accepted, and the kernel says: "+o.kernel.Error(), func(o *opinion) bool {
					return o.falseAccept()
				})
			}
		case o.ours == nil && o.kernel != nil:
			impatient++
		case o.ours == nil:
			both++
			if !*runs || p.Local || !comparable(p.Program) {
				break
			}
			ran++
			diff, err := r.run(o, seed)
			require.NoError(t, err)
			if diff != "" {
				r.report(t, p, seed, diff, func(o *opinion) bool {
					diff, err := "", error(nil)
					if o.ours == nil && o.kernel == nil && comparable(o.proof.Program()) {
						diff, err = r.run(o, seed)
					}
					return diff != "" && err == nil
				})
			}
		case o.kernel == nil:
			kernelOnly[class(o.ours)]++
			if *stats && kernelOnly[class(o.ours)] <= 1 {
				t.Logf("refused, and the kernel accepts: %s", r.smallest(p, func(q *opinion) bool {
					return q.ours != nil && q.kernel == nil && class(q.ours) == class(o.ours)
				}))
			}
		default:
			neither[class(o.ours)+" | "+class(o.kernel)]++
		}
		o.close()
	}
	if *stats {
		oursOnly.log(t, "only we accept")
		kernelOnly.log(t, "only the kernel accepts")
		neither.log(t, "both refuse")
	}
	t.Logf("%d programs: both accept %d, only we %d, only the kernel %d, none %d, the kernel gave up %d; %d ran on both", *count,
		both, oursOnly.sum(), kernelOnly.sum(), neither.sum(), impatient, ran)
}

func (c tally) sum() (n int) {
	for _, v := range c {
		n += v
	}
	return n
}

// smallest is a shorter program that still shows something.
func (r *referee) smallest(p *gen.Program, shows func(*opinion) bool) string {
	text := conformance.Minimize(p.Text, func(text string) bool {
		o, err := r.ask(p.Type, text)
		if err != nil {
			return false
		}
		defer o.close()
		return shows(o)
	})
	o, err := r.ask(p.Type, text)
	if err != nil {
		return err.Error()
	}
	defer o.close()
	return fmt.Sprintf("%s program: here %v, kernel %v\n%s", p.Type, o.ours, o.kernel, text)
}

func (r *referee) report(t testing.TB, p *gen.Program, seed uint64, wrong string, shows func(*opinion) bool) {
	t.Errorf("seed %d: %s\ngo test ./conformance/kernel -run TestSoundness -seed %d -programs 1\n%s", seed, wrong, seed,
		r.smallest(p, shows))
}

// FuzzSoundness is TestSoundness with a fuzzer's bytes as the generator's choices.
func FuzzSoundness(f *testing.F) {
	r := newReferee(f)
	f.Add([]byte{1})
	f.Add([]byte("packets, maps, loops and calls"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		p := gen.Make(gen.FromBytes(choices), nil)
		if p.Callbacks {
			return
		}
		o := r.judge(p.Program)
		defer o.close()
		if o.falseAccept() {
			t.Errorf("accepted, and the kernel says: %v\n%s program:\n%s", o.kernel, p.Type, p.Text)
		}
	})
}

// TestFixtures asks the kernel about the programs of testdata.
func TestFixtures(t *testing.T) {
	r := newReferee(t)
	all, err := conformance.Fixtures("../testdata")
	require.NoError(t, err)
	for _, f := range all {
		if f.Kernel == "gives up" {
			continue // after seconds
		}
		t.Run(f.Name, func(t *testing.T) {
			p, err := f.Program()
			require.NoError(t, err)
			r := r
			if f.Caps != prog.AllCaps { // of maps the kernel remembers who made them
				dropCaps(t, f.Caps)
				r = newReferee(t)
			}
			loaded, err := kernel.LoadProgram(p, r.maps)
			if err == nil {
				defer loaded.Close()
			}
			if err == nil && f.R0 != "" {
				require.NoError(t, r.maps.Reset(p.Maps))
				res, err := loaded.Run(conformance.Packets(1)[0])
				require.NoError(t, err)
				require.Equal(t, f.R0, fmt.Sprint(int32(res.Ret)))
			}
			require.Equal(t, f.KernelAccepts(), err == nil, "%v", err)
			if err != nil && f.Kernel != "" {
				require.Contains(t, strings.Join(err.(*kernel.Rejected).Log, "\n"), f.Kernel)
			}
		})
	}
}
