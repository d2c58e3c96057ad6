package fuzz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/verifier"
)

// worker makes and compares programs on benches of its own.
type worker struct {
	*session
	yards    [numLevels]*yard // levels may share one
	corpus   *conformance.Corpus
	counts   [numLevels]Counts
	coverage [numLevels]gen.Coverage
	kernel   KernelCounts
	busy     atomic.Pointer[candidate]
}

// yard is where programs over one list of maps run.
type yard struct {
	specs   []*maps.Spec
	strict  []*conformance.Bench // for programs that the verifier accepted
	hostile []*conformance.Bench // for the others: a small budget
	referee *referee             // nil without the kernel
}

func newYard(o *Options, specs []*maps.Spec) (y *yard, err error) {
	y = &yard{specs: specs}
	if y.strict, err = conformance.NewBenches(o.Engines, specs, conformance.Budget); err != nil {
		return nil, err
	}
	if y.hostile, err = conformance.NewBenches(o.Engines, specs, conformance.SmallBudget); err != nil {
		return nil, errors.Join(err, y.close())
	}
	if o.Kernel {
		if y.referee, err = newReferee(specs); err != nil {
			return nil, errors.Join(err, y.close())
		}
	}
	return y, nil
}

func (y *yard) close() error {
	if y.referee != nil {
		y.referee.close()
	}
	return errors.Join(conformance.CloseBenches(y.strict), conformance.CloseBenches(y.hostile))
}

// candidate is a program to look at.
type candidate struct {
	*gen.Program
	level   Level
	seed    uint64
	packets uint64 // seed of the packets
	start   time.Time
	wrong   string // what was found wrong when it was made
}

func newWorker(s *session) (*worker, error) {
	w := &worker{session: s}
	plain := slices.ContainsFunc(s.levels, func(l Level) bool { return l != Mutants })
	if plain {
		y, err := newYard(&s.Options, gen.Maps())
		if err != nil {
			return nil, err
		}
		w.yards = [numLevels]*yard{y, y, y}
	}
	if slices.Contains(s.levels, Mutants) {
		var err error
		if w.corpus, err = conformance.NewCorpus(); err == nil {
			w.yards[Mutants], err = newYard(&s.Options, w.corpus.Maps)
		}
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, nil
}

func (w *worker) close() (err error) {
	for _, y := range slices.Compact(slices.Clone(w.yards[:])) {
		if y != nil {
			err = errors.Join(err, y.close())
		}
	}
	return err
}

func (w *worker) run(ctx context.Context) error {
	for {
		l, seed, ok := w.take(ctx)
		if !ok {
			return nil
		}
		c := w.make(l, seed)
		w.busy.Store(c)
		res := w.look(c, true)
		w.programs.Add(1)
		w.count(c, res)
		if res.wrong != "" {
			w.shrink(c, res.wrong)
		}
		w.busy.Store(nil)
	}
}

func (w *worker) count(c *candidate, r *result) {
	n := &w.counts[c.level]
	n.Programs++
	switch {
	case r.accepted:
		n.Accepted++
	case r.first != nil:
		n.Linked++
	}
	if r.first != nil {
		for _, run := range r.first.Runs {
			n.Runs += uint64(len(w.Engines))
			n.Insns += run.Insns * uint64(len(w.Engines))
		}
	}
	if w.Digest != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.Digest(c.level, c.seed, r.digest())
	}
}

// make makes the program of a seed.
func (w *worker) make(l Level, seed uint64) *candidate {
	c := &candidate{level: l, seed: seed, packets: seed, start: time.Now()}
	src, cov, specs := gen.FromSeed(seed), &w.coverage[l], w.yards[l].specs
	switch l {
	case Programs:
		c.Program = gen.MakeOver(src, cov, specs)
	case Insns:
		c.Program = gen.InsnsOver(src, cov, specs)
	case Mutants:
		c.Program = w.corpus.Mutant(src)
		cov.Add(c.Program.Program)
	default:
		c.Program, c.wrong = fromBytes(src, cov, specs)
	}
	return c
}

// fromBytes makes a program of bytes: noise, or a good program in which some were changed.
func fromBytes(src gen.Source, cov *gen.Coverage, specs []*maps.Spec) (p *gen.Program, wrong string) {
	t := gen.Types()[src.IntN(len(gen.Types()))]
	b := gen.BytesOver(src, t, specs)
	insns, err := asm.DecodeProgram(b)
	if err != nil {
		if len(b)%asm.InsnSize == 0 {
			wrong = "decode: " + err.Error()
		}
		b = b[:len(b)/asm.InsnSize*asm.InsnSize]
		if insns, err = asm.DecodeProgram(b); err != nil {
			wrong = "decode: " + err.Error()
		}
	}
	if !bytes.Equal(asm.EncodeProgram(insns), b) {
		wrong = "decode: lossy"
	}
	text := asm.FormatProgram(insns)
	if again, err := gen.ParseOver(t, text, specs); err != nil || !slices.Equal(again.Insns, insns) {
		wrong = fmt.Sprintf("text: does not read back: %v", err)
	}
	p = &gen.Program{Program: gen.FromInsns(t, insns, specs), Text: text, Local: true}
	cov.Add(p.Program)
	return p, wrong
}

// result is what was found out about a program.
type result struct {
	verdict  string // of the verifier: "accept" or its code
	accepted bool
	first    *conformance.Outcome // of the first engine; nil when it did not run
	wrong    string               // "" when all is well
}

// digest is the same wherever a program does the same.
func (r *result) digest() uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, r.verdict, r.wrong)
	if r.first != nil {
		fmt.Fprintf(h, "%+v", *r.first)
	}
	return h.Sum64()
}

// look verifies, runs and compares a program. live asks the kernel, too.
func (w *worker) look(c *candidate, live bool) (r *result) {
	r = &result{wrong: c.wrong}
	if r.wrong != "" {
		return r
	}
	defer func() {
		if p := recover(); p != nil {
			r.wrong = fmt.Sprintf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	p, y := c.Program.Program, w.yards[c.level]
	v, err := verifier.Verify(p, verifier.Options{Profile: conformance.Profile()})
	r.verdict = conformance.Verdict(err)
	var refusal *verifier.Error
	if err != nil && !errors.As(err, &refusal) {
		r.wrong = fmt.Sprintf("verifier: %T: %v", err, err)
		return r
	}
	packets := conformance.Packets(c.packets)
	r.accepted = v != nil
	switch {
	case v != nil && v.Runnable() == nil:
		r.wrong, r.first = conformance.Compare(y.strict, v, packets)
	case v == nil && c.level < Programs:
		r.wrong, r.first = conformance.CompareUnverified(y.hostile, p, packets)
	}
	if r.wrong == "" && live && y.referee != nil && c.level >= Programs && !c.Callbacks {
		r.wrong = y.referee.ask(c, v, err, &w.kernel, w.Strict)
	}
	return r
}

// again looks at another text in a candidate's place.
func (w *worker) again(c *candidate, text string, packets uint64) (*candidate, *result) {
	p, err := gen.ParseOver(c.Type, text, w.yards[c.level].specs)
	if err != nil {
		return nil, &result{}
	}
	was := *c.Program
	was.Program, was.Text = p, text
	next := &candidate{Program: &was, level: c.level, seed: c.seed, packets: packets, start: time.Now()}
	w.busy.Store(next)
	return next, w.look(next, true)
}

// sort is a problem without what changes from program to program.
func sort(problem string) string {
	s, _, _ := strings.Cut(problem, ":")
	return strings.TrimRight(strings.Split(s, " in run ")[0], "0123456789 ")
}

// shrink makes the program that shows a problem small, and saves it.
func (w *worker) shrink(c *candidate, wrong string) {
	packets := c.packets
	shows := func(text string) bool {
		_, r := w.again(c, text, packets)
		return r.wrong != "" && sort(r.wrong) == sort(wrong)
	}
	text := c.Text
	if c.wrong == "" {
		packets = 1 // those that fixtures see
		if !shows(text) {
			packets = c.packets
		}
		if shows(text) { // it may not, when it has to do with programs before it
			text = conformance.Simplify(conformance.Minimize(text, shows), shows)
			_, r := w.again(c, text, packets)
			wrong = r.wrong
		}
	}
	w.found(c, wrong, text, packets)
}
