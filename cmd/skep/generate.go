package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/traffic"
)

type generateFlags struct {
	file, spec, manifest, sizes string
	traffic.Spec
}

func (a *app) generateCommand() *cobra.Command {
	var f generateFlags
	cmd := &cobra.Command{
		Use:   "generate -w FILE",
		Short: "Write a capture of invented traffic, the same bytes for the same seed",
		Long: `Generate writes TCP and UDP flows, DNS, tunnels, fragments, VLANs, IPv6, odd protocols and malformed packets. All addresses
are from the documentation ranges. --manifest says what is in the file, so that a test knows what to expect.`,
		Example: "  skep generate -w sample.pcap --packets 1000 --seed 7\n  skep generate -w big.pcap --packets 5000000 --sizes 64-1500:3,1500:1",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.generate(cmd, &f) },
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.file, "write", "w", "", "file to write; - is standard output")
	fl.IntVar(&f.Packets, "packets", 1000, "how many")
	fl.Uint64Var(&f.Seed, "seed", 1, "different seeds, different traffic")
	fl.StringVar(&f.Link, "link", "ether", strings.Join(traffic.Links(), ", "))
	fl.StringVar(&f.Format, "format", "pcap", strings.Join(traffic.Formats(), ", ")+"; pcapng-all has every block, option and unit of time")
	fl.BoolVar(&f.Nano, "nano", false, "nanosecond times in a pcap file")
	fl.IntVar(&f.Snap, "snap", 0, "cut packets to so many bytes; 0 cuts nothing")
	fl.StringVar(&f.sizes, "sizes", "", "lengths of data frames, bytes, with their shares, as in 64-1500:3,1500:1; default 64:7,576:4,1500:1")
	fl.IntVar(&f.SizeMin, "size-min", 0, "shortest data frame, bytes")
	fl.IntVar(&f.SizeMax, "size-max", 0, "longest data frame, bytes; 0 leaves it to --sizes")
	fl.StringVar(&f.spec, "spec", "", "JSON file with the whole specification, mix included; other flags are ignored")
	fl.StringVar(&f.manifest, "manifest", "", "write what the capture contains as JSON to this file")
	cobra.CheckErr(cmd.MarkFlagRequired("write"))
	return cmd
}

func (a *app) generate(_ *cobra.Command, f *generateFlags) error {
	spec := f.Spec
	if f.sizes != "" {
		var err error
		if spec.Sizes, err = traffic.ParseSizes(f.sizes); err != nil {
			return fmt.Errorf("--sizes: %w", err)
		}
	}
	if f.spec != "" {
		in, err := os.Open(f.spec)
		if err != nil {
			return err
		}
		defer in.Close()
		if spec, err = traffic.ReadSpec(in); err != nil {
			return fmt.Errorf("%s: %w", f.spec, err)
		}
	}
	var manifest *traffic.Manifest
	err := a.writeTo(f.file, func(w io.Writer) (err error) {
		manifest, err = traffic.Generate(w, spec)
		return err
	})
	if err != nil || f.manifest == "" {
		return err
	}
	return a.writeTo(f.manifest, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(manifest)
	})
}

// writeTo gives write a buffered file, or standard output for "-".
func (a *app) writeTo(file string, write func(io.Writer) error) (err error) {
	out := a.out
	if file != "-" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer func() {
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}()
		out = f
	}
	w := bufio.NewWriterSize(out, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}
