package helpers

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
)

// TestSocketOptions sets every option to many values, on sockets of this process and on described ones, and compares errors and what
// can be read afterwards: bpf_setsockopt of Linux ends in the function that setsockopt(2) calls. It needs root, for marks and priorities.
func TestSocketOptions(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("needs root: some options want CAP_NET_ADMIN")
	}
	if err := exec.Command(os.Args[0], "-test.run", "^$").Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("an emulator answers here, which does not know all options")
	}
	values := []int32{0, 1, 2, 3, 6, 7, 42, 87, 88, 100, 127, 128, 255, 256, 1000, 1151, 1152, 1153, 2304, 4608, 32767, 32768, 65536, 212992, 212993,
		1 << 20, 1<<31 - 1, -1, -2, -128, -1 << 31}
	sockets := []struct {
		family, typ int
		desc        Socket
	}{
		{unix.AF_INET, unix.SOCK_STREAM, Socket{Proto: ProtoTCP, Local: netip.MustParseAddrPort("0.0.0.0:0"), State: StateClose}},
		{unix.AF_INET6, unix.SOCK_STREAM, Socket{Proto: ProtoTCP, Local: netip.MustParseAddrPort("[::]:0"), State: StateClose}},
		{unix.AF_INET, unix.SOCK_DGRAM, Socket{Proto: ProtoUDP, Local: netip.MustParseAddrPort("0.0.0.0:0"), State: StateClose}},
	}
	s, err := mem.New(mem.Options{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if limits := readLimits(t); limits != [3]int{memMax, memMax, tcpRmemMax} {
		t.Skipf("limits of this machine's sockets are %v", limits)
	}
	compared := 0
	for _, sock := range sockets {
		for o := range optionRows {
			if o.level == solTCP && o.name >= tcpBPFIW || !sock.desc.allows(o.level) {
				continue // of programs alone; or another protocol's
			}
			fd, err := unix.Socket(sock.family, sock.typ, 0)
			if err != nil {
				t.Fatal(err)
			}
			table, err := NewSockets(s, []Socket{sock.desc})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if o == (option{solSocket, soBindToIfindex}) && v > 1 {
					continue // interfaces that there are not
				}
				theirs := unix.SetsockoptInt(fd, int(o.level), int(o.name), int(v))
				ours := table.setsockopt(&table.list[0], o, binary.LittleEndian.AppendUint32(nil, uint32(v)))
				if !sameErrno(theirs, ours) {
					t.Errorf("%+v on %v socket, set to %d: kernel %v, here %v", o, sock.desc.Proto, v, theirs, ours)
				}
				want, err := unix.GetsockoptInt(fd, int(o.level), int(o.name))
				got := make([]byte, 4)
				errno := table.list[0].getsockopt(o, got)
				if !sameErrno(err, errno) || theirs == nil && int32(want) != int32(binary.LittleEndian.Uint32(got)) {
					t.Errorf("%+v on %v socket, read after %d: kernel %d %v, here %d %v", o, sock.desc.Proto, v, want, err,
						int32(binary.LittleEndian.Uint32(got)), errno)
				}
				compared++
			}
			unix.Close(fd)
			s.Free(table.base)
		}
	}
	if compared < 500 {
		t.Errorf("only %d values compared", compared)
	}
}

// readLimits are the sysctls that bound options' values.
func readLimits(t *testing.T) (limits [3]int) {
	t.Helper()
	for i, name := range []string{"core/rmem_max", "core/wmem_max", "ipv4/tcp_rmem"} {
		text, err := os.ReadFile("/proc/sys/net/" + name)
		if err != nil {
			t.Skip(err)
		}
		words := strings.Fields(string(text))
		if limits[i], err = strconv.Atoi(words[len(words)-1]); err != nil {
			t.Fatal(err)
		}
	}
	return limits
}

func sameErrno(err error, errno maps.Errno) bool {
	var theirs unix.Errno
	if err == nil {
		return errno == 0
	}
	return errors.As(err, &theirs) && maps.Errno(theirs) == errno
}
