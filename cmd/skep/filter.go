package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

// compileFlags are the flags of commands that compile filter expressions.
type compileFlags struct {
	noOptimize bool
	snapLen    uint32
	services   string
	linuxExt   bool
}

func (f *compileFlags) add(fl *pflag.FlagSet) {
	fl.BoolVarP(&f.noOptimize, "no-optimize", "O", false, "leave the code as it is generated, as tcpdump -O")
	fl.Uint32Var(&f.snapLen, "snaplen", cbpf.DefaultSnapLen, "what the filter returns for a packet that matches")
	fl.StringVar(&f.services, "services", "", "file of port names in the form of /etc/services, instead of the built-in ones")
	fl.BoolVar(&f.linuxExt, "linux-ext", false, "compile for a live capture on Linux, with the kernel's extensions: vlan, inbound, ifindex")
}

func (f *compileFlags) options() (o cbpf.CompileOptions, err error) {
	o = cbpf.CompileOptions{NoOptimize: f.noOptimize, SnapLen: f.snapLen, LinuxExt: f.linuxExt}
	if f.snapLen == 0 {
		return o, errors.New("--snaplen 0: a match has to return something else")
	}
	if f.services == "" {
		return o, nil
	}
	file, err := os.Open(f.services)
	if err != nil {
		return o, err
	}
	defer file.Close()
	if o.Services, err = expr.ParseServices(file); err != nil {
		return o, fmt.Errorf("%s: %w", f.services, err)
	}
	return o, nil
}

type filterFlags struct {
	compile  compileFlags
	form     classicFlags
	linkType string
	file     string
}

func (a *app) filterCommand() *cobra.Command {
	var f filterFlags
	cmd := &cobra.Command{
		Use:   "filter EXPRESSION…",
		Short: "Compile a filter expression of tcpdump, and print it",
		Long: `Filter compiles an expression of tcpdump's filter language (pcap-filter) to classic BPF and prints it: as tcpdump -d does, in other
forms, converted to eBPF, or as the machine code that a replay runs. Without an expression it is the filter that takes every packet.

Names of hosts are not looked up, those of ports and protocols are built in: the same expression is always the same program. What the
language has and skep cannot do is refused by name. "skep replay --filter EXPRESSION" runs filters over captures.`,
		Example: "  skep filter 'tcp dst port 22'\n  skep filter -ddd --linktype LINUX_SLL2 'udp port 53 or icmp'\n  skep filter --native 'tcp[tcpflags] & tcp-syn != 0'",
		RunE:    func(_ *cobra.Command, args []string) error { return a.filter(args, &f) },
	}
	fl := cmd.Flags()
	f.form.add(fl)
	f.compile.add(fl)
	fl.StringVarP(&f.linkType, "linktype", "y", "EN10MB", "link type of the packets: tcpdump's name (LINUX_SLL2, RAW, …) or number")
	fl.StringVarP(&f.file, "file", "F", "", "file with the expression")
	return cmd
}

func (a *app) filter(args []string, f *filterFlags) error {
	text, err := expression(args, f.file)
	if err != nil {
		return err
	}
	link, err := parseLinkType(f.linkType)
	if err != nil {
		return err
	}
	o, err := f.compile.options()
	if err != nil {
		return err
	}
	p, err := o.Compile(text, link)
	if err != nil {
		return a.explainFilter(err)
	}
	if !f.form.ebpf && !f.form.native {
		return a.printClassic(p, nil, &f.form)
	}
	converted, err := p.EBPF(cbpf.EBPFOptions{})
	if err != nil {
		return err
	}
	nameLines(converted, "filter")
	return a.printClassic(p, converted, &f.form)
}

// expression is what the words of the command line say together, or the file.
func expression(args []string, file string) (string, error) {
	if file == "" {
		return strings.Join(args, " "), nil
	}
	if len(args) > 0 {
		return "", errors.New("an expression and --file exclude each other")
	}
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}

// explainFilter shows the place of an error in an expression below it, and leaves one line for the end.
func (a *app) explainFilter(err error) error {
	var e *expr.Error
	if errors.As(err, &e) {
		fmt.Fprintln(a.err, e.Caret())
	}
	return err
}

// parseLinkType reads the value of --linktype.
func parseLinkType(s string) (linktype.Type, error) {
	if t, ok := linktype.Parse(s); ok {
		return t, nil
	}
	var n uint32
	if _, err := fmt.Sscanf(s, "%d", &n); err == nil && fmt.Sprint(n) == s && linktype.Of(n) == linktype.Type(n) {
		return linktype.Type(n), nil
	}
	return 0, fmt.Errorf("--linktype %s: want a name that tcpdump -L prints, such as EN10MB or LINUX_SLL2, or a number", s)
}
