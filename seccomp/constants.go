package seccomp

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

//go:embed constants.txt
var constantText string

// constant is a name's value: on most architectures, and on those where it has another.
type constant struct {
	value uint64
	other map[string]uint64
}

type constantTable struct {
	names  map[string]constant
	errnos map[uint64]string
}

var constants = sync.OnceValue(func() *constantTable {
	t := &constantTable{names: map[string]constant{}, errnos: map[uint64]string{}}
	for line := range strings.Lines(constantText) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		c := constant{value: mustNumber(f[1])}
		for _, text := range f[2:] {
			arch, value, _ := strings.Cut(text, "=")
			if c.other == nil {
				c.other = map[string]uint64{}
			}
			c.other[arch] = mustNumber(value)
		}
		t.names[f[0]] = c
		if isErrno(f[0]) {
			t.errnos[c.value] = f[0]
		}
	}
	// names that came first, of errors that have two
	t.errnos[11], t.errnos[35], t.errnos[95] = "EAGAIN", "EDEADLK", "EOPNOTSUPP"
	return t
})

// isErrno tells errors from the flags that begin with an E.
func isErrno(name string) bool {
	return name[0] == 'E' && !strings.Contains(name, "_") && !strings.HasPrefix(name, "EPOLL")
}

// mustNumber reads a number of a table of ours.
func mustNumber(s string) uint64 {
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		panic("seccomp: " + err.Error())
	}
	return n
}

// Constant is the value of a name such as O_RDONLY on an architecture.
func (a *Arch) Constant(name string) (uint64, bool) {
	c, ok := constants().names[name]
	if v, differs := c.other[a.base()]; differs {
		return v, true
	}
	return c.value, ok
}

// base is the architecture whose headers the convention uses.
func (a *Arch) base() string {
	if a.Bit == x32Bit {
		return X8664.Name
	}
	return a.Name
}
