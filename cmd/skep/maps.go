package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/replay"
)

func (a *app) mapsCommand() *cobra.Command {
	var f sessionFlags
	var name string
	cmd := &cobra.Command{
		Use:   "maps OBJECT CAPTURE…",
		Short: "Print a program's maps after it ran over a capture",
		Long: `Maps replays a capture and prints the maps as JSON, with the field names of the object's type information (BTF) where it has some
and bytes in hex where not. Data sections (.rodata, .data, .bss) are printed when named.`,
		Example: "  skep maps --map totals filter.bpf.o capture.pcap",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.session(args[0], args[1:], &f, replay.Options{}, func(v *skep.VM, _ *replay.Report) error {
				return dumpMaps(a.out, v, name)
			})
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&name, "map", "", "only this map")
	return cmd
}

// dumpMaps prints one map, or every map but data sections when name is "".
func dumpMaps(w io.Writer, v *skep.VM, name string) error {
	found := false
	for _, m := range v.Machine().Maps().All() {
		spec := m.Spec()
		if name == spec.Name || name == "" && !spec.DataSection {
			found = true
			if err := maps.DumpJSON(w, v.Machine().Host(m)); err != nil {
				return err
			}
		}
	}
	if !found && name != "" {
		return fmt.Errorf("no map %q", name)
	}
	return nil
}

// stateFlags are files with the maps' elements before and after.
type stateFlags struct{ in, out string }

func (f *stateFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.in, "map-in", "", "file with elements to set before the run, as --map-out and \"skep maps\" write them")
	fl.StringVar(&f.out, "map-out", "", "file for the maps after the run, as JSON")
}

// load sets the elements of the file.
func (f *stateFlags) load(v *skep.VM) error {
	if f.in == "" {
		return nil
	}
	file, err := os.Open(f.in)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := maps.LoadJSON(file, v.Map); err != nil {
		return fmt.Errorf("%s: %w", f.in, err)
	}
	return nil
}

// save writes the maps.
func (f *stateFlags) save(v *skep.VM) error {
	if f.out == "" {
		return nil
	}
	file, err := os.Create(f.out)
	if err != nil {
		return err
	}
	return errors.Join(dumpMaps(file, v, ""), file.Close())
}
