package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep/replay"
)

// outputFlags say what captures a replay writes.
type outputFlags struct {
	write, split   string
	format, copies string
}

func (f *outputFlags) add(fl *pflag.FlagSet) {
	fl.StringVarP(&f.write, "write", "w", "", "capture for the packets as the program left them, verdict on each; - is standard output, and the report goes to stderr")
	fl.StringVar(&f.split, "split", "", "directory for one capture for each verdict")
	fl.StringVar(&f.format, "format", "", "of captures that are written, pcapng or pcap; -w also goes by the file's name, --split writes pcap")
	fl.StringVar(&f.copies, "rx-capture", "exit", "which copies of a packet to write: exit, as the program left it, entry, as it got it, or entry,exit")
}

// outputs are the sinks of a replay; either may be nil.
type outputs struct{ write, split replay.Sink }

// formats are what --format takes, and the ends of files' names that say the same.
var formats = map[string]replay.Format{"pcap": replay.FormatPcap, "pcapng": replay.FormatPcapng}

// copies are what --rx-capture takes, as xdpdump's.
var copies = map[string]replay.Copies{"exit": replay.CopyExit, "entry": replay.CopyEntry, "entry,exit": replay.CopyBoth, "exit,entry": replay.CopyBoth}

// formatOf is the format of a file: what --format says, else its name, else usual.
func (f *outputFlags) formatOf(name string, usual replay.Format) (replay.Format, error) {
	if f.format == "" {
		if format, ok := formats[ext(name)]; ok {
			return format, nil
		}
		return usual, nil
	}
	format, ok := formats[f.format]
	if !ok {
		return 0, fmt.Errorf("--format %s: want pcapng or pcap", f.format)
	}
	return format, nil
}

func ext(name string) string {
	if e := filepath.Ext(name); e != "" {
		return e[1:]
	}
	return ""
}

// open makes the sinks. Files are made when the first packet is there to write. With filters alone packets are copied, by
// default into a pcap file.
func (f *outputFlags) open(a *app, captures []string, filters bool) (out outputs, err error) {
	usual := replay.FormatPcapng
	if filters {
		usual = replay.FormatPcap
	}
	o := replay.Output{Bare: filters, Create: func(name string) (io.WriteCloser, error) { return createOutput(name, captures) }}
	var ok bool
	if o.Copies, ok = copies[f.copies]; !ok {
		return out, fmt.Errorf("--rx-capture %s: want exit, entry, or entry,exit", f.copies)
	}
	if f.write != "" {
		if o.Format, err = f.formatOf(f.write, usual); err != nil {
			return out, err
		}
		if out.write, err = f.file(a, o, captures); err != nil {
			return out, fmt.Errorf("-w: %w", err)
		}
	}
	if f.split != "" {
		if o.Format, err = f.formatOf("", replay.FormatPcap); err != nil {
			return out, err
		}
		if out.split, err = replay.NewSplit(f.split, o); err != nil {
			return out, fmt.Errorf("--split: %w", err)
		}
	}
	return out, nil
}

// file makes the sink of -w. A place where nothing can be written is noticed at once, not at the first packet.
func (f *outputFlags) file(a *app, o replay.Output, captures []string) (replay.Sink, error) {
	if f.write == "-" {
		ignoreBrokenPipe()
		return replay.NewWriter(a.out, o)
	}
	if err := mayWrite(f.write, captures); err != nil {
		return nil, err
	}
	return replay.NewFile(f.write, o)
}

// report is the app whose standard output is for the report.
func (f *outputFlags) report(a *app) *app {
	if f.write != "-" {
		return a
	}
	to := *a
	to.out = a.err
	return &to
}

func createOutput(name string, captures []string) (io.WriteCloser, error) {
	if err := mayWrite(name, captures); err != nil {
		return nil, err
	}
	return os.Create(name)
}

// mayWrite says what is wrong with a name for a file: no directory, or it would destroy what is being replayed.
func mayWrite(name string, captures []string) error {
	now, err := os.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if now != nil && now.IsDir() {
		return fmt.Errorf("%s is a directory", name)
	}
	dir, err := os.Stat(filepath.Dir(name))
	if err != nil {
		return err
	}
	for _, c := range captures {
		if info, err := os.Stat(c); err == nil && (now != nil && os.SameFile(info, now) || info.IsDir() && os.SameFile(info, dir)) {
			return fmt.Errorf("%s is not written: it belongs to the captures that are replayed", name)
		}
	}
	return nil
}

// close ends the outputs of a replay that ended with err, and adds what goes wrong. Files of a replay that had no packet before it
// failed are not made.
func (o *outputs) close(r *replay.Report, err error) error {
	if r == nil || err != nil && r.Packets == 0 && !errors.Is(err, replay.ErrStopped) {
		return err
	}
	for _, sink := range []replay.Sink{o.write, o.split} {
		if sink == nil {
			continue
		}
		err = join(err, sink.Close())
	}
	return err
}

// join is errors.Join without errors that are in the first already: an output that failed fails again when it is closed.
func join(err, more error) error {
	if list, ok := more.(interface{ Unwrap() []error }); ok {
		for _, e := range list.Unwrap() {
			err = join(err, e)
		}
		return err
	}
	if more == nil || errors.Is(err, more) {
		return err
	}
	return errors.Join(err, more)
}

// sinks are those that there are.
func (o *outputs) sinks() (list []replay.Sink) {
	for _, sink := range []replay.Sink{o.write, o.split} {
		if sink != nil {
			list = append(list, sink)
		}
	}
	return list
}
