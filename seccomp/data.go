package seccomp

import "encoding/binary"

// DataSize is sizeof(struct seccomp_data).
const DataSize = 64

// Data is what a filter sees of a system call: struct seccomp_data (Linux: include/uapi/linux/seccomp.h).
//
//	 0    4      8                     16       24             64
//	| nr | arch | instruction_pointer | args[0] | … | args[5] |
//
// Fields have the byte order of the machine. Filters read 32 bits at a time.
type Data struct {
	NR   int32
	Arch uint32 // AUDIT_ARCH_
	IP   uint64
	Args [6]uint64
}

// Words is the record as filters load it: word k/4 of `ld [k]`. big is the byte order of the machine.
func (d *Data) Words(big bool) [DataSize / 4]uint32 {
	var w [DataSize / 4]uint32
	w[0], w[1] = uint32(d.NR), d.Arch
	hi, lo := 1, 0
	if big {
		hi, lo = 0, 1
	}
	w[2+hi], w[2+lo] = uint32(d.IP>>32), uint32(d.IP)
	for i, v := range d.Args {
		w[4+2*i+hi], w[4+2*i+lo] = uint32(v>>32), uint32(v)
	}
	return w
}

// Bytes writes the record to 64 bytes in the way that programs of this project's engines, which are little-endian, load
// from it what they would load on the machine: each word lies where it lies there, its bytes in little-endian order.
func (d *Data) Bytes(to []byte, big bool) {
	for i, w := range d.Words(big) {
		binary.LittleEndian.PutUint32(to[4*i:], w)
	}
}

// Big reports whether the machine that makes the call is big-endian (Linux: __AUDIT_ARCH_LE).
func (d *Data) Big() bool { return d.Arch&0x40000000 == 0 }
