package traffic

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRareSums checks the checksums of rare packets that nothing broke.
func TestRareSums(t *testing.T) {
	g, err := New(Spec{Seed: 5, Flows: 1})
	require.NoError(t, err)
	for n := range 5000 {
		g.b = g.b[:0]
		if n%2 == 0 {
			g.rareIP(etherTag{})
		} else {
			g.rareTunnel()
		}
		checkSums(t, n, g.b)
	}
}

// TestRareWords has tcpdump find at least one packet, and not all, for each word of the filter language that rare is for.
func TestRareWords(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("no tcpdump here")
	}
	ip := []string{"icmp[0] == 17", "icmp6", "igmp", "pim", "vrrp", "carp", "ah", "esp", "sctp port 80", "ip6 proto 44",
		"ip6 protochain 6", "ip[6:2] & 0x1fff != 0", "ip[0] & 15 > 5", "ip multicast", "ip6 multicast", "ip broadcast", "tcp[13] == 0xff"}
	l2 := []string{"arp", "rarp", "pppoed", "pppoes", "mpls 1000", "vlan 100 and vlan 200", "geneve 42", "stp", "ipx", "netbeui", "atalk", "aarp",
		"iso", "clnp", "esis", "isis", "decnet src 1.1 or ether proto 0x6003", "lat", "moprc", "mopdl", "ether multicast", "ether broadcast", "llc i", "llc s", "llc xid"}
	wlan := []string{"type mgt subtype beacon", "type ctl subtype ack", "subtype qos-data", "dir tods", "dir dstods", "wlan addr4 02:00:00:00:00:01",
		"wlan host 02:00:00:00:01:02", "wlan ra 02:00:00:00:09:01", "arp", "tcp", "stp", "isis"}
	cases := map[string][]string{
		"ether": append(ip, l2...), "raw": ip, "null": ip, "loop": ip, "sll": append(ip, "arp", "rarp", "stp", "netbeui"), "sll2": append(ip, "arp", "rarp"),
		"ppp": append(ip[1:], "iso", "ipx", "atalk"), "ppp_serial": append(ip, "iso"), "wlan": wlan, "radiotap": wlan, "avs": wlan, "prism": wlan,
		"ppi": {"arp", "tcp"}, "ipv4": {"icmp", "sctp", "ip multicast"}, "ipv6": {"icmp6", "sctp", "ip6 proto 43"},
	}
	for _, link := range Links() {
		name := filepath.Join(t.TempDir(), link)
		out, err := os.Create(name)
		require.NoError(t, err)
		_, err = Generate(out, Spec{Packets: 3000, Seed: 3, Link: link, Mix: Mix{Rare: 1}})
		require.NoError(t, err)
		require.NoError(t, out.Close())
		require.NotEmpty(t, cases[link], link)
		for _, filter := range cases[link] {
			got, err := exec.Command(tcpdump, "-r", name, "--count", filter).Output()
			if err != nil {
				t.Errorf("%s: %q: %s", link, filter, err.(*exec.ExitError).Stderr)
				continue
			}
			var n int
			_, err = fmt.Sscanf(string(got), "%d", &n)
			require.NoError(t, err, filter)
			if n == 0 || n == 3000 {
				t.Errorf("%s: %q finds %d packets", link, filter, n)
			}
		}
	}
}
