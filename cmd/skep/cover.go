package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/cover"
)

// coverFlags ask for a report of what was executed.
type coverFlags struct{ to string }

func (f *coverFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.to, "cover", "", "say which instructions and C lines ran and how often: text or lcov on stdout, or a file .html, .info or .txt")
}

// coverForm is a form of the report.
type coverForm struct {
	word, ext string // what --cover says: the word for stdout, or a file of that extension
	write     func(p *cover.Profile, to io.Writer, title string) error
}

var coverForms = []coverForm{
	{"text", ".txt", func(p *cover.Profile, to io.Writer, _ string) error { return p.WriteText(to) }},
	{"lcov", ".info", func(p *cover.Profile, to io.Writer, _ string) error { return p.WriteLCOV(to) }},
	{"", ".html", func(p *cover.Profile, to io.Writer, title string) error { return p.WriteHTML(to, title) }},
}

func (f *coverFlags) form() (*coverForm, error) {
	for i := range coverForms {
		if c := &coverForms[i]; f.to == c.word || filepath.Ext(f.to) == c.ext {
			return c, nil
		}
	}
	return nil, fmt.Errorf("--cover %s: want text, lcov, or a file whose name ends in .html, .info or .txt", f.to)
}

// write writes the report of what v executed, if one was asked for.
func (f *coverFlags) write(a *app, v *skep.VM) error {
	if f.to == "" {
		return nil
	}
	form, err := f.form()
	if err != nil {
		return err
	}
	profile := v.Coverage()
	profile.Source = os.ReadFile
	if f.to == form.word {
		return form.write(profile, a.out, "")
	}
	out, err := os.Create(f.to)
	if err != nil {
		return err
	}
	var objects []string
	for _, p := range profile.Programs {
		if name := filepath.Base(p.Prog.Object); !slices.Contains(objects, name) {
			objects = append(objects, name)
		}
	}
	title := cmp.Or(strings.Join(objects, ", "), "skep")
	return errors.Join(form.write(profile, out, title), out.Close())
}
