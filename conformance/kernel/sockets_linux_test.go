package kernel_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// TestSockets opens sockets on the loopback, describes them to a machine, and compares what programs find by lookups, here and in
// the kernel, of every address with every other.
func TestSockets(t *testing.T) {
	r := newReferee(t)
	tcp4, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp4.Close()
	tcp6, err := net.Listen("tcp6", "[::1]:0")
	require.NoError(t, err)
	defer tcp6.Close()
	dual, err := net.Listen("tcp", "[::]:0")
	require.NoError(t, err)
	defer dual.Close()
	client, err := net.Dial("tcp4", tcp4.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	server, err := tcp4.Accept()
	require.NoError(t, err)
	defer server.Close()
	client6, err := net.Dial("tcp6", tcp6.Addr().String())
	require.NoError(t, err)
	defer client6.Close()
	server6, err := tcp6.Accept()
	require.NoError(t, err)
	defer server6.Close()
	udp4, err := net.ListenPacket("udp4", "0.0.0.0:0")
	require.NoError(t, err)
	defer udp4.Close()
	udpTo, err := net.Dial("udp4", udp4.LocalAddr().String())
	require.NoError(t, err)
	defer udpTo.Close()

	at := func(a net.Addr) netip.AddrPort {
		p := netip.MustParseAddrPort(a.String())
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	table := []helpers.Socket{
		{Proto: helpers.ProtoTCP, Local: at(tcp4.Addr())},
		{Proto: helpers.ProtoTCP, Local: at(tcp6.Addr())},
		{Proto: helpers.ProtoTCP, Local: netip.AddrPortFrom(netip.IPv6Unspecified(), at(dual.Addr()).Port())},
		{Proto: helpers.ProtoTCP, Local: at(client.LocalAddr()), Remote: at(client.RemoteAddr())},
		{Proto: helpers.ProtoTCP, Local: at(server.LocalAddr()), Remote: at(server.RemoteAddr())},
		{Proto: helpers.ProtoTCP, Local: at(client6.LocalAddr()), Remote: at(client6.RemoteAddr())},
		{Proto: helpers.ProtoTCP, Local: at(server6.LocalAddr()), Remote: at(server6.RemoteAddr())},
		{Proto: helpers.ProtoUDP, Local: at(udp4.LocalAddr())},
		{Proto: helpers.ProtoUDP, Local: at(udpTo.LocalAddr()), Remote: at(udpTo.RemoteAddr())},
	}
	var addrs []netip.AddrPort
	for _, s := range table {
		addrs = append(addrs, s.Local)
		if s.Remote.IsValid() {
			addrs = append(addrs, s.Remote)
		}
	}
	loopback6 := netip.MustParseAddr("::1")
	addrs = append(addrs, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), at(dual.Addr()).Port()),
		netip.AddrPortFrom(loopback6, at(dual.Addr()).Port()), netip.MustParseAddrPort("127.0.0.1:1"))

	found, asked := 0, 0
	for _, typ := range []prog.Type{prog.XDP, prog.SchedCLS} {
		for _, helper := range []string{"bpf_sk_lookup_tcp", "bpf_sk_lookup_udp", "bpf_skc_lookup_tcp"} {
			for _, remote := range addrs {
				for _, local := range addrs {
					if remote.Addr().Is4() != local.Addr().Is4() {
						continue
					}
					p := lookupProgram(t, typ, helper, remote, local)
					want, got := r.bothSockets(t, p, table)
					require.Equal(t, want, got, "%s %s from %s to %s\n%v", typ, helper, remote, local, table)
					asked++
					if got != 0 {
						found++
					}
				}
			}
		}
	}
	require.Greater(t, found, asked/20)
	t.Logf("%d lookups, %d with a socket", asked, found)
}

// bothSockets runs a program in the kernel, and here on every engine.
func (r *referee) bothSockets(t *testing.T, p *prog.Program, table []helpers.Socket) (theirs, ours uint32) {
	t.Helper()
	packet := make([]byte, 64)
	loaded, err := kernel.LoadProgram(p, r.maps)
	require.NoError(t, err)
	defer loaded.Close()
	res, err := loaded.Run(packet)
	require.NoError(t, err)
	for i, engine := range []string{skep.EngineInterp, skep.EngineChecked, skep.EngineJIT} {
		v, err := skep.New(&object.Object{Programs: []*prog.Program{p}}, skep.Options{Engine: engine,
			Machine: vm.Config{Sockets: table}})
		require.NoError(t, err)
		got, err := v.Run(p.Name, skep.Packet{Data: packet, Ctx: map[string]any{"ingress_ifindex": int(r.loopback)}})
		v.Close()
		require.NoError(t, err, engine)
		if i > 0 {
			require.Equal(t, ours, got.Ret, engine)
		}
		ours = got.Ret
	}
	return res.Ret, ours
}

// lookupProgram looks a tuple up and mixes what it finds into R0.
func lookupProgram(t *testing.T, typ prog.Type, helper string, remote, local netip.AddrPort) *prog.Program {
	t.Helper()
	words := append(remote.Addr().AsSlice(), local.Addr().AsSlice()...)
	words = binary.BigEndian.AppendUint16(words, remote.Port())
	words = binary.BigEndian.AppendUint16(words, local.Port())
	var b strings.Builder
	b.WriteString("r6 = r1\nr7 = 0\n")
	for i := 0; i < len(words); i += 4 {
		fmt.Fprintf(&b, "*(u32 *)(r10 - %d) = %d\n", 40-i, int32(binary.LittleEndian.Uint32(words[i:])))
	}
	fmt.Fprintf(&b, "r2 = r10\nr2 += -40\nr3 = %d\nr4 = -1\nr5 = 0\ncall %s\nif r0 == 0 goto none\nr8 = r0\n", len(words), helper)
	const mix = "r7 *= 31\nr7 += r0\n"
	fields := []string{"bound_dev_if", "family", "src_port", "state", "src_ip4"}
	if helper != "bpf_skc_lookup_tcp" {
		fields = append(fields, "type", "protocol", "mark", "priority")
	}
	if local.Addr().Is6() {
		fields = append(fields, "src_ip6", "dst_ip6")
	} else {
		fields = append(fields, "dst_ip4") // of an IPv6 socket it depends on who connected
	}
	for _, f := range prog.SockStruct.Fields {
		for _, name := range fields {
			if f.Name == name {
				fmt.Fprintf(&b, "r0 = *(u32 *)(r8 + %d)\n%s", f.Off+f.Size-4, mix)
			}
		}
		if f.Name == "dst_port" {
			fmt.Fprintf(&b, "r0 = *(u16 *)(r8 + %d)\n%s", f.Off, mix)
		}
	}
	if typ == prog.SchedCLS {
		for _, h := range []string{"bpf_sk_fullsock", "bpf_tcp_sock", "bpf_get_listener_sock"} {
			fmt.Fprintf(&b, "r1 = r8\ncall %s\nif r0 == 0 goto no_%s\nr0 = 1\nno_%s:\n%s", h, h, h, mix)
		}
	}
	b.WriteString("r1 = r8\ncall bpf_sk_release\nnone:\nr0 = r7\nexit\n")
	insns, err := asm.ParseAny(b.String(), asm.ParseOptions{Helpers: helpers.ID})
	require.NoError(t, err, b.String())
	return &prog.Program{Name: "lookup", Type: typ, Insns: insns, License: "GPL"}
}
