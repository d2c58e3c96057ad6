package cbpf_test

import (
	"math/rand/v2"
	"testing"

	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
	"github.com/stretchr/testify/require"
)

// rig runs converted programs on every engine that the machine has.
type rig struct {
	machine *vm.Machine
	jit     *jit.Compiler // nil when there is none
	bufs    map[prog.Type]*prog.Buffer
}

func newRig(t testing.TB) *rig {
	t.Helper()
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Shadow: true}, Budget: 1_000_000})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	r := &rig{machine: m, bufs: map[prog.Type]*prog.Buffer{}}
	if jit.Available() {
		r.jit, err = jit.New(m)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.jit.Close()) })
	}
	return r
}

// engines verifies a program and makes all engines for it.
func (r *rig) engines(t testing.TB, p *prog.Program) []vm.Engine {
	t.Helper()
	verified, err := verifier.Verify(p, verifier.Options{})
	require.NoError(t, err)
	var engines []vm.Engine
	for _, o := range []struct{ verified, checked bool }{{true, false}, {false, false}, {false, true}} {
		link := r.machine.Link
		if o.verified {
			link = r.machine.LinkVerified
		}
		l, err := link(p)
		require.NoError(t, err)
		e, err := vm.NewInterpreter(r.machine.CPU(0), l, vm.InterpOptions{Checked: o.checked})
		require.NoError(t, err)
		engines = append(engines, e)
	}
	if r.jit != nil {
		e, err := r.jit.Compile(r.machine.CPU(0), verified)
		require.NoError(t, err)
		engines = append(engines, e)
	}
	return engines
}

// run runs an engine on a packet.
func (r *rig) run(t testing.TB, e vm.Engine, typ prog.Type, pkt *cbpf.Packet) uint32 {
	t.Helper()
	buf := r.bufs[typ]
	if buf == nil {
		var err error
		buf, err = prog.NewBuffer(r.machine.Space(), typ, 0)
		require.NoError(t, err)
		r.bufs[typ] = buf
	}
	meta := pkt.Meta
	if meta == nil {
		meta = &cbpf.Meta{}
	}
	in := prog.Input{WireLen: pkt.WireLen, Protocol: uint16(meta.Protocol), PktType: meta.PktType, Ifindex: meta.IfIndex,
		Mark: meta.Mark, QueueMapping: meta.Queue, HaType: meta.HaType, Hash: meta.RxHash, CPU: meta.CPU,
		VlanTCI: uint16(meta.VLANTag), VlanPresent: meta.VLANPresent != 0, VlanProto: uint16(meta.VLANProto), PayOffset: meta.PayOffset,
		NetOff: meta.NetOff}
	require.NoError(t, buf.Set(pkt.Data, &in))
	if pkt.WireLen == 0 && typ == prog.Classic {
		require.NoError(t, prog.WriteCtx(r.machine.Space(), buf.Ctx(), typ, map[string]any{"wire_len": 0}, nil))
	}
	res, err := e.Run(buf.Ctx())
	require.NoError(t, err, e.Name())
	require.Equal(t, res.R0, uint64(uint32(res.R0)), "a value of more than 32 bits")
	return uint32(res.R0)
}

// compare runs a program in every form on packets, and says where one gives something else than the interpreter. A form
// that can't be had is left out.
func (r *rig) compare(t testing.TB, p cbpf.Program, mode cbpf.Mode, packets []cbpf.Packet) (forms int) {
	t.Helper()
	for _, o := range []cbpf.EBPFOptions{{Type: prog.Classic}, {Type: prog.XDP}, {Type: prog.SchedCLS}, {Type: prog.SchedCLS, Direct: true},
		{Type: prog.SchedACT}, {Type: prog.SocketFilter}} {
		o.Mode = mode
		converted, err := p.EBPF(o)
		if err != nil {
			require.NotEqual(t, prog.Classic, o.Type, "%v: %v", err, p)
			continue
		}
		forms++
		for _, e := range r.engines(t, converted) {
			for _, pkt := range packets {
				if !sameView(p, mode, o.Type, &pkt) {
					continue
				}
				want := p.Trace(mode, pkt, nil)
				require.Equal(t, want, r.run(t, e, o.Type, &pkt), "%s as %s on %s, mode %s, packet %x wire %d\n%s",
					p.Text(cbpf.Comma), o.Type, e.Name(), mode, pkt.Data, pkt.WireLen, p)
			}
		}
	}
	return forms
}

// sameView reports whether a program type shows the packet as the interpreter does.
func sameView(p cbpf.Program, mode cbpf.Mode, typ prog.Type, pkt *cbpf.Packet) bool {
	if typ == prog.Classic {
		return true
	}
	for _, in := range p {
		if in.Op&0xe7 == cbpf.ClassLd|cbpf.ModeLen || in.Op&0xe7 == cbpf.ClassLdx|cbpf.ModeLen {
			if int(pkt.WireLen) != len(pkt.Data) {
				return false
			}
		}
		if which, ok := in.Ancillary(); ok && which == cbpf.AncProtocol && pkt.Meta.Protocol == 0 {
			return false // the ctx takes it from the packet
		}
	}
	switch {
	case typ == prog.XDP:
		return len(pkt.Data) <= 3000 && !sumsBelowZero(p, mode, pkt)
	case mode == cbpf.Socket:
		return pkt.Meta.NetOff == 14 || !sumsBelowZero(p, mode, pkt) && !belowZero(p)
	}
	return true
}

// sumsBelowZero reports whether a run comes to a load from X + k that is below 0.
func sumsBelowZero(p cbpf.Program, mode cbpf.Mode, pkt *cbpf.Packet) (is bool) {
	if mode != cbpf.Socket {
		return false
	}
	p.Trace(mode, *pkt, func(s cbpf.Step) {
		if in := p[s.PC]; in.Op&0xe7 == cbpf.ClassLd|cbpf.ModeInd && in.K+s.X >= 1<<31 {
			is = true
		}
	})
	return is
}

// belowZero reports whether a program loads from the network or link-layer header.
func belowZero(p cbpf.Program) bool {
	for _, in := range p {
		if mode := in.Op & 0xe0; in.Op&7 <= cbpf.ClassLdx && (mode == cbpf.ModeAbs || mode == cbpf.ModeMsh) && in.K >= cbpf.LinkOff {
			return true
		}
	}
	return false
}

// maker makes random valid programs and packets.
type maker struct{ *rand.Rand }

func (m maker) of(list ...uint32) uint32 { return list[m.IntN(len(list))] }

// number gives values that things change at.
func (m maker) number() uint32 {
	switch m.IntN(8) {
	case 0:
		return m.of(0, 1, 31, 32, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0xffff, 0x10000)
	case 1:
		return m.Uint32()
	}
	return m.Uint32N(64)
}

// offset gives offsets of loads.
func (m maker) offset() uint32 {
	switch m.IntN(24) {
	case 0:
		return m.of(0x7ffe, 0x7fff, 0x8000, 0xfffb, 0xfffc, 0xfffd, 0xfffe, 0xffff, 0x10000, 0x7fffffff, 0x80000000) - m.Uint32N(3)
	case 1:
		return m.of(cbpf.NetOff, cbpf.LinkOff) + m.Uint32N(40) - 2
	}
	return m.Uint32N(70)
}

// insn makes any instruction but jumps and returns.
func (m maker) insn() cbpf.Insn {
	alu := []uint16{cbpf.AluAdd, cbpf.AluSub, cbpf.AluMul, cbpf.AluDiv, cbpf.AluOr, cbpf.AluAnd, cbpf.AluLsh, cbpf.AluRsh, cbpf.AluMod, cbpf.AluXor}
	size := []uint16{cbpf.SizeB, cbpf.SizeH, cbpf.SizeW}[m.IntN(3)]
	switch m.IntN(18) {
	case 0, 1, 2:
		return cbpf.Insn{Op: cbpf.ClassLd | size | cbpf.ModeAbs, K: m.offset()}
	case 3, 4:
		return cbpf.Insn{Op: cbpf.ClassLd | size | cbpf.ModeInd, K: m.offset()}
	case 5, 6:
		return cbpf.Insn{Op: cbpf.ClassLdx | cbpf.SizeB | cbpf.ModeMsh, K: m.offset()}
	case 7:
		return cbpf.Insn{Op: m.op(cbpf.ClassLd, cbpf.ClassLdx) | cbpf.ModeLen}
	case 8:
		return cbpf.Insn{Op: m.op(cbpf.ClassLd, cbpf.ClassLdx) | cbpf.ModeImm, K: m.number()}
	case 9:
		return cbpf.Insn{Op: m.op(cbpf.ClassLd, cbpf.ClassLdx) | cbpf.ModeMem, K: m.Uint32N(3)}
	case 10, 11:
		return cbpf.Insn{Op: m.op(cbpf.ClassSt, cbpf.ClassStx), K: m.Uint32N(3)}
	case 12:
		return cbpf.Insn{Op: cbpf.ClassMisc | m.op(cbpf.MiscTax, cbpf.MiscTxa)}
	case 13:
		return cbpf.Insn{Op: cbpf.ClassAlu | cbpf.AluNeg}
	case 14:
		return cbpf.Insn{Op: cbpf.ClassAlu | alu[m.IntN(len(alu))] | cbpf.SrcX}
	case 15:
		which := m.of(uint32(cbpf.AncPktType), uint32(cbpf.AncIfIndex), uint32(cbpf.AncMark), uint32(cbpf.AncRxHash), uint32(cbpf.AncXorX),
			uint32(cbpf.AncVLANTag), uint32(cbpf.AncVLANPresent), uint32(cbpf.AncVLANProto), uint32(cbpf.AncQueue))
		return cbpf.Insn{Op: cbpf.ClassLd | size | cbpf.ModeAbs, K: cbpf.AncillaryOff + which}
	}
	in := cbpf.Insn{Op: cbpf.ClassAlu | alu[m.IntN(len(alu))], K: m.number()}
	switch in.Op & 0xf0 {
	case cbpf.AluLsh, cbpf.AluRsh:
		in.K %= 32
	case cbpf.AluDiv, cbpf.AluMod:
		in.K = max(in.K, 1)
	}
	return in
}

func (m maker) op(list ...uint16) uint16 { return list[m.IntN(len(list))] }

// program makes a program that is valid in the mode.
func (m maker) program(mode cbpf.Mode) cbpf.Program {
	for {
		n := 2 + m.IntN(24)
		var p cbpf.Program
		for len(p) < n {
			left := uint32(n - len(p)) // instructions after this one, the last return included
			switch m.IntN(5) {
			case 0, 1:
				op := cbpf.ClassJmp | m.op(cbpf.JmpEq, cbpf.JmpGt, cbpf.JmpGe, cbpf.JmpSet) | m.op(cbpf.SrcK, cbpf.SrcX)
				p = append(p, cbpf.Insn{Op: op, Jt: uint8(m.Uint32N(left)), Jf: uint8(m.Uint32N(left)), K: m.number()})
			default:
				p = append(p, m.insn())
			}
			switch m.IntN(20) {
			case 0:
				p[len(p)-1] = cbpf.Insn{Op: cbpf.ClassRet, K: m.of(0, 0, 1, 262144)}
			case 1:
				p[len(p)-1] = cbpf.Insn{Op: cbpf.ClassJmp | cbpf.JmpJa, K: m.Uint32N(left)}
			}
		}
		p = append(p, cbpf.Insn{Op: cbpf.ClassRet | m.op(cbpf.RetK, cbpf.RetA), K: m.of(0, 1, 0xffffffff)})
		if p.Validate(mode) == nil {
			return p
		}
	}
}

// packet makes a packet; long ones are rare.
func (m maker) packet() cbpf.Packet {
	n := m.IntN(90)
	if m.IntN(20) == 0 {
		n = int(m.of(0, 14, 0x7fff, 0x8001, 0xfffe, 0xffff, 0x10000, 0x10005))
	}
	pkt := cbpf.Packet{Data: make([]byte, n), WireLen: uint32(n), Meta: &cbpf.Meta{PktType: m.Uint32N(5), IfIndex: 3, Mark: m.number(),
		RxHash: m.Uint32(), Queue: m.Uint32N(4) + 1, NetOff: 14, Protocol: 0x800}}
	for i := range min(n, 100) {
		pkt.Data[i] = byte(m.number())
		if i > 0 && n > 100 {
			pkt.Data[n-i] = byte(m.Uint32())
		}
	}
	if m.IntN(2) == 0 {
		pkt.Meta.VLANPresent, pkt.Meta.VLANTag, pkt.Meta.VLANProto = 1, m.Uint32N(1<<16), 0x8100
	}
	if m.IntN(3) == 0 {
		pkt.WireLen += m.Uint32N(1000)
	}
	return pkt
}

// asksMeta reports whether a program asks what a test run can't be told.
func asksMeta(p cbpf.Program) bool {
	for _, in := range p {
		if which, ok := in.Ancillary(); ok && which != cbpf.AncXorX && which != cbpf.AncRandom {
			return true
		}
	}
	return false
}
