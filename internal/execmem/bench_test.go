package execmem_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/skepvm/skep/internal/execmem"
)

// BenchmarkLoad copies code, makes it executable and gives it back: what a short-lived program costs beside its compilation.
func BenchmarkLoad(b *testing.B) {
	for _, size := range []int{500, 5000, 50_000} {
		code := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := execmem.Load(code)
				if errors.Is(err, execmem.ErrUnsupported) {
					b.Skip(err)
				}
				if err != nil {
					b.Fatal(err)
				}
				if err := c.Free(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
