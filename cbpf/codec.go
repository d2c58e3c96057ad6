package cbpf

import "encoding/binary"

// InsnSize is the size in bytes of an instruction in memory: struct sock_filter.
//
//	+---------+----+----+-------------------+
//	| code:16 | jt | jf |       k:32        |
//	+---------+----+----+-------------------+
const InsnSize = 8

// Decode reads a program as struct sock_filter lies in memory of the given byte order. Whether its instructions mean
// anything is Validate's to say. The error is an *Error.
func Decode(b []byte, order binary.ByteOrder) (Program, error) {
	if len(b)%InsnSize != 0 {
		return nil, insnError(len(b)/InsnSize, "cut off: %d bytes are no multiple of %d", len(b), InsnSize)
	}
	p := make(Program, len(b)/InsnSize)
	for i := range p {
		w := b[i*InsnSize:]
		p[i] = Insn{Op: order.Uint16(w), Jt: w[2], Jf: w[3], K: order.Uint32(w[4:])}
	}
	return p, nil
}

// Append appends the program to dst as struct sock_filter.
func (p Program) Append(dst []byte, order binary.AppendByteOrder) []byte {
	for _, in := range p {
		dst = order.AppendUint16(dst, in.Op)
		dst = append(dst, in.Jt, in.Jf)
		dst = order.AppendUint32(dst, in.K)
	}
	return dst
}
