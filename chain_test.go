package skep_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
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
	report, err := a.ReplayChainBoth(b, links, replay.Options{Files: []string{chainSample}})
	require.NoError(t, err)
	require.Equal(t, report.Verdicts[0].Program, "policy")

	handle, err := b.ProgramHandle("out")
	require.NoError(t, err)
	require.NoError(t, b.Map("devices").HostUpdate([]byte{1, 0, 0, 0}, []byte{7, 0, 0, 0, byte(handle), 0, 0, 0}, 0))
	_, err = a.ReplayChainBoth(b, links, replay.Options{Files: []string{chainSample}})
	var mismatch *replay.Mismatch
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, "program that decided", mismatch.What)
	require.Equal(t, [2]string{"policy", "out"}, mismatch.Value)
}
