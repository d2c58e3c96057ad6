package verifier

import (
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// TestPacketStores: how far into a packet a program may store.
func TestPacketStores(t *testing.T) {
	const begin = `
		r6 = r1
		r2 = *(u32 *)(r1 + 0)
		r3 = *(u32 *)(r1 + 4)
		r4 = r2
		r4 += 100
		if r4 > r3 goto out
		`
	for _, tt := range []struct {
		text string
		want uint32
	}{
		{"r0 = *(u8 *)(r2 + 99)", 0},
		{"*(u8 *)(r2 + 0) = 1", 1},
		{"*(u64 *)(r2 + 16) = 1\n*(u8 *)(r2 + 3) = 1", 24},
		{"r5 = *(u8 *)(r2 + 0)\nr5 &= 15\nr2 += r5\nr4 = r2\nr4 += 8\nif r4 > r3 goto out\n*(u32 *)(r2 + 4) = 1", 23},
		// bpf_csum_diff reads.
		{"r1 = r2\nr2 = 8\nr3 = 0\nr4 = 0\nr5 = 0\ncall 28", 0},
	} {
		insns, err := asm.Parse(begin+tt.text+"\nout:\nr0 = 2\nexit", asm.ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p := &prog.Program{Name: "main", Type: prog.XDP, License: "GPL", Insns: insns}
		v, rejected := Verify(p, Options{})
		if rejected != nil {
			t.Errorf("%s: %v", strings.TrimSpace(tt.text), rejected)
			continue
		}
		if got := v.Proof().PacketStores; got != tt.want {
			t.Errorf("%s: stores to %d bytes, want %d", tt.text, got, tt.want)
		}
	}
}
