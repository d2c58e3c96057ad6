package prog

// A frame is how one packet lies in guest memory for a program: a hidden header, then the ctx. Engines get the
// ctx address in R1 and nothing else; helpers find the rest at fixed distances before it. Several frames with a
// constant stride make a batch.
//
//	ctx-64          ctx                    Head      data            data_end     End
//	  | frame header | xdp_md, __sk_buff … |    …      | headroom | packet | tailroom |
//
// All fields are little-endian. Programs that passed the verifier cannot reach the header; helpers must stand any
// value in it, as unverified programs can.
const (
	FrameHeader = 64 // bytes before the ctx

	FrameHead      = -64 // u32 lowest guest address that data and data_meta may move to
	FrameEnd       = -60 // u32 one past the highest address that data_end may move to
	FrameWireLen   = -56 // u32 length on the wire (capture's original length)
	FrameNet       = -52 // u32 network header: its distance from data (struct __sk_buff)
	FrameTime      = -48 // u64 packet time in ns: bpf_ktime_get_ns under the packet clock
	FrameNumber    = -40 // u64 packet number, from 1
	FrameRedirKind = -32 // u32 one of the Redirect… values
	FrameRedirTo   = -28 // u32 target interface index (RedirectIfindex, RedirectMap of a devmap), else the map's value
	FrameRedirMap  = -24 // u32 handle of the map of a bpf_redirect_map, 0 when none
	FrameRedirKey  = -20 // u32 key in that map; without a map, the helper's flags
	FrameInsns     = -16 // u64 instructions that the run executed; written by RunBatch
	FrameRet       = -8  // u64 R0 at exit; written by RunBatch
)

// Values of FrameRedirKind.
const (
	RedirectNone uint32 = iota
	RedirectIfindex
	RedirectMap
	RedirectPeer
	RedirectNeigh
	RedirectBroadcast // to all of a devmap; FrameRedirKey has the flags
)

// FrameStride is the distance in bytes between the ctx addresses of a batch's frames for a ctx of size bytes.
func FrameStride(size int) uint32 { return uint32((size+63)&^63) + FrameHeader }
