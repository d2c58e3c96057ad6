package verifier_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// A case file is a list of cases; lines before the first and lines that begin with # in a head are comments:
//
//	=== name
//	type: sched_cls          program type; default xdp
//	section: xdp             section name, for attach types
//	license: GPL             default GPL
//	profile: linux-5.10      or dag, strict (alignment), unprivileged; default the newest kernel
//	caps: bpf,net_admin      the loader's capabilities; default all
//	want: accept             or a code, and after it words of the kernel's message
//	weak: bpf_foo bpf_bar    kernel functions that the program can do without; btf[0] is the address of the first
//	kernels: 5.2 E_BACK_EDGE words, 5.3 accept
//	                         in place of profile and want: the answer of releases
//	rule: bounded loops      the row of Rules that the case shows: see TestRules
//	pad: 5000                instructions that do nothing before the others
//	processed: 12            instructions visited
//	btf: struct x { … };     types of the kernel, as btf.Declare reads them; lines add up
//	types: struct v { … };   types of the program; lines add up, before the maps that use them
//	map: name hash 4 v 16    a map: type, key size, type of the value or its size, entries
//	global: 5 sum            the function at that slot is a global one, of that name in types
//	runnable: no             a kernel's objects are read
//	reason: words            that the reason has; so hint and, with the instruction, cause (cause: 5 words), several times
//	---                      may be left out with all lines above
//	instructions, as asm.Parse reads them; maps by the names of caseMaps
type verifyCase struct {
	name    string
	prog    *prog.Program
	profile *verifier.Profile
	caps    prog.Caps
	want    string
	words   string
	proc    int
	kernels []kernelAnswer
	rule    string
	pad     int
	btf     string
	types   string
	inside  bool // runs inside of a kernel only

	reasons, hints, causes []string

	fixed *verifyCase // of codes.txt: the program corrected
}

// kernelAnswer is what a release is to say.
type kernelAnswer struct {
	kernel      kver.Version
	want, words string
}

// caseMaps are the maps that cases can use. The value of "locked" has a spin lock at 4.
func caseMaps() []*maps.Spec {
	m := func(name string, t maps.Type, key, value, n uint32) *maps.Spec {
		return &maps.Spec{Name: name, Type: t, KeySize: key, ValueSize: value, MaxEntries: n, LockOff: -1, TimerOff: -1}
	}
	list := []*maps.Spec{
		m("hash", maps.Hash, 4, 8, 16),
		m("array", maps.Array, 4, 48, 4),
		m("bigkey", maps.Hash, 16, 64, 16),
		m("ring", maps.RingBuf, 0, 0, 4096),
		m("progs", maps.ProgArray, 4, 4, 4),
		m("readonly", maps.Hash, 4, 8, 4),
		m("writeonly", maps.Hash, 4, 8, 4),
		m("locked", maps.Array, 4, 8, 4),
		m("rodata", maps.Array, 4, 16, 1),
		m("data", maps.Array, 4, 64, 1),
		m("outer", maps.ArrayOfMaps, 4, 4, 4),
		m("percpu", maps.PerCPUArray, 4, 8, 4),
		m("events", maps.PerfEventArray, 4, 4, 4),
		m("trie", maps.LPMTrie, 8, 8, 4),
		m("devices", maps.DevMap, 4, 4, 4),
		m("queue", maps.Queue, 0, 8, 4),
		m("bloom", maps.BloomFilter, 0, 8, 4),
		m("sockets", maps.SockMap, 4, 4, 4),
		m("sockhash", maps.SockHash, 4, 8, 4),
		m("userring", maps.UserRingBuf, 0, 0, 4096),
		m("progs2", maps.ProgArray, 4, 4, 8),
		m("arena", maps.Arena, 0, 0, 16),
	}
	by := map[string]*maps.Spec{}
	for _, s := range list {
		by[s.Name] = s
	}
	by["readonly"].Flags = maps.ReadOnlyProg
	by["writeonly"].Flags = maps.WriteOnlyProg
	by["locked"].LockOff = 4
	by["locked"].Value = &maps.Layout{Kind: maps.Struct, Size: 8}
	by["rodata"].Flags, by["rodata"].Frozen, by["rodata"].DataSection = maps.ReadOnlyProg, true, true
	by["rodata"].Contents = []maps.Entry{{Key: make([]byte, 4), Value: []byte{7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'h', 'i', 0, 0, '%', 'd', 0, 1}}}
	by["data"].DataSection = true
	by["arena"].Flags, by["arena"].Extra = maps.Mmapable, 1<<44
	by["outer"].Inner = m("inner", maps.Hash, 4, 8, 16)
	return list
}

// loadCases reads a case file.
func loadCases(t testing.TB, file string) []*verifyCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []*verifyCase
	for _, part := range strings.Split("\n"+string(text), "\n=== ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		body, right, fixed := strings.Cut(body, "\n--- fixed\n")
		head, body := cutHead(body)
		c, err := newCase(name, head, body)
		if err == nil && fixed {
			more, body := cutHead(right)
			c.fixed, err = newCase(name, head+more, body)
		}
		if err != nil {
			t.Fatalf("%s: %s: %v", file, name, err)
		}
		cases = append(cases, c)
	}
	return cases
}

func cutHead(text string) (head, body string) {
	if head, body, ok := strings.Cut(text, "---\n"); ok {
		return head, body
	}
	return "", text
}

// newCase makes a case of its parts.
func newCase(name, head, body string) (*verifyCase, error) {
	c := &verifyCase{name: name, profile: verifier.Newest(), caps: prog.AllCaps, prog: &prog.Program{Name: name, Type: prog.XDP, License: "GPL", Maps: caseMaps()}}
	for _, line := range strings.Split(head, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if err := c.set(line); err != nil {
			return nil, err
		}
	}
	var err error
	if c.prog.Insns, err = parse(c.prog, body); err != nil {
		return nil, err
	}
	for range c.pad {
		c.prog.Insns = append([]asm.Insn{{Op: 0xb7}}, c.prog.Insns...)
	}
	return c, nil
}

// parse reads assembler text with the program's maps and kernel functions by name.
func parse(p *prog.Program, text string) ([]asm.Insn, error) {
	return asm.Parse(text, asm.ParseOptions{
		Helpers: func(name string) (int32, bool) {
			row, ok := helpers.ByName(name)
			if !ok {
				return 0, false
			}
			return row.ID, true
		},
		Maps: func(name string) (int32, bool) {
			for i, m := range p.Maps {
				if m.Name == name {
					return int32(i), true
				}
			}
			return 0, false
		},
		Kfuncs: func(name string) (int32, bool) {
			for i, k := range p.Kfuncs {
				if k.Name == name {
					return int32(i), true
				}
			}
			p.Kfuncs = append(p.Kfuncs, prog.Kfunc{Name: name})
			return int32(len(p.Kfuncs) - 1), true
		},
	})
}

func (c *verifyCase) set(line string) error {
	key, value, ok := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	if !ok {
		return fmt.Errorf("line %q has no colon", line)
	}
	switch key {
	case "type":
		t, ok := prog.TypeOf(value)
		if !ok {
			return fmt.Errorf("program type %q", value)
		}
		c.prog.Type = t
	case "weak":
		for _, name := range strings.Fields(value) {
			c.prog.Kfuncs = append(c.prog.Kfuncs, prog.Kfunc{Name: name, Weak: true})
		}
	case "section":
		c.prog.Section = value
	case "license":
		c.prog.License = value
	case "want":
		c.want, c.words, _ = strings.Cut(value, " ")
	case "processed":
		n, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		c.proc = n
	case "group", "kernel": // of codes.txt
	case "btf":
		c.btf += value + "\n"
	case "types":
		return c.declare(value)
	case "map":
		return c.addMap(strings.Fields(value))
	case "global":
		return c.addGlobal(value)
	case "runnable":
		c.inside = value == "no"
	case "reason":
		c.reasons = append(c.reasons, value)
	case "hint":
		c.hints = append(c.hints, value)
	case "cause":
		c.causes = append(c.causes, value)
	case "profile":
		return c.setProfile(value)
	case "caps":
		caps, err := prog.ParseCaps(value)
		c.caps = caps
		return err
	case "kernels":
		return c.setKernels(value)
	case "rule":
		c.rule = value
	case "pad":
		n, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		c.pad = n
	default:
		return fmt.Errorf("key %q", key)
	}
	return nil
}

func (c *verifyCase) declare(line string) (err error) {
	c.types += line + "\n"
	c.prog.Types, err = btf.Declare(c.types)
	return err
}

// addGlobal adds a function by slot and name.
func (c *verifyCase) addGlobal(value string) error {
	slot, name, _ := strings.Cut(value, " ")
	start, err := strconv.Atoi(slot)
	if err != nil {
		return err
	}
	id, ok := c.prog.Types.Find(btf.Func, name)
	if !ok {
		return fmt.Errorf("function %q", name)
	}
	c.prog.Funcs = append(c.prog.Funcs, prog.Func{Name: name, Start: start, Global: true, Type: id})
	return nil
}

// addMap makes the map of its name, type, key size, value and entries.
func (c *verifyCase) addMap(f []string) error {
	if len(f) != 5 {
		return fmt.Errorf("a map has a name, a type, a key size, a value and a number of entries")
	}
	m := &maps.Spec{Name: f[0], LockOff: -1, TimerOff: -1, Types: c.prog.Types}
	for t := range maps.Type(maps.NumTypes) {
		if t.String() == f[1] {
			m.Type = t
		}
	}
	if m.Type == maps.Unspec {
		return fmt.Errorf("map type %q", f[1])
	}
	key, err1 := strconv.Atoi(f[2])
	n, err2 := strconv.Atoi(f[4])
	size, err3 := strconv.Atoi(f[3])
	m.KeySize, m.MaxEntries, m.ValueSize = uint32(key), uint32(n), uint32(size)
	if err3 != nil {
		id, ok := c.prog.Types.Find(btf.Struct, f[3])
		if !ok {
			return fmt.Errorf("struct %q", f[3])
		}
		var err error
		m.ValueType = id
		m.ValueSize, _ = c.prog.Types.Size(id)
		if m.Fields, err = btf.Fields(c.prog.Types, id, btf.MapFields); err != nil {
			return err
		}
	}
	c.prog.Maps = append(c.prog.Maps, m)
	return errors.Join(err1, err2)
}

func (c *verifyCase) setProfile(name string) error {
	switch name {
	case "dag":
		c.profile = verifier.DAG()
	case "unprivileged":
		c.profile = verifier.Unprivileged()
	case "strict":
		c.profile.StrictAlign = true
	default:
		v, err := kver.Parse(strings.TrimPrefix(name, "linux-"))
		if err != nil {
			return err
		}
		c.profile = verifier.Linux(int(v.Major), int(v.Minor))
	}
	return nil
}

func (c *verifyCase) setKernels(list string) error {
	for _, one := range strings.Split(list, ",") {
		release, rest, _ := strings.Cut(strings.TrimSpace(one), " ")
		k, err := kver.Parse(release)
		if err != nil {
			return err
		}
		want, words, _ := strings.Cut(rest, " ")
		c.kernels = append(c.kernels, kernelAnswer{k, want, words})
	}
	return nil
}

// verify verifies the program as the case says.
func (c *verifyCase) verify(t *testing.T) (*verifier.Verified, error) {
	t.Helper()
	o := verifier.Options{Profile: c.profile.With(c.caps)}
	if c.btf != "" {
		types, err := btf.Declare(c.btf)
		if err != nil {
			t.Fatal(err)
		}
		o.BTF = types
	}
	return verifier.Verify(c.prog, o)
}

func (c *verifyCase) check(t *testing.T) {
	for _, a := range c.kernels {
		one := *c
		one.kernels = nil
		one.profile, one.want, one.words = verifier.Linux(int(a.kernel.Major), int(a.kernel.Minor)), a.want, a.words
		t.Run(a.kernel.String(), one.check)
	}
	if len(c.kernels) > 0 {
		return
	}
	v, err := c.verify(t)
	if c.want == "accept" {
		if err != nil {
			t.Fatal(err.(*verifier.Error).Detail())
		}
		if inside := v.Runnable() != nil; inside != c.inside && len(c.prog.Kfuncs) == 0 {
			t.Errorf("runnable: %v", v.Runnable())
		}
		if got := v.Stats().Processed; c.proc != 0 && got != c.proc {
			t.Errorf("%d instructions visited, want %d", got, c.proc)
		}
		return
	}
	if err == nil {
		t.Fatalf("accepted, want %s", c.want)
	}
	e := err.(*verifier.Error)
	if string(e.Code) != c.want || !strings.Contains(e.Kernel, c.words) {
		t.Errorf("want %s %q\n%s", c.want, c.words, e.Detail())
	}
	c.checkStory(t, e)
}

// checkStory checks that a rejection is explained, as the case says, and that its message leads back to its code.
func (c *verifyCase) checkStory(t *testing.T, e *verifier.Error) {
	if e.Reason == "" || e.Hint == "" {
		t.Errorf("not explained: %s", e.Detail())
	}
	if found := codesOf(verifier.Match(e.Kernel)); !slices.Contains(found, e.Code) {
		t.Errorf("codes.txt has %q not among the messages of %s; those found are %v", e.Kernel, e.Code, found)
	}
	var causes []string
	for _, cause := range e.Causes {
		causes = append(causes, fmt.Sprintf("%d %s", cause.PC, cause.Text))
	}
	has := func(part string, words []string, in ...string) {
		for _, w := range words {
			if !strings.Contains(strings.Join(in, "\n"), w) {
				t.Errorf("%s lacks %q\n%s", part, w, e.Detail())
			}
		}
	}
	has("reason", c.reasons, e.Reason)
	has("hint", c.hints, e.Hint)
	has("causes", c.causes, causes...)
}

// TestCases runs testdata/cases. Adding a case needs no Go.
func TestCases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "cases", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, f := range files {
		for _, c := range loadCases(t, f) {
			t.Run(strings.TrimSuffix(filepath.Base(f), ".txt")+"/"+c.name, c.check)
		}
	}
}
