package kernel_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// loadKernel loads an object into the kernel. Nothing is attached.
func loadKernel(t *testing.T, file string) *ebpf.Collection {
	t.Helper()
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	spec, err := ebpf.LoadCollectionSpec(file)
	require.NoError(t, err)
	c, err := ebpf.NewCollection(spec)
	var refused *ebpf.VerifierError
	if errors.As(err, &refused) {
		t.Fatalf("%s: %+v", file, refused)
	}
	require.NoError(t, err, file)
	t.Cleanup(c.Close)
	return c
}

// deviceBound is the example that a kernel takes for one device only.
const deviceBound = "../../examples/hooks/receive.bpf.o"

// TestHooksLoad: the live kernel accepts every example of a hook, as the verifier does.
func TestHooksLoad(t *testing.T) {
	files, err := filepath.Glob("../../examples/hooks/*.bpf.o")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		if file == deviceBound {
			continue
		}
		c := loadKernel(t, file)
		v, err := skep.Open(file, skep.Options{Engine: skep.EngineInterp})
		require.NoError(t, err)
		for name := range c.Programs {
			_, err := v.Engine(name)
			require.NoError(t, err, file)
		}
		require.NoError(t, v.Close())
	}
}

const hooksObject = "testdata/hooks.o"

// everyEngine is an object on every engine.
func everyEngine(t *testing.T, file string, sockets []helpers.Socket) []*skep.VM {
	t.Helper()
	var all []*skep.VM
	for _, engine := range []string{skep.EngineInterp, skep.EngineChecked, skep.EngineJIT} {
		v, err := skep.Open(file, skep.Options{Engine: engine, Machine: vm.Config{Sockets: sockets}})
		require.NoError(t, err, engine)
		t.Cleanup(func() { v.Close() })
		all = append(all, v)
	}
	return all
}

// seenBy reads the map in which programs of testdata/hooks.c note what they see, and empties it.
func seenBy(t *testing.T, lookup func(key []byte) []byte, update func(key, value []byte) error) (values [32]int64) {
	t.Helper()
	for i := range values {
		key := binary.LittleEndian.AppendUint32(nil, uint32(i))
		values[i] = int64(binary.LittleEndian.Uint64(lookup(key)))
		require.NoError(t, update(key, make([]byte, 8)))
	}
	return values
}

func seenByKernel(t *testing.T, c *ebpf.Collection) [32]int64 {
	m := c.Maps["seen"]
	return seenBy(t, func(key []byte) []byte {
		value, err := m.LookupBytes(key)
		require.NoError(t, err)
		return value
	}, func(key, value []byte) error { return m.Put(key, value) })
}

func seenByUs(t *testing.T, v *skep.VM) [32]int64 {
	m := v.Map("seen")
	return seenBy(t, func(key []byte) []byte {
		value, err := m.HostLookup(key)
		require.NoError(t, err)
		return value
	}, func(key, value []byte) error { return m.HostUpdate(key, value, 0) })
}

// theirSocket is a socket of this process and what describes it.
type theirSocket struct {
	conn syscall.Conn
	desc helpers.Socket
}

// fd calls f with the socket's descriptor.
func (s *theirSocket) fd(t *testing.T, f func(fd int)) {
	raw, err := s.conn.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { f(int(fd)) }))
}

// openSockets opens a listener, a connection, and UDP sockets that are and are not connected, on the loopback.
func openSockets(t *testing.T) []theirSocket {
	t.Helper()
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // maps of sockets take no others
	listener, err := plain.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	client, err := net.Dial("tcp4", listener.Addr().String())
	require.NoError(t, err)
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	to, err := net.Dial("udp4", udp.LocalAddr().String())
	require.NoError(t, err)
	only6, err := plain.Listen(t.Context(), "tcp6", "[::1]:0")
	require.NoError(t, err)
	dual, err := plain.Listen(t.Context(), "tcp", "[::]:0")
	require.NoError(t, err)
	t.Cleanup(func() {
		listener.Close()
		client.Close()
		udp.Close()
		to.Close()
		only6.Close()
		dual.Close()
	})
	at := func(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }
	all := []theirSocket{
		{listener.(syscall.Conn), helpers.Socket{Proto: helpers.ProtoTCP, Local: at(listener.Addr())}},
		{client.(syscall.Conn), helpers.Socket{Proto: helpers.ProtoTCP, Local: at(client.LocalAddr()), Remote: at(client.RemoteAddr())}},
		{udp.(syscall.Conn), helpers.Socket{Proto: helpers.ProtoUDP, Local: at(udp.LocalAddr())}},
		{to.(syscall.Conn), helpers.Socket{Proto: helpers.ProtoUDP, Local: at(to.LocalAddr()), Remote: at(to.RemoteAddr())}},
		{only6.(syscall.Conn), helpers.Socket{Proto: helpers.ProtoTCP, Local: at(only6.Addr()), V6Only: true}},
		{dual.(syscall.Conn), helpers.Socket{Proto: helpers.ProtoTCP, Local: at(dual.Addr())}},
	}
	for i := range all {
		all[i].fd(t, func(fd int) {
			cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
			require.NoError(t, err)
			all[i].desc.Cookie = cookie
		})
	}
	return all
}

// lookupCtx is struct bpf_sk_lookup, as the kernel's test run takes it; Cookie is its answer.
type lookupCtx struct {
	Cookie           uint64 `ctx:"sk"`
	Family, Protocol uint32
	RemoteIP4        uint32
	RemoteIP6        [4]uint32
	RemotePort, Pad  uint16
	LocalIP4         uint32
	LocalIP6         [4]uint32
	LocalPort        uint32
	IngressIfindex   uint32
	End              uint32 // padding to 72 bytes
}

// TestSkLookup runs sk_lookup programs in the kernel and here: return value, ctx afterwards, and what they saw.
func TestSkLookup(t *testing.T) {
	c := loadKernel(t, hooksObject)
	sockets := openSockets(t)
	var table []helpers.Socket
	for i, s := range sockets {
		s.fd(t, func(fd int) {
			require.NoError(t, c.Maps["sockets"].Put(uint32(i), uint64(fd)), i)
		})
		table = append(table, s.desc)
	}
	machines := everyEngine(t, hooksObject, table)
	for _, v := range machines {
		for i, s := range table {
			key := binary.LittleEndian.AppendUint32(nil, uint32(i))
			require.NoError(t, v.Map("sockets").HostUpdate(key, binary.LittleEndian.AppendUint64(nil, s.Cookie), 0))
		}
	}
	contexts := []lookupCtx{
		{Family: 2, Protocol: 6, RemoteIP4: 0x01020304, RemotePort: 0x1234, LocalIP4: 0x0100007f, LocalPort: 8081},
		{Family: 2, Protocol: 17, LocalIP4: 0x0100007f, LocalPort: 53},
		{Family: 2, Protocol: 6, LocalPort: 65535},
		{Family: 2, Protocol: 17, RemotePort: 1},
		{Family: 10, Protocol: 6, RemoteIP6: [4]uint32{1, 2, 3, 4}, LocalIP6: [4]uint32{5, 6, 7, 8}, LocalPort: 80},
		{Family: 10, Protocol: 17, RemoteIP4: 9, LocalIP4: 9, RemotePort: 7},
		{Family: 2, Protocol: 1, RemoteIP6: [4]uint32{1, 2, 3, 4}},
	}
	chosen := 0
	for _, name := range []string{"lookup_fields", "lookup_assign"} {
		for i, ctx := range contexts {
			what := fmt.Sprintf("%s, ctx %d", name, i)
			var want lookupCtx
			ret, err := c.Programs[name].Run(&ebpf.RunOptions{Context: ctx, ContextOut: &want})
			require.NoError(t, err, what)
			wantSeen := seenByKernel(t, c)
			if want.Cookie != 0 {
				chosen++
			}
			for _, v := range machines {
				fields, err := prog.CtxFields(ctx)
				require.NoError(t, err)
				delete(fields, "pad")
				res, err := v.Run(name, skep.Packet{Ctx: fields})
				require.NoError(t, err, what)
				require.Equal(t, wantSeen, seenByUs(t, v), what)
				var got lookupCtx
				require.NoError(t, prog.SetFields(&got, res.Ctx))
				if ctx.Family == 2 { // the kernel gives back what it did not show
					want.RemoteIP6, want.LocalIP6 = [4]uint32{}, [4]uint32{}
				} else {
					want.RemoteIP4, want.LocalIP4 = 0, 0
				}
				require.Equal(t, want, got, what)
				require.Equal(t, ret, res.Ret, what)
			}
		}
	}
	require.NotZero(t, chosen)
}

// flowKeys is struct bpf_flow_keys.
type flowKeys struct {
	Nhoff       uint16    `ctx:"flow_keys.nhoff"`
	Thoff       uint16    `ctx:"flow_keys.thoff"`
	AddrProto   uint16    `ctx:"flow_keys.addr_proto"`
	IsFrag      uint8     `ctx:"flow_keys.is_frag"`
	IsFirstFrag uint8     `ctx:"flow_keys.is_first_frag"`
	IsEncap     uint8     `ctx:"flow_keys.is_encap"`
	IPProto     uint8     `ctx:"flow_keys.ip_proto"`
	NProto      uint16    `ctx:"flow_keys.n_proto"`
	Sport       uint16    `ctx:"flow_keys.sport"`
	Dport       uint16    `ctx:"flow_keys.dport"`
	Src, Dst    [4]uint32 `ctx:"-"`
	Flags       uint32    `ctx:"flow_keys.flags"`
	FlowLabel   uint32    `ctx:"flow_keys.flow_label"`
}

// TestFlowDissector runs flow dissectors in the kernel and here, over packets of all kinds and offsets that they must correct.
func TestFlowDissector(t *testing.T) {
	packets := samplePackets(t)
	for _, offsets := range []uint64{0, 0x000e_000e, 0xffff_ffff, 0x0010_000f, 0x000d_0040, 0x0040_0041, 0x0014_0012} {
		p := make([]byte, 64)
		binary.BigEndian.PutUint32(p, uint32(offsets))
		copy(p[12:], []byte{0x08, 0x00})
		packets = append(packets, p, p[:14], p[:20])
		q := bytes.Clone(p)
		copy(q[12:], []byte{0, 46}) // a length, no type
		packets = append(packets, q, append(q, make([]byte, 3000)...))
	}
	for _, object := range []struct {
		file     string
		programs []string
	}{{hooksObject, []string{"flow_offsets"}}, {"../../examples/hooks/dissect.bpf.o", []string{"dissect"}}} {
		c := loadKernel(t, object.file)
		machines := everyEngine(t, object.file, nil)
		for _, name := range object.programs {
			for i, p := range packets {
				for _, flags := range []uint32{0, 1, 6} {
					what := fmt.Sprintf("%s, packet %d, flags %d", name, i, flags)
					out := make([]byte, 64)
					opts := ebpf.RunOptions{Data: p, DataOut: out, Context: flowKeys{Flags: flags}}
					ret, err := c.Programs[name].Run(&opts)
					require.NoError(t, err, what)
					var wantSeen [32]int64
					if object.file == hooksObject {
						wantSeen = seenByKernel(t, c)
					}
					for _, v := range machines {
						res, err := v.Run(name, skep.Packet{Data: p, Ctx: map[string]any{"flow_keys.flags": uint64(flags)}})
						require.NoError(t, err, what)
						require.Equal(t, ret, res.Ret, what)
						keys, ok := v.Machine().Space().Bytes(v.Ctx(name)+prog.FlowKeysOff, prog.SizeofFlowKeys)
						require.True(t, ok)
						require.Equal(t, opts.DataOut, keys, what)
						if object.file == hooksObject {
							require.Equal(t, wantSeen, seenByUs(t, v), what)
						}
					}
				}
			}
		}
	}
}

// TestFlowDissectorLoads: bpf_skb_load_bytes finds nothing in the kernel's test run, which has no skb as its hook has one. Here there is.
func TestFlowDissectorLoads(t *testing.T) {
	c := loadKernel(t, hooksObject)
	p := make([]byte, 64)
	p[0] = 7
	_, err := c.Programs["flow_load"].Run(&ebpf.RunOptions{Data: p, DataOut: make([]byte, 64)})
	require.NoError(t, err)
	theirs := seenByKernel(t, c)
	require.Equal(t, []int64{-int64(unix.EFAULT), 0, -int64(unix.EFAULT)}, theirs[:3])
	for _, v := range everyEngine(t, hooksObject, nil) {
		_, err := v.Run("flow_load", skep.Packet{Data: p})
		require.NoError(t, err)
		ours := seenByUs(t, v)
		require.Equal(t, []int64{0, 7, -int64(unix.EFAULT)}, ours[:3])
	}
}

// hookState is struct nf_hook_state, as the kernel's test run takes it.
type hookState struct {
	Hook, PF               uint8
	_                      [6]byte
	In, Out, Sk, Net, Okfn uint64
}

// TestNetfilter runs netfilter programs at every hook, over IPv4 and IPv6.
func TestNetfilter(t *testing.T) {
	c := loadKernel(t, hooksObject)
	machines := everyEngine(t, hooksObject, nil)
	for hook := range uint8(5) {
		for _, pf := range []uint8{2, 10} {
			for _, size := range []int{20, 40, 41, 54, 60, 61, 1500} {
				packet := make([]byte, size)
				for i := range packet {
					packet[i] = byte(i * 3)
				}
				packet[0] = 0x45
				copy(packet[12:], map[uint8][]byte{2: {0x08, 0x00}, 10: {0x86, 0xdd}}[pf])
				for _, at := range []int{0, 5, size - 22, size - 8, size} {
					if at < 0 {
						continue
					}
					require.NoError(t, c.Variables["at"].Set(uint32(at)))
					what := fmt.Sprintf("hook %d, pf %d, %d bytes, at %d", hook, pf, size, at)
					ret, err := c.Programs["nf_fields"].Run(&ebpf.RunOptions{Data: packet, Context: hookState{Hook: hook, PF: pf}})
					// The kernel's test run means to give the loopback as the device that a hook has. It looks at the hook too early.
					fields := map[string]any{"hook": int(hook), "pf": int(pf), "out": 1}
					var wantSeen [32]int64
					if err == nil {
						wantSeen = seenByKernel(t, c)
					}
					for _, v := range machines {
						state := binary.LittleEndian.AppendUint64(nil, uint64(at))
						require.NoError(t, v.Map(".bss").HostUpdate(make([]byte, 4), state, 0))
						res, ourErr := v.Run("nf_fields", skep.Packet{Data: packet, Ctx: fields})
						if err != nil {
							require.Error(t, ourErr, what)
							continue
						}
						require.NoError(t, ourErr, what)
						got := seenByUs(t, v)
						require.Equal(t, wantSeen, got, what)
						require.Equal(t, ret, res.Ret, what)
					}
				}
			}
		}
	}
}

// TestSyscallPrograms: the ctx is what the caller passes, and gets back.
func TestSyscallPrograms(t *testing.T) {
	c := loadKernel(t, hooksObject)
	machines := everyEngine(t, hooksObject, nil)
	for _, op := range []byte{0, 1, 2} {
		in := make([]byte, 32)
		copy(in, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3, 2, op, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
		want := make([]byte, len(in))
		ret, err := c.Programs["call"].Run(&ebpf.RunOptions{Context: in, ContextOut: want})
		require.NoError(t, err)
		wantSeen := seenByKernel(t, c)
		for _, v := range machines {
			res, err := v.Run("call", skep.Packet{Data: in})
			require.NoError(t, err)
			require.Equal(t, ret, res.Ret)
			require.Equal(t, want, res.Data)
			require.Equal(t, wantSeen, seenByUs(t, v))
		}
	}
}

// xdpMD is struct xdp_md.
type xdpMD struct{ Data, DataEnd, DataMeta, Ingress, RxQueue, Egress uint32 }

// TestFrags runs XDP programs on packets in several buffers: bytes across them, longer and shorter ends.
func TestFrags(t *testing.T) {
	c := loadKernel(t, hooksObject)
	machines := everyEngine(t, hooksObject, nil)
	cases := 0
	for _, size := range []int{60, 3520, 3521, 4000, 7616, 7700, 9000, 15000} {
		packet := make([]byte, size)
		for i := range packet {
			packet[i] = byte(i*7 + i>>8)
		}
		for _, linear := range []int{0, 14, 64, 2000} {
			if linear > size {
				continue
			}
			cut := min(size, 3520)
			if linear != 0 {
				cut = linear
			}
			for _, at := range []int{0, cut - 9, cut - 4, cut, cut + 4092, cut + 4096, size - 8, size - 7} {
				for _, by := range []int32{0, 1, 100, 5000, -1, -100, -4096, -int32(size - cut), -int32(size-cut) - 1, -int32(size - 14), -int32(size - 13)} {
					if at < 0 {
						continue
					}
					what := fmt.Sprintf("%d bytes, %d linear, at %d, end by %d", size, linear, at, by)
					require.NoError(t, c.Variables["at"].Set(uint32(at)))
					require.NoError(t, c.Variables["by"].Set(by))
					for _, name := range []string{"frags", "frags_dynptr"} {
						runFrags(t, c, machines, name, what, packet, linear, at, by)
						cases++
					}
				}
			}
		}
	}
	t.Logf("%d runs", cases)
}

func runFrags(t *testing.T, c *ebpf.Collection, machines []*skep.VM, name, what string, packet []byte, linear, at int, by int32) {
	t.Helper()
	opts := ebpf.RunOptions{Data: packet, DataOut: make([]byte, len(packet)+8192)}
	if linear != 0 {
		opts.Context = xdpMD{DataEnd: uint32(linear)}
	}
	ret, err := c.Programs[name].Run(&opts)
	require.NoError(t, err, what)
	wantSeen := seenByKernel(t, c)
	for _, v := range machines {
		state := binary.LittleEndian.AppendUint32(nil, uint32(at))
		state = binary.LittleEndian.AppendUint32(state, uint32(by))
		require.NoError(t, v.Map(".bss").HostUpdate(make([]byte, 4), state, 0))
		res, err := v.Run(name, skep.Packet{Data: packet, Ctx: map[string]any{"linear": linear}})
		require.NoError(t, err, what)
		require.Equal(t, wantSeen, seenByUs(t, v), "%s: %s", name, what)
		require.Equal(t, ret, res.Ret, what)
		require.True(t, bytes.Equal(opts.DataOut, res.Data), "%s: %s: %d bytes, want %d", name, what, len(res.Data), len(opts.DataOut))
	}
}
