package skep_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

// One map of a type that is not implemented, and one program that is rejected, concern those that need them alone.
func TestOneUnsupportedPartFailsAlone(t *testing.T) {
	arena := &maps.Spec{Name: "shared", Type: maps.Arena, MaxEntries: 10, Flags: maps.Mmapable, LockOff: -1, TimerOff: -1}
	huge := &maps.Spec{Name: "huge", Type: maps.Array, KeySize: 4, ValueSize: 1 << 20, MaxEntries: 1 << 20, LockOff: -1, TimerOff: -1}
	calls := &maps.Spec{Name: "calls", Type: maps.ProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 2, LockOff: -1, TimerOff: -1,
		Contents: []maps.Entry{{Key: []byte{0, 0, 0, 0}, ProgName: "good"}, {Key: []byte{1, 0, 0, 0}, ProgName: "rejected"}}}
	all := []*maps.Spec{arena, huge, calls}
	program := func(name, text string) *prog.Program {
		insns, err := asm.Parse(text, asm.ParseOptions{Maps: func(name string) (int32, bool) {
			for i, m := range all {
				if m.Name == name {
					return int32(i), true
				}
			}
			return 0, false
		}})
		require.NoError(t, err)
		return &prog.Program{Name: name, Type: prog.XDP, Insns: insns, Maps: all, License: "GPL"}
	}
	obj := &object.Object{Maps: all, Programs: []*prog.Program{
		program("good", "r0 = 2\nexit"),
		program("rejected", "r0 = *(u64 *)(r10 - 520)\nexit"),
		program("needs_arena", "r1 = map[shared]\nr0 = 2\nexit"),
		program("needs_huge", "r1 = map[huge]\nr0 = 2\nexit"),
		program("caller", "r2 = map[calls]\nr3 = 1\ncall 12\nr0 = 1\nexit"),
	}}
	for _, engine := range []string{skep.EngineInterp, skep.EngineChecked, skep.EngineAuto} {
		v, err := skep.New(obj, skep.Options{Engine: engine})
		require.NoError(t, err, engine)
		res, err := v.Run("good", skep.Packet{Data: make([]byte, 60)})
		require.NoError(t, err)
		require.Equal(t, "XDP_PASS", res.Verdict)
		res, err = v.Run("caller", skep.Packet{Data: make([]byte, 60)})
		require.NoError(t, err)
		require.Equal(t, "XDP_DROP", res.Verdict, "the place of a rejected program is empty")
		for name, why := range map[string]string{"rejected": "E_STACK", "needs_arena": "map shared", "needs_huge": "map huge"} {
			_, err := v.Run(name, skep.Packet{Data: make([]byte, 60)})
			require.ErrorContains(t, err, why)
		}
		require.NoError(t, v.Close())
	}
}

// A ctx that is smaller than what was proved: at the end of guest memory. Whoever drives an engine may give any address, and the
// program then reads guest memory or zeros, never the host's, on every engine.
func TestCtxSmallerThanProved(t *testing.T) {
	insns, err := asm.Parse("r0 = *(u32 *)(r1 + 176)\nr2 = *(u64 *)(r1 + 184)\n*(u32 *)(r1 + 64) = r0\nr0 += r2\nexit", asm.ParseOptions{})
	require.NoError(t, err)
	obj := &object.Object{Programs: []*prog.Program{{Name: "last", Type: prog.SchedCLS, Insns: insns, License: "GPL"}}}
	for _, engine := range []string{skep.EngineInterp, skep.EngineAuto} {
		v, err := skep.New(obj, skep.Options{Engine: engine})
		require.NoError(t, err)
		_, err = v.Verify("last")
		require.NoError(t, err)
		e, err := v.Engine("last")
		require.NoError(t, err)
		size := v.Machine().Space().Size()
		for _, back := range []uint64{1, 4, 8, 100, 176, 184, 192} {
			out, err := e.Run(uint32(size - back))
			require.NoError(t, err, "%s: ctx %d bytes before the end", e.Name(), back)
			require.Zero(t, out.R0, "%s: ctx %d bytes before the end", e.Name(), back)
		}
		require.NoError(t, v.Close())
	}
}

// Every program type's frames are as large as the ctx that the verifier lets programs read.
func TestFramesHoldWhatIsProved(t *testing.T) {
	for _, row := range prog.Types {
		for _, f := range row.Fields {
			if row.CtxSize != 0 {
				require.LessOrEqual(t, f.Off+f.Size, row.CtxSize, "%s.%s", row.Name, f.Name)
			}
		}
		require.GreaterOrEqual(t, int(prog.FrameStride(row.FrameSize())), prog.FrameHeader+row.CtxSize, row.Name)
	}
}
