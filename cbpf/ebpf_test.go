package cbpf_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/stretchr/testify/require"
)

// TestEBPFCases runs the cases as eBPF.
func TestEBPFCases(t *testing.T) {
	r := newRig(t)
	for _, c := range readCases(t) {
		t.Run(c.name, func(t *testing.T) {
			for _, mode := range []cbpf.Mode{cbpf.Pcap, cbpf.Socket} {
				if c.program.Validate(mode) != nil {
					_, err := c.program.EBPF(cbpf.EBPFOptions{Mode: mode})
					require.Error(t, err)
					continue
				}
				var packets []cbpf.Packet
				for _, pkt := range c.packets {
					packets = append(packets, pkt.Packet)
				}
				if _, err := c.program.EBPF(cbpf.EBPFOptions{Mode: mode}); err != nil {
					require.EqualError(t, err, "instruction 2: netlink attributes can't be converted")
					continue
				}
				require.NotZero(t, r.compare(t, c.program, mode, packets))
			}
		})
	}
}

// TestEBPFRandom runs random programs on random packets.
func TestEBPFRandom(t *testing.T) {
	r := newRig(t)
	m := maker{rand.New(rand.NewPCG(1, 2))}
	forms := 0
	for range 200 {
		mode := []cbpf.Mode{cbpf.Pcap, cbpf.Socket}[m.IntN(2)]
		p := m.program(mode)
		var packets []cbpf.Packet
		for range 12 {
			packets = append(packets, m.packet())
		}
		forms += r.compare(t, p, mode, packets)
	}
	require.Greater(t, forms, 600)
}

func parse(t testing.TB, text string) cbpf.Program {
	t.Helper()
	p, err := cbpf.Parse(text)
	require.NoError(t, err, text)
	return p
}

func TestEBPFErrors(t *testing.T) {
	for _, tt := range []struct {
		text string
		o    cbpf.EBPFOptions
		want string
	}{
		{"ld #1", cbpf.EBPFOptions{}, "instruction 0: the last instruction is no ret"},
		{"ret #1", cbpf.EBPFOptions{Type: prog.Kprobe}, "nothing is converted to type kprobe"},
		{"ret #1", cbpf.EBPFOptions{Type: prog.XDP, Mode: cbpf.Seccomp}, "seccomp's programs can't be of type xdp"},
		{"ret #1", cbpf.EBPFOptions{Type: prog.Seccomp}, "nothing is converted to type seccomp"},
		{"ret #1", cbpf.EBPFOptions{Type: prog.SocketFilter, Direct: true}, "programs of type socket_filter can't read the packet through pointers"},
		{"ret #1", cbpf.EBPFOptions{Type: prog.SchedCLS, Verdict: &cbpf.Verdict{NoMatch: 2}},
			"packet loads beyond the end return 0, so no match can't be something else"},
		{"tax\nld mark\nret a", cbpf.EBPFOptions{Type: prog.XDP}, "instruction 1: programs of type xdp don't know mark"},
		{"ld hatype\nret a", cbpf.EBPFOptions{Type: prog.SchedCLS}, "instruction 0: programs of type sched_cls don't know hatype"},
		{"ld nla\nret a", cbpf.EBPFOptions{}, "instruction 0: netlink attributes can't be converted"},
		{"ldh [-0x100000]\nret a", cbpf.EBPFOptions{Type: prog.XDP, Mode: cbpf.Socket}, "instruction 0: xdp has no network header"},
	} {
		_, err := parse(t, tt.text).EBPF(tt.o)
		require.EqualError(t, err, tt.want, tt.text)
		require.IsType(t, &cbpf.Error{}, err)
	}
}

// TestEBPFText shows what comes out: one check for all that a match needs, none for what was looked at.
func TestEBPFText(t *testing.T) {
	p := parse(t, "ldh [12]\njne #0x800, no\nldb [23]\njne #6, no\nret #96\nno: ret #0")
	out, err := p.EBPF(cbpf.EBPFOptions{Type: prog.XDP, Verdict: &cbpf.Verdict{Match: 1, NoMatch: 2}, Name: "only_tcp"})
	require.NoError(t, err)
	require.Equal(t, `r8 = *(u32 *)(r1 + 0)
r9 = *(u32 *)(r1 + 4)
r2 = r8
r2 += 24
if r2 > r9 goto +7
r0 = *(u16 *)(r8 + 12)
r0 = be16 r0
if r0 != 2048 goto +4
r0 = *(u8 *)(r8 + 23)
if r0 != 6 goto +2
w0 = 1
exit
w0 = 2
exit
`, asm.FormatProgram(out.Insns))
	require.Equal(t, "only_tcp", out.Name)
	require.Equal(t, prog.XDP, out.Type)
	require.Equal(t, "(002) ldb      [23]", out.LineAt(9-1).Text)
}

// TestEBPFVerdict replaces values, also those of loads beyond the end and of A.
func TestEBPFVerdict(t *testing.T) {
	r := newRig(t)
	p := parse(t, "ldb [1]\ntax\nldb [x + 0]\nret a")
	for _, typ := range []prog.Type{prog.Classic, prog.XDP} {
		out, err := p.EBPF(cbpf.EBPFOptions{Type: typ, Verdict: &cbpf.Verdict{Match: -1, NoMatch: 7}})
		require.NoError(t, err)
		for _, e := range r.engines(t, out) {
			for _, tt := range []struct {
				data string
				want uint32
			}{{"\x05\x00", 0xffffffff}, {"\x00\x00", 7}, {"\x05", 7}, {"\x05\x02", 7}} {
				require.Equal(t, tt.want, r.run(t, e, typ, &cbpf.Packet{Data: []byte(tt.data)}), "%q %s", tt.data, e.Name())
			}
		}
	}
}

// TestEBPFLong converts the longest programs, whose ends are too far away for jumps of 16 bits.
func TestEBPFLong(t *testing.T) {
	r := newRig(t)
	for _, load := range []cbpf.Insn{
		{Op: cbpf.ClassLd | cbpf.SizeW | cbpf.ModeInd, K: 40000},
		{Op: cbpf.ClassAlu | cbpf.AluDiv | cbpf.SrcX},
		{Op: cbpf.ClassLd | cbpf.SizeB | cbpf.ModeAbs, K: 40000},
	} {
		p := cbpf.Program{{Op: cbpf.ClassLdx | cbpf.ModeLen}, {Op: cbpf.ClassLd | cbpf.ModeLen},
			{Op: cbpf.ClassJmp | cbpf.JmpEq, Jt: 1, K: 3}, {Op: cbpf.ClassJmp, K: cbpf.MaxInsns - 5}}
		for len(p) < cbpf.MaxInsns-1 {
			p = append(p, load)
		}
		p = append(p, cbpf.Insn{Op: cbpf.ClassRet, K: 9})
		out, err := p.EBPF(cbpf.EBPFOptions{})
		require.NoError(t, err)
		for _, e := range r.engines(t, out) {
			for _, wire := range []uint32{0, 3, 4} {
				for _, n := range []int{40010, 100} {
					pkt := cbpf.Packet{Data: make([]byte, n), WireLen: wire}
					require.Equal(t, p.Run(pkt), r.run(t, e, prog.Classic, &pkt), "%v %d", load, wire)
				}
			}
		}
	}
}

// TestEBPFFar loads from where pointers, and the offsets of instructions, come to their ends.
func TestEBPFFar(t *testing.T) {
	r := newRig(t)
	var packets []cbpf.Packet
	for _, n := range []int{0x8004, 0xffff, 0x10040} {
		for _, ihl := range []byte{0, 10, 15} {
			pkt := cbpf.Packet{Data: make([]byte, n), WireLen: uint32(n), Meta: &cbpf.Meta{NetOff: 14}}
			for i := range pkt.Data {
				pkt.Data[i] = byte(i * 7)
			}
			pkt.Data[0], pkt.Data[1] = ihl, byte(n)
			packets = append(packets, pkt)
		}
	}
	for _, text := range []string{
		"ldb [%d]\nret a",
		"ldxb 4*([0]&0xf)\nldb [x + %d]\nret a",
		"ldx #20\nldb [1]\njeq #4, out\nldxb 4*([0]&0xf)\nout: ld [x + %d]\nret a", // X is 20 or up to 60
		"ldx #40\nld [x + %d]\nldb [x + 0]\nret a",
	} {
		for _, k := range []int{0x7fff - 40, 0x7fff, 0x8000, 0xffff - 60, 0xffff - 40, 0xffff - 34, 0xfffc} {
			p := parse(t, fmt.Sprintf(text, k))
			for _, mode := range []cbpf.Mode{cbpf.Pcap, cbpf.Socket} {
				r.compare(t, p, mode, packets)
			}
		}
	}
	// With a value for no match there is no load that gives 0 by itself.
	p := parse(t, "ldb [66000]\nldx #1\nldb [x + 66000]\nret #1")
	out, err := p.EBPF(cbpf.EBPFOptions{Verdict: &cbpf.Verdict{Match: 1, NoMatch: 7}})
	require.NoError(t, err)
	for _, e := range r.engines(t, out) {
		require.Equal(t, uint32(7), r.run(t, e, prog.Classic, &cbpf.Packet{Data: make([]byte, 10)}))
	}
}

// TestEBPFProfiles asks for the rules of old kernels and for those without any loop.
func TestEBPFProfiles(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(5, 6))}
	accepted := 0
	for range 50 {
		p := m.program(cbpf.Socket)
		for _, o := range []cbpf.EBPFOptions{{Type: prog.XDP}, {Type: prog.SchedCLS}, {Type: prog.SchedCLS, Direct: true}, {Type: prog.SocketFilter}, {}} {
			o.Mode = cbpf.Socket
			out, err := p.EBPF(o)
			if err != nil {
				continue
			}
			for _, profile := range []*verifier.Profile{verifier.Linux(4, 14), verifier.Linux(5, 4), verifier.Linux(6, 1), verifier.DAG()} {
				if asksMeta(p) && o.Type != prog.Classic {
					continue // some fields came later
				}
				_, err := verifier.Verify(out, verifier.Options{Profile: profile})
				require.NoError(t, err, "%s\n%s", p, asm.FormatProgram(out.Insns))
				accepted++
			}
		}
	}
	require.Greater(t, accepted, 300)
}

// TestOwnTypes has the verifier look at what the types that no kernel has allow.
func TestOwnTypes(t *testing.T) {
	for _, tt := range []struct {
		typ       prog.Type
		text, err string
	}{
		{prog.Classic, "r0 = *(u32 *)(r1 + 60)\nexit", ""},
		{prog.Classic, "r6 = r1\nr0 = *(u8 *)skb[9]\nexit", ""},
		{prog.Classic, "call 7\nexit", ""},
		{prog.Classic, "call 8\nexit", "program of this type cannot use helper"},
		{prog.Classic, "call 5\nexit", "program of this type cannot use helper"},
		{prog.Classic, "r0 = *(u16 *)(r1 + 16)\nexit", "invalid bpf_context access off=16 size=2"},
		{prog.Classic, "r0 = *(u32 *)(r1 + 64)\nexit", "invalid bpf_context access off=64 size=4"},
		{prog.Classic, "r0 = 0\n*(u32 *)(r1 + 8) = r0\nexit", "invalid bpf_context access off=8 size=4"},
		{prog.Classic, "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nexit", "R2 offset is outside of the packet"},
		{prog.Classic, "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 1\nr0 = 0\nif r4 > r3 goto +1\n*(u8 *)(r2 + 0) = r0\nexit",
			"cannot write into packet"},
		{prog.Seccomp, "r0 = *(u32 *)(r1 + 60)\nexit", ""},
		{prog.Seccomp, "r0 = *(u32 *)(r1 + 64)\nexit", "invalid bpf_context access off=64 size=4"},
		{prog.Seccomp, "r0 = *(u64 *)(r1 + 16)\nexit", "invalid bpf_context access off=16 size=8"},
		{prog.Seccomp, "r0 = *(u16 *)(r1 + 16)\nexit", "invalid bpf_context access off=16 size=2"},
		{prog.Seccomp, "r0 = *(u32 *)(r1 + 2)\nexit", "invalid bpf_context access off=2 size=4"},
		{prog.Seccomp, "r6 = r1\nr0 = *(u8 *)skb[9]\nexit", "not allowed for this program type"},
		{prog.Seccomp, "call 7\nexit", "program of this type cannot use helper"},
	} {
		insns, err := asm.Parse(tt.text, asm.ParseOptions{})
		require.NoError(t, err)
		_, err = verifier.Verify(&prog.Program{Type: tt.typ, Insns: insns}, verifier.Options{})
		if tt.err == "" {
			require.NoError(t, err, tt.text)
			continue
		}
		require.ErrorContains(t, err, tt.err, tt.text)
	}
}

// TestEBPFSeccomp converts filters of system calls.
func TestEBPFSeccomp(t *testing.T) {
	r := newRig(t)
	p := parse(t, `ld [4]
jne #0xc000003e, bad
ld [0]
jeq #59, errno
ld [20]
st M[1]
ldx M[1]
ldx len
ld [16]
sub x
jge x, bad
ret #0x7fff0000
errno: ret #0x50001
bad: ret a`)
	out, err := p.EBPF(cbpf.EBPFOptions{Mode: cbpf.Seccomp})
	require.NoError(t, err)
	require.Equal(t, prog.Seccomp, out.Type)
	ctx, err := r.machine.Space().Alloc(cbpf.SeccompDataSize, 8)
	require.NoError(t, err)
	r.machine.Space().Allow(ctx, cbpf.SeccompDataSize, false)
	data, _ := r.machine.Space().Bytes(ctx, cbpf.SeccompDataSize)
	for _, e := range r.engines(t, out) {
		for _, tt := range []struct{ nr, arch, arg, want uint32 }{
			{0, 0xc000003e, 65, 0x7fff0000}, {59, 0xc000003e, 0, 0x50001}, {0, 0x40000003, 0, 0x40000003}, {1, 0xc000003e, 200, 136},
		} {
			binary.LittleEndian.PutUint32(data, tt.nr)
			binary.LittleEndian.PutUint32(data[4:], tt.arch)
			binary.LittleEndian.PutUint32(data[16:], tt.arg)
			require.Equal(t, tt.want, p.Trace(cbpf.Seccomp, cbpf.Packet{Data: data}, nil))
			res, err := e.Run(ctx)
			require.NoError(t, err)
			require.Equal(t, uint64(tt.want), res.R0, e.Name())
		}
	}
}

// FuzzEBPF makes a program of the bytes, or of a number if they are none, and runs it in every form on every engine.
func FuzzEBPF(f *testing.F) {
	for _, c := range readCases(f) {
		for _, pkt := range c.packets {
			f.Add(uint64(0), c.program.Append(nil, binary.LittleEndian), pkt.Data, pkt.WireLen)
		}
	}
	f.Add(uint64(5), []byte(nil), make([]byte, 60), uint32(60))
	f.Fuzz(func(t *testing.T, seed uint64, insns, data []byte, wire uint32) {
		p, err := cbpf.Decode(insns, binary.LittleEndian)
		mode := []cbpf.Mode{cbpf.Pcap, cbpf.Socket}[seed&1]
		m := maker{rand.New(rand.NewPCG(seed, 1))}
		if err != nil || p.Validate(mode) != nil {
			p = m.program(mode)
		}
		if len(p) > 100 || len(data) > 1<<17 {
			return
		}
		if _, err := p.EBPF(cbpf.EBPFOptions{Mode: mode}); err != nil {
			return // netlink attributes
		}
		for _, in := range p {
			if which, ok := in.Ancillary(); ok && (which == cbpf.AncRandom || which == cbpf.AncCPU) {
				return // the machine's own
			}
		}
		pkt := m.packet()
		pkt.Data, pkt.WireLen = data, wire
		filter, err := cbpf.NewFilter(p, mode)
		require.NoError(t, err)
		require.Equal(t, p.Trace(mode, pkt, nil), filter.Run(&pkt), "%s", p)
		newRig(t).compare(t, p, mode, []cbpf.Packet{pkt, m.packet()})
	})
}
