package tracing

// Arch is an architecture's struct pt_regs, as kprobe programs see it. (Linux: arch/*/include/asm/ptrace.h.)
type Arch struct {
	Name string
	Size int
	regs map[string]int // offsets of 8-byte registers
}

// X86 and ARM64 are the architectures that are known.
var (
	X86 = &Arch{Name: "x86_64", Size: 168, regs: map[string]int{"r15": 0, "r14": 8, "r13": 16, "r12": 24, "bp": 32, "bx": 40, "r11": 48,
		"r10": 56, "r9": 64, "r8": 72, "ax": 80, "cx": 88, "dx": 96, "si": 104, "di": 112, "orig_ax": 120, "ip": 128, "cs": 136,
		"flags": 144, "sp": 152, "ss": 160}}
	ARM64 = &Arch{Name: "arm64", Size: 336, regs: arm64Regs()}
)

func arm64Regs() map[string]int {
	const names = 31
	regs := map[string]int{"sp": 8 * names, "pc": 8*names + 8, "pstate": 8*names + 16, "orig_x0": 8*names + 24}
	for i := range names {
		regs["x"+itoa(i)] = 8 * i
	}
	return regs
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return string(rune('0'+i/10)) + string(rune('0'+i%10))
}

// params are where the calling convention has a function's first parameters: "arg1" and so on; "ret" is what it returned.
var params = map[*Arch]map[string]string{
	X86: {"arg1": "di", "arg2": "si", "arg3": "dx", "arg4": "cx", "arg5": "r8", "arg6": "r9", "ret": "ax"},
	ARM64: {"arg1": "x0", "arg2": "x1", "arg3": "x2", "arg4": "x3", "arg5": "x4", "arg6": "x5", "arg7": "x6", "arg8": "x7",
		"ret": "x0"},
}

// ArchOf finds an architecture by name; false when it is not known.
func ArchOf(name string) (*Arch, bool) {
	switch name {
	case "x86_64", "amd64", "x86":
		return X86, true
	case "arm64", "aarch64":
		return ARM64, true
	}
	return nil, false
}

// offset finds a register, or a parameter by the calling convention.
func (a *Arch) offset(name string) (int, bool) {
	if reg, ok := params[a][name]; ok {
		name = reg
	}
	off, ok := a.regs[name]
	return off, ok
}
