// Package expr is the language of tcpdump's filters, pcap-filter(7): words, grammar and names. What the expression means
// in bytes of a packet is package cbpf's.
package expr

// A Node is an expression that is true or false of a packet.
type Node interface {
	Span() (pos, end int) // byte offsets in the text, of the word or value that decides what the node is
	String() string       // text that parses to the same node, with no qualifier left out
}

// An Arith is an expression with a number for value, 32 bits without sign.
type Arith interface {
	Span() (pos, end int)
	String() string
}

// span is where in the text something is.
type span struct{ pos, end int }

func (s span) Span() (pos, end int) { return s.pos, s.end }

// Binary is `x and y` or `x or y`. Both bind alike, to the left.
type Binary struct {
	span // of the operator
	Or   bool
	X, Y Node
}

// Not is `not x`, which binds tighter than and, or.
type Not struct {
	span
	X Node
}

// ID is a name, number or address with its qualifiers, given or taken over from the ID before.
type ID struct {
	span // of the value
	Qual Qual
	Val  Value
}

// Abbrev is the name of a protocol standing alone.
type Abbrev struct {
	span
	Proto Proto
}

// Cast is `broadcast` or `multicast`.
type Cast struct {
	span
	Proto Proto // None when it was not given
	Multi bool
}

// Primitive is a keyword with at most one number or name: less, vlan, inbound, llc and the like.
type Primitive struct {
	span
	Word   Word
	HasNum bool
	Num    uint32
	Name   string // of an LLC type, a pf interface, reason …
	Op     byte   // of Byte: = < > & |
	Value  uint32 // of Byte: what the byte is compared or combined with
}

// WLAN is a test of an 802.11 frame's type, subtype or direction: ((frame control byte) & Mask) == Value.
type WLAN struct {
	span
	Dir         bool // of the second byte, the frame's direction; else of the first
	Value, Mask uint8
}

// Relation compares two numbers.
type Relation struct {
	span
	Op   RelOp
	X, Y Arith
}

// Num is a number, or one of the names of numbers such as tcp-syn.
type Num struct {
	span
	Val uint32
}

// Len is the packet's length on the wire.
type Len struct{ span }

// Neg is `-x`.
type Neg struct {
	span
	X Arith
}

// Calc is an arithmetic operation.
type Calc struct {
	span
	Op   CalcOp
	X, Y Arith
}

// Load is `proto[off:size]`: bytes of a header.
type Load struct {
	span
	Proto Proto
	Off   Arith
	Size  uint32 // 1, 2 or 4, or what was written
}

// RelOp is the operator of a Relation.
type RelOp uint8

const (
	Gt RelOp = iota
	Lt
	Ge
	Le
	Eq
	Ne
)

var relOps = [...]string{Gt: ">", Lt: "<", Ge: ">=", Le: "<=", Eq: "=", Ne: "!="}

func (o RelOp) String() string { return relOps[o] }

// CalcOp is the operator of a Calc.
type CalcOp uint8

const (
	Add CalcOp = iota
	Sub
	Mul
	Div
	Mod
	And
	Or
	Xor
	Lsh
	Rsh
)

var calcOps = [...]string{Add: "+", Sub: "-", Mul: "*", Div: "/", Mod: "%", And: "&", Or: "|", Xor: "^", Lsh: "<<", Rsh: ">>"}

func (o CalcOp) String() string { return calcOps[o] }

// Qual says what an ID is about. The zero Qual is that of no ID at all.
type Qual struct {
	Proto Proto
	Dir   Dir
	Type  Type
	given bool
}

// Proto is a protocol that the language has a word for.
type Proto uint8

const (
	None Proto = iota
	Link
	IP
	ARP
	RARP
	SCTP
	TCP
	UDP
	ICMP
	IGMP
	IGRP
	PIM
	VRRP
	CARP
	AppleTalk
	AARP
	DECnet
	LAT
	SCA
	MOPDL
	MOPRC
	IP6
	ICMP6
	AH
	ESP
	ISO
	ESIS
	ISIS
	CLNP
	STP
	IPX
	NetBEUI
	ISISL1
	ISISL2
	ISISIIH
	ISISLSP
	ISISSNP
	ISISCSNP
	ISISPSNP
	Radio
	numProtos
)

// Dir is which of a packet's addresses or ports an ID is compared with.
type Dir uint8

const (
	AnyDir Dir = iota // src or dst
	Src
	Dst
	SrcOrDst
	SrcAndDst
	Addr1
	Addr2
	Addr3
	Addr4
	RA
	TA
)

var dirNames = [...]string{Src: "src", Dst: "dst", SrcOrDst: "src or dst", SrcAndDst: "src and dst",
	Addr1: "addr1", Addr2: "addr2", Addr3: "addr3", Addr4: "addr4", RA: "ra", TA: "ta"}

func (d Dir) String() string { return dirNames[d] }

// Type is what kind of thing an ID is.
type Type uint8

const (
	AnyType Type = iota // a host, or a network if that is what the value says
	Host
	Net
	Port
	PortRange
	Gateway
	ProtoType
	ProtoChain
)

var typeNames = [...]string{Host: "host", Net: "net", Port: "port", PortRange: "portrange", Gateway: "gateway", ProtoType: "proto", ProtoChain: "protochain"}

func (t Type) String() string { return typeNames[t] }

// ValueKind says how an ID's value is spelled.
type ValueKind uint8

const (
	Name    ValueKind = iota // anything that is none of the others
	Number                   // 80
	Dotted                   // 10.1.2, two to four numbers
	Prefix                   // 10.1.2/24
	Masked                   // 10.1.2 mask 255.255.255.0
	Six                      // an IPv6 address
	Prefix6                  // an IPv6 address with a length
	MAC                      // an Ethernet address in any spelling
)

// Value is what an ID compares with.
type Value struct {
	Kind ValueKind
	Text string // the name or the address as it was written
	Num  uint32 // Number; the length of a Prefix or Prefix6
	Mask string // Masked: the mask as it was written
}

// Word is a keyword that makes a primitive of its own.
type Word uint8

const (
	Less Word = iota
	Greater
	Byte
	Inbound
	Outbound
	IfIndex
	VLAN
	MPLS
	PPPoED
	PPPoES
	Geneve
	VXLAN
	LLC
	IfName
	RuleSet
	RuleNum
	SubRuleNum
	Reason
	Action
	ATM // words of ATM and SS7, whose link types are not known here
	numWords
)

var words = [numWords]string{
	Less: "less", Greater: "greater", Byte: "byte", Inbound: "inbound", Outbound: "outbound", IfIndex: "ifindex",
	VLAN: "vlan", MPLS: "mpls", PPPoED: "pppoed", PPPoES: "pppoes", Geneve: "geneve", VXLAN: "vxlan", LLC: "llc",
	IfName: "ifname", RuleSet: "ruleset", RuleNum: "rulenum", SubRuleNum: "subrulenum", Reason: "reason", Action: "action",
}

func (w Word) String() string { return words[w] }
