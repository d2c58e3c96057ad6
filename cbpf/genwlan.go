package cbpf

import (
	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

// radioLinks are the link types with a radio header, which `radio[N]` is about.
var radioLinks = map[linktype.Type]bool{}

// noWLAN fails: 802.11 has no layout yet, so this says it of other link types.
func (g *gen) noWLAN() condID {
	g.fail("", "packets of link type %v have no 802.11 header", g.outer)
	return noCond
}

func (g *gen) dataFrame() condID                   { return g.noWLAN() }
func (g *gen) wlanMulticast() condID               { return g.noWLAN() }
func (g *gen) wlanAddress([]byte, expr.Dir) condID { return g.noWLAN() }
func (g *gen) wlanFrame(*expr.WLAN) condID         { return g.noWLAN() }

func (g *gen) protoChain(uint32, expr.Proto) condID {
	g.fail("", "protochain is not supported")
	return noCond
}
