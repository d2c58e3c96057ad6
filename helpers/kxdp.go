package helpers

import "github.com/skepvm/skep/maps"

// Kernel functions of XDP programs. The metadata of a packet is what its record in a capture has: a time, and neither a hash nor a tag beside the
// bytes. A kernel lets only programs call them that are bound to a device, as programs here are to whatever gives the packets.

// xdpRows are those functions.
var xdpRows = []Row{
	{Name: "bpf_xdp_metadata_rx_timestamp", Args: [5]Arg{ArgCtx, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{1: 8}, Fn: xdpRxTimestamp},
	{Name: "bpf_xdp_metadata_rx_hash", Args: [5]Arg{ArgCtx, ArgFixedMem | ArgWrite, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{1: 4, 2: 4}, Fn: noMetadata},
	{Name: "bpf_xdp_metadata_rx_vlan_tag", Args: [5]Arg{ArgCtx, ArgFixedMem | ArgWrite, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{1: 2, 2: 2}, Fn: noMetadata},
	{Name: "bpf_xdp_pull_data", Args: [5]Arg{ArgCtx, ArgAny}, Fn: xdpPullData},
}

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

// noMetadata is what a device says that does not give a piece of metadata with a packet.
func noMetadata(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) {
	return intRet(errNoData), nil
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
