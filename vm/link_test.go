package vm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

func newMachine(t testing.TB, c vm.Config) *vm.Machine {
	t.Helper()
	m, err := vm.NewMachine(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestLinkRefuses(t *testing.T) {
	m := newMachine(t, vm.Config{})
	specs := []*maps.Spec{
		{Name: "counts", Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, LockOff: -1, TimerOff: -1},
		{Name: "flows", Type: maps.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1, LockOff: -1, TimerOff: -1},
		{Name: "odd", Broken: "no such thing"},
	}
	for _, c := range []struct {
		src    string
		pc     int
		reason string
	}{
		{"", -1, "0 instruction slots"},
		{"r0 = 0", 0, "run off the end"},
		{"r0 = 1 ll", 0, "run off the end"},
		{"exit\nif r0 == 0 goto -2", 1, "run off the end"},
		{"goto +1\nexit", 0, "target 2 is outside"},
		{"goto -2\nexit", 0, "target -1 is outside"},
		{"if r0 == 0 goto +7\nexit", 0, "target 8 is outside"},
		{"may_goto +7\nexit", 0, "target 8 is outside"},
		{"gotol +100000\nexit", 0, "is outside"},
		{"goto +1\nr0 = 1 ll\nexit", 0, "second slot"},
		{"r1 = func pc+9\nexit", 0, "target 10 is outside"},
		{"r10 = 0\nexit", 0, "frame pointer is read only"},
		{"exit\nr0 = *(u8 *)skb[0]\nexit", 1, "no __sk_buff"},
		{"r1 = map[3]\nexit", 0, "map 3 of 3"},
		{"r1 = map[2]\nexit", 0, "map odd: no such thing"},
		{"r1 = map[1][0]\nexit", 0, "no array"},
		{"r1 = map[0][8]\nexit", 0, "offset 8 in the 8-byte value"},
		{"r1 = map_fd[3]\nexit", 0, "file descriptor 3"},
		{"r1 = btf[77]\nexit", 0, "kernel variable"},
		{"exit\ncallx r1", 1, "run off the end"},
	} {
		insns, err := asm.Parse(c.src, asm.ParseOptions{})
		if err != nil {
			t.Errorf("%q: %v", c.src, err)
			continue
		}
		_, err = m.Link(&prog.Program{Name: "bad", Type: prog.XDP, Insns: insns, Maps: specs})
		var bad *vm.LinkError
		if !errors.As(err, &bad) || bad.PC != c.pc || !strings.Contains(bad.Reason, c.reason) {
			t.Errorf("%q: %v, want %q at %d", c.src, err, c.reason, c.pc)
		}
	}
	lone := []asm.Insn{asm.Exit.Example(), asm.LdImm64.Example()}
	for name, p := range map[string]*prog.Program{
		"unsupported map": {Name: "p", Broken: "unsupported map", Insns: []asm.Insn{asm.Exit.Example()}},
		"second slot":     {Name: "p", Insns: lone},
		"unknown opcode":  {Name: "p", Insns: []asm.Insn{{Op: 0xff}, asm.Exit.Example()}},
		"1048577":         {Name: "p", Insns: make([]asm.Insn, vm.MaxInsns+1)},
	} {
		if _, err := m.Link(p); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(m.Programs()); n != 0 {
		t.Errorf("%d refused programs are registered", n)
	}
}

func TestLinkResolves(t *testing.T) {
	m := newMachine(t, vm.Config{})
	spec := &maps.Spec{Name: "data", Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, LockOff: -1, TimerOff: -1}
	p := parse(t, prog.XDP, "r1 = map[0]\nr2 = map[0][4]\nr3 = func f\nr4 = -1 ll\nexit\nf:\nexit")
	p.Maps = []*maps.Spec{spec}
	before := append([]asm.Insn(nil), p.Insns...)
	first, err := m.Link(p)
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Link(p)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID() == second.ID() || m.Program(first.ID()) != first || m.Program(second.ID()) != second || m.Program(2) != nil {
		t.Error("ids are mixed up")
	}
	mp, err := m.AddMap(spec)
	if err != nil || len(m.Maps().All()) != 1 {
		t.Fatalf("the same spec made %d maps, %v", len(m.Maps().All()), err)
	}
	value := mp.LookupAddr(0, make([]byte, 4))
	for i, want := range []uint64{uint64(mp.Handle()), uint64(value) + 4, 9, ^uint64(0)} {
		if in := first.Insns()[2*i]; in.Src != 0 || asm.Imm64(in, first.Insns()[2*i+1]) != want {
			t.Errorf("load %d is %v, want %#x", i, in, want)
		}
	}
	for i := range before {
		if p.Insns[i] != before[i] {
			t.Fatal("Link changed the program")
		}
	}
}

func TestSetProgs(t *testing.T) {
	m := newMachine(t, vm.Config{})
	key := func(b byte) []byte { return []byte{b, 0, 0, 0} }
	inner := &maps.Spec{Name: "inner", Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, LockOff: -1, TimerOff: -1}
	outer := &maps.Spec{Name: "outer", Type: maps.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, Inner: inner,
		LockOff: -1, TimerOff: -1, Contents: []maps.Entry{{Key: key(0), MapName: "inner"}}}
	jumps := &maps.Spec{Name: "jumps", Type: maps.ProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 2, LockOff: -1, TimerOff: -1,
		Contents: []maps.Entry{{Key: key(1), ProgName: "main"}, {Key: key(0), ProgName: "nobody"}}}
	for _, s := range []*maps.Spec{outer, jumps, inner} {
		if _, err := m.AddMap(s); err != nil {
			t.Fatal(err)
		}
	}
	l, err := m.Link(parse(t, prog.XDP, "exit"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetProgs(nil, nil); err == nil || !strings.Contains(err.Error(), "no program nobody") {
		t.Errorf("unknown program: %v", err)
	}
	if got := m.CPU(0).TailCall(m.Maps().ByName("jumps").Handle(), 1); got != l {
		t.Errorf("entry 1 is %v", got)
	}
	if got := m.Maps().ByName("outer").LookupAddr(0, key(0)); got != m.Maps().ByName("inner").Handle() {
		t.Errorf("inner map is %#x", got)
	}
}
