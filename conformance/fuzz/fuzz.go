// Package fuzz is the ladder of differential tests: generated programs, from bytes that mean nothing up to programs that
// people might write, on every engine, and before the live kernel where there is one. Whatever disagrees is made small
// and saved as a fixture.
package fuzz

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
)

// Level is a rung of the ladder.
type Level int

// The levels.
const (
	Bytes    Level = iota // bytes, random or of damaged programs: nothing panics or hangs
	Insns                 // legal instructions in any order, verified or not, on every engine
	Programs              // programs with a grammar: what the verifier accepts never faults, and engines agree
	Mutants               // real programs and grammatical ones with a few changes: the same
	numLevels
)

var levelNames = [numLevels]string{"bytes", "insns", "programs", "mutants"}

func (l Level) String() string { return levelNames[l] }

// Levels reads a level's name, or "all".
func Levels(name string) ([]Level, error) {
	if name == "all" {
		return []Level{Bytes, Insns, Programs, Mutants}, nil
	}
	if i := slices.Index(levelNames[:], name); i >= 0 {
		return []Level{Level(i)}, nil
	}
	return nil, fmt.Errorf("no level %q: want %s or all", name, strings.Join(levelNames[:], ", "))
}

// Options of Run. The zero value is every level on every engine, from seed 0, until the context ends.
type Options struct {
	Levels  []Level              // none: all
	Seed    uint64               // the first; programs have one each, in order
	Count   uint64               // programs of each level; 0: no limit
	Time    time.Duration        // of work; 0: no limit
	Workers int                  // 0: one for each processor
	Engines []conformance.Engine // compared with the first; none: all that there are
	Kernel  bool                 // ask the live kernel about grammatical programs and mutants, too
	Strict  bool                 // with Kernel: to refuse what it accepts is a finding, too
	Save    string               // directory for fixtures; "": findings are only returned
	Command string               // what reproduces a finding, ahead of " --seed …"; "": "skep fuzz"
	// Patience is how long one program may take before it counts as a hang; 0 is a minute.
	Patience time.Duration
	// Progress is called every second or so with the number of programs so far; nil: not.
	Progress func(programs uint64, elapsed time.Duration)
	// Digest is called with a digest of what each program did, the same on every machine that agrees; nil: not. Calls come
	// from several goroutines, one at a time.
	Digest func(l Level, seed, digest uint64)
}

// Counts is what happened on a level.
type Counts struct {
	Programs uint64 `json:"programs"`
	Accepted uint64 `json:"accepted"` // by the verifier
	Linked   uint64 `json:"linked"`   // not accepted, and yet run
	Runs     uint64 `json:"runs"`     // on one packet and one engine
	Insns    uint64 `json:"insns"`    // executed, all engines together
	Kinds    int    `json:"kinds"`    // of instructions, that came up
	Forms    int    `json:"forms"`    // of operands by kind
	Flows    int    `json:"flows"`    // shapes of control flow
}

// Finding is a program about which something is wrong.
type Finding struct {
	Level     Level  `json:"-"`
	LevelName string `json:"level"`
	Seed      uint64 `json:"seed"`
	Problem   string `json:"problem"`
	Reproduce string `json:"reproduce"` // a command line
	Text      string `json:"program"`   // as small as it could be made
	File      string `json:"file,omitempty"`
}

// Report is the result of Run.
type Report struct {
	Seed     uint64
	Elapsed  time.Duration
	Engines  []string
	Levels   map[Level]*Counts
	Kernel   KernelCounts
	Findings []*Finding // by level and seed
}

// Programs is the number of programs of all levels.
func (r *Report) Programs() (n uint64) {
	for _, c := range r.Levels {
		n += c.Programs
	}
	return n
}

// maxFindings ends a run: one bug shows in many programs.
const maxFindings = 20

// ErrHang is the error of a run in which a program did not end; its goroutine is lost.
var ErrHang = errors.New("a program hangs")

// session is a run of the ladder.
type session struct {
	Options
	levels   []Level
	start    time.Time
	next     atomic.Uint64 // program, of all levels
	programs atomic.Uint64

	mu       sync.Mutex
	findings []*Finding
	cancel   context.CancelFunc
}

// Run makes programs and compares until the count, the time or the context ends. Findings are no error.
func Run(ctx context.Context, o Options) (*Report, error) {
	s := &session{Options: o, levels: o.Levels, start: time.Now()}
	if len(s.levels) == 0 {
		s.levels, _ = Levels("all")
	}
	if len(s.Engines) == 0 {
		s.Engines = conformance.All()
	}
	if s.Patience == 0 {
		s.Patience = time.Minute
	}
	if s.Workers <= 0 {
		s.Workers = runtime.GOMAXPROCS(0)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	defer s.cancel()
	workers, err := s.hire()
	if o.Time > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, o.Time)
		defer stop()
	}
	if err == nil {
		err = s.work(ctx, workers)
	}
	if errors.Is(err, ErrHang) {
		return s.report(nil), err
	}
	for _, w := range workers {
		err = errors.Join(err, w.close())
	}
	return s.report(workers), err
}

func (s *session) hire() (workers []*worker, err error) {
	for range s.Workers {
		w, err := newWorker(s)
		if err != nil {
			return workers, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// work lets the workers work, and watches them.
func (s *session) work(ctx context.Context, workers []*worker) error {
	errs := make(chan error, len(workers))
	for _, w := range workers {
		go func() { errs <- w.run(ctx) }()
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var failed error
	for left := len(workers); left > 0; {
		select {
		case err := <-errs:
			left--
			if err != nil {
				failed = errors.Join(failed, err)
				s.cancel()
			}
		case <-tick.C:
			if s.Progress != nil {
				s.Progress(s.programs.Load(), time.Since(s.start))
			}
			for _, w := range workers {
				if c := w.busy.Load(); c != nil && time.Since(c.start) > s.Patience {
					s.found(c, fmt.Sprintf("hang: no end after %v", s.Patience), c.Text, 1)
					return ErrHang
				}
			}
		}
	}
	return failed
}

// take gives the next program's level and seed; false when there are no more.
func (s *session) take(ctx context.Context) (l Level, seed uint64, ok bool) {
	if ctx.Err() != nil {
		return 0, 0, false
	}
	n := s.next.Add(1) - 1
	round := n / uint64(len(s.levels))
	if s.Count > 0 && round >= s.Count {
		return 0, 0, false
	}
	return s.levels[n%uint64(len(s.levels))], s.Seed + round, true
}

func (s *session) report(workers []*worker) *Report {
	r := &Report{Seed: s.Seed, Elapsed: time.Since(s.start), Levels: map[Level]*Counts{}}
	for _, e := range s.Engines {
		r.Engines = append(r.Engines, e.Name)
	}
	for _, l := range s.levels {
		sum := &Counts{}
		var cov gen.Coverage
		for _, w := range workers {
			c := &w.counts[l]
			sum.Programs += c.Programs
			sum.Accepted += c.Accepted
			sum.Linked += c.Linked
			sum.Runs += c.Runs
			sum.Insns += c.Insns
			cov.Merge(&w.coverage[l])
		}
		sum.Kinds, sum.Forms, sum.Flows = cov.Distinct()
		r.Levels[l] = sum
	}
	for _, w := range workers {
		r.Kernel.add(w.kernel)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Findings = slices.SortedFunc(slices.Values(s.findings), func(a, b *Finding) int {
		if a.Level != b.Level {
			return int(a.Level - b.Level)
		}
		if a.Seed < b.Seed {
			return -1
		}
		return 1
	})
	return r
}

// AllKinds and AllForms are how many kinds and forms there are to come up.
func AllKinds() int { return asm.NumKinds - 1 }

// AllForms is the number of forms that FormsOf lists for all kinds.
func AllForms() (n int) {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		n += len(gen.FormsOf(k))
	}
	return n
}
