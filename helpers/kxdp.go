package helpers

import (
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Kernel functions of XDP programs. The metadata of a packet is what its record in a capture has, or what a device would make of it: see
// prog.SetRxMetadata. A kernel lets only programs call them that are bound to a device, as programs here are to whatever gives the packets.

// xdpRows are those functions.
var xdpRows = []Row{
	{Name: "bpf_xdp_metadata_rx_timestamp", Args: [5]Arg{ArgCtx, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{1: 8}, Fn: xdpRxTimestamp},
	{Name: "bpf_xdp_metadata_rx_hash", Args: [5]Arg{ArgCtx, ArgFixedMem | ArgWrite, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{1: 4, 2: 4}, Fn: xdpRxHash},
	{Name: "bpf_xdp_metadata_rx_vlan_tag", Args: [5]Arg{ArgCtx, ArgFixedMem | ArgWrite, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{1: 2, 2: 2}, Fn: xdpRxVLAN},
	{Name: "bpf_xdp_pull_data", Args: [5]Arg{ArgCtx, ArgAny}, Fn: xdpPullData},
}

// errNoData is what a device says that does not give a piece of metadata with a packet.
const errNoData maps.Errno = 61

// xdpRxTimestamp gives the time of the packet in ns; ENODATA when it has none.
func xdpRxTimestamp(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	at := e.Space.Load64(uint32(r1) + fieldTime)
	if at == 0 {
		return intRet(errNoData), nil
	}
	e.Space.Store64(uint32(r2), at)
	return 0, nil
}

// xdpRxHash gives the device's hash of the packet and of what it is (Linux: enum xdp_rss_hash_type).
func xdpRxHash(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	hash, kind := e.Space.Load32(uint32(r1)+prog.XDPRxHash), e.Space.Load32(uint32(r1)+prog.XDPRxType)
	if hash == 0 && kind == 0 {
		return intRet(errNoData), nil
	}
	e.Space.Store32(uint32(r2), hash)
	e.Space.Store32(uint32(r3), kind)
	return 0, nil
}

// xdpRxVLAN gives the tag that the device took out of the packet: its ethertype in network order, and what it said in the host's.
func xdpRxVLAN(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	proto := uint16(e.Space.Load32(uint32(r1) + prog.XDPRxVLAN))
	if proto == 0 {
		return intRet(errNoData), nil
	}
	e.Space.Store16(uint32(r2), swap16(proto))
	e.Space.Store16(uint32(r3), uint16(e.Space.Load32(uint32(r1)+prog.XDPRxTCI)))
	return 0, nil
}

// xdpPullData: see Linux bpf_xdp_pull_data. Packets are in one piece already.
func xdpPullData(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	if uint32(r2) > f.len() {
		return intRet(maps.EINVAL), nil
	}
	return 0, nil
}
