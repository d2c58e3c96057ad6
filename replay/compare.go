package replay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// Mismatch says that two engines do not agree.
type Mismatch struct {
	Packet uint64 // number, from 1; 0 when the maps differ at the end
	What   string // verdict, instructions, packet, mark, map NAME…
	Engine [2]string
	Value  [2]string // what each says
}

func (m *Mismatch) Error() string {
	where := "at the end"
	if m.Packet > 0 {
		where = fmt.Sprintf("packet %d", m.Packet)
	}
	return fmt.Sprintf("%s: %s differs: %s %s, %s %s", where, m.What, m.Engine[0], m.Value[0], m.Engine[1], m.Value[1])
}

func (r *runner) mismatch(packet uint64, what string, a, b any) error {
	return &Mismatch{
		Packet: packet, What: what, Engine: [2]string{r.report.Engine, r.report.Against},
		Value: [2]string{fmt.Sprint(a), fmt.Sprint(b)},
	}
}

// compare looks at frame i on both sides. A difference of two engines is the error, one of two versions is told of.
func (r *runner) compare(i int, p *packet) error {
	err := r.compareFrames(i, p)
	var m *Mismatch
	if r.o.Difference == nil || !errors.As(err, &m) {
		return err
	}
	if r.report.Differences++; len(r.report.DifferenceExamples) < r.o.Differences {
		r.report.DifferenceExamples = append(r.report.DifferenceExamples, Difference{m.Packet, m.What, m.Value[0], m.Value[1]})
	}
	return r.o.Difference(m)
}

func (r *runner) compareFrames(i int, p *packet) error {
	a, b := r.sides[0], r.sides[1]
	ctxA, ctxB := a.frames+uint32(i)*a.stride, b.frames+uint32(i)*b.stride
	n, typ := p.in.Number, r.typ
	if a.failed[i] != nil || b.failed[i] != nil {
		if x, y := faultText(a.failed[i]), faultText(b.failed[i]); x != y {
			return r.mismatch(n, "fault", x, y)
		}
		return nil // what a run leaves behind at a fault is not defined
	}
	if a.chain != nil {
		endA, endB := &a.chain.ends[i], &b.chain.ends[i]
		ctxA, ctxB, typ = endA.ctx, endB.ctx, endA.typ
		if err := r.compareEnds(n, endA, endB); err != nil {
			return err
		}
	}
	x, y := a.space.Load64(offset(ctxA, prog.FrameRet)), b.space.Load64(offset(ctxB, prog.FrameRet))
	versions := r.o.Difference != nil
	if x != y && !(versions && uint32(x) == uint32(y)) {
		if uint32(x) == uint32(y) {
			return r.mismatch(n, "upper half of R0", fmt.Sprintf("%#x", x), fmt.Sprintf("%#x", y))
		}
		return r.mismatch(n, "verdict", typ.Verdict(uint32(x)), typ.Verdict(uint32(y)))
	}
	x, y = a.space.Load64(offset(ctxA, prog.FrameInsns)), b.space.Load64(offset(ctxB, prog.FrameInsns))
	if x != y && !versions {
		return r.mismatch(n, "instructions", x, y)
	}
	var outA, outB prog.Output
	okA, okB := prog.ReadFrame(a.space, ctxA, typ, &outA), prog.ReadFrame(b.space, ctxB, typ, &outB)
	if okA != okB {
		return r.mismatch(n, "packet that the ctx describes", okA, okB)
	}
	return r.compareOutputs(n, &outA, &outB)
}

// compareEnds looks at how a packet left two chains.
func (r *runner) compareEnds(n uint64, a, b *chainEnd) error {
	if !a.decided.isOf(b.decided) || a.typ != b.typ {
		return r.mismatch(n, "verdict", a.said(r.sides[0].space), b.said(r.sides[1].space))
	}
	if a.to != b.to {
		return r.mismatch(n, "interface that it was sent to", a.to, b.to)
	}
	return r.compareCopies(n, a, b)
}

// said is the verdict with the program that it is of.
func (e *chainEnd) said(s *mem.Space) string {
	return e.typ.Verdict(s.Load32(offset(e.ctx, prog.FrameRet))) + " by " + e.decided.Name
}

func faultText(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

func (r *runner) compareOutputs(n uint64, a, b *prog.Output) error {
	if !bytes.Equal(a.Data, b.Data) {
		at := firstDifference(a.Data, b.Data)
		return r.mismatch(n, fmt.Sprintf("packet from byte %d on", at), dump(a.Data, at), dump(b.Data, at))
	}
	if !bytes.Equal(a.Meta, b.Meta) {
		return r.mismatch(n, "metadata", dump(a.Meta, 0), dump(b.Meta, 0))
	}
	for _, f := range []struct {
		name string
		a, b uint64
	}{
		{"redirect kind", uint64(a.Kind), uint64(b.Kind)},
		{"redirect target", uint64(a.To), uint64(b.To)},
		{"redirect key", uint64(a.Key), uint64(b.Key)},
		{"mark", uint64(a.Mark), uint64(b.Mark)},
		{"priority", uint64(a.Priority), uint64(b.Priority)},
		{"tc_classid", uint64(a.TCClassid), uint64(b.TCClassid)},
		{"queue_mapping", uint64(a.QueueMapping), uint64(b.QueueMapping)},
		{"cb[0]", uint64(a.CB[0]), uint64(b.CB[0])},
		{"cb[1]", uint64(a.CB[1]), uint64(b.CB[1])},
		{"cb[2]", uint64(a.CB[2]), uint64(b.CB[2])},
		{"cb[3]", uint64(a.CB[3]), uint64(b.CB[3])},
		{"cb[4]", uint64(a.CB[4]), uint64(b.CB[4])},
	} {
		if f.a != f.b {
			return r.mismatch(n, f.name, f.a, f.b)
		}
	}
	return nil
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// dump shows some bytes from at on, and the length.
func dump(b []byte, at int) string { return fmt.Sprintf("%x of %d", b[at:min(len(b), at+16)], len(b)) }

// compareMaps looks at the contents of all maps.
func (r *runner) compareMaps() error {
	a, b := r.sides[0].maps.All(), r.sides[1].maps.All()
	if len(a) != len(b) {
		return r.mismatch(0, "number of maps", len(a), len(b))
	}
	for i := range a {
		name := a[i].Spec().Name
		if other := b[i].Spec().Name; other != name {
			return r.mismatch(0, fmt.Sprintf("map %d", i), name, other)
		}
		if holdsAddresses(a[i].Spec().Type) {
			continue
		}
		if err := r.compareMap("map "+name, contents(a[i]), contents(b[i])); err != nil {
			return err
		}
	}
	return nil
}

// holdsAddresses says that the values of a map type are guest addresses, which may differ between machines.
func holdsAddresses(t maps.Type) bool { return t == maps.ArrayOfMaps || t == maps.HashOfMaps }

type element struct{ key, value []byte }

// contents lists a map's elements by key.
func contents(m maps.Map) []element {
	var es []element
	for k, v := range m.All() {
		es = append(es, element{bytes.Clone(k), bytes.Clone(v)})
	}
	slices.SortStableFunc(es, func(x, y element) int { return bytes.Compare(x.key, y.key) })
	return es
}

func (r *runner) compareMap(what string, a, b []element) error {
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i].key, b[i].key) {
			return r.mismatch(0, what, fmt.Sprintf("has key %x", a[i].key), fmt.Sprintf("has key %x", b[i].key))
		}
		if !bytes.Equal(a[i].value, b[i].value) {
			return r.mismatch(0, fmt.Sprintf("%s[%x]", what, a[i].key), fmt.Sprintf("%x", a[i].value), fmt.Sprintf("%x", b[i].value))
		}
	}
	if len(a) != len(b) {
		return r.mismatch(0, what+", elements", len(a), len(b))
	}
	return nil
}
