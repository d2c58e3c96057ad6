package skep_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/traffic"
)

// entries is a sink that sees packets before and after the program, and counts those that are not the same.
type entries struct{ changed uint64 }

func (*entries) WantsEntry() bool { return true }
func (*entries) Close() error     { return nil }

func (e *entries) Write(x *replay.Exit) error {
	if !bytes.Equal(x.Entry, x.Data) {
		e.changed++
	}
	return nil
}

// changed replays a program and returns how many packets it changed: as the report has it, which looks at the bytes that the verifier says may be stored
// to, and as a sink sees it that has the whole packets.
func changed(t *testing.T, obj *object.Object, program string) (counted, seen uint64) {
	run := func(o replay.Options) *replay.Report {
		v, err := skep.New(obj, skep.Options{})
		require.NoError(t, err)
		defer v.Close()
		o.Input, o.CountChanged = bytes.NewReader(traffic.Sample()), true
		rep, err := v.Replay(program, o)
		require.NoError(t, err)
		return rep
	}
	e := &entries{}
	run(replay.Options{Sinks: []replay.Sink{e}})
	return run(replay.Options{}).Changed, e.changed
}

// TestChangedExamples: the packets that an example changes are counted, all of them.
func TestChangedExamples(t *testing.T) {
	any := false
	for _, name := range examples.Names() {
		elf, err := examples.Open(name)
		require.NoError(t, err)
		obj, err := object.LoadBytes(elf, name, object.Options{})
		require.NoError(t, err)
		for _, p := range obj.Programs {
			if p.Type.Row().Packet {
				counted, seen := changed(t, obj, p.Name)
				require.Equal(t, seen, counted, "%s: %s", name, p.Name)
				any = any || seen > 0
			}
		}
	}
	require.True(t, any)
}

// TestChangedBytes: stores anywhere in a packet, by all means that there are, are found.
func TestChangedBytes(t *testing.T) {
	const pointer = `
		r6 = r1
		r2 = *(u32 *)(r1 + 0)
		r3 = *(u32 *)(r1 + 4)
		r4 = r2
		r4 += 60
		if r4 > r3 goto out
		`
	const end = `
	out:
		r0 = 2
		exit`
	for name, tt := range map[string]struct {
		typ  prog.Type
		text string
		all  bool // of the packets that are long enough
	}{
		"nothing":   {prog.XDP, pointer + "r5 = *(u8 *)(r2 + 5)" + end, false},
		"last byte": {prog.XDP, pointer + "r5 = *(u8 *)(r2 + 59)\nr5 ^= 1\n*(u8 *)(r2 + 59) = r5" + end, true},
		"at a variable": {prog.XDP, pointer + "r5 = *(u8 *)(r2 + 12)\nr5 &= 15\nr5 += 35\nr2 += r5\nr4 = r2\nr4 += 5\nif r4 > r3 goto out\nr5 = *(u8 *)(r2 + 4)\n" +
			"r5 ^= 1\n*(u8 *)(r2 + 4) = r5" + end, true},
		"helper that stores": {prog.XDP, pointer + `
			r5 = *(u32 *)(r2 + 50)
			r5 ^= 1
			*(u32 *)(r10 - 4) = r5
			r1 = r6
			r2 = 50
			r3 = r10
			r3 += -4
			r4 = 4
			call bpf_xdp_store_bytes` + end, true},
	} {
		t.Run(name, func(t *testing.T) {
			counted, seen := changed(t, assembled(tt.typ, nil, nil, tt.text), "main")
			require.Equal(t, seen, counted)
			require.Equal(t, tt.all, counted > 100, "%d", counted)
		})
	}
}
