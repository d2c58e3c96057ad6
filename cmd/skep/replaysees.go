package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep/replay"
)

// seesFlags say what a program sees of a capture's packets.
type seesFlags struct {
	raw, noConvert, keepVLAN, rxVLAN bool
	addresses, resetMaps             bool
	l2, truncated                    string
	ifindex                          []string
	queues                           int
}

func (f *seesFlags) add(fl *pflag.FlagSet) {
	fl.BoolVar(&f.raw, "raw-bytes", false, "run on the bytes as they are, whatever the link type")
	fl.BoolVar(&f.noConvert, "no-convert", false, "refuse packets that are not Ethernet, instead of making them so")
	fl.StringVar(&f.l2, "l2", "fake", "what packets of captures without a link layer begin with: fake, an Ethernet header; or none, the IP header, as on tun and wg")
	fl.StringVar(&f.truncated, "trunc", "short", "packets that were captured in part: short, as they are; pad, with zeros to the length on the wire; skip")
	fl.BoolVar(&f.keepVLAN, "keep-vlan", false, "leave the outer VLAN tag in packets for TC programs")
	fl.BoolVar(&f.rxVLAN, "rxvlan", false, "the device takes the outer VLAN tag out: XDP programs see it in the metadata only (bpf_xdp_metadata_rx_vlan_tag)")
	fl.IntVar(&f.queues, "queues", 0, "receive queues of an interface: packets go to one by their RSS hash, unless the capture says; 0 is one that nobody speaks of")
	fl.StringArrayVar(&f.ifindex, "ifindex", nil, "NAME=NUMBER of an interface of the capture, or NUMBER for captures that have no names; may be repeated")
	fl.BoolVar(&f.addresses, "loop-addresses", false, "with --loop: add the number of the pass to IP addresses, so that its flows are new")
	fl.BoolVar(&f.resetMaps, "reset-maps", false, "with --loop: each pass begins with what the maps held at the beginning")
}

// Values of --l2 and --trunc.
var (
	l2Values    = map[string]replay.L2{"fake": replay.L2Fake, "none": replay.L2None}
	truncValues = map[string]replay.Truncated{"short": replay.TruncShort, "pad": replay.TruncPad, "skip": replay.TruncSkip}
)

// options puts into o what the flags say.
func (f *seesFlags) options(o *replay.Options) error {
	var ok1, ok2 bool
	o.L2, ok1 = l2Values[f.l2]
	o.Truncated, ok2 = truncValues[f.truncated]
	switch {
	case !ok1:
		return fmt.Errorf("--l2 %s: want fake or none", f.l2)
	case !ok2:
		return fmt.Errorf("--trunc %s: want short, pad or skip", f.truncated)
	case f.raw && f.noConvert:
		return errors.New("--raw-bytes runs on every link type, --no-convert on one")
	case f.queues < 0:
		return fmt.Errorf("--queues %d: want 0 or more", f.queues)
	case f.raw:
		o.Convert = replay.ConvertRaw
	case f.noConvert:
		o.Convert = replay.ConvertNone
	}
	o.KeepVLAN, o.RxVLAN, o.Queues, o.LoopAddresses, o.ResetMaps = f.keepVLAN, f.rxVLAN, f.queues, f.addresses, f.resetMaps
	for _, s := range f.ifindex {
		name, number := "", s
		if at := strings.LastIndexByte(s, '='); at >= 0 {
			name, number = s[:at], s[at+1:]
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n == 0 {
			return fmt.Errorf("--ifindex %s: want NAME=NUMBER, the number above 0", s)
		}
		if o.Ifindex == nil {
			o.Ifindex = map[string]uint32{}
		}
		o.Ifindex[name] = uint32(n)
	}
	return nil
}
