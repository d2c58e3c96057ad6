package vm_test

import (
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// chain is a loop of 1000 rounds of 14 instructions, each of which waits for the one before.
const chain = `
	r0 = 0x9e3779b97f4a7c15 ll
	r6 = 0x2545f4914f6cdd1d ll
	r1 = 1000
loop:
	r2 = r0
	r2 >>= 12
	r0 ^= r2
	r2 = r0
	r2 <<= 25
	r0 ^= r2
	r2 = r0
	r2 >>= 27
	r0 ^= r2
	r0 *= r6
	r0 += 7
	r0 ^= r1
	r1 += -1
	if r1 != 0 goto loop
	exit`

// filter passes TCP packets to port 22: what "tcp dst port 22" is, roughly.
const filter = `
	r0 = 0
	r2 = *(u32 *)(r1 + 0)
	r3 = *(u32 *)(r1 + 4)
	r4 = r2
	r4 += 54
	if r4 > r3 goto out
	r5 = *(u16 *)(r2 + 12)
	if r5 != 8 goto out
	r5 = *(u8 *)(r2 + 23)
	if r5 != 6 goto out
	r5 = *(u16 *)(r2 + 20)
	r5 = be16 r5
	r5 &= 0x1fff
	if r5 != 0 goto out
	r5 = *(u8 *)(r2 + 14)
	r5 &= 15
	r5 <<= 2
	r2 += r5
	r5 = *(u16 *)(r2 + 16)
	if r5 != 0x1600 goto out
	r0 = 2
out:
	exit`

func parse(t testing.TB, typ prog.Type, src string) *prog.Program {
	t.Helper()
	insns, err := asm.Parse(src, asm.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &prog.Program{Name: "main", Type: typ, Insns: insns, Funcs: []prog.Func{{Name: "main", End: len(insns)}}}
}

// newRun links a program and puts a packet of TCP to port 22 before it.
func newRun(t testing.TB, src string, o vm.InterpOptions) (*vm.Interpreter, *prog.Buffer) {
	t.Helper()
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Shadow: o.Checked}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	l, err := m.Link(parse(t, prog.XDP, src))
	if err != nil {
		t.Fatal(err)
	}
	buf, err := prog.NewBuffer(m.Space(), prog.XDP, 0)
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, 64)
	packet[12], packet[14], packet[23], packet[37] = 8, 0x45, 6, 22
	if err := buf.Set(packet, &prog.Input{}); err != nil {
		t.Fatal(err)
	}
	return newInterpreter(t, m.CPU(0), l, o), buf
}

func BenchmarkInterpreter(b *testing.B) {
	for _, p := range []struct{ name, src string }{{"chain", chain}, {"filter", filter}, {"exit", "exit"}} {
		for _, o := range []struct {
			name string
			o    vm.InterpOptions
		}{{"plain", vm.InterpOptions{}}, {"checked", vm.InterpOptions{Checked: true}}} {
			b.Run(p.name+"/"+o.name, func(b *testing.B) {
				x, buf := newRun(b, p.src, o.o)
				var total uint64
				for b.Loop() {
					res, err := x.Run(buf.Ctx())
					if err != nil {
						b.Fatal(err)
					}
					total += res.Insns
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/insn")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func TestRunsAllocateNothing(t *testing.T) {
	for _, o := range []vm.InterpOptions{{}, {Checked: true}} {
		x, buf := newRun(t, filter, o)
		if n := testing.AllocsPerRun(100, func() {
			if res, err := x.Run(buf.Ctx()); err != nil || res.R0 != 2 || res.Insns != 22 {
				t.Fatal(res, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a run", x.Name(), n)
		}
		if n := testing.AllocsPerRun(100, func() {
			if _, err := x.RunBatch(buf.Ctx(), 0, 3); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a batch", x.Name(), n)
		}
	}
}
