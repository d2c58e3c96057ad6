package vm

import (
	"github.com/skepvm/skep/asm"
)

// MovesPackets reports whether a program linked so far calls a helper that may move or resize a packet. All programs
// count, as any may be tail-called. When none does, packets need no room around them.
func (m *Machine) MovesPackets() bool {
	for _, l := range m.Programs() {
		for pc := 0; pc < len(l.insns); pc++ {
			switch asm.KindOf(l.insns[pc]) {
			case asm.LdImm64:
				pc++
			case asm.CallReg:
				return true // it may be any helper
			case asm.CallHelper:
				row := m.config.Tables.Callable(l.insns[pc].Imm)
				if row != nil && row.ChangesPacket && row.ID != tailCallID {
					return true
				}
			}
		}
	}
	return false
}
