package vm

import (
	"math"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
)

// MovesPackets reports whether a program linked so far calls a helper that may move or resize a packet. All programs
// count, as any may be tail-called. When none does, packets need no room around them.
func (m *Machine) MovesPackets() bool {
	return slices.ContainsFunc(m.Programs(), func(l *Linked) bool {
		return m.calls(l, func(row *helpers.Row) bool { return row.ChangesPacket && row.ID != tailCallID })
	})
}

// PacketStores is how many bytes of a packet, from its first one on, the programs linked so far may change: math.MaxUint32 when that is not
// known, as for engines of programs that the machine has not seen.
func (m *Machine) PacketStores() uint32 {
	programs := m.Programs()
	if len(programs) == 0 {
		return math.MaxUint32
	}
	most := uint32(0)
	for _, l := range programs {
		if m.calls(l, func(row *helpers.Row) bool {
			return row.ID != tailCallID && (row.ChangesPacket || row.ID >= helpers.FirstOwn || slices.Contains(packetWriters, row.ID))
		}) {
			return math.MaxUint32
		}
		most = max(most, l.packetStores)
	}
	return most
}

// packetWriters are helpers that write to the bytes of a packet and do not move it. Any own helper and any kernel function may be one.
var packetWriters = []int32{97, 190, 202} // bpf_skb_ecn_set_ce, bpf_xdp_store_bytes, bpf_dynptr_write

// calls reports whether a program has a call of a helper that is meant, or of one that is not known beforehand.
func (m *Machine) calls(l *Linked, meant func(*helpers.Row) bool) bool {
	for pc := 0; pc < len(l.insns); pc++ {
		switch asm.KindOf(l.insns[pc]) {
		case asm.LdImm64:
			pc++
		case asm.CallReg:
			return true // it may be any helper
		case asm.CallHelper:
			if row := m.config.Tables.Callable(l.insns[pc].Imm); row != nil && meant(row) {
				return true
			}
		}
	}
	return false
}

// readsHash are the functions that give a program the hash of a packet.
var readsHash = map[string]bool{"bpf_get_hash_recalc": true, "bpf_xdp_metadata_rx_hash": true}

// ReadsHash reports whether a program linked so far may look at the hash that a device made of a packet. All programs count, as any may be
// tail-called.
func (m *Machine) ReadsHash() bool {
	return slices.ContainsFunc(m.Programs(), func(l *Linked) bool {
		f, ok := l.prog.Type.Row().Field("hash")
		return ok && l.loadsCtx(f.Off, f.Off+f.Size) || m.calls(l, func(row *helpers.Row) bool { return readsHash[row.Name] })
	})
}

// LoadsCtx reports whether a program linked so far may load bytes of its ctx from offset from up to, not including, to.
func (m *Machine) LoadsCtx(from, to int) bool {
	return slices.ContainsFunc(m.Programs(), func(l *Linked) bool { return l.loadsCtx(from, to) })
}

// loadsCtx looks at loads through registers that hold the ctx anywhere in the program. A verified program has its ctx's address as it was
// given to it, and whoever was not verified may do anything.
func (l *Linked) loadsCtx(from, to int) bool {
	if !l.verified {
		return true
	}
	ctx := l.ctxRegisters()
	for pc := 0; pc < len(l.insns); pc++ {
		in := l.insns[pc]
		info := asm.KindOf(in).Info()
		if off := int(in.Off); info.Class == asm.ClassLoad && ctx[in.Src] && off < to && from < off+int(info.Size) {
			return true
		}
		if asm.KindOf(in) == asm.LdImm64 {
			pc++
		}
	}
	return false
}

// ctxRegisters are the registers that hold the ctx at some place: R1, what it is copied to, and what is filled from the stack when it is ever
// spilled.
func (l *Linked) ctxRegisters() (ctx [16]bool) {
	ctx[asm.R1] = true
	for more, spilled := true, false; more; {
		more = false
		for pc := 0; pc < len(l.insns); pc++ {
			in := l.insns[pc]
			to := in.Dst
			switch kind := asm.KindOf(in); {
			case kind == asm.LdImm64:
				pc++
				continue
			case kind == asm.Stx64 && ctx[in.Src]:
				more, spilled = more || !spilled, true
				continue
			case kind == asm.Mov64X && ctx[in.Src], kind == asm.Ldx64 && in.Src == asm.R10 && spilled:
			default:
				continue
			}
			more, ctx[to] = more || !ctx[to], true
		}
	}
	return ctx
}
