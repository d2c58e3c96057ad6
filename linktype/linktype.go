// Package linktype names the link-layer header types of captures: what a packet of a capture file begins with.
package linktype

import (
	"fmt"
	"strings"
)

// Type is a LINKTYPE_ value as capture files hold it (https://www.tcpdump.org/linktypes.html).
type Type uint32

// The link types that a filter can be compiled for or a replay can do something with.
const (
	Null          Type = 0 // 4 bytes of address family, in the byte order of the machine that captured
	Ethernet      Type = 1
	PPP           Type = 9
	RawBSD        Type = 12 // DLT_RAW of most systems, found in files of old libpcaps
	PPPSerial     Type = 50
	RawIP         Type = 101
	IEEE80211     Type = 105
	Loop          Type = 108 // as Null, big-endian always
	SLL           Type = 113
	Prism         Type = 119
	Radiotap      Type = 127
	IEEE80211AVS  Type = 163
	PPI           Type = 192
	IPv4          Type = 228
	IPv6          Type = 229
	SLL2          Type = 276
	firstReserved Type = 1 << 26 // the rest of a file's field says how long the FCS is
)

// names are tcpdump's; where two types have one name, the first of the list is what Parse gives.
var names = []struct {
	t    Type
	name string
}{
	{Null, "NULL"}, {Ethernet, "EN10MB"}, {PPP, "PPP"}, {RawIP, "RAW"}, {RawBSD, "RAW"}, {PPPSerial, "PPP_SERIAL"},
	{IEEE80211, "IEEE802_11"}, {Loop, "LOOP"}, {SLL, "LINUX_SLL"}, {Prism, "PRISM_HEADER"}, {Radiotap, "IEEE802_11_RADIO"},
	{IEEE80211AVS, "IEEE802_11_RADIO_AVS"}, {PPI, "PPI"}, {IPv4, "IPV4"}, {IPv6, "IPV6"}, {SLL2, "LINUX_SLL2"},
}

// Of returns the type in the link-layer field of a capture file's header, without the bits that speak of the FCS.
func Of(field uint32) Type { return Type(field) & (firstReserved - 1) }

// Parse returns the type that has tcpdump's name, in upper or lower case (tcpdump -L, -y).
func Parse(name string) (Type, bool) {
	for _, n := range names {
		if strings.EqualFold(n.name, name) {
			return n.t, true
		}
	}
	return 0, false
}

// String gives tcpdump's name of the link type, or its number.
func (t Type) String() string {
	for _, n := range names {
		if n.t == t {
			return n.name
		}
	}
	return fmt.Sprintf("LINKTYPE_%d", uint32(t))
}
