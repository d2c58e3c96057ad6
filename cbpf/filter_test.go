package cbpf_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skepvm/skep/cbpf"
	"github.com/stretchr/testify/require"
)

// TestFilterRandom compares the fast interpreter with the plain one.
func TestFilterRandom(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(7, 8))}
	matched := 0
	for range 3000 {
		mode := []cbpf.Mode{cbpf.Pcap, cbpf.Socket}[m.IntN(2)]
		p := m.program(mode)
		f, err := cbpf.NewFilter(p, mode)
		require.NoError(t, err)
		for range 6 {
			pkt := m.packet()
			want := p.Trace(mode, pkt, nil)
			require.Equal(t, want, f.Run(&pkt), "%s mode %s, packet %x wire %d\n%s", p.Text(cbpf.Comma), mode, pkt.Data, pkt.WireLen, p)
			if want != 0 {
				matched++
			}
		}
	}
	require.Greater(t, matched, 1500)
}

// TestLibpcap compares with libpcap's own interpreter, but for ancillary loads, which it does not know, and for memory that
// was not set, which has any value there.
func TestLibpcap(t *testing.T) {
	run := libpcapTool(t)
	m := maker{rand.New(rand.NewPCG(13, 14))}
	matched := 0
	for range 150 {
		p := m.program(cbpf.Socket)
		var packets []cbpf.Packet
		for range 40 {
			packets = append(packets, m.packet())
		}
		if slices.ContainsFunc(p, func(in cbpf.Insn) bool { _, ok := in.Ancillary(); return ok }) {
			continue
		}
		answers := strings.Fields(run(p, packets, 0))
		require.Len(t, answers, len(packets))
		for i, pkt := range packets {
			got := p.Run(pkt)
			require.Equal(t, answers[i], strconv.FormatUint(uint64(got), 10), "%s packet %x wire %d\n%s", p.Text(cbpf.Comma), pkt.Data, pkt.WireLen, p)
			if got != 0 {
				matched++
			}
		}
	}
	require.Greater(t, matched, 500)
}

// TestValidateAsLibpcap compares with libpcap's bpf_validate, which besides takes shifts of any width, jumps backwards, and some
// opcodes that its interpreter aborts at.
func TestValidateAsLibpcap(t *testing.T) {
	run := libpcapTool(t)
	m := maker{rand.New(rand.NewPCG(15, 16))}
	valid, invalid := 0, 0
	for range 400 {
		p := m.program(cbpf.Pcap)
		switch in := &p[m.IntN(len(p))]; m.IntN(4) {
		case 0:
			in.Op = uint16(m.Uint32N(256))
		case 1:
			in.K = m.number()
		case 2:
			in.Jt, in.Jf = uint8(m.number()), uint8(m.number())
		}
		err := p.Validate(cbpf.Pcap)
		if err != nil && regexp.MustCompile("shift by|backwards|unknown opcode").MatchString(err.Error()) {
			continue
		}
		if err == nil {
			valid++
		} else {
			invalid++
		}
		require.Equal(t, strings.TrimSpace(run(p, nil, -1)) == "1", err == nil, "%v: %s\n%s", err, p.Text(cbpf.Comma), p)
	}
	require.Greater(t, valid, 50)
	require.Greater(t, invalid, 50)
}

// TestFilterSeccomp does the same for filters of system calls.
func TestFilterSeccomp(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(9, 10))}
	valid := 0
	for range 20000 {
		p := m.program(cbpf.Socket)
		for i := range p {
			if p[i].Op == cbpf.ClassLd|cbpf.SizeW|cbpf.ModeAbs {
				p[i].K = m.Uint32N(16) * 4
			}
		}
		f, err := cbpf.NewFilter(p, cbpf.Seccomp)
		if err != nil {
			continue
		}
		valid++
		pkt := cbpf.Packet{Data: make([]byte, cbpf.SeccompDataSize)}
		for i := range pkt.Data {
			pkt.Data[i] = byte(m.number())
		}
		require.Equal(t, p.Trace(cbpf.Seccomp, pkt, nil), f.Run(&pkt), "%s", p)
	}
	require.Greater(t, valid, 1000)
}

func TestFilterRefuses(t *testing.T) {
	_, err := cbpf.NewFilter(cbpf.Program{{Op: cbpf.ClassLd | cbpf.ModeMem}, {Op: cbpf.ClassRet}}, cbpf.Socket)
	require.EqualError(t, err, "instruction 0: M[0] is read, and not always set before")
}

func TestFilterAllocations(t *testing.T) {
	f, err := cbpf.NewFilter(parse(t, "ld [0]\nst M[1]\nldx M[1]\nld rand\nldb [x + 2]\nret a"), cbpf.Socket)
	require.NoError(t, err)
	pkt := cbpf.Packet{Data: make([]byte, 20)}
	require.Zero(t, testing.AllocsPerRun(100, func() { f.Run(&pkt) }))
}

func TestUsesMeta(t *testing.T) {
	for text, want := range map[string][3]bool{
		"ldh [12]\nldx len\nldb [x + 4]\nret a": {false, true, false},
		"ld mark\nret a":                        {true, true, false},
		"ld #1\nld nla\nld [-4056]\nret a":      {false, false, false},
		"ldb [-0x100000]\nret a":                {false, true, false},
		"ldxb 4*([-1]&0xf)\nret #0":             {false, true, false},
	} {
		for mode, want := range want {
			require.Equal(t, want, parse(t, text).UsesMeta(cbpf.Mode(mode)), "%s %s", text, cbpf.Mode(mode))
		}
	}
}
