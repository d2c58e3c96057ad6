package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/replay"
)

// chainFlags name the programs of a chain.
type chainFlags struct {
	xdp, tc, egress []string
	versions        map[string]string // files to load instead of those that the flags name
}

func (f *chainFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.xdp, "xdp", nil, "a program of a chain instead of OBJECT: FILE[:PROGRAM][@PRIORITY[,VERDICT…]] at the XDP hook, in libxdp's order; at the verdicts (pass, drop, …; none) the next one runs. May be repeated")
	fl.StringArrayVar(&f.tc, "tc", nil, "FILE[:PROGRAM][@classic] at TC ingress, for packets that XDP passes; classic: a filter that classifies, without direct action. May be repeated")
	fl.StringArrayVar(&f.egress, "egress", nil, "FILE[:PROGRAM][@IFINDEX][@classic] at TC egress of an interface that a TC program redirects to, or of every one; may be repeated")
}

func (f *chainFlags) used() bool { return len(f.xdp)+len(f.tc)+len(f.egress) > 0 }

// file is what to load of a path that a flag names.
func (f *chainFlags) file(path string) string { return cmp.Or(f.versions[path], path) }

// chainSpec is what one of the flags says.
type chainSpec struct {
	path, program string
	link          skep.Link
}

// specs reads the flags.
func (f *chainFlags) specs() ([]chainSpec, error) {
	var list []chainSpec
	for _, flag := range []struct {
		name   string
		hook   replay.Hook
		values []string
		after  func(l *skep.Link, s string) error // reads what stands behind an @
	}{
		{"--xdp", replay.HookXDP, f.xdp, readRunConfig},
		{"--tc", replay.HookIngress, f.tc, readClassic},
		{"--egress", replay.HookEgress, f.egress, readIfindex},
	} {
		for _, value := range flag.values {
			s := chainSpec{path: value, link: skep.Link{Hook: flag.hook}}
			if err := s.split(flag.after); err != nil {
				return nil, fmt.Errorf("%s %s: %w", flag.name, value, err)
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// split takes program and what is behind @ off the path, unless there is a file of the whole name.
func (s *chainSpec) split(after func(*skep.Link, string) error) error {
	if isFile(s.path) {
		return nil
	}
	for !isFile(s.path) {
		at := strings.LastIndexByte(s.path, '@')
		if at < 0 || strings.ContainsRune(s.path[at:], filepath.Separator) {
			break
		}
		if err := after(&s.link, s.path[at+1:]); err != nil {
			return err
		}
		s.path = s.path[:at]
	}
	if colon := strings.LastIndexByte(s.path, ':'); colon >= 0 && !isFile(s.path) {
		s.path, s.program = s.path[:colon], s.path[colon+1:]
	}
	return nil
}

// title names what a page is about: the object, or the files of the chain in the order of its flags.
func (f *sessionFlags) title(path string) (string, error) {
	if !f.chain.used() {
		return filepath.Base(path), nil
	}
	specs, err := f.chain.specs()
	var names []string
	for _, s := range specs {
		if name := filepath.Base(s.path); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", "), err
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// noVerdict is the bit of a mask of verdicts that makes it one without any.
const noVerdict = 1 << 31

// readRunConfig reads PRIORITY[,VERDICT…].
func readRunConfig(l *skep.Link, s string) error {
	words := strings.Split(s, ",")
	n, err := strconv.ParseUint(words[0], 10, 32)
	if err != nil {
		return fmt.Errorf("priority %q: want a number", words[0])
	}
	priority := uint32(n)
	l.Priority = &priority
	for _, word := range words[1:] {
		l.Continue |= noVerdict
		if word == "none" {
			continue
		}
		v := slices.IndexFunc(xdpVerdicts(), func(name string) bool { return strings.EqualFold(strings.TrimPrefix(name, "XDP_"), word) })
		if v < 0 {
			return fmt.Errorf("verdict %q: want none, or some of %s", word, strings.ToLower(strings.ReplaceAll(strings.Join(xdpVerdicts(), ", "), "XDP_", "")))
		}
		l.Continue |= 1 << v
	}
	return nil
}

// xdpVerdicts are the names of XDP's verdicts by value.
func xdpVerdicts() []string {
	var names []string
	for ret := range uint32(5) {
		names = append(names, prog.XDP.Verdict(ret))
	}
	return names
}

// readClassic reads the word "classic".
func readClassic(l *skep.Link, s string) error {
	if s != "classic" {
		return fmt.Errorf("%q behind @: want classic", s)
	}
	l.Classic = true
	return nil
}

// readIfindex reads an interface's number, or "classic".
func readIfindex(l *skep.Link, s string) error {
	if s == "classic" {
		return readClassic(l, s)
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return fmt.Errorf("interface %q: want a number above 0", s)
	}
	l.Ifindex = uint32(n)
	return nil
}

// links makes the objects behind the first, which v was made of, ready on v, and returns the chain.
func (f *chainFlags) links(a *app, v *skep.VM, load *loadFlags) ([]skep.Link, error) {
	specs, err := f.specs()
	if err != nil {
		return nil, err
	}
	type loaded struct {
		obj   *object.Object
		names map[string]string // the VM's by the object's; nil where they are the same
	}
	objects := map[string]loaded{specs[0].path: {obj: v.Object()}}
	links := make([]skep.Link, len(specs))
	for i, s := range specs {
		o, ok := objects[s.path]
		if !ok {
			if o.obj, err = a.load(f.file(s.path), load); err != nil {
				return nil, err
			}
			if o.names, err = v.AddObject(o.obj); err != nil {
				return nil, err
			}
			objects[s.path] = o
		}
		name, err := s.choose(o.obj)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.file(s.path), err)
		}
		if o.names != nil {
			name = o.names[name]
		}
		links[i] = s.link
		links[i].Program = name
	}
	return links, nil
}

// choose is the program that is meant: the one of the name, or the only one that the hook takes and no map's element.
func (s *chainSpec) choose(obj *object.Object) (string, error) {
	var fit, all []string
	for _, p := range obj.Programs {
		all = append(all, p.Name)
		section, ok := prog.SectionOf(p.Section)
		element := ok && (section.Attach == prog.AttachXDPDevmap || section.Attach == prog.AttachXDPCpumap)
		if p.Name == s.program || s.program == "" && p.Type == s.link.Hook.Type() && !element {
			fit = append(fit, p.Name)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	if len(fit) == 0 && s.program == "" {
		return "", fmt.Errorf("no program for %s", s.link.Hook)
	}
	return "", &skep.NoProgramError{Name: s.program, Have: all}
}
