package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep/replay"
)

// diffFlags ask for a comparison with another version of the program, or of objects of a chain.
type diffFlags struct {
	objects []string
	program string
	limit   int
	shown   int

	print bool   // as differences come
	in    string // what the other version is called
}

func (f *diffFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.objects, "diff", nil, "another version of the object: every packet runs on both, and those are listed that they treat differently (exit code 1). Of a chain with several files OLD=NEW says which one; may be repeated then")
	fl.StringVar(&f.program, "diff-prog", "", "program of that version, when its name differs")
	fl.IntVar(&f.limit, "diff-limit", 20, "list so many packets; all are counted")
}

func (f *diffFlags) used() bool { return len(f.objects) > 0 }

// check says what is wrong with the flags.
func (f *diffFlags) check(engine string, isChain bool) error {
	switch {
	case !f.used():
		return nil
	case engine == "both":
		return errors.New("--diff compares versions, --engine both engines: not at once")
	case !isChain && len(f.objects) > 1:
		return fmt.Errorf("--diff takes one other version of the object, not %d", len(f.objects))
	}
	return nil
}

// versions are the files to load instead of those of a chain.
func (f *diffFlags) versions(specs []chainSpec) (map[string]string, error) {
	out := map[string]string{}
	files := map[string]bool{}
	for _, s := range specs {
		files[s.path] = true
	}
	for _, value := range f.objects {
		old, version := "", value
		for path := range files {
			if rest, ok := strings.CutPrefix(value, path+"="); ok {
				old, version = path, rest
			}
		}
		switch {
		case old == "" && len(files) > 1:
			return nil, fmt.Errorf("--diff %s: the chain is of %d files, want OLD=NEW with one of them", value, len(files))
		case old == "":
			old = specs[0].path
		}
		if out[old] != "" {
			return nil, fmt.Errorf("--diff %s: a version of %s is given already", value, old)
		}
		out[old] = version
	}
	return out, nil
}

// difference is replay.Options.Difference: it prints what comes ahead of a report in text, others have it in them.
func (f *diffFlags) difference(a *app) func(*replay.Mismatch) error {
	return func(m *replay.Mismatch) error {
		if f.shown++; f.shown > f.limit || !f.print {
			return nil
		}
		_, err := fmt.Fprintf(a.out, "packet %d: %s: %s here, %s in %s\n", m.Packet, m.What, m.Value[0], m.Value[1], f.in)
		return err
	}
}
