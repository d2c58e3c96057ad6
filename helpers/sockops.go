package helpers

import (
	"bytes"
	"encoding/binary"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Offsets in struct bpf_sock_ops, and what is there.
const (
	offOp        = 0
	offCBFlags   = 84
	offOpsSk     = 184
	offOpsEnd    = 200
	offOpsSkbLen = 208

	opHdrOptLen   = 14 // BPF_SOCK_OPS_HDR_OPT_LEN_CB
	opWriteHdrOpt = 15 // BPF_SOCK_OPS_WRITE_HDR_OPT_CB
	loadFromSyn   = 1  // BPF_LOAD_HDR_OPT_TCP_SYN

	tcpOptEOL, tcpOptNOP            = 0, 1
	tcpOptExpRFC6994, tcpOptExpFour = 254, 253 // kinds with a magic number

	errPerm    maps.Errno = 1
	errNoSpace maps.Errno = 28
	errNoMsg   maps.Errno = 42
)

// sockOpsCBFlagsSet: see Linux bpf_sock_ops_cb_flags_set. It returns the flags that there are not.
func sockOpsCBFlagsSet(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	s, flags := e.skOfCtx(r1), uint32(r2)
	if s == nil || !s.isFull() {
		return maps.EINVAL.Ret(), nil
	}
	val := binary.LittleEndian.AppendUint32(nil, flags&allCBFlags)
	s.setOption(option{solTCP, tcpBPFCBFlags}, val)
	copy(e.bytes(uint32(r1)+offCBFlags, 4), val)
	return uint64(int64(int32(flags &^ allCBFlags))), nil
}

// savedSyn is what was kept of the SYN: its TCP header. Deviation: the headers before it are not kept, so only TCP_BPF_SYN has it.
func (e *Env) savedSyn(ctx uint32, name int32) ([]byte, maps.Errno) {
	n := e.Space.Load32(ctx + prog.SockOpsSynLen)
	if name != tcpBPFSyn || n == 0 || n > 60 {
		return nil, maps.ENOENT
	}
	return e.bytes(ctx+prog.SockOpsSyn, n), 0
}

// searchOption finds a TCP option of a kind, and with the magic number of one that has such. end says that the list has an end mark
// (Linux: bpf_search_tcp_opt).
func searchOption(list []byte, kind byte, magic []byte) (op []byte, end bool, errno maps.Errno) {
	for len(list) > 0 {
		switch list[0] {
		case tcpOptEOL:
			return nil, true, errNoMsg
		case tcpOptNOP:
			list = list[1:]
			continue
		}
		if len(list) < 2 || len(list) < int(list[1]) || list[1] < 2 {
			return nil, false, errFault
		}
		op, list = list[:list[1]], list[list[1]:]
		if op[0] != kind {
			continue
		}
		if len(magic) > len(op)-2 {
			return nil, false, errNoMsg
		}
		if bytes.HasPrefix(op[2:], magic) {
			return op, false, 0
		}
	}
	return nil, false, errNoMsg
}

// wanted reads what bpf_load_hdr_opt is to search for.
func wanted(search []byte) (kind byte, magic []byte, ok bool) {
	if len(search) < 2 || int(search[1]) > len(search) || search[0] == tcpOptNOP || search[0] == tcpOptEOL {
		return 0, nil, false
	}
	if kind = search[0]; kind != tcpOptExpRFC6994 && kind != tcpOptExpFour {
		return kind, nil, search[1] == 0
	}
	if search[1] != 4 && search[1] != 6 {
		return 0, nil, false
	}
	return kind, search[2:search[1]], true
}

// tcpOptions are the options of the TCP header in the data of a ctx; false when there is none.
func (e *Env) tcpOptions(f *frame) ([]byte, bool) {
	if f.len() < sizeofTCPHeader {
		return nil, false
	}
	return e.bytes(f.data+sizeofTCPHeader, f.len()-sizeofTCPHeader), true
}

// loadHdrOpt: see Linux bpf_sock_ops_load_hdr_opt.
func loadHdrOpt(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	search, err := e.mem(2, r2, uint64(uint32(r3)))
	if err != nil {
		return 0, err
	}
	kind, magic, ok := wanted(search)
	if !ok || r4&^uint64(loadFromSyn) != 0 {
		return maps.EINVAL.Ret(), nil
	}
	var options []byte
	if r4&loadFromSyn != 0 {
		syn, errno := e.savedSyn(uint32(r1), tcpBPFSyn)
		if errno != 0 {
			return errno.Ret(), nil
		}
		options = syn[min(len(syn), sizeofTCPHeader):]
	} else {
		f, err := e.frameOf(r1)
		if err != nil {
			return 0, err
		}
		if options, ok = e.tcpOptions(&f); !ok || e.Space.Load32(uint32(r1)+offOp) == opHdrOptLen {
			return errPerm.Ret(), nil
		}
	}
	op, _, errno := searchOption(options, kind, magic)
	if errno != 0 {
		return errno.Ret(), nil
	}
	if copy(search, op) < len(op) {
		return errNoSpace.Ret(), nil
	}
	return uint64(len(op)), nil
}

// storeHdrOpt: see Linux bpf_sock_ops_store_hdr_opt.
func storeHdrOpt(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	ctx := uint32(r1)
	from, err := e.mem(2, r2, uint64(uint32(r3)))
	if err != nil {
		return 0, err
	}
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	options, ok := e.tcpOptions(&f)
	left := e.Space.Load32(ctx + prog.SockOpsOptLen)
	switch {
	case e.Space.Load32(ctx+offOp) != opWriteHdrOpt || !ok:
		return errPerm.Ret(), nil
	case len(from) < 2, r4 != 0, int(from[1]) > len(from), from[0] == tcpOptNOP, from[0] == tcpOptEOL:
		return maps.EINVAL.Ret(), nil
	case uint32(from[1]) > left || uint32(from[1]) > f.limit-f.end:
		return errNoSpace.Ret(), nil
	}
	var magic []byte
	if from[0] == tcpOptExpRFC6994 || from[0] == tcpOptExpFour {
		if from[1] < 4 {
			return maps.EINVAL.Ret(), nil
		}
		magic = from[2:4]
	}
	switch _, end, errno := searchOption(options, from[0], magic); {
	case errno == 0:
		return maps.EEXIST.Ret(), nil
	case errno != errNoMsg:
		return errno.Ret(), nil
	case end:
		return errNoSpace.Ret(), nil
	}
	n := uint32(from[1])
	copy(e.bytes(f.end, n), from)
	e.Space.Store32(ctx+prog.SockOpsOptLen, left-n)
	e.Space.Store64(ctx+offOpsEnd, uint64(f.end+n))
	return 0, nil
}

// reserveHdrOpt: see Linux bpf_sock_ops_reserve_hdr_opt.
func reserveHdrOpt(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	ctx, n := uint32(r1), uint32(r2)
	left := e.Space.Load32(ctx + prog.SockOpsOptLen)
	switch {
	case e.Space.Load32(ctx+offOp) != opHdrOptLen:
		return errPerm.Ret(), nil
	case r3 != 0 || n < 2:
		return maps.EINVAL.Ret(), nil
	case n > left:
		return errNoSpace.Ret(), nil
	}
	e.Space.Store32(ctx+prog.SockOpsOptLen, left-n)
	e.Space.Store32(ctx+prog.SockOpsReserved, e.Space.Load32(ctx+prog.SockOpsReserved)+n)
	return 0, nil
}
