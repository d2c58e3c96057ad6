package prog

import (
	"encoding/binary"
	"fmt"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/mem"
)

// Hidden fields of a netfilter ctx, and what they begin as: the hook of bpf_prog_test_run_nf of Linux.
const (
	nfData, nfEnd, nfHook, nfPF, nfIn, nfOut, nfMark, nfProtocol, nfBegin = 16, 20, 24, 28, 32, 36, 40, 44, 48

	nfLocalOut     = 3 // NF_INET_LOCAL_OUT
	nfHooks        = 5
	nfIPv4, nfIPv6 = 2, 10 // NFPROTO_IPV4, NFPROTO_IPV6
)

func beginNetfilter(s *mem.Space, ctx, data, _ uint32, _ *Input) {
	s.Store32(ctx+nfBegin, data)
	s.Store32(ctx+nfHook, nfLocalOut)
	s.Store32(ctx+nfPF, nfIPv4)
}

// wholeNetfilter is the packet with its Ethernet header.
func wholeNetfilter(s *mem.Space, ctx uint32) (data, end uint32) {
	return s.Load32(ctx + nfBegin), s.Load32(ctx + nfEnd)
}

// UseTypes gives the types by which the objects are laid out that a ctx points to: the program's. nil are none.
func (b *Buffer) UseTypes(types *btf.Types) { b.types = types }

// maxKernelObject bounds one such object, bytes: more is no struct of the kernel.
const maxKernelObject = 1 << 16

// kernelObject is an object that a netfilter ctx leads to: a struct as the program declares it, of which it can read what is named.
type kernelObject struct {
	name   string
	addr   uint32
	size   uint32
	fields []namedValue
}

type namedValue struct {
	name string
	v    uint64
}

// layOut makes the packet and the objects of a netfilter ctx, as bpf_prog_test_run_nf of Linux does. The packet is an Ethernet frame, of
// which programs see what is behind its header; on its way out of the machine it has none yet.
func (b *Buffer) layOut() error {
	s := b.space
	hook, pf := s.Load32(b.ctx+nfHook), s.Load32(b.ctx+nfPF)
	wrong := func(field, format string, args ...any) error {
		return &CtxError{Netfilter, field, fmt.Sprintf(format, args...)}
	}
	switch {
	case hook >= nfHooks:
		return wrong("hook", "%d: want 0 to %d (NF_INET_PRE_ROUTING to NF_INET_POST_ROUTING)", hook, nfHooks-1)
	case pf != nfIPv4 && pf != nfIPv6:
		return wrong("pf", "%d: want 2 (NFPROTO_IPV4) or 10 (NFPROTO_IPV6)", pf)
	}
	data, end := s.Load32(b.ctx+nfData), s.Load32(b.ctx+nfEnd)
	header, protocol := uint32(20), uint16(etherIPv4)
	if pf == nfIPv6 {
		protocol = etherIPv6
	}
	if hook != nfLocalOut {
		if pf == nfIPv6 {
			header = 40
		}
		if header += ethHLen; end-data >= header && s.Load16(data+12) != uint16(swap16(protocol)) {
			return wrong("pf", "%d, and the packet's type is %#04x", pf, swap16(s.Load16(data+12)))
		}
		s.Store32(b.ctx+nfData, data+ethHLen)
	}
	if end-data < header {
		return wrong("hook", "a packet of %d bytes, at least %d at this hook", end-data, header)
	}
	s.Store32(b.ctx+nfProtocol, swap16(protocol))
	return b.placeObjects()
}

// placeObjects puts the objects into guest memory.
func (b *Buffer) placeObjects() error {
	s := b.space
	word := func(off uint32) uint64 { return uint64(s.Load32(b.ctx + off)) }
	state, skb := &kernelObject{name: "nf_hook_state"}, &kernelObject{name: "sk_buff"}
	in, out := &kernelObject{name: "net_device"}, &kernelObject{name: "net_device"}
	all := []*kernelObject{state, skb, in, out}
	total := uint32(0)
	for _, o := range all {
		if o.size = b.sizeOf(o.name); o.size > maxKernelObject {
			return fmt.Errorf("struct %s of %d bytes, at most %d", o.name, o.size, maxKernelObject)
		}
		o.addr = total
		total += (o.size + 15) &^ 7
	}
	if b.objects == 0 {
		at, err := s.Alloc(total, 64)
		if err != nil {
			return err
		}
		b.objects = at
		s.Allow(at, total, false)
	}
	clear(frameBytes(s, b.objects, total))
	for _, o := range all {
		o.addr += b.objects
	}
	in.fields, out.fields = []namedValue{{"ifindex", word(nfIn)}}, []namedValue{{"ifindex", word(nfOut)}}
	inAt, outAt := uint64(in.addr), uint64(out.addr)
	if word(nfIn) == 0 {
		inAt = 0
	}
	if word(nfOut) == 0 {
		outAt = 0
	}
	state.fields = []namedValue{{"hook", word(nfHook)}, {"pf", word(nfPF)}, {"in", inAt}, {"out", outAt}}
	dev := max(inAt, outAt)
	if inAt != 0 {
		dev = inAt
	}
	skb.fields = []namedValue{{"len", word(nfEnd) - word(nfData)}, {"mark", word(nfMark)}, {"protocol", word(nfProtocol)}, {"dev", dev}}
	for _, o := range all {
		b.fillObject(o)
	}
	s.Store64(b.ctx, uint64(state.addr))
	s.Store64(b.ctx+NetfilterSKB, uint64(skb.addr))
	return nil
}

// structOf is the program's declaration of a struct.
func (b *Buffer) structOf(name string) (btf.ID, bool) {
	if b.types == nil {
		return 0, false
	}
	return b.types.Find(btf.Struct, name)
}

func (b *Buffer) sizeOf(name string) uint32 {
	id, ok := b.structOf(name)
	if !ok {
		return 0
	}
	size, _ := b.types.Size(id)
	return size
}

// fillObject writes those of an object's fields that the program declares.
func (b *Buffer) fillObject(o *kernelObject) {
	id, ok := b.structOf(o.name)
	if !ok {
		return
	}
	for _, f := range o.fields {
		m, off, ok := b.types.Member(id, f.name)
		if !ok || m.Bits != 0 || off%8 != 0 {
			continue
		}
		size, ok := b.types.Size(m.Type)
		if !ok || size > 8 || off/8+size > o.size {
			continue
		}
		copy(frameBytes(b.space, o.addr+off/8, size), binary.LittleEndian.AppendUint64(nil, f.v))
	}
}
