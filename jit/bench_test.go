package jit

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// aluLoop is a serial chain of xorshift and multiplication, 1000 times: 14,007 instructions.
const aluLoop = `
	r6 = 0x123456789abcdef1 ll
	r7 = 1000
	r8 = 0x2545f4914f6cdd1d ll
	r0 = 0
loop:
	r1 = r6
	r1 >>= 12
	r6 ^= r1
	r1 = r6
	r1 <<= 25
	r6 ^= r1
	r1 = r6
	r1 >>= 27
	r6 ^= r1
	r1 = r6
	r1 *= r8
	r0 += r1
	r7 += -1
	if r7 != 0 goto loop
	r0 >>= 1
	r0 <<= 1
	exit
`

// tcpFilter passes TCP packets to port 22 and drops the others.
const tcpFilter = `
	r2 = *(u32 *)(r1 + 4)
	r1 = *(u32 *)(r1 + 0)
	r0 = 2
	r3 = r1
	r3 += 54
	if r3 > r2 goto out
	r4 = *(u16 *)(r1 + 12)
	if r4 != 8 goto out
	r4 = *(u8 *)(r1 + 23)
	if r4 != 6 goto out
	r4 = *(u8 *)(r1 + 14)
	r4 &= 15
	r4 <<= 2
	r1 += r4
	r3 = r1
	r3 += 18
	if r3 > r2 goto out
	r4 = *(u16 *)(r1 + 16)
	if r4 != 0x1600 goto out
	r0 = 1
out:
	exit
`

const countInArray = `
	r6 = 1000
loop:
	*(u32 *)(r10 - 4) = 1
	r2 = r10
	r2 += -4
	r1 = map[0]
	call 1
	if r0 == 0 goto out
	r1 = 1
	lock *(u64 *)(r0 + 0) += r1
	r6 += -1
	if r6 != 0 goto loop
out:
	exit
`

const countInHash = `
	r6 = 1000
loop:
	*(u32 *)(r10 - 4) = r6
	r2 = r10
	r2 += -4
	r1 = map[1]
	call 1
	if r0 == 0 goto next
	r1 = 1
	lock *(u64 *)(r0 + 0) += r1
next:
	r6 += -1
	if r6 != 0 goto loop
	r0 = 2
	exit
`

const callHelperLoop = `
	r6 = 1000
loop:
	call 42
	r6 += -1
	if r6 != 0 goto loop
	exit
`

const callLocalLoop = `
	r6 = 1000
loop:
	call f
	r6 += -1
	if r6 != 0 goto loop
	exit
f:
	r0 = 1
	exit
`

// bench is a machine with one program on both engines.
type bench struct {
	m   *vm.Machine
	l   *vm.Linked
	jit *engine
	vm  *vm.Interpreter
}

func parse(t testing.TB, src string) []asm.Insn {
	insns, err := asm.Parse(src, asm.ParseOptions{})
	require.NoError(t, err)
	return insns
}

// newBench links as the compiler links what the verifier accepted.
func newBench(t testing.TB, typ prog.Type, src string) *bench {
	return newBenchLinked(t, typ, src, (*vm.Machine).LinkVerified)
}

func newBenchLinked(t testing.TB, typ prog.Type, src string, link func(*vm.Machine, *prog.Program) (*vm.Linked, error)) *bench {
	if !Available() {
		t.Skip(ErrUnsupported)
	}
	m, err := vm.NewMachine(vm.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	spec := &maps.Spec{Name: "counts", Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 16, LockOff: -1, TimerOff: -1}
	hash := &maps.Spec{Name: "keys", Type: maps.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 10000, LockOff: -1, TimerOff: -1}
	b := &bench{m: m}
	b.l, err = link(m, &prog.Program{Name: "bench", Type: typ, License: "GPL", Insns: parse(t, src), Maps: []*maps.Spec{spec, hash}})
	require.NoError(t, err)
	if keys := m.Maps().ByName("keys"); keys != nil {
		for i := range uint32(1000) {
			require.NoError(t, keys.HostUpdate(binary.LittleEndian.AppendUint32(nil, i), make([]byte, 8), 0))
		}
	}
	c, err := New(m)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	b.jit, err = c.engine(m.CPU(0), b.l)
	require.NoError(t, err)
	b.vm, err = vm.NewInterpreter(m.CPU(0), b.l, vm.InterpOptions{})
	require.NoError(t, err)
	return b
}

// xdpFrames makes n frames of 64-byte TCP packets, a third of them to port 22, and returns the first ctx and the stride.
func xdpFrames(t testing.TB, m *vm.Machine, n int) (first, stride uint32) {
	stride = prog.FrameStride(prog.XDP.Row().FrameSize())
	block, err := m.Space().Alloc(stride*uint32(n)+prog.FrameHeader, 64)
	require.NoError(t, err)
	packets, err := m.Space().Alloc(128*uint32(n), 64)
	require.NoError(t, err)
	first = block + prog.FrameHeader
	for i := range uint32(n) {
		data := packets + 128*i
		pkt, _ := m.Space().Bytes(data, 64)
		pkt[12], pkt[14], pkt[23] = 8, 0x45, 6
		port := uint16(22)
		if i%3 != 0 {
			port = uint16(i)
		}
		binary.BigEndian.PutUint16(pkt[36:], port)
		ctx := first + i*stride
		m.Space().Store32(ctx, data)
		m.Space().Store32(ctx+4, data+64)
	}
	return first, stride
}

func runs(b *testing.B, e vm.Engine, ctx uint32) {
	res, err := e.Run(ctx)
	require.NoError(b, err)
	const group = 100 // so that reading the clock costs nothing
	fastest := time.Hour
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		for range group {
			if _, err := e.Run(ctx); err != nil {
				b.Fatal(err)
			}
		}
		fastest = min(fastest, time.Since(start))
	}
	ns := float64(fastest.Nanoseconds()) / group
	b.ReportMetric(ns, "min-ns/run")
	b.ReportMetric(ns/float64(res.Insns), "min-ns/insn")
	b.ReportMetric(float64(res.Insns), "insns")
}

func BenchmarkRun(b *testing.B) {
	for _, c := range []struct {
		name, src string
		typ       prog.Type
	}{
		{"empty", "r0 = 2\nexit", prog.XDP},
		{"alu", aluLoop, prog.XDP},
		{"tcp", tcpFilter, prog.XDP},
		{"array1000", countInArray, prog.XDP},
		{"hash1000", countInHash, prog.XDP},
		{"helper1000", callHelperLoop, prog.XDP},
		{"call1000", callLocalLoop, prog.XDP},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newBench(b, c.typ, c.src)
			ctx, _ := xdpFrames(b, s.m, 1)
			b.Run("jit", func(b *testing.B) { runs(b, s.jit, ctx) })
			b.Run("interp", func(b *testing.B) { runs(b, s.vm, ctx) })
		})
	}
}

// BenchmarkSandbox compares programs that the verifier accepted with the same ones that it has not seen.
func BenchmarkSandbox(b *testing.B) {
	const n = 1000
	const stack = "*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)\nexit"
	for _, c := range []struct{ name, src string }{
		{"stack", stack}, {"tcp", tcpFilter}, {"alu", aluLoop}, {"array1000", countInArray}, {"call1000", callLocalLoop},
		{"callstack1000", callLocalLoop + stack},
	} {
		for _, l := range []struct {
			name string
			link func(*vm.Machine, *prog.Program) (*vm.Linked, error)
		}{{"verified", (*vm.Machine).LinkVerified}, {"sandbox", (*vm.Machine).Link}} {
			b.Run(c.name+"/"+l.name, func(b *testing.B) {
				s := newBenchLinked(b, prog.XDP, c.src, l.link)
				ctx, stride := xdpFrames(b, s.m, n)
				b.Run("run", func(b *testing.B) { runs(b, s.jit, ctx) })
				b.Run("batch", func(b *testing.B) {
					for b.Loop() {
						if done, err := s.jit.RunBatch(ctx, stride, n); done != n {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/packet")
				})
			})
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	const n = 1000
	for _, c := range []struct{ name, src string }{{"empty", "r0 = 2\nexit"}, {"tcp", tcpFilter}} {
		b.Run(c.name, func(b *testing.B) {
			s := newBench(b, prog.XDP, c.src)
			first, stride := xdpFrames(b, s.m, n)
			for _, e := range []vm.Engine{s.jit, s.vm} {
				b.Run(e.Name(), func(b *testing.B) {
					fastest := time.Hour
					b.ReportAllocs()
					for b.Loop() {
						start := time.Now()
						if done, err := e.RunBatch(first, stride, n); done != n {
							b.Fatal(err)
						}
						fastest = min(fastest, time.Since(start))
					}
					b.ReportMetric(float64(fastest.Nanoseconds())/n, "min-ns/packet")
				})
			}
		})
	}
}

// BenchmarkCompile makes code without loading it.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 4000} {
		one := parse(b, tcpFilter)
		var insns []asm.Insn // each copy jumps to the start of the next
		for len(insns)+len(one) <= n || len(insns) == 0 {
			insns = append(insns, one[:len(one)-1]...)
		}
		insns = append(insns, asm.Exit.Example())
		for arch, p := range goldenProcessors {
			b.Run(fmt.Sprintf("%s/%d", arch, len(insns)), func(b *testing.B) {
				b.ReportAllocs()
				var c *code
				for b.Loop() {
					var err error
					if c, err = compile(insns, target{Processor: p.best, mask: ^uint32(0)}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(c.bytes)), "bytes")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(insns)), "ns/insn")
			})
		}
	}
}
