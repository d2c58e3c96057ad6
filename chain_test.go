package skep_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/replay"
)

const (
	chainObject = "object/testdata/chain.o"
	chainSample = "traffic/sample.pcap"
)

// A firewall at XDP, then the programs of another object: one that redirects at TC ingress and one at TC egress of that interface.
func ExampleVM_ReplayChain() {
	v, err := skep.Open("examples/block_ssh_xdp.bpf.o", skep.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	other, err := object.LoadFile(chainObject, object.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	names, err := v.AddObject(other)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := v.ReplayChain([]skep.Link{
		{Program: "block_ssh", Hook: replay.HookXDP},
		{Program: names["route"], Hook: replay.HookIngress},
		{Program: names["policy"], Hook: replay.HookEgress, Ifindex: 9},
	}, replay.Options{Files: []string{chainSample}, Limit: 1000})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range report.Verdicts {
		fmt.Printf("%s by %s (%s)\n", d.Name, d.Program, d.Hook)
	}
	// Output:
	// TC_ACT_SHOT by policy (tc/egress)
	// XDP_DROP by block_ssh (xdp)
}

// Priorities and verdicts come from the object unless the link has its own, on every engine.
func TestChainOrder(t *testing.T) {
	first, zero := uint32(1), uint32(0)
	for _, tc := range []struct {
		name  string
		links []skep.Link
		want  string
	}{
		{"objects", []skep.Link{{Program: "send"}, {Program: "odd_drop"}, {Program: "only_tx"}}, "only_tx odd_drop send"},
		{"link", []skep.Link{{Program: "odd_drop"}, {Program: "only_tx"}, {Program: "send", Priority: &first}}, "send only_tx odd_drop"},
		{"zero", []skep.Link{{Program: "odd_drop", Priority: &zero}, {Program: "only_tx"}, {Program: "send", Priority: &first}}, "odd_drop send only_tx"},
	} {
		for _, engine := range []string{skep.EngineAuto, skep.EngineInterp, skep.EngineChecked} {
			v, err := skep.Open(chainObject, skep.Options{Engine: engine})
			require.NoError(t, err)
			report, err := v.ReplayChain(tc.links, replay.Options{Files: []string{chainSample}, Limit: 10})
			require.NoError(t, err)
			var order []string
			for _, p := range report.Programs {
				if p.Hook == "xdp" {
					order = append(order, p.Name)
				}
			}
			require.Equal(t, tc.want, strings.Join(order, " "), "%s %s", tc.name, engine)
			require.Equal(t, "xdp/devmap", report.Programs[3].Hook)
			require.NoError(t, v.Close())
		}
	}
}

// Objects with the same names are kept apart: each has maps of its own.
func TestAddObject(t *testing.T) {
	v, err := skep.Open(chainObject, skep.Options{})
	require.NoError(t, err)
	defer v.Close()
	data, err := os.ReadFile(chainObject)
	require.NoError(t, err)
	for i, want := range []string{"b.o:odd_drop", "b.o:odd_drop#2"} {
		obj, err := object.LoadBytes(data, "b.o", object.Options{})
		require.NoError(t, err)
		names, err := v.AddObject(obj)
		require.NoError(t, err)
		require.Len(t, names, 6)
		require.Equal(t, want, names["odd_drop"], i)
	}
	seen := map[string]string{}
	for range 2 {
		for _, name := range []string{"odd_drop", "b.o:odd_drop", "b.o:odd_drop#2"} {
			res, err := v.Run(name, skep.Packet{Data: make([]byte, 64), Input: prog.Input{}})
			require.NoError(t, err)
			seen[name] += res.Verdict + " "
		}
	}
	for name, verdicts := range seen {
		require.Equal(t, "XDP_DROP XDP_PASS ", verdicts, name)
	}
	handles := map[uint32]bool{}
	for name := range seen {
		h, err := v.ProgramHandle(name)
		require.NoError(t, err)
		require.NotZero(t, h)
		handles[h] = true
	}
	require.Len(t, handles, 3)
	_, err = v.ProgramHandle("nobody")
	var missing *skep.NoProgramError
	require.ErrorAs(t, err, &missing)
	_, err = v.Chain([]skep.Link{{Program: "route", Hook: replay.HookXDP}})
	require.ErrorContains(t, err, "not for xdp")
	_, err = v.Chain([]skep.Link{{Program: "only_tx", Hook: replay.HookEgress}})
	require.ErrorContains(t, err, "not for tc/egress")
}

// What maps name is of their own object: a program of that name in another object does not take the place of one that was refused, nor a
// map there that of an object's own, whichever came first. What Add brings has the names of the first.
func TestNamesAreOfTheObject(t *testing.T) {
	caller := func(number, leaf string) *object.Object {
		value := func(name string) *maps.Spec {
			return &maps.Spec{Name: name, Type: maps.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1, LockOff: -1, TimerOff: -1}
		}
		inner := value("inner")
		inner.Contents = []maps.Entry{{Key: make([]byte, 4), Value: []byte{number[0] - '0', 0, 0, 0}}}
		specs := []*maps.Spec{
			{Name: "jumps", Type: maps.ProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 1, LockOff: -1, TimerOff: -1,
				Contents: []maps.Entry{{Key: make([]byte, 4), ProgName: "leaf"}}},
			{Name: "outer", Type: maps.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, Inner: value("shape"), LockOff: -1, TimerOff: -1,
				Contents: []maps.Entry{{Key: make([]byte, 4), MapName: "inner"}}},
			inner,
		}
		obj := assembled(prog.XDP, nil, nil, `
			r2 = map[0]
			r3 = 0
			call 12
			*(u32 *)(r10 - 4) = 0
			r2 = r10
			r2 += -4
			r1 = map[1]
			call 1
			if r0 == 0 goto none
			r1 = r0
			r2 = r10
			r2 += -4
			call 1
			if r0 == 0 goto none
			r0 = *(u32 *)(r0 + 0)
		none:
			exit`)
		obj.Programs = append(obj.Programs, assembled(prog.XDP, nil, nil, leaf).Programs...)
		obj.File = number + ".o"
		for i, name := range []string{"entry", "leaf"} {
			obj.Programs[i].Name, obj.Programs[i].Maps = name, specs
		}
		obj.Maps = specs
		return obj
	}
	run := func(v *skep.VM, name string) uint32 {
		res, err := v.Run(name, skep.Packet{Data: make([]byte, 64)})
		require.NoError(t, err, name)
		return res.Ret
	}
	const refused = "r0 = *(u64 *)(r10 - 520)\nexit"
	for _, engine := range bothEngines {
		v, err := skep.New(caller("1", "r0 = 11\nexit"), skep.Options{Engine: engine})
		require.NoError(t, err)
		for _, obj := range []*object.Object{caller("2", refused), caller("3", "r0 = 13\nexit"), caller("4", refused)} {
			_, err := v.AddObject(obj)
			require.NoError(t, err)
		}
		require.Equal(t, []uint32{11, 2, 13, 4}, []uint32{run(v, "entry"), run(v, "2.o:entry"), run(v, "3.o:entry"), run(v, "4.o:entry")}, engine)
		added := caller("5", refused).Programs[0]
		added.Name = "added"
		_, err = v.Add(added)
		require.NoError(t, err)
		require.EqualValues(t, 11, run(v, "added"), engine)
		require.NoError(t, v.Close())
	}
}

// Two engines agree on a whole chain, and what a chain decides differently is found.
func TestReplayChainBoth(t *testing.T) {
	open := func(engine string) *skep.VM {
		v, err := skep.Open(chainObject, skep.Options{Engine: engine})
		require.NoError(t, err)
		t.Cleanup(func() { _ = v.Close() })
		return v
	}
	links := []skep.Link{{Program: "odd_drop"}, {Program: "send"}, {Program: "route", Hook: replay.HookIngress}, {Program: "policy", Hook: replay.HookEgress}}
	a, b := open(skep.EngineAuto), open(skep.EngineInterp)
	report, err := a.ReplayChainBoth(b, links, links, replay.Options{Files: []string{chainSample}})
	require.NoError(t, err)
	require.Equal(t, report.Verdicts[0].Program, "policy")

	handle, err := b.ProgramHandle("out")
	require.NoError(t, err)
	require.NoError(t, b.Map("devices").HostUpdate([]byte{1, 0, 0, 0}, []byte{7, 0, 0, 0, byte(handle), 0, 0, 0}, 0))
	_, err = a.ReplayChainBoth(b, links, links, replay.Options{Files: []string{chainSample}})
	var mismatch *replay.Mismatch
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, "verdict", mismatch.What)
	require.Equal(t, [2]string{"TC_ACT_SHOT by policy", "XDP_PASS by out"}, mismatch.Value)
}
