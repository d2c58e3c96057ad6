package cbpf_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
)

// benchFilters are for Ethernet, the first as tcpdump 4.99.3 compiles it.
var benchFilters = []struct{ name, text string }{
	{"tcp dst port 22", "16,40 0 0 12,21 0 4 34525,48 0 0 20,21 0 11 6,40 0 0 56,21 8 9 22,21 0 8 2048,48 0 0 23,21 0 6 6,40 0 0 20," +
		"69 4 0 8191,177 0 0 14,72 0 0 16,21 0 1 22,6 0 0 262144,6 0 0 0"},
	{"tcp header of 20 bytes", "14,40 0 0 12,21 0 11 2048,48 0 0 23,21 0 9 6,40 0 0 20,69 7 0 8191,177 0 0 14,80 0 0 26,84 0 0 240,116 0 0 2," +
		"12 0 0 0,21 0 1 20,6 0 0 262144,6 0 0 0"},
	{"greater 100", "4,128 0 0 0,53 0 1 100,6 0 0 262144,6 0 0 0"},
}

// benchPackets are Ethernet frames: one that tcp dst port 22 matches, or a mix of TCP, UDP, IPv6 and ARP, one in eight to port 22.
func benchPackets(one bool) (packets []cbpf.Packet) {
	r := rand.New(rand.NewPCG(11, 12))
	for len(packets) < 1024 {
		b := make([]byte, 100+r.IntN(100))
		binary.BigEndian.PutUint16(b[12:], 0x0800)
		b[14], b[23] = 0x45, 6
		port := uint16(22)
		if !one {
			if r.IntN(8) > 0 {
				port = uint16(r.IntN(1000) + 23)
			}
			switch r.IntN(8) {
			case 0:
				b[23] = 17
			case 1:
				b[14] = 0x46
			case 2, 3:
				binary.BigEndian.PutUint16(b[12:], 0x86dd)
				b[20] = 6
				binary.BigEndian.PutUint16(b[56:], port)
			case 4:
				binary.BigEndian.PutUint16(b[12:], 0x0806)
			}
		}
		binary.BigEndian.PutUint16(b[16+4*int(b[14]&0xf):], port)
		packets = append(packets, cbpf.Packet{Data: b, WireLen: uint32(len(b))})
	}
	return packets
}

// BenchmarkRun gives the time of one packet, of each way to run a filter; "c" is libpcap's bpf_filter, where clang and
// libpcap are.
func BenchmarkRun(b *testing.B) {
	for _, filter := range benchFilters {
		p, err := cbpf.Parse(filter.text)
		require.NoError(b, err)
		for _, set := range []string{"one", "mix"} {
			packets := benchPackets(set == "one")
			var sum uint32
			for i := range packets {
				sum += p.Run(packets[i])
			}
			for _, engine := range []struct {
				name string
				run  func(*testing.B, cbpf.Program, []cbpf.Packet) (sum uint32)
			}{{"filter", benchFilter}, {"plain", benchPlain}, {"xnet", benchXNet}, {"jit", benchJIT}, {"c", benchC}} {
				b.Run(fmt.Sprintf("filter=%s/packets=%s/engine=%s", filter.name, set, engine.name), func(b *testing.B) {
					require.Equal(b, sum, engine.run(b, p, packets))
				})
			}
		}
	}
}

// perPacket reports the time of one packet when each loop ran them all.
func perPacket(b *testing.B, packets []cbpf.Packet) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(packets)), "ns/op")
}

func benchFilter(b *testing.B, p cbpf.Program, packets []cbpf.Packet) (sum uint32) {
	f, err := cbpf.NewFilter(p, cbpf.Pcap)
	require.NoError(b, err)
	for b.Loop() {
		sum = 0
		for i := range packets {
			sum += f.Run(&packets[i])
		}
	}
	perPacket(b, packets)
	return sum
}

func benchPlain(b *testing.B, p cbpf.Program, packets []cbpf.Packet) (sum uint32) {
	for b.Loop() {
		sum = 0
		for i := range packets {
			sum += p.Run(packets[i])
		}
	}
	perPacket(b, packets)
	return sum
}

func benchXNet(b *testing.B, p cbpf.Program, packets []cbpf.Packet) (sum uint32) {
	var raw []bpf.RawInstruction
	for _, in := range p {
		raw = append(raw, bpf.RawInstruction(in))
	}
	insns, _ := bpf.Disassemble(raw)
	machine, err := bpf.NewVM(insns)
	require.NoError(b, err)
	for b.Loop() {
		sum = 0
		for i := range packets {
			n, _ := machine.Run(packets[i].Data)
			sum += uint32(n)
		}
	}
	perPacket(b, packets)
	return sum
}

// benchJIT runs batches of all packets in machine code.
func benchJIT(b *testing.B, p cbpf.Program, packets []cbpf.Packet) (sum uint32) {
	if !jit.Available() {
		b.Skip("no machine code here")
	}
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{}})
	require.NoError(b, err)
	defer m.Close()
	compiler, err := jit.New(m)
	require.NoError(b, err)
	defer compiler.Close()
	out, err := p.EBPF(cbpf.EBPFOptions{})
	require.NoError(b, err)
	verified, err := verifier.Verify(out, verifier.Options{})
	require.NoError(b, err)
	e, err := compiler.Compile(m.CPU(0), verified)
	require.NoError(b, err)
	stride := prog.FrameStride(prog.Classic.Row().CtxSize)
	first, err := m.Space().Alloc(stride*uint32(len(packets)), 64)
	require.NoError(b, err)
	first += prog.FrameHeader
	for i, pkt := range packets {
		n := uint32(len(pkt.Data))
		addr, err := m.Space().Alloc(n, 64)
		require.NoError(b, err)
		data, _ := m.Space().Bytes(addr, n)
		copy(data, pkt.Data)
		prog.SetFrame(m.Space(), first+uint32(i)*stride, prog.Classic, addr, addr, addr+n, addr+n, &prog.Input{WireLen: pkt.WireLen})
	}
	for b.Loop() {
		if _, err := e.RunBatch(first, stride, len(packets)); err != nil {
			b.Fatal(err)
		}
	}
	for i := range packets {
		sum += m.Space().Load32(uint32(int32(first+uint32(i)*stride) + prog.FrameRet))
	}
	perPacket(b, packets)
	return sum
}

// libpcapTool builds what runs libpcap's interpreter, and says how to: with a program, packets and a number of passes. It skips
// where there is no clang or no libpcap.
func libpcapTool(t testing.TB) func(p cbpf.Program, packets []cbpf.Packet, passes int) string {
	t.Helper()
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		if clang, err = exec.LookPath("clang"); err != nil {
			t.Skip("no clang")
		}
	}
	dir := t.TempDir()
	bin, text, data := filepath.Join(dir, "libpcap"), filepath.Join(dir, "program"), filepath.Join(dir, "packets")
	out, err := exec.Command(clang, "-O2", "-o", bin, "testdata/bench/libpcap.c", "-ldl").CombinedOutput()
	if err != nil {
		t.Skipf("clang: %v\n%s", err, out)
	}
	return func(p cbpf.Program, packets []cbpf.Packet, passes int) string {
		require.NoError(t, os.WriteFile(text, p.AppendText(nil, cbpf.Decimal), 0o600))
		var file []byte
		for _, pkt := range packets {
			file = binary.LittleEndian.AppendUint32(file, pkt.WireLen)
			file = binary.LittleEndian.AppendUint32(file, uint32(len(pkt.Data)))
			file = append(file, pkt.Data...)
		}
		require.NoError(t, os.WriteFile(data, file, 0o600))
		out, err := exec.Command(bin, text, data, fmt.Sprint(passes)).Output()
		if err != nil {
			t.Skip("no libpcap: ", err)
		}
		return string(out)
	}
}

// benchC runs libpcap's interpreter, which times itself.
func benchC(b *testing.B, p cbpf.Program, packets []cbpf.Packet) (one uint32) {
	const runs = 300
	var ns float64
	var sum uint32
	_, err := fmt.Sscan(libpcapTool(b)(p, packets, runs), &ns, &sum)
	require.NoError(b, err)
	for i := range packets {
		one += p.Run(packets[i])
	}
	require.Equal(b, 10*runs*one, sum)
	for b.Loop() {
	}
	b.ReportMetric(ns, "ns/op")
	return one
}
