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
	id, err := kfuncID(k.Name)
	switch {
	case err == nil:
		in.Imm = id
	case k.Weak:
		in.Src, in.Imm = 0, 0
	default:
		return fmt.Errorf("kernel function %s: %w", k.Name, err)
	}
	return nil
}

// kfuncIDs keeps the numbers that were looked up.
var kfuncIDs sync.Map

// kfuncID is the running kernel's number of a function.
func kfuncID(name string) (int32, error) {
	if id, ok := kfuncIDs.Load(name); ok {
		return id.(int32), nil
	}
	types, err := kernelTypes()
	if err != nil {
		return 0, err
	}
	var f *btf.Func
	if err := types.TypeByName(name, &f); err != nil {
		return 0, err
	}
	id, err := types.TypeID(f)
	if err == nil {
		kfuncIDs.Store(name, int32(id))
	}
	return int32(id), err
}

// Release is the running kernel's release: "6.18.44".
func Release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
