package cbpf

import (
	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

// 802.11's MAC header (IEEE 802.11-2016 section 9.2.4): a frame control field of two bytes, duration, and up to four
// addresses, the fourth behind a sequence number.
//
//	 0     1     2        4      10     16     22   24     30
//	+-----+-----+--------+------+------+------+----+------+
//	| fc0 | fc1 | length | addr1| addr2| addr3| seq| addr4|
//	+-----+-----+--------+------+------+------+----+------+
const (
	wlanFC1   = 1
	wlanAddr1 = 4
	wlanAddr2 = 10
	wlanAddr3 = 16
	wlanAddr4 = 24

	fc0Control  = 0x04 // in a mask of one bit: control frames and the reserved type
	fc0Data     = 0x08 // data frames and the reserved type
	fc0QoS      = 0x80 // of data frames: two bytes of quality of service follow the header
	fc0TypeMask = 0x0c
	fc0Subtype  = 0xf0
	fc0CTS      = 0xc0
	fc0Ack      = 0xd0
	fc1ToDS     = 0x01
	fc1FromDS   = 0x02
	fc1DSMask   = 0x03
)

// radioLinks are the link types with a header that `radio[N]` is about.
var radioLinks = map[linktype.Type]bool{linktype.Prism: true, linktype.IEEE80211AVS: true, linktype.Radiotap: true}

// bit tests one or more bits of a byte of the 802.11 header.
func (g *gen) bit(off, mask uint32) condID { return g.cmpOp(fromLink, off, SizeB, JmpSet, mask) }

// dataFrame tests that an 802.11 frame is one of data.
func (g *gen) dataFrame() condID {
	notControl := g.not(g.bit(0, fc0Control))
	return g.and(notControl, g.bit(0, fc0Data))
}

// wlanDestination tests the destination of a management or data frame, which is in different addresses.
func (g *gen) wlanDestination(at func(off uint32) condID) condID {
	notControl := g.not(g.bit(0, fc0Control))
	management := g.and(g.not(g.bit(0, fc0Data)), at(wlanAddr1))
	isData := g.bit(0, fc0Data)
	direct := g.and(g.not(g.bit(wlanFC1, fc1ToDS)), at(wlanAddr1))
	toDS := g.and(g.bit(wlanFC1, fc1ToDS), at(wlanAddr3))
	return g.and(notControl, g.or(management, g.and(isData, g.or(direct, toDS))))
}

// wlanSource is wlanDestination for the source.
func (g *gen) wlanSource(at func(off uint32) condID) condID {
	notControl := g.not(g.bit(0, fc0Control))
	management := g.and(g.not(g.bit(0, fc0Data)), at(wlanAddr2))
	isData := g.bit(0, fc0Data)
	direct := g.and(g.not(g.bit(wlanFC1, fc1FromDS)), at(wlanAddr2))
	fromDS := g.bit(wlanFC1, fc1FromDS)
	three := g.and(g.not(g.bit(wlanFC1, fc1ToDS)), at(wlanAddr3))
	four := g.and(g.bit(wlanFC1, fc1ToDS), at(wlanAddr4))
	return g.and(notControl, g.or(management, g.and(isData, g.or(direct, g.and(fromDS, g.or(three, four))))))
}

func (g *gen) wlanMulticast() condID {
	return g.wlanDestination(func(off uint32) condID { return g.bit(off, 1) })
}

// wlanAddress tests an address of the 802.11 header.
func (g *gen) wlanAddress(mac []byte, dir expr.Dir) condID {
	at := func(off uint32) condID { return g.bytes(fromLink, off, mac) }
	switch dir {
	case expr.RA:
		isData := g.bit(0, fc0Data)
		return g.and(isData, at(wlanAddr1))
	case expr.TA:
		isData := g.bit(0, fc0Data)
		second := g.hasSecondAddress()
		return g.and(isData, g.and(second, at(wlanAddr2)))
	case expr.Addr1:
		return at(wlanAddr1)
	case expr.Addr2:
		second := g.hasSecondAddress()
		return g.and(second, at(wlanAddr2))
	case expr.Addr3:
		notControl := g.not(g.mask(fromLink, 0, SizeB, fc0Control, fc0TypeMask))
		return g.and(notControl, at(wlanAddr3))
	case expr.Addr4:
		bridged := g.mask(fromLink, wlanFC1, SizeB, fc1DSMask, fc1DSMask)
		return g.and(bridged, at(wlanAddr4))
	}
	return g.eitherWay(dir, func(isSrc bool) condID {
		if isSrc {
			return g.wlanSource(at)
		}
		return g.wlanDestination(at)
	})
}

// hasSecondAddress tests that a frame is not one of the control frames that have a single address.
func (g *gen) hasSecondAddress() condID {
	notControl := g.not(g.mask(fromLink, 0, SizeB, fc0Control, fc0TypeMask))
	notCTS := g.not(g.mask(fromLink, 0, SizeB, fc0CTS, fc0Subtype))
	return g.or(notControl, g.and(notCTS, g.not(g.mask(fromLink, 0, SizeB, fc0Ack, fc0Subtype))))
}

// wlanFrame is `type`, `subtype`, `dir`.
func (g *gen) wlanFrame(n *expr.WLAN) condID {
	if g.link != linkWLAN || g.radio == ppiRadio {
		g.fail("", "%s no 802.11 header", g.packets())
	}
	off := uint32(0)
	if n.Dir {
		off = wlanFC1
	}
	return g.mask(fromLink, off, SizeB, uint32(n.Value), uint32(n.Mask))
}

// radioHeader is what precedes an 802.11 header.
type radioHeader uint8

const (
	noRadio radioHeader = iota
	prismRadio
	avsRadio
	radiotapRadio
	ppiRadio
)

// Fields of the radio headers.
const (
	avsMagic      = 0x80211000 // the first word of an AVS header, but for its version
	prismLength   = 144
	ppiWLAN       = 105 << 24 // the link type inside a PPI header, little-endian
	radiotapFlags = 0x02000000
	radiotapTSFT  = 0x01000000
	radiotapMore  = 0x00000080 // another word of presence bits follows
	radiotapPad   = 0x20       // the 802.11 header is padded to four bytes
)

// prologue puts code before a filter that finds out how long the radio header and the 802.11 header are, where the
// filter needs it; in Linux's live captures, it begins with no VLAN tag in the frame.
func (g *gen) prologue(c condID) condID {
	if g.tagRegs != nil {
		s := []Insn{{Op: ClassLd | ModeImm}}
		for _, reg := range g.tagRegs {
			s = append(s, fromA(reg))
		}
		g.before(c, s)
	}
	if g.outerKind != linkWLAN {
		return c
	}
	choice := noCond
	var s []Insn
	if g.radio != noRadio && g.linkHdr.reg != noReg {
		choice, s = g.radioLength()
		s = append(s, fromA(g.linkHdr.reg), Insn{Op: ClassMisc | MiscTax})
	}
	if g.payload.reg != noReg {
		c = g.and(g.wlanLength(s), c)
	} else if s != nil {
		g.before(c, s)
	}
	c = g.and(choice, c)
	if g.radio == ppiRadio {
		is := g.test(g.stmts(Insn{Op: ClassLd | SizeW | ModeAbs, K: 4}), JmpEq, ppiWLAN)
		c = g.and(is, c)
	}
	return c
}

// radioLength loads the length of the radio header into A: in statements, and in a choice before them where there is one.
func (g *gen) radioLength() (choice condID, s []Insn) {
	switch g.radio {
	case prismRadio: // drivers put AVS headers into such captures too
		isAVS := g.test([]Insn{{Op: ClassLd | SizeW | ModeAbs}, {Op: ClassAlu | AluAnd | SrcK, K: 0xfffff000}}, JmpEq, avsMagic)
		avs := g.run([]Insn{{Op: ClassLd | SizeW | ModeAbs, K: 4}})
		prism := g.run([]Insn{{Op: ClassLd | ModeImm, K: prismLength}})
		return g.newCond(condition{kind: condPick, a: isAVS, b: avs, c: prism}), nil
	case avsRadio:
		return noCond, []Insn{{Op: ClassLd | SizeW | ModeAbs, K: 4}}
	}
	// radiotap and PPI: 16 bits, little-endian, at 2
	return noCond, []Insn{
		{Op: ClassLd | SizeB | ModeAbs, K: 3},
		{Op: ClassAlu | AluLsh | SrcK, K: 8},
		{Op: ClassMisc | MiscTax},
		{Op: ClassLd | SizeB | ModeAbs, K: 2},
		{Op: ClassAlu | AluOr | SrcX},
	}
}

// wlanLength computes the length of the 802.11 header, behind what is in X after the given statements: 24 bytes, two more
// of QoS, and padding where radiotap says so.
func (g *gen) wlanLength(s []Insn) condID {
	reg := g.payload.reg
	add := func(more ...Insn) condID {
		return g.run(append(append([]Insn{toA(reg)}, more...), fromA(reg)))
	}
	if s == nil {
		s = []Insn{{Op: ClassLdx | ModeImm}}
	}
	s = append(s, Insn{Op: ClassMisc | MiscTxa}, Insn{Op: ClassAlu | AluAdd | SrcK, K: 24}, fromA(reg), Insn{Op: ClassLd | SizeB | ModeInd})
	isData := g.and(g.test(s, JmpSet, fc0Data), g.not(g.test(nil, JmpSet, fc0Control)))
	more := g.when(g.test(nil, JmpSet, fc0QoS), add(Insn{Op: ClassAlu | AluAdd | SrcK, K: 2}))
	if g.radio == radiotapRadio {
		more = g.and(more, g.when(g.padded(), add(Insn{Op: ClassAlu | AluAdd | SrcK, K: 3}, Insn{Op: ClassAlu | AluAnd | SrcK, K: 0xfffffffc})))
	}
	return g.when(isData, more)
}

// padded tests radiotap's flags. They follow the presence bits, and a time stamp where there is one; where there is more
// than one word of presence bits nobody looks.
func (g *gen) padded() condID {
	hasFlags := g.test([]Insn{{Op: ClassLd | SizeW | ModeAbs, K: 4}}, JmpSet, radiotapFlags)
	oneWord := g.not(g.test(nil, JmpSet, radiotapMore))
	hasTime := g.test(nil, JmpSet, radiotapTSFT)
	flags := func(off uint32) condID {
		return g.test([]Insn{{Op: ClassLd | SizeB | ModeAbs, K: off}}, JmpSet, radiotapPad)
	}
	return g.and(g.and(hasFlags, oneWord), g.newCond(condition{kind: condPick, a: hasTime, b: flags(16), c: flags(8)}))
}
