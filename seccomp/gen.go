//go:build ignore

// Gen writes the tables of this package: syscalls.txt, the numbers of system calls, and constants.txt, those of the
// names that strace prints. The numbers are the kernel's, from its headers by way of the tables in golang.org/x/sys of
// go.mod; what no table has is in this file. `go generate ./seccomp` after an update of that module.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// arches are the columns, with the names that golang.org/x/sys has for them; x32 has none there.
var arches = []struct{ name, goarch string }{
	{"x86_64", "amd64"}, {"i386", "386"}, {"x32", ""}, {"aarch64", "arm64"}, {"arm", "arm"},
	{"riscv64", "riscv64"}, {"s390x", "s390x"}, {"ppc64le", "ppc64le"}, {"loongarch64", "loong64"},
}

// not32 are the calls of x86_64 that x32 does not share, and own32 those that it has instead (Linux:
// arch/x86/entry/syscalls/syscall_64.tbl). All others have the number of x86_64 with x32Bit added.
const (
	x32Bit = 0x40000000
	not32  = `rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg setsockopt getsockopt execve ptrace
		rt_sigpending rt_sigtimedwait rt_sigqueueinfo sigaltstack uselib _sysctl create_module get_kernel_syms query_module
		nfsservctl set_thread_area io_setup io_submit get_thread_area epoll_ctl_old epoll_wait_old timer_create vserver
		mq_notify kexec_load waitid set_robust_list get_robust_list vmsplice move_pages preadv pwritev rt_tgsigqueueinfo
		recvmmsg sendmmsg process_vm_readv process_vm_writev execveat preadv2 pwritev2`
	own32 = `rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg execve ptrace rt_sigpending
		rt_sigtimedwait rt_sigqueueinfo sigaltstack timer_create mq_notify kexec_load waitid set_robust_list
		get_robust_list vmsplice move_pages preadv pwritev rt_tgsigqueueinfo recvmmsg sendmmsg process_vm_readv
		process_vm_writev setsockopt getsockopt io_setup io_submit execveat preadv2 pwritev2`
	own32First = 512
)

// private are the calls of arm that are outside of its table (arch/arm/include/uapi/asm/unistd.h).
var private = map[string]uint64{"breakpoint": 0xf0001, "cacheflush": 0xf0002, "usr26": 0xf0003, "usr32": 0xf0004, "set_tls": 0xf0005}

// families are the constants worth knowing: the arguments of system calls, by the beginnings of their names.
var families = strings.Fields(`AF_ AT_ BPF_ CAP_ CLOCK_ CLONE_ E EFD_ EPOLL_ F_ FALLOC_FL_ FAN_ FD_ FUTEX_ GRND_ IN_ IPPROTO_ ITIMER_ KEYCTL_
	LANDLOCK_ LOCK_ MADV_ MAP_ MCL_ MFD_ MLOCK_ MNT_ MOUNT_ MPOL_ MREMAP_ MS_ MSG_ O_ P_ PERF_ PF_ PRIO_ PROT_ PR_ PTRACE_ RENAME_
	RLIMIT_ RUSAGE_ RWF_ R_OK S_I SCHED_ SECCOMP_ SEEK_ SFD_ SHUT_ SIG SIOC SO_ SOCK_ SOL_ SPLICE_F_ STATX_ SYNC_FILE_ TC TCP_ TFD_ TIMER_
	TIO UMOUNT_ W_OK WALL WCLONE WCONTINUED WEXITED WNOHANG WNOWAIT WSTOPPED WUNTRACED XATTR_ X_OK IP_ IPV6_ FS_IOC FIO FICLONE BLK POLL EV_ RT_`)

// extra are names that strace prints and the module lacks, or has as C libraries see them (uapi headers).
var extra = map[string]map[string]uint64{
	"": {
		"FUTEX_WAIT": 0, "FUTEX_WAKE": 1, "FUTEX_FD": 2, "FUTEX_REQUEUE": 3, "FUTEX_CMP_REQUEUE": 4, "FUTEX_WAKE_OP": 5,
		"FUTEX_LOCK_PI": 6, "FUTEX_UNLOCK_PI": 7, "FUTEX_TRYLOCK_PI": 8, "FUTEX_WAIT_BITSET": 9, "FUTEX_WAKE_BITSET": 10,
		"FUTEX_WAIT_REQUEUE_PI": 11, "FUTEX_CMP_REQUEUE_PI": 12, "FUTEX_LOCK_PI2": 13, "FUTEX_PRIVATE_FLAG": 128,
		"FUTEX_CLOCK_REALTIME": 256, "FUTEX_WAIT_PRIVATE": 128, "FUTEX_WAKE_PRIVATE": 129, "FUTEX_REQUEUE_PRIVATE": 131,
		"FUTEX_CMP_REQUEUE_PRIVATE": 132, "FUTEX_WAKE_OP_PRIVATE": 133, "FUTEX_LOCK_PI_PRIVATE": 134,
		"FUTEX_UNLOCK_PI_PRIVATE": 135, "FUTEX_TRYLOCK_PI_PRIVATE": 136, "FUTEX_WAIT_BITSET_PRIVATE": 137,
		"FUTEX_WAKE_BITSET_PRIVATE": 138, "FUTEX_BITSET_MATCH_ANY": 0xffffffff,
		"NULL": 0, "R_OK": 4, "W_OK": 2, "X_OK": 1, "ARCH_SET_GS": 0x1001, "ARCH_SET_FS": 0x1002, "ARCH_GET_FS": 0x1003,
		"ARCH_GET_GS": 0x1004, "ARCH_CET_STATUS": 0x3001, "O_RDWR": 2, "SIG_SETMASK": 2, "MAP_FILE": 0, "GRND_RANDOM": 2,
		"AT_FDCWD": 0xffffff9c, "RSEQ_FLAG_UNREGISTER": 1, "SHM_RDONLY": 0o10000, "IPC_CREAT": 0o1000, "IPC_EXCL": 0o2000,
		"IPC_NOWAIT": 0o4000, "IPC_PRIVATE": 0, "IPC_RMID": 0, "IPC_SET": 1, "IPC_STAT": 2, "MEMBARRIER_CMD_QUERY": 0,
		"_IOC_NONE": 0, "_IOC_WRITE": 1, "_IOC_READ": 2,
		"PER_LINUX": 0, "PER_LINUX32": 8, "ADDR_NO_RANDOMIZE": 0x40000, "LINUX_REBOOT_MAGIC1": 0xfee1dead,
	},
	"x86_64": {"O_LARGEFILE": 0x8000}, "i386": {"O_LARGEFILE": 0x8000}, "riscv64": {"O_LARGEFILE": 0x8000},
	"s390x": {"O_LARGEFILE": 0x8000}, "loongarch64": {"O_LARGEFILE": 0x8000}, "ppc64le": {"O_LARGEFILE": 0x10000},
	"aarch64": {"O_LARGEFILE": 0x20000}, "arm": {"O_LARGEFILE": 0x20000},
}

// elsewhere are constants that begin as a family of arguments does, and are none.
var elsewhere = strings.Fields("E_ EI_ EM_ ENCODING ETH ELF EXT EROFS ECRYPT EFS EFIVARFS EXFAT EXABYTE EXTA EXTB ECHO EVENT")

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// write writes the tables into the directory that is given, or this one.
func write(args []string) error {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", "golang.org/x/sys").Output()
	if err != nil {
		return err
	}
	where := strings.Fields(string(out))
	dir := "."
	if len(args) > 0 {
		dir = args[0]
	}
	head := fmt.Sprintf("# From golang.org/x/sys %s by gen.go; see there.\n", where[1])
	calls, err := numbers(filepath.Join(where[0], "unix"))
	if err != nil {
		return err
	}
	names, err := constants(filepath.Join(where[0], "unix"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "syscalls.txt"), []byte(head+calls), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "constants.txt"), []byte(head+names), 0o644)
}

// numbers makes one line for each name, with a number or "-" for each architecture.
func numbers(dir string) (string, error) {
	table := map[string]map[string]uint64{} // architecture, name
	for _, a := range arches {
		if a.goarch == "" {
			continue
		}
		t := map[string]uint64{}
		err := consts(filepath.Join(dir, "zsysnum_linux_"+a.goarch+".go"), func(name string, value uint64) {
			if name = strings.ToLower(strings.TrimPrefix(name, "SYS_")); name != "arch_specific_syscall" && name != "syscall_mask" {
				t[name] = value
			}
		})
		if err != nil {
			return "", err
		}
		table[a.name] = t
	}
	maps.Copy(table["arm"], private)
	table["x32"] = x32(table["x86_64"])
	all := map[string]bool{}
	for _, t := range table {
		for name := range t {
			all[name] = true
		}
	}
	var b strings.Builder
	b.WriteString("name")
	for _, a := range arches {
		b.WriteString(" " + a.name)
	}
	b.WriteString("\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.WriteString(name)
		for _, a := range arches {
			if n, ok := table[a.name][name]; ok {
				fmt.Fprintf(&b, " %d", n)
			} else {
				b.WriteString(" -")
			}
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

func x32(x86 map[string]uint64) map[string]uint64 {
	t := map[string]uint64{}
	for name, n := range x86 {
		if !slices.Contains(strings.Fields(not32), name) {
			t[name] = n | x32Bit
		}
	}
	for i, name := range strings.Fields(own32) {
		t[name] = uint64(own32First+i) | x32Bit
	}
	return t
}

// constants makes one line for each name: the number, or the numbers of architectures that have others.
func constants(dir string) (string, error) {
	table := map[string]map[string]uint64{} // name, architecture; "" is all
	set := func(arch string) func(string, uint64) {
		return func(name string, value uint64) {
			if table[name] == nil {
				table[name] = map[string]uint64{}
			}
			table[name][arch] = value
		}
	}
	files := map[string]string{"zerrors_linux.go": "", "ztypes_linux.go": ""}
	for _, a := range arches {
		if a.goarch != "" {
			files["zerrors_linux_"+a.goarch+".go"] = a.name
			files["ztypes_linux_"+a.goarch+".go"] = a.name
		}
	}
	for file, arch := range files {
		add := set(arch)
		err := consts(filepath.Join(dir, file), func(name string, value uint64) {
			if wanted(name) {
				add(name, value)
			}
		})
		if err != nil {
			return "", err
		}
	}
	for arch, list := range extra {
		add := set(arch)
		for name, value := range list {
			add(name, value)
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(table)) {
		b.WriteString(name + perArch(table[name]) + "\n")
	}
	return b.String(), nil
}

// perArch writes what most architectures have first, then the others by name.
func perArch(values map[string]uint64) string {
	counts := map[uint64]int{}
	for _, v := range values {
		counts[v]++
	}
	most, ok := values[""]
	if !ok {
		for v, n := range counts {
			if n > counts[most] || n == counts[most] && v < most {
				most = v
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, " %#x", most)
	for _, a := range arches {
		v, ok := values[a.name]
		if ok && v != most {
			fmt.Fprintf(&b, " %s=%#x", a.name, v)
		}
	}
	return b.String()
}

func wanted(name string) bool {
	begins := func(p string) bool { return strings.HasPrefix(name, p) }
	return name == strings.ToUpper(name) && slices.ContainsFunc(families, begins) && !slices.ContainsFunc(elsewhere, begins)
}

// consts gives the names and values of a file's constants that are plain numbers, signals and errors among them.
func consts(file string, each func(string, uint64)) error {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		return err
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if len(v.Values) != 1 {
				continue
			}
			if n, ok := number(v.Values[0]); ok {
				each(v.Names[0].Name, n)
			}
		}
	}
	return nil
}

func number(e ast.Expr) (uint64, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseUint(e.Value, 0, 64)
		return n, err == nil
	case *ast.UnaryExpr:
		n, ok := number(e.X)
		return uint64(uint32(-n)), ok && e.Op == token.SUB // an int, as a C library leaves it in a register
	case *ast.CallExpr: // syscall.Errno(0x1)
		if len(e.Args) == 1 {
			return number(e.Args[0])
		}
	}
	return 0, false
}
