package conformance

import (
	"fmt"
	"os"

	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// ArenaMaps are the maps of fixtures about arenas. The low half of "arena"'s user address is 0, that of "high" is not; "plain" has no casts
// to user space.
func ArenaMaps() []*maps.Spec {
	arena := func(name string, pages, flags uint32, user uint64) *maps.Spec {
		return &maps.Spec{Name: name, Type: maps.Arena, MaxEntries: pages, Flags: maps.Mmapable | flags, Extra: user, LockOff: -1, TimerOff: -1}
	}
	return []*maps.Spec{
		arena("arena", 8, 0, 1<<44),
		arena("high", 16, 0, 1<<44|0x7fff0000),
		arena("plain", 8, maps.NoUserConv, 1<<44),
		{Name: "array", Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, LockOff: -1, TimerOff: -1},
	}
}

// ArenaFixtures reads fixtures over ArenaMaps.
func ArenaFixtures(file string) ([]*Fixture, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseFixtures(string(text))
}

// ArenaProgram assembles the fixture over ArenaMaps, which specs are.
func (f *Fixture) ArenaProgram(specs []*maps.Spec) (*prog.Program, error) {
	return gen.ParseOver(f.Type, f.Text, specs)
}

// CheckArena is Check for a fixture over ArenaMaps. It runs once on each engine, on new maps.
func (f *Fixture) CheckArena() string {
	p, err := f.ArenaProgram(ArenaMaps())
	if err != nil {
		return err.Error()
	}
	v, err := verifier.Verify(p, verifier.Options{Outside: true})
	if verdict := Verdict(err); verdict != f.Verdict {
		return fmt.Sprintf("verdict %s, want %s: %v", verdict, f.Verdict, err)
	}
	if err != nil {
		return ""
	}
	for _, e := range All() {
		if wrong := f.arenaRun(e, v); wrong != "" {
			return e.Name + ": " + wrong
		}
	}
	return ""
}

func (f *Fixture) arenaRun(e Engine, v *verifier.Verified) string {
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Shadow: e.Shadow}})
	if err != nil {
		return err.Error()
	}
	defer m.Close()
	ctx, err := m.Space().Alloc(arenaCtx, 8)
	if err != nil {
		return err.Error()
	}
	engine, done, err := e.Make(m, v.Program(), v)
	if err != nil {
		return err.Error()
	}
	defer done()
	res, err := engine.Run(ctx)
	if err != nil {
		return err.Error()
	}
	if got := fmt.Sprint(int32(res.R0)); got != f.R0 {
		return fmt.Sprintf("r0 is %s, want %s", got, f.R0)
	}
	return ""
}

// arenaCtx is the size of the ctx of arena fixtures in bytes.
const arenaCtx = 64
