package expr

// tokKind is the kind of a token.
type tokKind uint8

const (
	tEOF tokKind = iota
	tBad         // a byte that no token begins with
	tNum
	tID     // a name, or something escaped with a backslash
	tDotted // 10.1, 10.1.2, 10.1.2.3
	tSix
	tMAC
	tBogus  // 1:2: and the like
	tARCnet // $ab
	tProto
	tDir
	tType // host net port portrange gateway
	tIsProto
	tIsChain
	tMask
	tAnd
	tOr
	tNot
	tLen
	tCast
	tWord
	tWLANType
	tWLANSubtype
	tWLANDir
	tRel
	tCalc // in arithmetic; '-' is also a sign
	tParen
	tClose
	tBracket
	tUnbracket
	tColon
)

// keyword is what a reserved word is: its token's kind and what the token carries.
type keyword struct {
	kind tokKind
	val  uint32
}

// protoNames are the words that String writes.
var protoNames = [numProtos]string{
	Link: "ether", IP: "ip", ARP: "arp", RARP: "rarp", SCTP: "sctp", TCP: "tcp", UDP: "udp", ICMP: "icmp", IGMP: "igmp",
	IGRP: "igrp", PIM: "pim", VRRP: "vrrp", CARP: "carp", AppleTalk: "atalk", AARP: "aarp", DECnet: "decnet", LAT: "lat",
	SCA: "sca", MOPDL: "mopdl", MOPRC: "moprc", IP6: "ip6", ICMP6: "icmp6", AH: "ah", ESP: "esp", ISO: "iso", ESIS: "esis",
	ISIS: "isis", CLNP: "clnp", STP: "stp", IPX: "ipx", NetBEUI: "netbeui", ISISL1: "l1", ISISL2: "l2", ISISIIH: "iih",
	ISISLSP: "lsp", ISISSNP: "snp", ISISCSNP: "csnp", ISISPSNP: "psnp", Radio: "radio",
}

func (p Proto) String() string { return protoNames[p] }

// keywords are the reserved words. A backslash before one of them makes a name of it.
var keywords = map[string]keyword{
	"link": {tProto, uint32(Link)}, "fddi": {tProto, uint32(Link)}, "tr": {tProto, uint32(Link)}, "wlan": {tProto, uint32(Link)},
	"ppp": {tProto, uint32(Link)}, "slip": {tProto, uint32(Link)}, "es-is": {tProto, uint32(ESIS)}, "is-is": {tProto, uint32(ISIS)},

	"src": {tDir, uint32(Src)}, "dst": {tDir, uint32(Dst)}, "ra": {tDir, uint32(RA)}, "ta": {tDir, uint32(TA)},
	"addr1": {tDir, uint32(Addr1)}, "addr2": {tDir, uint32(Addr2)}, "addr3": {tDir, uint32(Addr3)}, "addr4": {tDir, uint32(Addr4)},
	"address1": {tDir, uint32(Addr1)}, "address2": {tDir, uint32(Addr2)}, "address3": {tDir, uint32(Addr3)}, "address4": {tDir, uint32(Addr4)},

	"host": {tType, uint32(Host)}, "net": {tType, uint32(Net)}, "port": {tType, uint32(Port)}, "portrange": {tType, uint32(PortRange)},
	"gateway": {tType, uint32(Gateway)}, "proto": {tIsProto, 0}, "protochain": {tIsChain, 0}, "mask": {tMask, 0},

	"and": {tAnd, 0}, "or": {tOr, 0}, "not": {tNot, 0}, "len": {tLen, 0}, "length": {tLen, 0},
	"broadcast": {tCast, 0}, "multicast": {tCast, 1},
	"type": {tWLANType, 0}, "subtype": {tWLANSubtype, 0}, "dir": {tWLANDir, 0}, "direction": {tWLANDir, 0},

	"on": {tWord, uint32(IfName)}, "rset": {tWord, uint32(RuleSet)}, "rnr": {tWord, uint32(RuleNum)}, "srnr": {tWord, uint32(SubRuleNum)},
	"lane": {tWord, uint32(ATM)}, "metac": {tWord, uint32(ATM)}, "bcc": {tWord, uint32(ATM)}, "oam": {tWord, uint32(ATM)},
	"oamf4": {tWord, uint32(ATM)}, "oamf4ec": {tWord, uint32(ATM)}, "oamf4sc": {tWord, uint32(ATM)}, "sc": {tWord, uint32(ATM)},
	"ilmic": {tWord, uint32(ATM)}, "vpi": {tWord, uint32(ATM)}, "vci": {tWord, uint32(ATM)}, "connectmsg": {tWord, uint32(ATM)},
	"metaconnect": {tWord, uint32(ATM)}, "fisu": {tWord, uint32(ATM)}, "lssu": {tWord, uint32(ATM)}, "lsu": {tWord, uint32(ATM)},
	"msu": {tWord, uint32(ATM)}, "hfisu": {tWord, uint32(ATM)}, "hlssu": {tWord, uint32(ATM)}, "hmsu": {tWord, uint32(ATM)},
	"sio": {tWord, uint32(ATM)}, "opc": {tWord, uint32(ATM)}, "dpc": {tWord, uint32(ATM)}, "sls": {tWord, uint32(ATM)},
	"hsio": {tWord, uint32(ATM)}, "hopc": {tWord, uint32(ATM)}, "hdpc": {tWord, uint32(ATM)}, "hsls": {tWord, uint32(ATM)},
}

// numberNames are the words that stand for numbers: offsets of fields, types and flags.
// RFC 792, RFC 950, RFC 1256 (ICMP), IANA's ICMPv6 parameters, RFC 9293 and RFC 3168 (TCP flags).
var numberNames = map[string]uint32{
	"icmptype": 0, "icmpcode": 1, "icmp6type": 0, "icmp6code": 1, "tcpflags": 13,

	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
	"icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13,
	"icmp-tstampreply": 14, "icmp-ireq": 15, "icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,

	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4,
	"icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130, "icmp6-multicastlistenerreportv1": 131,
	"icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135,
	"icmp6-neighboradvert": 136, "icmp6-redirect": 137, "icmp6-routerrenum": 138, "icmp6-nodeinformationquery": 139,
	"icmp6-nodeinformationresponse": 140, "icmp6-ineighbordiscoverysolicit": 141, "icmp6-ineighbordiscoveryadvert": 142,
	"icmp6-multicastlistenerreportv2": 143, "icmp6-homeagentdiscoveryrequest": 144, "icmp6-homeagentdiscoveryreply": 145,
	"icmp6-mobileprefixsolicit": 146, "icmp6-mobileprefixadvert": 147, "icmp6-certpathsolicit": 148,
	"icmp6-certpathadvert": 149, "icmp6-multicastrouteradvert": 151, "icmp6-multicastroutersolicit": 152,
	"icmp6-multicastrouterterm": 153,

	"tcp-fin": 0x01, "tcp-syn": 0x02, "tcp-rst": 0x04, "tcp-push": 0x08, "tcp-ack": 0x10, "tcp-urg": 0x20,
	"tcp-ece": 0x40, "tcp-cwr": 0x80,
}

func init() {
	for p, name := range protoNames {
		if name != "" {
			keywords[name] = keyword{tProto, uint32(p)}
		}
	}
	for w, name := range words {
		if name != "" {
			keywords[name] = keyword{tWord, uint32(w)}
		}
	}
	for name, n := range numberNames {
		keywords[name] = keyword{tNum, n}
	}
}

// wlanTypes and wlanSubtypes are IEEE 802.11's frame types as bits 2-3, and subtypes as bits 4-7, of the first byte of
// the frame control field (IEEE 802.11-2016 table 9-1).
var wlanTypes = map[string]uint8{"mgt": 0x00, "management": 0x00, "ctl": 0x04, "control": 0x04, "data": 0x08}

var wlanSubtypes = []struct {
	typ   uint8
	names map[string]uint8
}{
	{0x00, map[string]uint8{
		"assoc-req": 0x00, "assocreq": 0x00, "assoc-resp": 0x10, "assocresp": 0x10, "reassoc-req": 0x20, "reassocreq": 0x20,
		"reassoc-resp": 0x30, "reassocresp": 0x30, "probe-req": 0x40, "probereq": 0x40, "probe-resp": 0x50, "proberesp": 0x50,
		"beacon": 0x80, "atim": 0x90, "disassoc": 0xa0, "disassociation": 0xa0, "auth": 0xb0, "authentication": 0xb0,
		"deauth": 0xc0, "deauthentication": 0xc0}},
	{0x04, map[string]uint8{
		"bar": 0x80, "ba": 0x90, "ps-poll": 0xa0, "rts": 0xb0, "cts": 0xc0, "ack": 0xd0, "cf-end": 0xe0, "cf-end-ack": 0xf0}},
	{0x08, map[string]uint8{
		"data": 0x00, "data-cf-ack": 0x10, "data-cf-poll": 0x20, "data-cf-ack-poll": 0x30, "null": 0x40, "cf-ack": 0x50,
		"cf-poll": 0x60, "cf-ack-poll": 0x70, "qos-data": 0x80, "qos-data-cf-ack": 0x90, "qos-data-cf-poll": 0xa0,
		"qos-data-cf-ack-poll": 0xb0, "qos": 0xc0, "qos-cf-poll": 0xe0, "qos-cf-ack-poll": 0xf0}},
}

// wlanDirs are the To DS and From DS bits of the second byte of the frame control field.
var wlanDirs = map[string]uint8{"nods": 0, "tods": 1, "fromds": 2, "dstods": 3}
