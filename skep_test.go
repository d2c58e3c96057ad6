package skep_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// One map of a type that is not implemented, and one program that is rejected, concern those that need them alone.
func TestOneUnsupportedPartFailsAlone(t *testing.T) {
	ops := &maps.Spec{Name: "shared", Type: maps.StructOps, KeySize: 4, ValueSize: 4, MaxEntries: 1, LockOff: -1, TimerOff: -1}
	huge := &maps.Spec{Name: "huge", Type: maps.Array, KeySize: 4, ValueSize: 1 << 20, MaxEntries: 1 << 20, LockOff: -1, TimerOff: -1}
	calls := &maps.Spec{Name: "calls", Type: maps.ProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 2, LockOff: -1, TimerOff: -1,
		Contents: []maps.Entry{{Key: []byte{0, 0, 0, 0}, ProgName: "good"}, {Key: []byte{1, 0, 0, 0}, ProgName: "rejected"}}}
	all := []*maps.Spec{ops, huge, calls}
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
		program("needs_ops", "r1 = map[shared]\nr0 = 2\nexit"),
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
		for name, why := range map[string]string{"rejected": "E_STACK", "needs_ops": "map shared", "needs_huge": "map huge"} {
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

// accesses are the loads and stores of a ctx of a type, attached as a section says, that the verifier accepts one by one, and those of
// the sockets and flow keys that it points to.
func accesses(t *testing.T, typ prog.Type, section string) (lines []string) {
	t.Helper()
	var try []string
	for off := range typ.Row().CtxSize {
		for _, size := range []int{1, 2, 4, 8} {
			if off%size == 0 {
				load := fmt.Sprintf("r2 = *(u%d *)(r1 + %d)", 8*size, off)
				store := fmt.Sprintf("*(u%d *)(r1 + %d) = 0", 8*size, off)
				try = append(try, load, store)
			}
		}
	}
	for _, f := range typ.Row().Fields { // and what its pointers lead to
		switch f.Yields {
		case prog.Sock, prog.SockOrNull, prog.SockCommonOrNull, prog.FlowKeys:
			for off := 0; off < 80; off += 4 {
				load := fmt.Sprintf("r2 = *(u64 *)(r1 + %d)\nif r2 == 0 goto +1\nr3 = *(u32 *)(r2 + %d)", f.Off, off)
				try = append(try, load)
			}
		}
	}
	for _, line := range try {
		if _, err := verifier.Verify(ctxProgram(t, typ, section, line), verifier.Options{Outside: true}); err == nil {
			lines = append(lines, line)
		}
	}
	return lines
}

func ctxProgram(t *testing.T, typ prog.Type, section string, lines ...string) *prog.Program {
	t.Helper()
	insns, err := asm.Parse(strings.Join(append(lines, "r0 = 1", "exit"), "\n"), asm.ParseOptions{})
	require.NoError(t, err)
	return &prog.Program{Name: "accesses", Section: section, Type: typ, Insns: insns, License: "GPL"}
}

// TestEveryCtxAccess: what the verifier lets programs do to a ctx, checked mode does too, for every type that runs and every way of
// attaching it, and all engines leave the same.
func TestEveryCtxAccess(t *testing.T) {
	seen := map[string]bool{}
	total := 0
	for _, s := range prog.Sections {
		what := fmt.Sprint(s.Type, s.Attach)
		if !s.Type.Row().Supported || s.Type == prog.Syscall || seen[what] {
			continue
		}
		seen[what] = true
		lines := accesses(t, s.Type, s.Name())
		require.NotEmpty(t, lines, what)
		total += len(lines)
		obj := &object.Object{Programs: []*prog.Program{ctxProgram(t, s.Type, s.Name(), lines...)}}
		var first map[string]any
		for _, engine := range []string{skep.EngineInterp, skep.EngineChecked, skep.EngineAuto} {
			v, err := skep.New(obj, skep.Options{Engine: engine})
			require.NoError(t, err)
			in := skep.Packet{Ctx: map[string]any{}}
			if s.Type.HasData() {
				in.Data = make([]byte, 64)
				in.Data[12], in.Data[13] = 8, 0
			}
			res, err := v.Run("", in)
			require.NoError(t, err, "%s on %s", what, engine)
			if first == nil {
				first = res.Ctx
			}
			require.Equal(t, first, res.Ctx, "%s on %s", what, engine)
			require.NoError(t, v.Close())
		}
	}
	require.Greater(t, total, 2000)
	t.Logf("%d accesses", total)
}
