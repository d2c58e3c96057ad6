package object

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
)

// defaultKernel is what LINUX_KERNEL_VERSION says when Options.Kernel doesn't.
var defaultKernel = kver.V(6, 18)

// builtinKconfig are the values that every object may have: the virtual ones of libbpf, and what x86-64's default
// configuration says of the clock.
func (l *loader) builtinKconfig(name string) (string, bool) {
	switch name {
	case "LINUX_KERNEL_VERSION": // KERNEL_VERSION(major, minor, 0)
		k := l.opts.Kernel
		if k == (kver.Version{}) {
			k = defaultKernel
		}
		return strconv.Itoa(int(k.Major)<<16 | int(k.Minor)<<8), true
	case "LINUX_HAS_BPF_COOKIE", "LINUX_HAS_SYSCALL_WRAPPER":
		return "y", true
	case "CONFIG_HZ":
		return "1000", true
	}
	return "", false
}

// readKconfig makes the map of "extern … __kconfig" variables, whose section exists in BTF alone.
func (l *loader) readKconfig() {
	ds, ok := typeNamed[*btf.Datasec](l, ".kconfig")
	if !ok || ds.Size == 0 || ds.Size > MaxData {
		return
	}
	spec := newSpec(ds.Name)
	spec.Type, spec.KeySize, spec.ValueSize, spec.MaxEntries = maps.Array, 4, ds.Size, 1
	spec.DataSection, spec.Frozen, spec.Flags = true, true, maps.ReadOnlyProg
	l.layouts.section(spec, ds)
	value := make([]byte, ds.Size)
	for _, vsi := range ds.Vars {
		v, ok := vsi.Type.(*btf.Var)
		if !ok {
			continue
		}
		l.kconfigAt[v.Name] = vsi.Offset
		if err := l.setKconfig(v, value, vsi.Offset); err != nil {
			spec.Broken = cmp.Or(spec.Broken, fmt.Sprintf("kernel configuration value %q: %v", v.Name, err))
		}
	}
	spec.Contents = []maps.Entry{{Key: make([]byte, 4), Value: value}}
	l.kconfig = &mapDef{spec: spec}
	l.addMap(l.kconfig)
}

// setKconfig writes the value of v at off. A weak variable that nobody knows is 0.
func (l *loader) setKconfig(v *btf.Var, value []byte, off uint32) error {
	text, ok := l.opts.Kconfig[v.Name]
	if !ok {
		text, ok = l.builtinKconfig(v.Name)
	}
	if !ok {
		if l.weak[v.Name] {
			return nil
		}
		return fmt.Errorf("not known: give it, or declare it __weak")
	}
	size, err := sizeof(v.Type)
	if err != nil || uint64(off)+uint64(size) > uint64(len(value)) {
		return fmt.Errorf("its type has no size")
	}
	return encodeKconfig(value[off:][:size], btf.UnderlyingType(v.Type), text)
}

// tristate are the values of libbpf's enum libbpf_tristate.
var tristate = map[string]uint64{"n": 0, "y": 1, "m": 2}

func encodeKconfig(to []byte, t btf.Type, text string) error {
	switch t := t.(type) {
	case *btf.Array:
		s, err := strconv.Unquote(text)
		if err != nil || !strings.HasPrefix(text, `"`) {
			return fmt.Errorf("%s is no string in double quotes", text)
		}
		if len(s) >= len(to) {
			return fmt.Errorf("%s does not fit %d bytes", text, len(to))
		}
		copy(to, s)
		return nil
	case *btf.Enum:
		n, ok := tristate[text]
		if !ok {
			return fmt.Errorf("%s is none of y, n, m", text)
		}
		return putUint(to, n)
	case *btf.Int:
		n, isTristate := tristate[text]
		switch {
		case t.Encoding == btf.Bool && (!isTristate || n > 1):
			return fmt.Errorf("%s is neither y nor n", text)
		case t.Encoding == btf.Bool:
			return putUint(to, n)
		case isTristate && t.Name == "char":
			return putUint(to, uint64(text[0]))
		case isTristate:
			return putUint(to, n)
		}
		return encodeNumber(to, t, text)
	}
	return fmt.Errorf("its type cannot hold a value")
}

func encodeNumber(to []byte, t *btf.Int, text string) error {
	bits := len(to) * 8
	if t.Encoding == btf.Signed {
		n, err := strconv.ParseInt(text, 0, min(bits, 64))
		if err != nil {
			return fmt.Errorf("%s is no number of %d bits", text, bits)
		}
		return putUint(to, uint64(n))
	}
	n, err := strconv.ParseUint(text, 0, min(bits, 64))
	if err != nil {
		return fmt.Errorf("%s is no number of %d bits", text, bits)
	}
	return putUint(to, n)
}

// putUint stores the low bytes of n.
func putUint(to []byte, n uint64) error {
	if len(to) > 8 {
		return fmt.Errorf("its type has %d bytes", len(to))
	}
	var b [8]byte
	le.PutUint64(b[:], n)
	copy(to, b[:])
	return nil
}
