package seccomp

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/cbpf"
)

// TestFilters reads testdata/filters.txt: programs, one after another with "--" between, the oldest first; then the calls
// that they judge, behind "@". What is said of each is the verdict, who decided, and the way through each filter, the
// newest first.
func TestFilters(t *testing.T) {
	for _, c := range cases(t, "testdata/filters.txt") {
		text, events, ok := strings.Cut(c.text, "\n@\n")
		require.True(t, ok, c.text)
		var s Stack
		for i, program := range strings.Split(text, "\n--\n") {
			f, err := Load(fmt.Sprintf("f%d", i), []byte(program), ProfileOptions{})
			require.NoError(t, err, program)
			require.NoError(t, s.Add(f))
		}
		var lines []string
		r := NewEventReader(strings.NewReader(events), EventOptions{})
		for {
			ev, err := r.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			v := s.Run(&ev.Data)
			line := fmt.Sprintf("%s %s by %d", ev.Name, v.Return, v.By)
			for _, step := range v.Steps {
				line += fmt.Sprintf(" %v", step.Path)
			}
			if v.Looked != 0 {
				line += fmt.Sprintf(" args %v", Args(v.Looked))
			}
			lines = append(lines, line)
		}
		c.check(t, strings.Join(lines, "\n"))
	}
	writeCases(t, "testdata/filters.txt")
}

// TestBadFilters reads testdata/badfilters.txt: programs that are no filters.
func TestBadFilters(t *testing.T) {
	for _, c := range cases(t, "testdata/badfilters.txt") {
		_, err := Load("bad", []byte(c.text), ProfileOptions{})
		require.Error(t, err, c.text)
		c.check(t, err.Error())
	}
	writeCases(t, "testdata/badfilters.txt")
}

func TestForms(t *testing.T) {
	text, err := os.ReadFile("testdata/example.json")
	require.NoError(t, err)
	f, err := Load("example", text, ProfileOptions{})
	require.NoError(t, err)
	for _, form := range []cbpf.Form{cbpf.Disasm, cbpf.CArray, cbpf.Decimal, cbpf.Comma, cbpf.Asm} {
		g, err := Load("again", []byte(f.Program.Text(form)), ProfileOptions{})
		require.NoError(t, err, "form %d", form)
		require.Equal(t, f.Program, g.Program, "form %d", form)
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		g, err := Load("raw", f.Program.Append(nil, order), ProfileOptions{})
		require.NoError(t, err)
		require.Equal(t, f.Program, g.Program)
	}
	_, err = Load("raw", f.Program.Append(nil, binary.LittleEndian)[:9], ProfileOptions{})
	require.ErrorContains(t, err, "cut off")
	_, err = Load("empty", nil, ProfileOptions{})
	require.Error(t, err)
}

// TestAlwaysAllow compares what the kernel would remember with runs: a call that is remembered is allowed whatever its
// arguments, and one of a filter that looks at no argument and only knows the instructions of the kernel's emulation is
// remembered if it is allowed.
func TestAlwaysAllow(t *testing.T) {
	text, err := os.ReadFile("testdata/example.json")
	require.NoError(t, err)
	f, err := Load("example", text, ProfileOptions{})
	require.NoError(t, err)
	other, err := Load("other", []byte("ld [0]\nand #0xff\njeq #3, no\nret #0x7fff0000\nno: ret #0x50001"), ProfileOptions{})
	require.NoError(t, err)
	computes, err := Load("computes", []byte("ld [0]\nadd #0\nret #0x7fff0000"), ProfileOptions{})
	require.NoError(t, err)
	withData, err := Load("data", []byte("ret #0x7fff0001"), ProfileOptions{})
	require.NoError(t, err)
	for _, s := range []Stack{{f}, {other}, {f, other}, {other, f}} {
		r := rand.New(rand.NewPCG(1, 2))
		n := 0
		for nr, always := range s.AlwaysAllow(X8664) {
			d := Data{NR: int32(nr), Arch: X8664.Audit}
			v := s.Run(&d)
			if !always {
				require.False(t, v.Return == Return(Allow) && v.Looked == 0, "call %d", nr)
				continue
			}
			n++
			for range 20 {
				for i := range d.Args {
					d.Args[i] = r.Uint64()
				}
				require.Equal(t, Return(Allow), s.Run(&d).Return, "call %d", nr)
			}
		}
		require.Greater(t, n, 5)
		require.Less(t, n, int(X8664.Count())-1)
	}
	for _, s := range []Stack{{computes}, {withData}, {other, computes}} {
		for nr, always := range s.AlwaysAllow(X8664) {
			require.Equal(t, nr == 335 || nr == 336, always, "call %d", nr)
		}
	}
}

// TestTable finds every answer of conditions on several arguments, on their halves and behind masks.
func TestTable(t *testing.T) {
	f, err := Load("table", []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
		{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 81985529216486895},
			{"index": 5, "op": "SCMP_CMP_GT", "value": 18446744073709551614}, {"index": 2, "op": "SCMP_CMP_NE", "value": 0}]},
		{"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 68719476752, "valueTwo": 68719476736}]},
		{"names": ["write"], "action": "SCMP_ACT_LOG"}]}`), ProfileOptions{})
	require.NoError(t, err)
	rows := Stack{f}.Table(X8664)
	require.Len(t, rows, int(X8664.Count()))
	require.Len(t, rows[0].Answers, 3)
	for _, a := range rows[0].Answers {
		d := Data{Arch: X8664.Audit, Args: a.Args}
		require.Equal(t, a.Return, f.Run(&d))
	}
	require.Equal(t, "write", rows[1].Name)
	require.Equal(t, Return(Log), rows[1].Answers[0].Return)
	require.Len(t, rows[2].Answers, 1)
	require.True(t, rows[2].Always)
	require.True(t, rows[1].Certain && rows[2].Certain)
	require.False(t, rows[0].Certain)
	require.False(t, rows[0].Always || rows[1].Always)
}

// TestSyscallTables holds the generated tables against the numbers of another source: the kernel's headers, where there are
// some.
func TestSyscallTables(t *testing.T) {
	for _, c := range []struct {
		arch string
		name string
		nr   int32
	}{{"x86_64", "file_setattr", 469}, {"x86_64", "uprobe", 336}, {"aarch64", "file_setattr", 469}, {"i386", "socketcall", 102}, {"x32", "execve", x32Bit | 520}} {
		a, err := ArchOf(c.arch)
		require.NoError(t, err)
		nr, ok := a.Number(c.name)
		require.True(t, ok)
		require.Equal(t, c.nr, nr)
		require.Equal(t, c.name, a.Syscall(nr))
	}
	for arch, header := range map[string]string{"x86_64": "unistd_64.h", "i386": "unistd_32.h", "x32": "unistd_x32.h"} {
		text, err := os.ReadFile(filepath.Join("/usr/include/x86_64-linux-gnu/asm", header))
		if err != nil {
			t.Logf("no %s here", header)
			continue
		}
		a, err := ArchOf(arch)
		require.NoError(t, err)
		n := 0
		for line := range strings.Lines(string(text)) {
			var name string
			var nr int32
			line = strings.NewReplacer("(__X32_SYSCALL_BIT + ", "", ")", "").Replace(line)
			if _, err := fmt.Sscanf(line, "#define __NR_%s %d", &name, &nr); err != nil {
				continue
			}
			got, ok := a.Number(name)
			require.True(t, ok && got == nr|int32(a.Bit), "%s %s: %d, the header says %d", arch, name, got, nr)
			n++
		}
		require.Greater(t, n, 300)
	}
}

func TestReturns(t *testing.T) {
	for r, want := range map[Return]string{0x80000000: "KILL_PROCESS", 0: "KILL_THREAD", 0x30007: "TRAP(7)", 0x50001: "ERRNO(EPERM)", 0x5ffff: "ERRNO(4095)",
		0x5000b: "ERRNO(EAGAIN)", 0x7fc00000: "USER_NOTIF", 0x7ff00003: "TRACE(3)", 0x7ffc0000: "LOG", 0x7fff0009: "ALLOW",
		0x7ffe0000: "KILL_PROCESS (unknown action 0x7ffe0000)", 0x12345678: "KILL_PROCESS (unknown action 0x12340000)"} {
		require.Equal(t, want, r.String())
	}
}

func FuzzLoad(f *testing.F) {
	for _, file := range []string{"testdata/filters.txt", "testdata/badfilters.txt", "testdata/badprofiles.txt"} {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		for block := range strings.SplitSeq(string(text), "\n\n") {
			f.Add([]byte(block))
		}
	}
	f.Add(cbpf.Program{{Op: opLoad}, {Op: opJeq, Jt: 1, K: 3}, {Op: opRet}, {Op: opRet, K: uint32(Allow)}}.Append(nil, binary.LittleEndian))
	f.Fuzz(func(t *testing.T, data []byte) {
		filter, err := Load("fuzz", data, ProfileOptions{})
		if err != nil {
			return
		}
		s := Stack{filter}
		d := Data{NR: 1, Arch: X8664.Audit, Args: [6]uint64{1, 2, 3, 4, 5, 6}}
		v := s.Run(&d)
		require.Equal(t, filter.Run(&d).Action(), v.Return.Action())
		require.GreaterOrEqual(t, filter.KernelLen(), len(filter.Program))
		if s.constAllow(&d) {
			require.Equal(t, Return(Allow), v.Return)
		}
	})
}
