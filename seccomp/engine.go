package seccomp

import (
	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/prog"
)

// EBPF converts the filter to a program of type prog.Seccomp, whose ctx is what Data.Bytes writes.
func (f *Filter) EBPF(name string) (*prog.Program, error) {
	return f.Program.EBPF(cbpf.EBPFOptions{Mode: cbpf.Seccomp, Name: name})
}
