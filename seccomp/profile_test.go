package seccomp

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/cbpf"
)

// judge is what a profile says of a call, read from its entries without a program: the referee of what is compiled.
func judge(p *Profile, d *Data) Return {
	bit := uint32(0)
	if d.Arch == X8664.Audit && uint32(d.NR) >= x32Bit {
		bit = x32Bit
	}
	i := slices.IndexFunc(p.Arches, func(a *Arch) bool { return a.Audit == d.Arch && a.Bit == bit })
	audit := slices.ContainsFunc(p.Arches, func(a *Arch) bool { return a.Audit == d.Arch })
	switch {
	case audit && d.Arch == X8664.Audit && d.NR == -1:
		return p.Default
	case i < 0:
		return p.BadArch
	}
	a := p.Arches[i]
	name := a.Syscall(d.NR)
	if name == "" {
		return p.Default
	}
	var mine []Entry
	for _, e := range p.Entries {
		if e.Ret == p.Default {
			continue
		}
		for _, n := range e.Names {
			m, hidden := multiplexed[n]
			switch {
			case n == name:
				mine = append(mine, e)
			case a.Multiplex && hidden && m.call == name && len(e.Args) == 0:
				mine = append(mine, Entry{Ret: e.Ret, Args: []Cond{{Op: EQ, Value: m.arg}}})
			}
		}
	}
	for _, e := range mine {
		if len(e.Args) == 0 {
			return e.Ret
		}
	}
	for _, e := range mine {
		if !slices.ContainsFunc(e.Args, func(c Cond) bool { return !holds(c, d, a.Bits) }) {
			return e.Ret
		}
	}
	return p.Default
}

func holds(c Cond, d *Data, bits int) bool {
	x, v, v2 := d.Args[c.Arg], c.Value, c.Value2
	if bits == 32 {
		x, v, v2 = uint64(uint32(x)), uint64(uint32(v)), uint64(uint32(v2))
	}
	switch c.Op {
	case NE:
		return x != v
	case LT:
		return x < v
	case LE:
		return x <= v
	case EQ:
		return x == v
	case GE:
		return x >= v
	case GT:
		return x > v
	}
	return x&v == v2&v
}

// randomProfile makes a profile of every feature; values are small, near powers of two or near the halves' borders.
func randomProfile(r *rand.Rand) map[string]any {
	acts := []string{"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_LOG", "SCMP_ACT_TRAP", "SCMP_ACT_NOTIFY", "SCMP_ACT_KILL_PROCESS"}
	names := X8664.Syscalls()
	if r.IntN(2) == 0 {
		names = Arches[1].Syscalls()
	}
	p := map[string]any{"defaultAction": acts[r.IntN(len(acts))]}
	var tokens []string
	for _, a := range Arches {
		if r.IntN(3) == 0 {
			tokens = append(tokens, a.Token)
		}
	}
	p["architectures"] = tokens
	var calls []any
	for range r.IntN(30) {
		e := map[string]any{"action": acts[r.IntN(len(acts))]}
		var list []string
		for range 1 + r.IntN(20) {
			list = append(list, names[r.IntN(len(names))])
		}
		if r.IntN(3) == 0 {
			list = append(list, "socket", "clone", "personality", "shmat")
		}
		e["names"] = list
		if r.IntN(2) == 0 {
			var args []any
			for i := range r.Perm(6)[:1+r.IntN(3)] {
				args = append(args, map[string]any{"index": i, "op": opNames[r.IntN(len(opNames))], "value": randomValue(r), "valueTwo": randomValue(r)})
			}
			e["args"] = args
		}
		calls = append(calls, e)
	}
	p["syscalls"] = calls
	return p
}

func randomValue(r *rand.Rand) uint64 {
	v := uint64(r.IntN(4))
	switch r.IntN(4) {
	case 0:
		v = 1<<r.IntN(64) + uint64(r.IntN(3)) - 1
	case 1:
		v = uint64(r.Uint32())<<32 | uint64(r.IntN(3))
	case 2:
		v = r.Uint64() & r.Uint64()
	}
	return v
}

// calls are records worth trying: every number of every architecture, arguments near the profile's values.
func randomCall(r *rand.Rand, p *Profile) Data {
	a := Arches[r.IntN(len(Arches))]
	if r.IntN(4) != 0 {
		a = p.Arches[r.IntN(len(p.Arches))]
	}
	d := Data{Arch: a.Audit, NR: int32(uint32(r.IntN(int(a.Count())+2)) | a.Bit), IP: r.Uint64()}
	if len(p.Entries) > 0 && r.IntN(4) != 0 {
		e := p.Entries[r.IntN(len(p.Entries))]
		if nr, ok := a.Number(e.Names[r.IntN(len(e.Names))]); ok {
			d.NR = nr
		}
		for _, c := range e.Args {
			d.Args[c.Arg] = []uint64{c.Value, c.Value + 1, c.Value - 1, c.Value2 & c.Value, c.Value ^ 1<<32, r.Uint64()}[r.IntN(6)]
		}
	}
	switch r.IntN(30) {
	case 0:
		d.NR = -1
	case 1:
		d.NR = int32(r.Uint32())
	case 2:
		d.Arch = r.Uint32()
	}
	if m := a.Name == "i386"; m && r.IntN(3) == 0 {
		d.NR, d.Args[0] = 102, uint64(r.IntN(22)) // socketcall
	}
	return d
}

// TestCompiled compares random profiles, compiled, with what their entries say.
func TestCompiled(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	answers := map[Return]int{}
	longest, tooLong := 0, 0
	for i := range 200 {
		text, err := json.Marshal(randomProfile(r))
		require.NoError(t, err)
		native := Arches[r.IntN(len(Arches))]
		p, err := ParseProfile(text, ProfileOptions{Arch: native, BadArch: Return(Trap) | 7})
		require.NoError(t, err, string(text))
		prog, err := p.Compile()
		if err != nil {
			require.ErrorContains(t, err, "4096 at most")
			tooLong++
			continue
		}
		f, err := NewFilter("random", prog)
		require.NoError(t, err, "profile %d\n%s", i, prog)
		longest = max(longest, len(prog))
		for range 300 {
			d := randomCall(r, p)
			want, got := judge(p, &d), f.Run(&d)
			answers[want]++
			if want != got {
				_, path := f.Path(&d)
				t.Fatalf("profile %d for %s, call %+v: %s, want %s by %v\n%s", i, native.Name, d, got, want, path, text)
			}
		}
	}
	require.Greater(t, len(answers), 7, "%v", answers)
	require.Less(t, tooLong, 10)
	require.Greater(t, longest, 600, "no profile needed long jumps")
}

// TestLong compiles a profile of everything, with as many conditions as make long jumps needed.
func TestLong(t *testing.T) {
	var entries []any
	for i, name := range X8664.Syscalls() {
		var args []any
		for arg := range i % 4 {
			args = append(args, map[string]any{"index": arg, "op": "SCMP_CMP_GE", "value": uint64(i)<<32 | 5})
		}
		entries = append(entries, map[string]any{"names": []string{name}, "action": "SCMP_ACT_ERRNO", "errnoRet": i, "args": args})
	}
	text, err := json.Marshal(map[string]any{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries})
	require.NoError(t, err)
	p, err := ParseProfile(text, ProfileOptions{})
	require.NoError(t, err)
	prog, err := p.Compile()
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(prog, func(in cbpf.Insn) bool { return in.Op == opJa }), "no long jump")
	f, err := NewFilter("long", prog)
	require.NoError(t, err)
	for _, name := range X8664.Syscalls() {
		nr, _ := X8664.Number(name)
		for _, v := range []uint64{0, uint64(nr) << 33, 1 << 63} {
			d := Data{NR: nr, Arch: X8664.Audit, Args: [6]uint64{v, v, v}}
			require.Equal(t, judge(p, &d), f.Run(&d), "%s %#x", name, v)
		}
	}
}

// TestShort holds what a profile of many calls costs: a binary search, with neighbours of one answer as one.
func TestShort(t *testing.T) {
	names := X8664.Syscalls()
	text, err := json.Marshal(map[string]any{"defaultAction": "SCMP_ACT_ERRNO",
		"syscalls": []any{map[string]any{"names": slices.DeleteFunc(names, func(s string) bool { return strings.Contains(s, "p") }), "action": "SCMP_ACT_ALLOW"}}})
	require.NoError(t, err)
	f, err := Load("many", text, ProfileOptions{})
	require.NoError(t, err)
	require.Less(t, len(f.Program), 200)
	for nr := range X8664.Count() {
		_, path := f.Path(&Data{NR: nr, Arch: X8664.Audit})
		require.LessOrEqual(t, len(path), 14, "call %d", nr)
	}
}

// TestBadProfiles reads testdata/badprofiles.txt: profiles, and what is said of them.
func TestBadProfiles(t *testing.T) {
	for _, c := range cases(t, "testdata/badprofiles.txt") {
		_, err := Load("bad", []byte(c.text), ProfileOptions{})
		require.Error(t, err, c.text)
		c.check(t, err.Error())
	}
	writeCases(t, "testdata/badprofiles.txt")
}

// TestNotes reads testdata/notes.txt: profiles that mean less than they say.
func TestNotes(t *testing.T) {
	for _, c := range cases(t, "testdata/notes.txt") {
		f, err := Load("notes", []byte(c.text), ProfileOptions{Caps: []string{"CAP_SYS_ADMIN"}, Kernel: Release{5, 10}})
		require.NoError(t, err, c.text)
		c.check(t, fmt.Sprintf("%d instructions\n%s", len(f.Program), strings.Join(f.Notes, "\n")))
	}
	writeCases(t, "testdata/notes.txt")
}

func FuzzProfile(f *testing.F) {
	text, err := os.ReadFile("testdata/example.json")
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProfile(text, ProfileOptions{})
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Positive(t, e.Line)
			return
		}
		prog, err := p.Compile()
		if err != nil {
			return
		}
		filter, err := NewFilter("fuzz", prog)
		require.NoError(t, err)
		r := rand.New(rand.NewPCG(1, 1))
		for range 20 {
			d := randomCall(r, p)
			require.Equal(t, judge(p, &d), filter.Run(&d))
		}
	})
}
