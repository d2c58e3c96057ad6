package seccomp

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Arch is a system call convention: an architecture as struct seccomp_data has it, and the numbers of its calls.
type Arch struct {
	Name  string // as seccomp_data's users call it: x86_64, aarch64
	Audit uint32 // seccomp_data.arch (Linux: AUDIT_ARCH_ in include/uapi/linux/audit.h)
	Token string // in container profiles: SCMP_ARCH_X86_64
	Short string // in includes and excludes of Docker's profiles: amd64
	Bits  int    // of a register: 32 or 64
	Big   bool   // big-endian: the high half of a 64-bit argument comes first
	// Bit is set in every call number, to tell one convention from another with the same Audit.
	Bit uint32
	// Multiplex says that socketcall and ipc stand for several calls, by their first argument.
	Multiplex bool

	column int // of the table
}

// x32Bit tells the calls of x32 from those of x86_64 (Linux: __X32_SYSCALL_BIT).
const x32Bit = 0x40000000

// Arches are the conventions that have names here, in the order of the table's columns.
var Arches = columns(
	&Arch{Name: "x86_64", Audit: 0xc000003e, Token: "SCMP_ARCH_X86_64", Short: "amd64", Bits: 64},
	&Arch{Name: "i386", Audit: 0x40000003, Token: "SCMP_ARCH_X86", Short: "x86", Bits: 32, Multiplex: true},
	&Arch{Name: "x32", Audit: 0xc000003e, Token: "SCMP_ARCH_X32", Short: "x32", Bits: 64, Bit: x32Bit},
	&Arch{Name: "aarch64", Audit: 0xc00000b7, Token: "SCMP_ARCH_AARCH64", Short: "arm64", Bits: 64},
	&Arch{Name: "arm", Audit: 0x40000028, Token: "SCMP_ARCH_ARM", Short: "arm", Bits: 32},
	&Arch{Name: "riscv64", Audit: 0xc00000f3, Token: "SCMP_ARCH_RISCV64", Short: "riscv64", Bits: 64},
	&Arch{Name: "s390x", Audit: 0x80000016, Token: "SCMP_ARCH_S390X", Short: "s390x", Bits: 64, Big: true, Multiplex: true},
	&Arch{Name: "ppc64le", Audit: 0xc0000015, Token: "SCMP_ARCH_PPC64LE", Short: "ppc64le", Bits: 64, Multiplex: true},
	&Arch{Name: "loongarch64", Audit: 0xc0000102, Token: "SCMP_ARCH_LOONGARCH64", Short: "loong64", Bits: 64},
)

func columns(list ...*Arch) []*Arch {
	for i, a := range list {
		a.column = i
	}
	return list
}

// unlisted are architectures that profiles name and that have no numbers here.
var unlisted = []string{"SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64",
	"SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_S390", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64",
	"SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB"}

// X8664 is the convention of most machines.
var X8664 = Arches[0]

// otherNames are what Go and other tools call them.
var otherNames = map[string]string{"386": "i386", "x86": "i386", "x86-64": "x86_64", "loongarch": "loongarch64"}

// ArchOf finds a convention by its name, its short name or its token in profiles.
func ArchOf(name string) (*Arch, error) {
	if n, ok := otherNames[name]; ok {
		name = n
	}
	var known []string
	for _, a := range Arches {
		if a.Name == name || a.Short == name || a.Token == name {
			return a, nil
		}
		known = append(known, a.Name)
	}
	return nil, fmt.Errorf("unknown architecture %q: want one of %s", name, strings.Join(known, ", "))
}

// ArchFor finds the convention of a call by what seccomp_data says; nil when it has no name here.
func ArchFor(audit uint32, nr int32) *Arch {
	var found *Arch
	for _, a := range Arches {
		if a.Audit == audit && (found == nil || a.Bit != 0 && nr >= 0 && uint32(nr)&a.Bit != 0) {
			found = a
		}
	}
	return found
}

//go:embed syscalls.txt
var syscallText string

// syscallTable is syscalls.txt, made ready.
type syscallTable struct {
	number map[string][]int32 // by name; -1 where the architecture has no such call
	names  []map[int32]string // by column of the table
	counts []int32            // by column: one above the last number, without the arch's bit and private calls
}

// privateCalls is where calls begin that are outside of arm's table (__ARM_NR_BASE).
const privateCalls = 0xf0000

var syscalls = sync.OnceValue(func() *syscallTable {
	t := &syscallTable{number: map[string][]int32{}, names: make([]map[int32]string, len(Arches)), counts: make([]int32, len(Arches))}
	for i := range t.names {
		t.names[i] = map[int32]string{}
	}
	for line := range strings.Lines(syscallText) {
		if f := strings.Fields(line); f[0] != "#" && f[0] != "name" {
			t.row(f[0], f[1:])
		}
	}
	return t
})

func (t *syscallTable) row(name string, numbers []string) {
	row := make([]int32, len(Arches))
	for i, text := range numbers {
		row[i] = -1
		if text == "-" {
			continue
		}
		n := int32(mustNumber(text))
		row[i] = n
		t.names[i][n] = name
		if plain := n &^ int32(Arches[i].Bit); plain < privateCalls {
			t.counts[i] = max(t.counts[i], plain+1)
		}
	}
	t.number[name] = row
}

// Number returns the number of the call of a name; false when the architecture has none.
func (a *Arch) Number(name string) (int32, bool) {
	row, ok := syscalls().number[name]
	if !ok || row[a.column] < 0 {
		return 0, false
	}
	return row[a.column], true
}

// Syscall names the call with a number; "" when it is none that is known.
func (a *Arch) Syscall(nr int32) string { return syscalls().names[a.column][nr] }

// Count is one above the highest number of the architecture's table, without Bit.
func (a *Arch) Count() int32 {
	t := syscalls()
	return t.counts[a.column]
}

// KnownSyscall reports whether any architecture has a call of that name.
func KnownSyscall(name string) bool {
	_, ok := syscalls().number[name]
	return ok
}

// Syscalls are the names of the architecture's calls, sorted.
func (a *Arch) Syscalls() []string {
	var out []string
	t := syscalls()
	for _, name := range t.names[a.column] {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
