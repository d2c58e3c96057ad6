package cbpf

import (
	"encoding/binary"
)

// exec is the interpreter's one dispatch.
func (f *Filter) exec(pkt *Packet, m *[MemWords]uint32) uint32 {
	var a, x uint32
	data := pkt.Data
	for s := f.entry; ; {
		switch s.code {
		case stepRet:
			return s.k
		case stepRetA:
			return a
		case stepJump:
			s = s.yes
		case stepEq:
			if a&s.mask == s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepGt:
			if a > s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepEqX:
			if a == x {
				s = s.yes
			} else {
				s = s.no
			}
		case stepGtX:
			if a > x {
				s = s.yes
			} else {
				s = s.no
			}
		case stepGeX:
			if a >= x {
				s = s.yes
			} else {
				s = s.no
			}
		case stepSetX:
			if a&x != 0 {
				s = s.yes
			} else {
				s = s.no
			}

		case stepLdB:
			i := uint(s.k)
			if i >= uint(len(data)) {
				return 0
			}
			a = uint32(data[i])
			s = s.yes
		case stepLdH:
			i := uint(s.k)
			if i+1 >= uint(len(data)) {
				return 0
			}
			a = uint32(data[i])<<8 | uint32(data[i+1])
			s = s.yes
		case stepLdW:
			i := uint(s.k)
			if i+3 >= uint(len(data)) {
				return 0
			}
			a = binary.BigEndian.Uint32(data[i:])
			s = s.yes
		case stepLdIndB:
			i := uint64(s.k) + uint64(x)
			if i >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[i])
			s = s.yes
		case stepLdIndH:
			i := uint64(s.k) + uint64(x)
			if i+1 >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[i])<<8 | uint32(data[i+1])
			s = s.yes
		case stepLdIndW:
			i := uint64(s.k) + uint64(x)
			if i+3 >= uint64(len(data)) {
				return 0
			}
			a = binary.BigEndian.Uint32(data[i:])
			s = s.yes

		case stepLdBEq:
			i := uint(s.k)
			if i >= uint(len(data)) {
				return 0
			}
			a = uint32(data[i])
			if a&s.mask == s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdHEq:
			i := uint(s.k)
			if i+1 >= uint(len(data)) {
				return 0
			}
			a = uint32(data[i])<<8 | uint32(data[i+1])
			if a&s.mask == s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdWEq:
			i := uint(s.k)
			if i+3 >= uint(len(data)) {
				return 0
			}
			a = binary.BigEndian.Uint32(data[i:])
			if a&s.mask == s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdIndBEq:
			i := uint64(s.k) + uint64(x)
			if i >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[i])
			if a&s.mask == s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdIndHEq:
			i := uint64(s.k) + uint64(x)
			if i+1 >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[i])<<8 | uint32(data[i+1])
			if a&s.mask == s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdIndWEq:
			i := uint64(s.k) + uint64(x)
			if i+3 >= uint64(len(data)) {
				return 0
			}
			a = binary.BigEndian.Uint32(data[i:])
			if a&s.mask == s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdBGt:
			i := uint(s.k)
			if i >= uint(len(data)) {
				return 0
			}
			a = uint32(data[i])
			if a > s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdHGt:
			i := uint(s.k)
			if i+1 >= uint(len(data)) {
				return 0
			}
			a = uint32(data[i])<<8 | uint32(data[i+1])
			if a > s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdWGt:
			i := uint(s.k)
			if i+3 >= uint(len(data)) {
				return 0
			}
			a = binary.BigEndian.Uint32(data[i:])
			if a > s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdIndBGt:
			i := uint64(s.k) + uint64(x)
			if i >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[i])
			if a > s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdIndHGt:
			i := uint64(s.k) + uint64(x)
			if i+1 >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[i])<<8 | uint32(data[i+1])
			if a > s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdIndWGt:
			i := uint64(s.k) + uint64(x)
			if i+3 >= uint64(len(data)) {
				return 0
			}
			a = binary.BigEndian.Uint32(data[i:])
			if a > s.val {
				s = s.yes
			} else {
				s = s.no
			}

		case stepMsh:
			i := uint(s.k)
			if i >= uint(len(data)) {
				return 0
			}
			x = uint32(data[i]&0xf) * 4
			s = s.yes
		case stepMshIndHEq:
			i := uint(s.mask)
			if i >= uint(len(data)) {
				return 0
			}
			x = uint32(data[i]&0xf) * 4
			if i = uint(s.k) + uint(x); i+1 >= uint(len(data)) {
				return 0
			}
			a = uint32(data[i])<<8 | uint32(data[i+1])
			if a == s.val {
				s = s.yes
			} else {
				s = s.no
			}
		case stepLdWord:
			i := uint(s.k)
			if i+3 >= uint(len(data)) {
				return 0
			}
			a = binary.LittleEndian.Uint32(data[i:])
			s = s.yes
		case stepLdAny, stepLdIndAny, stepMshAny:
			k := s.k
			if s.code == stepLdIndAny {
				k += x
			}
			r := run{mode: Socket, pkt: pkt}
			v, ok := r.load(r.offset(k), int(s.val))
			if !ok {
				return 0
			}
			if s.code == stepMshAny {
				x = v & 0xf * 4
			} else {
				a = v
			}
			s = s.yes
		case stepAncillary:
			a = pkt.ancillary(Ancillary(s.k), a, x)
			s = s.yes

		case stepLdLen:
			a = pkt.WireLen
			s = s.yes
		case stepLdxLen:
			x = pkt.WireLen
			s = s.yes
		case stepLdImm:
			a = s.k
			s = s.yes
		case stepLdxImm:
			x = s.k
			s = s.yes
		case stepLdMem:
			a = m[s.k&(MemWords-1)]
			s = s.yes
		case stepLdxMem:
			x = m[s.k&(MemWords-1)]
			s = s.yes
		case stepSt:
			m[s.k&(MemWords-1)] = a
			s = s.yes
		case stepStx:
			m[s.k&(MemWords-1)] = x
			s = s.yes
		case stepTax:
			x = a
			s = s.yes
		case stepTxa:
			a = x
			s = s.yes

		case stepAdd:
			a += s.k
			s = s.yes
		case stepSub:
			a -= s.k
			s = s.yes
		case stepMul:
			a *= s.k
			s = s.yes
		case stepDiv:
			a /= s.k // not 0: Validate
			s = s.yes
		case stepMod:
			a %= s.k
			s = s.yes
		case stepAnd:
			a &= s.k
			s = s.yes
		case stepOr:
			a |= s.k
			s = s.yes
		case stepXor:
			a ^= s.k
			s = s.yes
		case stepLsh:
			a <<= s.k & 31
			s = s.yes
		case stepRsh:
			a >>= s.k & 31
			s = s.yes
		case stepNeg:
			a = -a
			s = s.yes
		case stepAddX:
			a += x
			s = s.yes
		case stepSubX:
			a -= x
			s = s.yes
		case stepMulX:
			a *= x
			s = s.yes
		case stepDivX:
			if x == 0 {
				return 0
			}
			a /= x
			s = s.yes
		case stepModX:
			if x == 0 {
				return 0
			}
			a %= x
			s = s.yes
		case stepAndX:
			a &= x
			s = s.yes
		case stepOrX:
			a |= x
			s = s.yes
		case stepXorX:
			a ^= x
			s = s.yes
		case stepLshX, stepRshX:
			by := x
			if f.mode != Pcap {
				by &= 31
			}
			if s.code == stepLshX {
				a <<= by
			} else {
				a >>= by
			}
			s = s.yes
		default:
			panic("cbpf: a step that does not exist")
		}
	}
}
