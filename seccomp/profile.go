package seccomp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ProfileOptions say for which machine and which process a container profile is meant.
type ProfileOptions struct {
	Arch *Arch    // native convention; nil is x86_64
	Caps []string // capabilities of the process, for includes and excludes: CAP_SYS_ADMIN
	// Kernel is the release, for includes and excludes by minKernel; zero is one that has everything.
	Kernel Release
	// BadArch is the answer to calls of architectures that the profile does not name; the zero value is KILL_THREAD,
	// libseccomp's.
	BadArch Return
}

// Release is a version of the kernel, as far as profiles ask for it.
type Release struct{ Major, Minor int }

// Before reports whether r is older than o. The zero value is older than nothing.
func (r Release) Before(o Release) bool {
	return r != Release{} && (r.Major < o.Major || r.Major == o.Major && r.Minor < o.Minor)
}

// ParseRelease reads "4.8" or "6.18.3".
func ParseRelease(s string) (Release, error) {
	var r Release
	parts := strings.SplitN(s, ".", 3)
	if len(parts) >= 2 {
		major, err1 := strconv.ParseUint(parts[0], 10, 16)
		minor, err2 := strconv.ParseUint(parts[1], 10, 16)
		if err1 == nil && err2 == nil {
			return Release{int(major), int(minor)}, nil
		}
	}
	return r, fmt.Errorf("%q is no kernel version such as 4.8", s)
}

// Profile is a container profile (OCI runtime specification, linux.seccomp; also in Docker's form with archMap,
// includes and excludes) as it applies to one machine and process.
type Profile struct {
	Default Return
	Arches  []*Arch // native first
	BadArch Return
	Entries []Entry
	Notes   []string // what was left out or means less than it says
}

// Entry is one element of a profile's syscalls.
type Entry struct {
	Names []string
	Ret   Return
	Args  []Cond // all must hold; nil is any
}

// Op compares an argument.
type Op uint8

// The operations, SCMP_CMP_ in profiles. They compare without sign.
const (
	NE Op = iota
	LT
	LE
	EQ
	GE
	GT
	MaskedEQ // arg & Value == Value2 & Value
)

var opNames = []string{"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"}

// Cond is a condition on an argument.
type Cond struct {
	Arg    int // 0 to 5
	Op     Op
	Value  uint64
	Value2 uint64
}

// profileReader turns nodes into a Profile.
type profileReader struct {
	text []byte
	o    ProfileOptions
	p    *Profile
}

// Known keys; others are noted, as runtimes pass over them.
var (
	profileKeys = []string{"defaultAction", "defaultErrnoRet", "architectures", "archMap", "syscalls", "flags", "listenerPath", "listenerMetadata"}
	entryKeys   = []string{"name", "names", "action", "errnoRet", "args", "includes", "excludes", "comment"}
	argKeys     = []string{"index", "value", "valueTwo", "op"}
	mapKeys     = []string{"architecture", "subArchitectures"}
	filterKeys  = []string{"caps", "arches", "minKernel"}
)

// ParseProfile reads a profile. The error is an *Error with line and column.
func ParseProfile(text []byte, o ProfileOptions) (*Profile, error) {
	if o.Arch == nil {
		o.Arch = X8664
	}
	root, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	r := &profileReader{text: text, o: o, p: &Profile{BadArch: o.BadArch, Arches: []*Arch{o.Arch}}}
	if err := r.profile(root); err != nil {
		return nil, err
	}
	return r.p, nil
}

func (r *profileReader) fail(n *node, format string, args ...any) error {
	return errorAt(r.text, n.off, format, args...)
}

func (r *profileReader) note(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(r.p.Notes, s) {
		r.p.Notes = append(r.p.Notes, s)
	}
}

// object checks that n is one, and notes keys that mean nothing.
func (r *profileReader) object(n *node, known []string) error {
	if n.fields == nil {
		return r.fail(n, "want an object, found %s", n.kind())
	}
	for _, key := range n.keys {
		if !slices.Contains(known, key) {
			at := errorAt(r.text, n.fields[key].off, "")
			r.note("line %d: %q means nothing here and is passed over", at.Line, key)
		}
	}
	return nil
}

func (r *profileReader) str(n *node) (string, error) {
	s, ok := n.value.(string)
	if !ok {
		return "", r.fail(n, "want a string, found %s", n.kind())
	}
	return s, nil
}

// strings reads an array of strings; a missing one is empty.
func (r *profileReader) strings(n *node) (out []string, err error) {
	items, err := r.items(n)
	for _, item := range items {
		s, err := r.str(item)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, err
}

func (r *profileReader) items(n *node) ([]*node, error) {
	if n.null() {
		return nil, nil
	}
	if !n.isList {
		return nil, r.fail(n, "want an array, found %s", n.kind())
	}
	return n.list, nil
}

func (r *profileReader) profile(n *node) error {
	if err := r.object(n, profileKeys); err != nil {
		return err
	}
	if n.fields["defaultAction"].null() {
		return r.fail(n, "no defaultAction")
	}
	var err error
	if r.p.Default, err = r.action(n.fields["defaultAction"], n.fields["defaultErrnoRet"]); err != nil {
		return err
	}
	if err := r.arches(n); err != nil {
		return err
	}
	if !n.fields["flags"].null() {
		r.note("flags are for the call that installs a filter; they change no verdict")
	}
	entries, err := r.items(n.fields["syscalls"])
	for _, e := range entries {
		if err := r.entry(e); err != nil {
			return err
		}
	}
	return err
}

// action reads an action and the value that goes with it. Without one, errors and tracers get EPERM, as libseccomp's
// users have it.
func (r *profileReader) action(n, errno *node) (Return, error) {
	name, err := r.str(n)
	if err != nil {
		return 0, err
	}
	a, takes, err := parseAction(name)
	switch {
	case err != nil:
		return 0, r.fail(n, "%v", err)
	case errno.null() && takes:
		return Return(a) | 1, nil
	case errno.null():
		return Return(a), nil
	case !takes:
		return 0, r.fail(errno, "%s takes no errno", name)
	}
	limit := uint64(maxErrno)
	if a == Trace {
		limit = 0xffff
	}
	v, err := errno.uint(limit)
	if err != nil {
		return 0, r.fail(errno, "%v", err)
	}
	return Return(a) | Return(v), nil
}

// arches reads architectures, or archMap, of which the native one's entry counts.
func (r *profileReader) arches(n *node) error {
	list, err := r.items(n.fields["architectures"])
	if err != nil {
		return err
	}
	entries, err := r.items(n.fields["archMap"])
	if err != nil {
		return err
	}
	if len(list) > 0 && len(entries) > 0 {
		return r.fail(n.fields["archMap"], "both architectures and archMap")
	}
	for _, e := range entries {
		if err := r.object(e, mapKeys); err != nil {
			return err
		}
		if e.fields["architecture"].null() {
			return r.fail(e, "no architecture")
		}
		a, err := r.arch(e.fields["architecture"])
		if err != nil {
			return err
		}
		sub, err := r.items(e.fields["subArchitectures"])
		if err != nil {
			return err
		}
		if a == r.o.Arch {
			list = sub
		}
	}
	for _, item := range list {
		a, err := r.arch(item)
		if err != nil {
			return err
		}
		switch {
		case a == nil:
			r.note("%s has no table here: its calls are treated as those of an architecture that is not listed", item.value)
		case !slices.Contains(r.p.Arches, a):
			r.p.Arches = append(r.p.Arches, a)
		}
	}
	return nil
}

// arch finds an architecture by its token; nil when it is one that there are no numbers of here.
func (r *profileReader) arch(n *node) (*Arch, error) {
	token, err := r.str(n)
	if err != nil {
		return nil, err
	}
	for _, a := range Arches {
		if a.Token == token {
			return a, nil
		}
	}
	if !slices.Contains(unlisted, token) {
		return nil, r.fail(n, "unknown architecture %q", token)
	}
	return nil, nil
}

// entry reads one element of syscalls, and keeps it when it is meant for this machine and process.
func (r *profileReader) entry(n *node) error {
	if err := r.object(n, entryKeys); err != nil {
		return err
	}
	var e Entry
	var err error
	if e.Names, err = r.strings(n.fields["names"]); err != nil {
		return err
	}
	if one := n.fields["name"]; !one.null() {
		if len(e.Names) > 0 {
			return r.fail(one, "both name and names")
		}
		name, err := r.str(one)
		if err != nil {
			return err
		}
		e.Names = []string{name}
	}
	switch {
	case len(e.Names) == 0:
		return r.fail(n, "no names")
	case n.fields["action"].null():
		return r.fail(n, "no action")
	}
	if e.Ret, err = r.action(n.fields["action"], n.fields["errnoRet"]); err != nil {
		return err
	}
	if e.Args, err = r.conds(n.fields["args"]); err != nil {
		return err
	}
	in, err := r.applies(n.fields["includes"], n.fields["excludes"])
	if err != nil || !in {
		return err
	}
	r.p.Entries = append(r.p.Entries, r.split(e)...)
	return nil
}

// split makes an entry for each condition where one argument has several: libseccomp cannot compare an argument twice
// in one rule, and runtimes then take the conditions as alternatives.
func (r *profileReader) split(e Entry) []Entry {
	seen := [6]bool{}
	twice := false
	for _, c := range e.Args {
		twice = twice || seen[c.Arg]
		seen[c.Arg] = true
	}
	if !twice {
		return []Entry{e}
	}
	r.note("%s: an argument is compared more than once in one entry: the conditions are alternatives, as in runc", e.Names[0])
	var out []Entry
	for _, c := range e.Args {
		out = append(out, Entry{e.Names, e.Ret, []Cond{c}})
	}
	return out
}

func (r *profileReader) conds(n *node) (out []Cond, err error) {
	items, err := r.items(n)
	for _, item := range items {
		c, err := r.cond(item)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, err
}

func (r *profileReader) cond(n *node) (c Cond, err error) {
	if err := r.object(n, argKeys); err != nil {
		return c, err
	}
	for _, f := range []struct {
		name string
		max  uint64
		set  func(uint64)
		must bool
	}{
		{"index", 5, func(v uint64) { c.Arg = int(v) }, true},
		{"value", 1<<64 - 1, func(v uint64) { c.Value = v }, true},
		{"valueTwo", 1<<64 - 1, func(v uint64) { c.Value2 = v }, false},
	} {
		field := n.fields[f.name]
		if field.null() {
			if f.must {
				return c, r.fail(n, "no %s", f.name)
			}
			continue
		}
		v, err := field.uint(f.max)
		if err != nil {
			return c, r.fail(field, "%s: %v", f.name, err)
		}
		f.set(v)
	}
	if n.fields["op"].null() {
		return c, r.fail(n, "no op")
	}
	name, err := r.str(n.fields["op"])
	if err != nil {
		return c, err
	}
	op := slices.Index(opNames, name)
	if op < 0 {
		return c, r.fail(n.fields["op"], "unknown op %q: want one of %s", name, strings.Join(opNames, ", "))
	}
	c.Op = Op(op)
	return c, nil
}

// selector is what includes and excludes hold.
type selector struct {
	caps, arches []string
	kernel       *Release
}

func (r *profileReader) selector(n *node) (s selector, err error) {
	if n.null() {
		return s, nil
	}
	if err := r.object(n, filterKeys); err != nil {
		return s, err
	}
	if s.caps, err = r.strings(n.fields["caps"]); err != nil {
		return s, err
	}
	if s.arches, err = r.strings(n.fields["arches"]); err != nil {
		return s, err
	}
	if k := n.fields["minKernel"]; !k.null() {
		text, err := r.str(k)
		if err != nil {
			return s, err
		}
		release, err := ParseRelease(text)
		if err != nil {
			return s, r.fail(k, "%v", err)
		}
		s.kernel = &release
	}
	return s, nil
}

// applies says whether an entry is meant: every part of includes must hold, and none of excludes (moby's profiles).
func (r *profileReader) applies(includes, excludes *node) (bool, error) {
	in, err := r.selector(includes)
	if err != nil {
		return false, err
	}
	out, err := r.selector(excludes)
	if err != nil {
		return false, err
	}
	has := func(c string) bool { return slices.Contains(r.o.Caps, c) }
	here := func(a string) bool { return a == r.o.Arch.Short || a == r.o.Arch.Name || a == r.o.Arch.Token }
	lacks := func(c string) bool { return !has(c) }
	switch {
	case slices.ContainsFunc(out.arches, here), slices.ContainsFunc(out.caps, has):
		return false, nil
	case out.kernel != nil && !r.o.Kernel.Before(*out.kernel):
		return false, nil
	case len(in.arches) > 0 && !slices.ContainsFunc(in.arches, here), slices.ContainsFunc(in.caps, lacks):
		return false, nil
	}
	return in.kernel == nil || !r.o.Kernel.Before(*in.kernel), nil
}
