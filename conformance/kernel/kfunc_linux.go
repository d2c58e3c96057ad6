package kernel

import (
	"fmt"
	"sync"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// kernelTypes is the running kernel's type information.
var kernelTypes = sync.OnceValues(btf.LoadKernelSpec)

// resolveKfunc puts the kernel's number of a function where the program has its own. What the kernel does not have becomes
// 0 where the program can do without: as libbpf leaves it.
func resolveKfunc(p *prog.Program, in *asm.Insn) error {
	k, ok := p.Kfunc(in.Imm)
	if !ok {
		return nil
	}
	types, err := kernelTypes()
	if err != nil {
		return err
	}
	var f *btf.Func
	if err := types.TypeByName(k.Name, &f); err != nil {
		if !k.Weak {
			return fmt.Errorf("kernel function %s: %w", k.Name, err)
		}
		in.Src, in.Imm = 0, 0
		return nil
	}
	id, err := types.TypeID(f)
	in.Imm = int32(id)
	return err
}

// Release is the running kernel's release: "6.18.44".
func Release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
