package helpers

import "github.com/skepvm/skep/maps"

// Flags of bpf_perf_event_output.
const (
	eventIndexMask  = 1<<32 - 1 // index into the map
	eventCurrentCPU = eventIndexMask
	eventLenMask    = 0xfffff << 32 // bytes of the packet to append
	eventLenShift   = 32
)

// perfEventOutput: see Linux bpf_perf_event_output and, for programs with a packet, bpf_skb_event_output and
// bpf_xdp_event_output, which can append the packet's first bytes. Every index within the map counts as open, each for
// the CPU of that number, on which alone it can be written to.
func perfEventOutput(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	m, err := e.mapArg(2, r2)
	if err != nil {
		return 0, err
	}
	hasPacket := e.Type.Row().Packet
	allowed := uint64(eventIndexMask)
	if hasPacket {
		allowed |= eventLenMask
	}
	if r3&^allowed != 0 {
		return maps.EINVAL.Ret(), nil
	}
	var packet pieces
	fromPacket := uint32(r3 >> eventLenShift)
	if hasPacket && fromPacket > 0 {
		f, err := e.frameOf(r1)
		if err != nil {
			return 0, err
		}
		if packet = e.piecesOf(&f); uint64(fromPacket) > packet.total {
			return errFault.Ret(), nil
		}
	}
	index := r3 & eventIndexMask
	if index == eventCurrentCPU {
		index = uint64(e.CPU)
	}
	switch {
	case index >= uint64(m.Spec().MaxEntries):
		return maps.E2BIG.Ret(), nil
	case index != uint64(e.CPU):
		return maps.EOPNOTSUPP.Ret(), nil
	}
	data, err := e.mem(4, r4, r5)
	if err != nil || e.Event == nil {
		return 0, err
	}
	if fromPacket > 0 {
		e.event = append(e.event[:0], data...)
		e.each(&packet, 0, fromPacket, func(part []byte) { e.event = append(e.event, part...) })
		data = e.event
	}
	e.Event(m, int(index), data)
	return 0, nil
}
