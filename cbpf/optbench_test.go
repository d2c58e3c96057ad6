package cbpf

import (
	"testing"

	"github.com/skepvm/skep/linktype"
)

// BenchmarkCompile is the whole way from text to program, and the optimiser's share of it.
func BenchmarkCompile(b *testing.B) {
	for _, f := range []string{"tcp dst port 22", "host 192.0.2.1 and tcp port 80 or 443", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not src and dst net 192.0.2.0/24"} {
		b.Run("all/"+f, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(f, linktype.Ethernet); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("plain/"+f, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (CompileOptions{NoOptimize: true}).Compile(f, linktype.Ethernet); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
