package skep_test

import (
	gomaps "maps"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/verifier"
)

// aluLoop adds up 1000 numbers of the xorshift64* generator: 14,007 instructions, most of which wait for the one before.
const aluLoop = `
	r6 = 88172645463325252 ll
	r8 = 2685821657736338717 ll
	r7 = 1000
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

// engines are those of this machine.
func engines() []string {
	all := []string{skep.EngineInterp, skep.EngineChecked}
	if jit.Available() {
		all = append(all, skep.EngineJIT)
	}
	return all
}

// object1 is an object of one program in assembler text.
func object1(tb testing.TB, typ prog.Type, src string) *object.Object {
	insns, err := asm.Parse(src, asm.ParseOptions{})
	require.NoError(tb, err)
	return &object.Object{Programs: []*prog.Program{{
		Name: "main", Type: typ, License: "GPL", Insns: insns, Funcs: []prog.Func{{Name: "main", End: len(insns)}},
	}}}
}

func BenchmarkALULoop(b *testing.B) {
	for _, name := range engines() {
		b.Run("engine="+name, func(b *testing.B) {
			vm, err := skep.New(object1(b, prog.SocketFilter, aluLoop), skep.Options{Engine: name})
			require.NoError(b, err)
			defer vm.Close()
			res, err := vm.Run("", skep.Packet{Data: make([]byte, 64)})
			require.NoError(b, err)
			require.EqualValues(b, 14007, res.Insns)
			engine, err := vm.Engine("")
			require.NoError(b, err)
			ctx := vm.Ctx("")
			fastest := time.Hour
			for b.Loop() {
				start := time.Now()
				if _, err := engine.Run(ctx); err != nil {
					b.Fatal(err)
				}
				fastest = min(fastest, time.Since(start))
			}
			b.ReportMetric(float64(fastest.Nanoseconds())/float64(res.Insns), "min-ns/insn")
		})
	}
}

// BenchmarkFilter runs the example that drops packets to TCP port 22 over generated traffic, from fresh packets each time.
func BenchmarkFilter(b *testing.B) {
	elf, err := examples.Open("block_ssh_xdp")
	require.NoError(b, err)
	packets := frames(b, 1000)
	for _, name := range engines() {
		b.Run("engine="+name, func(b *testing.B) {
			vm, err := skep.OpenBytes(elf, "block_ssh_xdp", skep.Options{Engine: name})
			require.NoError(b, err)
			defer vm.Close()
			single, batch := math.Inf(1), math.Inf(1)
			for b.Loop() {
				m, err := vm.Measure("", packets, 1)
				require.NoError(b, err)
				single, batch = min(single, m.Single.Min), min(batch, m.Batch.Min)
			}
			b.ReportMetric(single, "single-ns/packet")
			b.ReportMetric(batch, "batch-ns/packet")
		})
	}
}

func frames(tb testing.TB, n int) [][]byte {
	g, err := traffic.New(traffic.Spec{Packets: n, Seed: 1})
	require.NoError(tb, err)
	all := make([][]byte, n)
	for i := range all {
		frame, _ := g.Next()
		all[i] = append([]byte(nil), frame...)
	}
	return all
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range examples.Names() {
		elf, err := examples.Open(name)
		require.NoError(b, err)
		vm, err := skep.OpenBytes(elf, name, skep.Options{Engine: skep.EngineInterp})
		require.NoError(b, err)
		p := vm.Object().Programs[0]
		b.Run("object="+name, func(b *testing.B) {
			b.ReportAllocs()
			processed := 0
			for b.Loop() {
				v, err := verifier.Verify(p, verifier.Options{})
				if err != nil {
					b.Fatal(err)
				}
				processed = v.Stats().Processed
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(processed), "ns/insn")
		})
		require.NoError(b, vm.Close())
	}
}

// largeObject is a program of 9,013 instructions, about as many as the largest that are in use.
const largeObject = "bench/large/firewall.bpf.o"

// TestLarge runs the large program on every engine: its last rule is reached, and decides.
func TestLarge(t *testing.T) {
	for _, engine := range engines() {
		v, err := skep.Open(largeObject, skep.Options{Engine: engine})
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(v.Object().Programs[0].Insns), 9000)
		rule, err := maps.EncodeValue(v.Map("rules").Spec(), map[string]any{"family": 4, "proto": 17, "dport_from": 53, "dport_to": 53,
			"sport_to": 65535, "verdict": 1})
		require.NoError(t, err)
		require.NoError(t, v.Map("rules").HostUpdate([]byte{117, 0, 0, 0}, rule, maps.Any))
		dropped, insns := 0, uint64(0)
		for _, p := range frames(t, 300) {
			res, err := v.Run("", skep.Packet{Data: p})
			require.NoError(t, err)
			want := "XDP_PASS"
			if toDNS(p) {
				want = "XDP_DROP"
				dropped++
			}
			require.Equal(t, want, res.Verdict, "%s\n%x", engine, p)
			insns = max(insns, res.Insns)
		}
		require.Greater(t, dropped, 5)
		require.Greater(t, insns, uint64(1000), engine)
		require.NoError(t, v.Close())
	}
}

// toDNS tells datagrams to port 53, over IPv4 without options and tags.
func toDNS(p []byte) bool {
	return len(p) >= 38 && p[12] == 8 && p[13] == 0 && p[14] == 0x45 && p[20]&0x1f == 0 && p[21] == 0 && p[23] == 17 && p[36] == 0 && p[37] == 53
}

// BenchmarkWorkload has what it takes to load an object, verify it and make machine code, by the names of skep bench.
func BenchmarkWorkload(b *testing.B) {
	files := map[string]string{"firewall": largeObject}
	for _, name := range examples.Datapaths() {
		files[name] = "examples/datapath/" + name + ".bpf.o"
	}
	for _, name := range slices.Sorted(gomaps.Keys(files)) {
		elf, err := os.ReadFile(files[name])
		require.NoError(b, err)
		for _, engine := range engines() {
			b.Run("name="+name+"/engine="+engine+"/call=open", func(b *testing.B) {
				insns := 0
				for b.Loop() {
					v, err := skep.OpenBytes(elf, name, skep.Options{Engine: engine})
					require.NoError(b, err)
					insns = 0
					for _, p := range v.Object().Programs {
						insns += len(p.Insns)
					}
					require.NoError(b, v.Close())
				}
				b.ReportMetric(float64(insns), "insns")
			})
		}
	}
}
