package helpers

import (
	"bytes"
	"encoding/binary"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Levels of socket options.
const (
	solIP     = 0
	solSocket = 1
	solTCP    = 6
	solIPv6   = 41
)

// Options that have more to them than a number that is kept.
const (
	soSndbuf, soRcvbuf, soPriority, soRcvlowat = 7, 8, 12, 18
	soBindToDevice, soMark, soBindToIfindex    = 25, 36, 62
	soTxrehash                                 = 74
	tcpMaxseg, tcpCongestion, tcpSavedSyn      = 2, 13, 28
	tcpBPFIW, tcpBPFSndCwndClamp               = 1001, 1002
	tcpBPFSyn, tcpBPFSynMAC                    = 1005, 1007
	tcpBPFCBFlags                              = 1008
	ipTOS, ipv6Tclass                          = 1, 67

	errNotSupp maps.Errno = 524 // ENOTSUPP
)

// option names a socket option.
type option struct{ level, name int32 }

// optionRow is a number that programs may set and get.
type optionRow struct {
	min, max int32 // what it takes; else EINVAL
	initial  int32
	truth    bool // any number is 0 or 1
	// keep makes of the number that is set the one that is kept; nil keeps it.
	keep    func(v int32) int32
	setOnly bool // it cannot be read
}

const (
	minInt, maxInt = -1 << 31, 1<<31 - 1
	memMax         = 4 << 20  // net.core.wmem_max and rmem_max as Linux 6.18 has them at first
	tcpRmemMax     = 32 << 20 // net.ipv4.tcp_rmem, the third
	mssDefault     = 536      // TCP_MSS_DEFAULT
	allCBFlags     = 0x7f     // BPF_SOCK_OPS_ALL_CB_FLAGS
)

// optionRows are the options that Linux lets programs touch (sol_socket_sockopt, sol_tcp_sockopt, sol_ip_sockopt,
// sol_ipv6_sockopt), as far as they are a number of 4 bytes. Initial values are those of a connected socket under the sysctls'
// defaults.
var optionRows = map[option]optionRow{
	{solSocket, 2}: {min: minInt, max: maxInt, truth: true}, // SO_REUSEADDR
	{solSocket, soSndbuf}: {min: minInt, max: maxInt, initial: 87040,
		keep: func(v int32) int32 { return max(int32(min(uint32(v), memMax))*2, 4608) }},
	{solSocket, soRcvbuf}: {min: minInt, max: maxInt, initial: 131072,
		keep: func(v int32) int32 { return max(int32(min(uint32(v), memMax))*2, 2304) }},
	{solSocket, 9}:          {min: minInt, max: maxInt, truth: true}, // SO_KEEPALIVE
	{solSocket, soPriority}: {min: minInt, max: maxInt},
	{solSocket, 15}:         {min: minInt, max: maxInt, truth: true}, // SO_REUSEPORT
	{solSocket, soRcvlowat}: {min: minInt, max: maxInt, initial: 1, keep: func(v int32) int32 {
		switch {
		case v < 0:
			return maxInt
		case v == 0:
			return 1
		}
		return v
	}},
	{solSocket, soMark}:          {min: minInt, max: maxInt},
	{solSocket, 47}:              {min: minInt, max: maxInt, initial: -1}, // SO_MAX_PACING_RATE
	{solSocket, soBindToIfindex}: {min: 0, max: maxInt},
	{solSocket, soTxrehash}: {min: -1, max: 1, initial: 1, keep: func(v int32) int32 { // SO_TXREHASH
		if v == -1 {
			return 1 // net.core.txrehash
		}
		return v
	}},
	{solTCP, 1}:                  {min: minInt, max: maxInt, truth: true}, // TCP_NODELAY
	{solTCP, tcpMaxseg}:          {min: 88, max: 32767},
	{solTCP, 4}:                  {min: 1, max: 32767, initial: 7200}, // TCP_KEEPIDLE
	{solTCP, 5}:                  {min: 1, max: 32767, initial: 75},   // TCP_KEEPINTVL
	{solTCP, 6}:                  {min: 1, max: 127, initial: 9},      // TCP_KEEPCNT
	{solTCP, 7}:                  {min: 1, max: 127, initial: 6},      // TCP_SYNCNT
	{solTCP, 10}:                 {min: minInt, max: maxInt},          // TCP_WINDOW_CLAMP
	{solTCP, 16}:                 {min: 0, max: 1},                    // TCP_THIN_LINEAR_TIMEOUTS
	{solTCP, 18}:                 {min: 0, max: maxInt},               // TCP_USER_TIMEOUT
	{solTCP, 25}:                 {min: minInt, max: maxInt},          // TCP_NOTSENT_LOWAT
	{solTCP, 27}:                 {min: 0, max: 2},                    // TCP_SAVE_SYN
	{solTCP, tcpBPFIW}:           {min: 1, max: maxInt, setOnly: true},
	{solTCP, tcpBPFSndCwndClamp}: {min: 1, max: maxInt, setOnly: true},
	{solTCP, tcpBPFCBFlags}:      {min: 0, max: allCBFlags},
	{solIP, ipTOS}:               {min: minInt, max: maxInt},
	{solIPv6, ipv6Tclass}:        {min: -1, max: 255, keep: func(v int32) int32 { return max(v, 0) }},
	{solIPv6, 70}:                {min: minInt, max: maxInt, truth: true, initial: 1}, // IPV6_AUTOFLOWLABEL
}

// Jiffies of a kernel with HZ of 250 bound the two timeouts that programs may set (TCP_TIMEOUT_MIN, TCP_DELACK_MAX, TCP_RTO_MIN).
const (
	tcpBPFDelackMax, tcpBPFRTOMin = 1003, 1004
	minTimeout, maxTimeout        = 4001, 200000 // us
)

// setOption keeps an option's value.
func (s *Socket) setOption(o option, v []byte) {
	if s.options == nil {
		s.options = map[option][]byte{}
	}
	s.options[o] = bytes.Clone(v)
}

// number is an option's value, as a number.
func (s *Socket) number(o option, row *optionRow) int32 {
	if v := s.options[o]; len(v) == 4 {
		return int32(binary.LittleEndian.Uint32(v))
	}
	return row.initial
}

// allows reports whether s has options of a level (Linux: sol_tcp_sockopt, sk_allows_sol_ip_sockopt, sol_ipv6_sockopt).
func (s *Socket) allows(level int32) bool {
	family, _ := s.kind()
	switch level {
	case solSocket:
		return true
	case solTCP:
		return s.Proto == ProtoTCP
	case solIP:
		return family == familyIPv4 || family == familyIPv6 && !s.V6Only
	case solIPv6:
		return family == familyIPv6
	}
	return false
}

// setsockopt does what bpf_setsockopt of Linux does, for the options that optionRows has and a few more.
func (t *Sockets) setsockopt(s *Socket, o option, val []byte) maps.Errno {
	if s == nil || !s.isFull() || !s.allows(o.level) {
		return maps.EINVAL
	}
	switch o {
	case option{solSocket, soBindToDevice}:
		if len(val) > 0 && val[0] != 0 {
			return errNoDev // interfaces have no names here
		}
		s.BoundIf = 0
		t.changed(s)
		return 0
	case option{solTCP, tcpCongestion}:
		return s.setCongestion(val)
	}
	if len(val) != 4 {
		return maps.EINVAL
	}
	if o == (option{solSocket, soTxrehash}) && s.Proto != ProtoTCP {
		return maps.EOPNOTSUPP
	}
	v := int32(binary.LittleEndian.Uint32(val))
	if o == (option{solTCP, tcpBPFDelackMax}) || o == (option{solTCP, tcpBPFRTOMin}) {
		if v < minTimeout || v > maxTimeout {
			return maps.EINVAL
		}
		return 0
	}
	row, ok := optionRows[o]
	if !ok || (v < row.min || v > row.max) && !(o == option{solTCP, tcpMaxseg} && v == 0) {
		return maps.EINVAL
	}
	switch {
	case row.truth && v != 0:
		v = 1
	case row.keep != nil:
		v = row.keep(v)
	}
	return t.applyOption(s, o, v)
}

// setCongestion chooses a congestion control by its name.
func (s *Socket) setCongestion(name []byte) maps.Errno {
	name, _, _ = bytes.Cut(name, []byte{0})
	switch {
	case len(name) < 2:
		return maps.EINVAL
	case string(name) == "cdg":
		return errNotSupp
	}
	for _, known := range s.congestion() {
		if known == string(name) {
			s.setOption(option{solTCP, tcpCongestion}, name)
			return 0
		}
	}
	return maps.ENOENT
}

// congestion are the congestion controls that there are.
func (*Socket) congestion() []string { return []string{"cubic", "reno", "bbr", "dctcp"} }

// applyOption keeps a number, and does what depends on it.
func (t *Sockets) applyOption(s *Socket, o option, v int32) maps.Errno {
	switch o {
	case option{solSocket, soPriority}:
		s.Priority = uint32(v)
	case option{solSocket, soMark}:
		s.Mark = uint32(v)
	case option{solSocket, soBindToIfindex}:
		s.BoundIf = uint32(v)
	case option{solTCP, tcpBPFIW}:
		if s.TCP.DataSegsOut > 0 {
			return maps.EINVAL
		}
		s.TCP.SndCwnd = uint32(v)
	case option{solTCP, tcpBPFSndCwndClamp}:
		s.TCP.SndSsthresh = uint32(v)
	case option{solTCP, tcpWindowClamp}:
		if v == 0 && s.State != StateClose {
			return maps.EINVAL
		}
		if v != 0 && v < minRcvbuf/2 {
			v = minRcvbuf / 2
		}
	case option{solSocket, soRcvlowat}:
		if s.Proto == ProtoTCP {
			v = min(v, s.rcvlowatMax())
		}
	case option{solIPv6, ipv6Tclass}:
		if s.Proto == ProtoTCP {
			row := optionRows[o]
			v = v&^3 | s.number(o, &row)&3
		}
	case option{solIP, ipTOS}:
		if v &= 0xff; s.Proto == ProtoTCP {
			row := optionRows[o]
			v = v&^3 | s.number(o, &row)&3
		}
		s.Priority = [...]uint32{0, 2, 6, 4}[v>>3&3] // rt_tos2priority
	}
	s.setOption(o, binary.LittleEndian.AppendUint32(nil, uint32(v)))
	t.changed(s)
	return 0
}

// rcvlowatMax is half of what may be received at once (Linux: tcp_set_rcvlowat).
func (s *Socket) rcvlowatMax() int32 {
	if v := s.options[option{solSocket, soRcvbuf}]; v != nil {
		return int32(binary.LittleEndian.Uint32(v)) / 2
	}
	return tcpRmemMax / 2
}

const (
	tcpWindowClamp = 10
	minRcvbuf      = 2304 // SOCK_MIN_RCVBUF
)

// changed writes a socket to guest memory anew.
func (t *Sockets) changed(s *Socket) {
	if _, i := t.At(t.addrOf(s)); i >= 0 {
		t.store(s, i)
	}
}

// getsockopt does what bpf_getsockopt of Linux does: it fills val, the rest with zeros.
func (s *Socket) getsockopt(o option, val []byte) maps.Errno {
	n, errno := 0, maps.EINVAL
	if s != nil && s.isFull() && s.allows(o.level) {
		n, errno = s.readOption(o, val)
	}
	clear(val[n:])
	return errno
}

func (s *Socket) readOption(o option, val []byte) (n int, errno maps.Errno) {
	if o == (option{solTCP, tcpCongestion}) {
		name := s.options[o]
		switch {
		case len(val) < 2:
			return 0, maps.EINVAL
		case name == nil:
			name = []byte(s.congestion()[0])
		}
		return copy(val[:min(len(val)-1, 15)], name), 0
	}
	row, ok := optionRows[o]
	if !ok || row.setOnly || len(val) != 4 {
		return 0, maps.EINVAL
	}
	v := s.number(o, &row)
	switch o {
	case option{solSocket, soTxrehash}:
		if s.Proto != ProtoTCP {
			return 0, maps.EOPNOTSUPP
		}
	case option{solSocket, soPriority}:
		v = int32(s.Priority)
	case option{solSocket, soMark}:
		v = int32(s.Mark)
	case option{solSocket, soBindToIfindex}:
		v = int32(s.BoundIf)
	case option{solTCP, tcpMaxseg}:
		if v == 0 || s.State != StateClose && s.State != StateListen {
			if v = int32(s.TCP.MSS); v == 0 {
				v = mssDefault
			}
		}
	}
	binary.LittleEndian.PutUint32(val, uint32(v))
	return 4, 0
}

// sockoptSocket is the socket whose options a helper is about: the argument is a ctx, or the socket itself.
func (e *Env) sockoptSocket(r1 uint64) *Socket {
	if s, _ := e.Sockets.At(uint32(r1)); s != nil {
		return s
	}
	return e.skOfCtx(r1)
}

func setsockopt(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	val, err := e.mem(4, r4, uint64(uint32(r5)))
	if err != nil {
		return 0, err
	}
	s, o := e.sockoptSocket(r1), option{int32(r2), int32(r3)}
	errno := e.Sockets.setsockopt(s, o, val)
	if errno == 0 && e.Type == prog.SockOps && o == (option{solTCP, tcpBPFCBFlags}) {
		copy(e.bytes(uint32(r1)+offCBFlags, 4), val)
	}
	return errno.Ret(), nil
}

func getsockopt(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	val, err := e.mem(4, r4, uint64(uint32(r5)))
	if err != nil {
		return 0, err
	}
	if name := int32(r3); e.Type == prog.SockOps && int32(r2) == solTCP && name >= tcpBPFSyn && name <= tcpBPFSynMAC {
		syn, errno := e.savedSyn(uint32(r1), name)
		n := copy(val, syn)
		clear(val[n:])
		switch {
		case errno != 0:
			return errno.Ret(), nil
		case n < len(syn):
			return errNoSpace.Ret(), nil
		}
		return uint64(n), nil
	}
	return e.sockoptSocket(r1).getsockopt(option{int32(r2), int32(r3)}, val).Ret(), nil
}
