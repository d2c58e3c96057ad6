package seccomp

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

// onEngines runs filters, converted, on every engine that this machine has, and compares what they say with the classic
// interpreter's answers.
func onEngines(t *testing.T, s Stack, calls []Data) {
	engines := []string{skep.EngineInterp, skep.EngineChecked}
	if jit.Available() {
		engines = append(engines, skep.EngineJIT)
	}
	for _, name := range engines {
		obj := &object.Object{License: "GPL"}
		for i, f := range s {
			p, err := f.EBPF("f" + string(rune('0'+i)))
			require.NoError(t, err)
			obj.Programs = append(obj.Programs, p)
		}
		v, err := skep.New(obj, skep.Options{Engine: name})
		require.NoError(t, err)
		addr, err := v.Machine().Space().Alloc(prog.FrameHeader+DataSize, 64)
		require.NoError(t, err)
		ctx := addr + prog.FrameHeader
		for i, f := range s {
			engine, err := v.Engine(obj.Programs[i].Name)
			require.NoError(t, err, "%s\n%s", name, f.Program)
			for _, d := range calls {
				record, _ := v.Machine().Space().Bytes(ctx, DataSize)
				d.Bytes(record, d.Big())
				res, err := engine.Run(ctx)
				require.NoError(t, err)
				require.Equal(t, f.Run(&d), Return(res.R0), "%s, call %+v\n%s", name, d, f.Program)
			}
		}
		require.NoError(t, v.Close())
	}
}

// TestEngines runs the fixtures and random filters on every engine.
func TestEngines(t *testing.T) {
	for _, c := range cases(t, "testdata/filters.txt") {
		text, events, _ := strings.Cut(c.text, "\n@\n")
		var s Stack
		for program := range strings.SplitSeq(text, "\n--\n") {
			f, err := Load("f", []byte(program), ProfileOptions{})
			require.NoError(t, err)
			s = append(s, f)
		}
		var calls []Data
		r := NewEventReader(strings.NewReader(events), EventOptions{})
		for ev, err := r.Next(); err != io.EOF; ev, err = r.Next() {
			require.NoError(t, err)
			calls = append(calls, ev.Data)
		}
		onEngines(t, s, calls)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for range 60 {
		f, err := NewFilter("random", randomFilter(rng))
		require.NoError(t, err)
		var calls []Data
		for range 30 {
			a := Arches[rng.IntN(len(Arches))]
			calls = append(calls, Data{NR: int32(rng.IntN(8)), Arch: a.Audit, IP: rng.Uint64(),
				Args: [6]uint64{smallOrLarge(rng), smallOrLarge(rng), smallOrLarge(rng), smallOrLarge(rng), smallOrLarge(rng), smallOrLarge(rng)}})
		}
		onEngines(t, Stack{f}, calls)
	}
}

func smallOrLarge(r *rand.Rand) uint64 {
	if r.IntN(2) == 0 {
		return uint64(r.IntN(4))
	}
	return r.Uint64()
}

// randomFilter makes a filter that computes, of all instructions that seccomp has, a value of which an error number shows
// 12 bits, or that answers with another action.
func randomFilter(r *rand.Rand) cbpf.Program {
	n := 1 + r.IntN(30)
	p := cbpf.Program{}
	for m := range uint32(cbpf.MemWords) {
		p = append(p, cbpf.Insn{Op: cbpf.ClassSt, K: m})
	}
	for i := range n {
		p = append(p, randomInsn(r, n-i))
	}
	if r.IntN(4) == 0 {
		action := []Action{Allow, Log, Trace, UserNotif, Errno, 0x7ffd0000, 0x7ff80000}[r.IntN(5)]
		p = append(p, cbpf.Insn{Op: opJset, Jt: 0, Jf: 1, K: 1 << r.IntN(32)}, cbpf.Insn{Op: opRet, K: uint32(action) | r.Uint32()&0xffff})
	}
	return append(p, cbpf.Insn{Op: cbpf.ClassAlu | cbpf.AluRsh, K: uint32(r.IntN(21))}, cbpf.Insn{Op: opAnd, K: 0xfff},
		cbpf.Insn{Op: cbpf.ClassAlu | cbpf.AluOr, K: uint32(Errno)}, cbpf.Insn{Op: cbpf.ClassRet | cbpf.RetA})
}

// randomInsn makes an instruction after which left more come.
func randomInsn(r *rand.Rand, left int) cbpf.Insn {
	k := r.Uint32() >> r.IntN(32)
	switch r.IntN(6) {
	case 0, 1:
		return cbpf.Insn{Op: opLoad, K: []uint32{0, 4, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60}[r.IntN(14)]} // not the instruction pointer
	case 2:
		ops := []uint16{cbpf.AluAdd, cbpf.AluSub, cbpf.AluMul, cbpf.AluDiv, cbpf.AluOr, cbpf.AluAnd, cbpf.AluXor, cbpf.AluNeg}
		op := ops[r.IntN(len(ops))]
		if op != cbpf.AluNeg {
			op |= cbpf.SrcX * uint16(r.IntN(2))
		}
		return cbpf.Insn{Op: cbpf.ClassAlu | op, K: k | 1}
	case 3:
		ops := []uint16{cbpf.AluLsh, cbpf.AluRsh, cbpf.AluLsh | cbpf.SrcX, cbpf.AluRsh | cbpf.SrcX}
		return cbpf.Insn{Op: cbpf.ClassAlu | ops[r.IntN(len(ops))], K: k % 32}
	case 4:
		skip := func() uint8 { return uint8(r.IntN(left)) }
		ops := []uint16{cbpf.JmpEq, cbpf.JmpGt, cbpf.JmpGe, cbpf.JmpSet}
		if r.IntN(8) == 0 {
			return cbpf.Insn{Op: opJa, K: uint32(skip())}
		}
		return cbpf.Insn{Op: cbpf.ClassJmp | ops[r.IntN(len(ops))] | cbpf.SrcX*uint16(r.IntN(2)), Jt: skip(), Jf: skip(), K: k}
	}
	ops := []uint16{cbpf.ClassLd | cbpf.ModeImm, cbpf.ClassLdx | cbpf.ModeImm, cbpf.ClassLd | cbpf.ModeMem, cbpf.ClassLdx | cbpf.ModeMem,
		cbpf.ClassSt, cbpf.ClassStx, cbpf.ClassMisc | cbpf.MiscTax, cbpf.ClassMisc | cbpf.MiscTxa, cbpf.ClassLd | cbpf.ModeLen, cbpf.ClassLdx | cbpf.ModeLen}
	in := cbpf.Insn{Op: ops[r.IntN(len(ops))], K: k}
	if in.Op&0xe7 == cbpf.ClassLd|cbpf.ModeMem || in.Op&0xe7 == cbpf.ClassLdx|cbpf.ModeMem || in.Op == cbpf.ClassSt || in.Op == cbpf.ClassStx {
		in.K %= cbpf.MemWords
	}
	return in
}
