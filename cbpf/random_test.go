package cbpf

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/linktype"
)

// exprGen draws filters from the grammar of pcap-filter(7), with few different values, so that tests meet again.
type exprGen struct {
	*rand.Rand
	mac, wlan bool // the link type has addresses; those of 802.11
}

// of draws one of some words.
func (r exprGen) of(words string) string {
	all := strings.Split(words, "|")
	return all[r.IntN(len(all))]
}

// filter draws an expression with at most so many operators.
func (r exprGen) filter(n int) string {
	if n <= 0 || r.IntN(6) == 0 {
		return r.primitive()
	}
	switch r.IntN(8) {
	case 0:
		return r.of("not |! |not not ") + r.primitive()
	case 1:
		return r.of("not (|!(") + r.filter(n-1) + ")"
	case 2:
		return "(" + r.filter(n-1) + ")" + r.of(" and | or |&&| || ") + r.filter(n/2)
	case 3: // an id that takes its qualifiers from the one before
		dir, typ := r.of("|src |dst |src or dst |src and dst "), r.of("host|net|port|port")
		s := r.of("|not ") + dir + typ + " " + r.value(typ)
		for range 1 + r.IntN(2) {
			s += r.of(" and | or | and not ") + r.value(typ)
		}
		return s
	}
	return r.filter(n/2) + r.of(" and | or | and | or | and not | or not ") + r.filter(n/2)
}

func (r exprGen) value(typ string) string {
	switch typ {
	case "host":
		return r.of("192.0.2.1|192.0.2.2|203.0.113.3|198.51.100.255|255.255.255.255|2001:db8::1|2001:db8:0:0:1::2|2001:db8:0:2::3|ff02::1")
	case "net":
		return r.of("192.0.2.0/24|192.0.2|198.51.100.0/25|192.0.0.0/8|203.0.113.4/30|0.0.0.0/0|2001:db8::/32|2001:db8:0:1::/64|2001:db8::/33|ff00::/8|198.51.100.0 mask 255.255.255.128")
	case "port":
		return r.of("80|22|443|53|domain|ssh|0|65535|ntp|49152")
	case "portrange":
		return r.of("20-25|1-1023|80-80|443-8080|0-65535|25-20")
	}
	return r.of("02:00:00:00:00:01|02:00:00:00:01:02|ff:ff:ff:ff:ff:ff|01:00:5e:7c:00:01|02:00:00:00:02:03")
}

func (r exprGen) primitive() string {
	dir := r.of("|src |dst |src or dst |src and dst ")
	kind := r.IntN(16)
	if odd := r.IntN(20) == 0; !odd && (!r.mac && (kind >= 8 && kind <= 11) || !r.wlan && kind == 12) {
		kind = 13
	}
	switch kind {
	case 0, 1:
		return r.of("ip|ip6|arp|rarp|tcp|udp|sctp|icmp|icmp6|igmp|pim|ah|esp|vrrp|tcp|udp|ip|ip6|iso|stp|ipx|netbeui|atalk|aarp|decnet|lat|clnp|isis|l1|l2|iih|lsp|snp")
	case 2:
		return r.of("|ip |ip6 |arp |rarp ") + dir + "host " + r.value("host")
	case 3:
		return r.of("|ip |ip6 |arp ") + dir + "net " + r.value("net")
	case 4, 5:
		return r.of("|tcp |udp |sctp |tcp ") + dir + "port " + r.value("port")
	case 6:
		return r.of("|tcp |udp ") + dir + "portrange " + r.value("portrange")
	case 7:
		return r.of("ip proto |ip6 proto |proto ") + r.of("6|17|1|58|132|44|0|41|\\tcp|\\udp")
	case 8:
		return "ether " + r.of("|src |dst |src or dst |src and dst ") + "host " + r.value("ether")
	case 9:
		return "ether proto " + r.of("0x800|0x806|0x86dd|0x8100|\\ip|\\arp|\\stp|\\ipx|\\atalk|100|0x42|1501")
	case 10:
		return r.of("broadcast|multicast|ether broadcast|ether multicast|ip multicast|ip6 multicast|llc|llc u|llc i|llc s|llc xid")
	case 11:
		return r.of("vlan|vlan 100|vlan 200|mpls|mpls 1000|pppoes|pppoes 1|pppoed|geneve|geneve 42|vlan|mpls")
	case 12:
		return r.of("type mgt|type ctl|type data|subtype beacon|subtype ack|subtype qos-data|dir tods|dir fromds|dir dstods|dir nods|wlan ra 02:00:00:00:09:01|wlan addr2 02:00:00:00:00:02|wlan addr4 02:00:00:00:00:01|less 70|greater 70|inbound")
	}
	return r.arith(2) + r.of(" = | == | != | > | < | >= | <= ") + r.of("0|1|2|4|64|80|0x800|0x45|255|0xff00|0xffffffff|"+r.arith(2))
}

// arith draws an arithmetic expression.
func (r exprGen) arith(n int) string {
	if n == 0 || r.IntN(3) == 0 {
		switch r.IntN(5) {
		case 0:
			return r.of("0|1|2|3|4|8|15|31|0xf0|0xff|0xffff|0x80000000|0xffffffff|tcp-syn|icmp-echo")
		case 1:
			return "len"
		}
		return r.of("ip|ip|tcp|udp|icmp|ip6|ether|link|icmp6|arp|sctp|igmp|wlan|radio|pim|rarp") + "[" + r.offset() + r.of("|:1|:2|:4|:2") + "]"
	}
	switch r.IntN(6) {
	case 0:
		return "(" + r.arith(n-1) + ")"
	case 1:
		return "-" + r.arith(n-1)
	}
	return r.arith(n-1) + r.of(" + | - | * | / | % | & | \\| | ^ | << | >> |&|+|&") + r.arith(n-1)
}

func (r exprGen) offset() string {
	switch r.IntN(10) {
	case 0:
		return r.arith(1)
	case 1:
		return r.of("tcpflags|icmptype|icmpcode|len - 1|ip[0] & 15|(tcp[12] & 0xf0) >> 2")
	}
	return r.of("0|1|2|4|6|8|9|12|13|16|20|100")
}

// mangle drops, doubles or exchanges some of a filter's words, so that it is wrong in a small way, if at all.
func (r exprGen) mangle(s string) string {
	words := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ", "[", " [ ", "]", " ] ").Replace(s))
	for range 1 + r.IntN(2) {
		i, j := r.IntN(len(words)), r.IntN(len(words))
		switch r.IntN(4) {
		case 0:
			words = append(words[:i:i], words[i+1:]...)
		case 1:
			words[i], words[j] = words[j], words[i]
		case 2:
			words[i] += " " + words[j]
		case 3:
			words[i] = r.of("and|or|not|host|net|port|src|dst|ip|tcp|proto|80|192.0.2.1|vlan|(|)|[|]|=|ether|2001:db8::1|02:00:00:00:00:01|less|&|\\ip|mask|ip6|/")
		}
		if len(words) == 0 {
			return ""
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "\\|", "|")
}

func exprGenFor(r *rand.Rand, l refLink) exprGen {
	g := exprGen{Rand: r, mac: l.name == "ether"}
	switch l.typ {
	case linktype.IEEE80211, linktype.Radiotap, linktype.Prism, linktype.IEEE80211AVS, linktype.PPI:
		g.mac, g.wlan = true, true
	}
	return g
}

// randomFilter draws a filter that mostly suits a link type.
func randomFilter(r *rand.Rand, l refLink) string {
	g := exprGenFor(r, l)
	f := strings.ReplaceAll(g.filter(r.IntN(6)), "\\|", "|")
	if r.IntN(6) == 0 {
		f = g.mangle(f)
	}
	return f
}

// judge holds what comparing random filters needs.
type judge struct {
	command string
	links   []refLink
	packets [][]refPacket
	capture []string
	ether   int // index of the link type that has most to say
}

func newJudge(t testing.TB) *judge {
	j := &judge{command: tcpdump(t), links: refLinks()}
	for _, l := range j.links {
		if l.typ == linktype.Ethernet {
			j.ether = len(j.packets)
		}
		j.packets = append(j.packets, packetsOf(t, l))
		j.capture = append(j.capture, writeCapture(t, l, nil))
	}
	return j
}

// compare compares a random filter on a random link type with tcpdump. Filters that testdata/disagree.data says something about are let
// through.
func (j *judge) compare(t testing.TB, r *rand.Rand, known []*difference, sum *tally) {
	i := r.IntN(len(j.links))
	if r.IntN(4) == 0 {
		i = j.ether
	}
	l := j.links[i]
	f := randomFilter(r, l)
	var want outcome
	want.code, want.err = ask(t, j.command, j.capture[i], f)
	kind, text := compareFilter(l, f, want, j.packets[i], sum)
	if kind == "verdict" || kind == "refused" { // perhaps only because libpcap's optimiser changed the filter
		if plain, refused := ask(t, j.command, j.capture[i], f, "-O"); refused == "" {
			want.plain = plain
			kind, text = compareFilter(l, f, want, j.packets[i], &tally{})
		}
	}
	if kind == "accepted" && want.err == libpcapNever { // its optimiser isn't always right: its own plain code selects a packet then
		if plain, refused := ask(t, j.command, j.capture[i], f, "-O"); refused == "" {
			k, _ := compareFilter(l, f, outcome{code: plain}, j.packets[i], &tally{})
			if k == "" && !selectsNone(j.packets[i], func(p refPacket) uint32 { return refRun(plain, p.data, p.wire) }) {
				kind = "never"
			}
		}
	}
	for _, d := range known {
		if d.covers(kind, l.name, f) {
			return
		}
	}
	if kind == "refused" && exprGenFor(nil, l).wlan && (strings.Contains(text, refusedShift) || strings.Contains(text, refusedDivide)) {
		return // libpcap doesn't notice there, as testdata/disagree.data says
	}
	switch kind {
	case "":
	case "never": // how much an optimiser finds out is no question of right and wrong: that nothing matches is proven
		sum.never++
	default:
		t.Errorf("%s: %s\n%s: %s", l.name, f, kind, text)
	}
}

// TestRandomFilters compares filters drawn from the grammar with tcpdump; -full compares many more.
func TestRandomFilters(t *testing.T) {
	j, known, n := newJudge(t), readDifferences(t), 200
	if *full {
		n = 10000
	}
	var sum tally
	for i := range n {
		j.compare(t, rand.New(rand.NewPCG(*seed+uint64(i), 62)), known, &sum)
	}
	t.Logf("%d filters, %d accepted by both, %d refused by both, %d proven to match nothing that one only refuses, %d select some packets, instructions %.3f of libpcap's",
		sum.filters, sum.both, sum.refused, sum.never, sum.selects, math.Exp(sum.logRatio/float64(max(sum.both, 1))))
}

// FuzzFilter is the same without end. Without tcpdump it checks that nothing panics and that every program is valid.
func FuzzFilter(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(seed, seed)
	}
	_, err := exec.LookPath("tcpdump")
	var j *judge
	if err == nil {
		j = newJudge(f)
	}
	known := readDifferences(f)
	f.Fuzz(func(t *testing.T, s1, s2 uint64) {
		r := rand.New(rand.NewPCG(s1, s2))
		if j != nil {
			j.compare(t, r, known, &tally{})
			return
		}
		l := refLinks()[r.IntN(len(refLinks()))]
		text := randomFilter(r, l)
		p, err := CompileOptions{BigEndian: l.big}.Compile(text, l.typ)
		if err == nil {
			require.NoError(t, p.Validate(Pcap), "%s: %v", text, p)
		}
	})
}

// TestRandomFilterText shows that the generator says something of everything.
func TestRandomFilterText(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(3000) {
		for _, w := range strings.FieldsFunc(randomFilter(rand.New(rand.NewPCG(seed, 62)), refLinks()[seed%16]), func(r rune) bool { return r < 'a' || r > 'z' }) {
			seen[w] = true
		}
	}
	require.Greater(t, len(seen), 80, fmt.Sprint(seen))
}
