package fuzz_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/fuzz"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

var (
	first = flag.Uint64("seed", 0, "first seed of generated programs")
	count = flag.Uint64("programs", 1000, "number of generated programs of each level")
	save  = flag.String("save", "", "directory for fixtures of what is found")
)

// TestLadder runs every level: nothing panics, what the verifier accepts never faults, and engines agree.
func TestLadder(t *testing.T) {
	r, err := fuzz.Run(t.Context(), fuzz.Options{Seed: *first, Count: *count, Save: *save})
	require.NoError(t, err)
	for _, f := range r.Findings {
		t.Errorf("%s, seed %d: %s\n%s\n%s", f.Level, f.Seed, f.Problem, f.Reproduce, f.Text)
	}
	for _, l := range levels(t) {
		c := r.Levels[l]
		t.Logf("%s: %+v", l, *c)
		if *count < 1000 || len(r.Findings) > 0 {
			continue
		}
		require.Equal(t, *count, c.Programs)
		switch l {
		case fuzz.Bytes:
			require.Greater(t, c.Linked+c.Accepted, *count/20)
			require.Greater(t, c.Accepted, *count/100)
		case fuzz.Insns:
			require.Equal(t, *count, c.Linked+c.Accepted)
			require.Equal(t, fuzz.AllKinds(), c.Kinds)
		case fuzz.Programs:
			require.Greater(t, c.Accepted, *count/5)
		case fuzz.Mutants:
			require.Greater(t, c.Accepted, *count/20)
		}
	}
}

func levels(t *testing.T) []fuzz.Level {
	all, err := fuzz.Levels("all")
	require.NoError(t, err)
	return all
}

// TestSame: the same seeds give the same digests, in whatever order and on whatever worker they run.
func TestSame(t *testing.T) {
	type key struct {
		level fuzz.Level
		seed  uint64
	}
	digests := func(workers int, seed, count uint64) map[key]uint64 {
		all := map[key]uint64{}
		_, err := fuzz.Run(t.Context(), fuzz.Options{Seed: seed, Count: count, Workers: workers,
			Digest: func(l fuzz.Level, seed, digest uint64) { all[key{l, seed}] = digest }})
		require.NoError(t, err)
		return all
	}
	want := digests(3, 100, 120)
	require.Len(t, want, len(levels(t))*120)
	require.Equal(t, want, digests(1, 100, 120))
	alone := digests(1, 150, 1) // on new machines
	for k, d := range alone {
		require.Equal(t, want[k], d, "%v", k)
	}
	different := map[uint64]bool{}
	for _, d := range want {
		different[d] = true
	}
	require.Greater(t, len(different), 200)
}

// wrong is the interpreter, but for one operation: 32-bit arithmetic shifts by a register do not know of the sign.
func wrong() conformance.Engine {
	return conformance.Engine{Name: "wrong", Make: func(m *vm.Machine, p *prog.Program, v *verifier.Verified) (vm.Engine, func() error, error) {
		bad := *p
		bad.Insns = append([]asm.Insn(nil), p.Insns...)
		for pc, in := range bad.Insns {
			if asm.KindOf(in) == asm.Arsh32X {
				bad.Insns[pc].Op = asm.Rsh32X.Info().Opcode
			}
		}
		link := m.Link
		if v != nil {
			link = m.LinkVerified
		}
		l, err := link(&bad)
		if err != nil {
			return nil, nil, err
		}
		e, err := vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{})
		return e, func() error { return nil }, err
	}}
}

// TestFinds shows that an engine that is wrong in one operation is found, on both levels, and that what is saved is small,
// a fixture, and a test that right engines pass.
func TestFinds(t *testing.T) {
	engines, err := conformance.Named("reference", "interp")
	require.NoError(t, err)
	for _, l := range []fuzz.Level{fuzz.Insns, fuzz.Programs} {
		dir := filepath.Join(t.TempDir(), "found")
		r, err := fuzz.Run(t.Context(), fuzz.Options{Levels: []fuzz.Level{l}, Engines: append(engines, wrong()), Count: 1500,
			Save: dir, Command: "skep fuzz"})
		require.NoError(t, err)
		require.NotEmpty(t, r.Findings, l)
		f := r.Findings[0]
		require.Contains(t, f.Problem, "reference and wrong differ")
		require.Contains(t, f.Text, "s>>=")
		require.LessOrEqual(t, strings.Count(f.Text, "\n"), 10, f.Text)
		require.Contains(t, f.Reproduce, "skep fuzz --seed ")
		text, err := os.ReadFile(f.File)
		require.NoError(t, err)
		require.Contains(t, string(text), f.Reproduce)
		fixtures, err := conformance.Fixtures(dir)
		require.NoError(t, err)
		require.Len(t, fixtures, len(r.Findings))
		require.Empty(t, fixtures[0].Check())
		// The command finds it again.
		again, err := fuzz.Run(t.Context(), fuzz.Options{Levels: []fuzz.Level{l}, Engines: append(engines, wrong()), Count: 1, Seed: f.Seed})
		require.NoError(t, err)
		require.Len(t, again.Findings, 1)
		require.Equal(t, f.Text, again.Findings[0].Text)
	}
}

// stuck never ends, and panicky panics.
type stuck struct{ vm.Engine }

func (stuck) Run(uint32) (vm.Result, error) { select {} }

type panicky struct{ vm.Engine }

func (panicky) Run(uint32) (vm.Result, error) { panic("at the disco") }

func broken(wrap func(vm.Engine) vm.Engine) conformance.Engine {
	e := wrong()
	plain := e.Make
	e.Make = func(m *vm.Machine, p *prog.Program, v *verifier.Verified) (vm.Engine, func() error, error) {
		x, done, err := plain(m, p, v)
		return wrap(x), done, err
	}
	return e
}

// TestPanic: a panic is a finding, and no end of the run.
func TestPanic(t *testing.T) {
	r, err := fuzz.Run(t.Context(), fuzz.Options{Levels: []fuzz.Level{fuzz.Insns}, Count: 2,
		Engines: []conformance.Engine{broken(func(e vm.Engine) vm.Engine { return panicky{e} })}})
	require.NoError(t, err)
	require.Len(t, r.Findings, 2)
	require.Contains(t, r.Findings[0].Problem, "panic: at the disco")
}

// TestHang: a program that does not end ends the run.
func TestHang(t *testing.T) {
	r, err := fuzz.Run(t.Context(), fuzz.Options{Levels: []fuzz.Level{fuzz.Insns}, Patience: time.Millisecond,
		Engines: []conformance.Engine{broken(func(e vm.Engine) vm.Engine { return stuck{e} })}})
	require.ErrorIs(t, err, fuzz.ErrHang)
	require.Contains(t, r.Findings[0].Problem, "hang")
}

// TestStops: a run ends with its context and with its time, and says what it did.
func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	r, err := fuzz.Run(ctx, fuzz.Options{Digest: func(fuzz.Level, uint64, uint64) { once.Do(cancel) }})
	require.NoError(t, err)
	require.NotZero(t, r.Programs())
	_, err = fuzz.Run(t.Context(), fuzz.Options{Time: 300 * time.Millisecond})
	require.NoError(t, err)
}

func TestLevels(t *testing.T) {
	all, err := fuzz.Levels("all")
	require.NoError(t, err)
	require.Len(t, all, 4)
	for _, l := range all {
		one, err := fuzz.Levels(l.String())
		require.NoError(t, err)
		require.Equal(t, []fuzz.Level{l}, one)
	}
	_, err = fuzz.Levels("some")
	require.Error(t, err)
}
