package replay

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Hook is where a program of a Chain runs.
type Hook uint8

// Hooks, in the order in which a packet comes by them.
const (
	HookXDP     Hook = iota // XDP programs of the interface, one after the other as libxdp's dispatcher runs them
	HookDevmap              // the XDP program of a devmap element that a packet is redirected through
	HookCpumap              // that of a cpumap element
	HookIngress             // TC ingress
	HookEgress              // TC egress of the interface that a TC program redirects to
	hooks
)

var hookNames = [hooks]string{"xdp", "xdp/devmap", "xdp/cpumap", "tc/ingress", "tc/egress"}

func (h Hook) String() string {
	if h < hooks {
		return hookNames[h]
	}
	return fmt.Sprintf("hook %d", uint8(h))
}

// Type is the type of the hook's programs; action programs (prog.SchedACT) run at TC hooks, too.
func (h Hook) Type() prog.Type {
	if h < HookIngress {
		return prog.XDP
	}
	return prog.SchedCLS
}

// What libxdp takes for an XDP program whose object says nothing (XDP_DEFAULT_RUN_PRIO, XDP_DEFAULT_CHAIN_CALL_ACTIONS).
const (
	DefaultPriority = prog.DefaultRunPriority
	DefaultContinue = prog.DefaultRunContinue
)

// ChainProgram is one program of a Chain.
type ChainProgram struct {
	Name   string // for reports
	Hook   Hook
	Engine vm.Engine
	// Priority orders programs of HookXDP, lowest first; those of the same priority run in the order of their names. 0 is a priority like
	// others: see DefaultPriority.
	Priority uint32
	// Continue has a bit for each verdict of a program of HookXDP at which the next one runs (1<<2 is XDP_PASS). 0 is DefaultContinue; for
	// none at all set bit 31, which is no verdict.
	Continue uint32
	// TCX says that a TC program is attached by a tcx link, not as a direct-action filter (cls_bpf): those come first, and end
	// with any verdict but TC_ACT_UNSPEC.
	TCX bool
	// Classic says that a TC program is a filter that classifies (cls_bpf without direct action): 0 is no match, and the next one
	// runs; anything else is the packet's class, -1 the filter's own one, and ends the hook with TC_ACT_OK.
	Classic bool
	// Ifindex is the interface that a program of HookEgress is for; 0 is every one.
	Ifindex uint32
	// Element is what the second word of a devmap's or cpumap's value says when the program belongs to that element: the program's
	// vm.Linked.ID plus 1, as in maps of programs.
	Element uint32
}

// Verdicts that decide which way a packet goes.
const (
	xdpAborted = 0
	xdpDrop    = 1
	xdpPass    = 2
	xdpTX      = 3
	xdpGoOn    = 4 // XDP_REDIRECT

	tcUnspec   = 0xffffffff
	tcOK       = 0
	tcShot     = 2
	tcStolen   = 4
	tcRedirect = 7
	tcTrap     = 8
)

// maxHops bounds the redirects that a packet goes through (kernel: XMIT_RECURSION_LIMIT).
const maxHops = 8

// Chain is an engine that runs several programs on a packet, as the kernel's hooks would: XDP programs in libxdp's order; if they let
// the packet pass, TC ingress programs on an sk_buff made of what XDP left; if these redirect it, the egress programs of the interface
// that it goes to. Programs of a map's element run on packets that XDP redirects through it: behind a cpumap comes TC ingress, behind a devmap
// the wire. All engines are of one machine. A Chain belongs to one replay at a time, as Target.Engine or one of Options.Others.
type Chain struct {
	links []*link
	by    [hooks][]*link

	space  *mem.Space
	maps   *maps.Table
	side   *side
	frames uint32 // sk_buff of the first frame; 0 when packets begin at TC
	stride uint32
	ends   []chainEnd // by frame of the batch
	batch  []packet
	keep   bool // leave VLAN tags in packets
	raw    bool // packets may be of anything
	vlan   uint64
	clock  time.Duration // what looking at the clock twice takes; 0 when runs are not measured
	looks  int           // pairs of looks since looked
	all    broadcaster
	saved  []byte // of a broadcast: the frame and its packet
}

// link is a program of a chain with its counts.
type link struct {
	ChainProgram
	place           int // in the list that NewChain was given
	ran, decided    tally
	packets, faults uint64
	measured        *measures // nil when nobody asks
}

// chainEnd is where a packet's way through a chain ended.
type chainEnd struct {
	ctx      uint32
	typ      prog.Type
	decided  *link
	to       uint32 // interface whose egress programs it went through; 0 for none
	remote   bool   // it went through a cpumap
	untagged bool   // its VLAN tag was taken out on the way from XDP to TC
	n        uint64 // length of the packet as it was captured
	insns    uint64

	broadcast uint32          // map to all devices of which it was sent; 0 for none
	copies    []broadcastCopy // that were made then
	bytes     []byte          // of the copies
}

// NewChain makes a chain of programs. Those of HookXDP are put in libxdp's order, TC programs with TCX set before the others; otherwise the
// order is that of the list.
func NewChain(programs []ChainProgram) (*Chain, error) {
	c := &Chain{}
	for i, p := range programs {
		if p.Hook >= hooks || p.Engine == nil {
			return nil, failure("program %q of a chain: no engine, or no hook", p.Name)
		}
		if p.Element == 0 && (p.Hook == HookDevmap || p.Hook == HookCpumap) {
			return nil, failure("program %q of a chain: not of any map's element", p.Name)
		}
		if p.Classic && (p.TCX || p.Hook.Type() != prog.SchedCLS) {
			return nil, failure("program %q of a chain: only a TC filter can classify, no tcx link and no other hook", p.Name)
		}
		if p.Continue == 0 {
			p.Continue = DefaultContinue
		}
		l := &link{ChainProgram: p, place: i, ran: newTally(), decided: newTally()}
		c.by[p.Hook] = append(c.by[p.Hook], l)
	}
	if len(c.by[HookXDP])+len(c.by[HookIngress]) == 0 {
		return nil, failure("a chain needs an XDP or a TC ingress program to begin with")
	}
	slices.SortStableFunc(c.by[HookXDP], func(a, b *link) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
	})
	for _, h := range []Hook{HookIngress, HookEgress} {
		slices.SortStableFunc(c.by[h], func(a, b *link) int { return btoi(b.TCX) - btoi(a.TCX) })
	}
	for _, list := range c.by {
		c.links = append(c.links, list...)
	}
	return c, nil
}

// Type is the type of the first program that packets get to.
func (c *Chain) Type() prog.Type {
	if len(c.by[HookXDP]) > 0 {
		return prog.XDP
	}
	return prog.SchedCLS
}

// Name is the engine of its programs.
func (c *Chain) Name() string { return c.links[0].Engine.Name() }

// begin gives the chain what a replay has in guest memory.
func (c *Chain) begin(s *side, frames int, o *Options) error {
	*c = Chain{links: c.links, by: c.by, space: s.space, maps: s.maps, side: s, keep: o.KeepVLAN, raw: o.Convert == ConvertRaw,
		ends: make([]chainEnd, frames)}
	for _, l := range c.links {
		*l = link{ChainProgram: l.ChainProgram, place: l.place, ran: newTally(), decided: newTally()}
		if o.Detail {
			l.measured = new(measures)
		}
	}
	if o.Detail {
		c.clock = clockCost()
	}
	if c.Type() != prog.XDP {
		return nil
	}
	c.stride = prog.FrameStride(prog.SchedCLS.Row().FrameSize())
	addr, err := s.alloc(c.stride * uint32(frames))
	c.frames = addr + prog.FrameHeader
	return err
}

// Run runs the chain on the frame at ctx, which is one of a replay.
func (c *Chain) Run(ctx uint32) (vm.Result, error) {
	if c.side == nil {
		return vm.Result{}, failure("a chain runs in a replay only")
	}
	i := int((ctx - c.side.frames) / c.side.stride)
	if i >= len(c.batch) {
		return vm.Result{}, failure("no packet of the replay is at %#x", ctx)
	}
	e := &c.ends[i]
	*e = chainEnd{ctx: ctx, typ: c.Type(), n: uint64(c.batch[i].n), copies: e.copies[:0], bytes: e.bytes[:0]}
	ret, err := c.hooks(i, e)
	if err != nil {
		return vm.Result{Insns: e.insns}, &ChainFault{Program: e.decided.Name, Hook: e.decided.Hook, Err: err}
	}
	c.space.Store64(offset(e.ctx, prog.FrameRet), ret)
	c.space.Store64(offset(e.ctx, prog.FrameInsns), e.insns)
	return vm.Result{R0: ret, Insns: e.insns}, nil
}

// RunBatch is Run of n frames: each goes all its way before the next begins.
func (c *Chain) RunBatch(first, stride uint32, n int) (int, error) {
	for i := range n {
		if _, err := c.Run(first + uint32(i)*stride); err != nil {
			return i, err
		}
	}
	return n, nil
}

// ChainFault says which program of a chain a fault is of.
type ChainFault struct {
	Program string
	Hook    Hook
	Err     error // mostly a *vm.Fault
}

func (f *ChainFault) Error() string { return fmt.Sprintf("%s (%s): %v", f.Program, f.Hook, f.Err) }

// Unwrap returns the fault.
func (f *ChainFault) Unwrap() error { return f.Err }

// hooks takes frame i through all hooks and returns the last verdict.
func (c *Chain) hooks(i int, e *chainEnd) (uint64, error) {
	if e.typ == prog.XDP {
		ret, err := c.xdp(e)
		if err == nil && uint32(ret) == xdpGoOn {
			ret, err = c.redirected(e, ret)
		}
		if err != nil || uint32(ret) != xdpPass || len(c.by[HookIngress]) == 0 || e.to != 0 {
			return ret, err
		}
		if err := c.toTC(i, e); err != nil {
			return 0, err
		}
	}
	ret, err := c.tc(c.by[HookIngress], e)
	for hop := 0; err == nil && uint32(ret) == tcRedirect; hop++ {
		to := readRedirect(c.space, e.ctx)
		if !c.sends(to) {
			break
		}
		if hop == maxHops {
			return tcShot, nil
		}
		c.toEgress(e, to.To)
		ret, err = c.tc(c.by[HookEgress], e)
	}
	return ret, err
}

// verdictName names what the program returned. Classes are as tc writes them.
func (l *link) verdictName(ret uint32) string {
	major, minor := ret>>16, ret&0xffff
	switch {
	case !l.Classic:
		return l.Hook.Type().Verdict(ret)
	case ret == 0:
		return "no match"
	case ret == tcUnspec:
		return "match"
	case major == 0:
		return fmt.Sprintf("class :%x", minor)
	case minor == 0:
		return fmt.Sprintf("class %x:", major)
	}
	return fmt.Sprintf("class %x:%x", major, minor)
}

// run runs one program.
func (c *Chain) run(l *link, e *chainEnd) (uint64, error) {
	e.decided = l
	l.packets++
	var res vm.Result
	var err error
	if l.measured == nil {
		res, err = l.Engine.Run(e.ctx)
	} else {
		res, err = c.measure(l, e.ctx)
	}
	e.insns += res.Insns
	if err != nil {
		l.faults++
		return res.R0, err
	}
	l.ran.verdict(uint32(res.R0), e.n)
	return res.R0, nil
}

// xdp is libxdp's dispatcher: what every program lets go on is passed, whatever the last one said.
func (c *Chain) xdp(e *chainEnd) (uint64, error) {
	for _, l := range c.by[HookXDP] {
		ret, err := c.run(l, e)
		if err != nil || 1<<(ret&31)&(l.Continue|1<<31) == 0 {
			return ret, err
		}
	}
	return xdpPass, nil
}

// redirected takes a packet that XDP redirects to the program of the map's element. What comes out of a cpumap is passed on to TC, when there is
// any (Linux: dev_map_bpf_prog_run, cpu_map_bpf_prog_run).
func (c *Chain) redirected(e *chainEnd, ret uint64) (uint64, error) {
	for hop := 0; hop < maxHops; hop++ {
		to := readRedirect(c.space, e.ctx)
		m := c.maps.Get(to.Map)
		if to.Kind == prog.RedirectBroadcast {
			return c.broadcast(e, to, ret)
		}
		if to.Kind != prog.RedirectMap || m == nil {
			return ret, nil
		}
		switch m.Spec().Type {
		case maps.DevMap, maps.DevMapHash:
			return c.devmap(e, m, to, ret)
		case maps.CPUMap:
		default:
			return ret, nil
		}
		e.remote = true
		c.noMetadata(e)
		l := c.element(HookCpumap, m, to.Key)
		if l == nil {
			if len(c.by[HookIngress]) > 0 {
				ret = xdpPass
			}
			return ret, nil
		}
		c.noRedirect(e)
		c.space.Store32(e.ctx+prog.XDPRxQueue, 0) // which the kernel does not hand on
		var err error
		ret, err = c.run(l, e)
		switch {
		case err != nil || uint32(ret) == xdpPass || uint32(ret) == xdpDrop:
			return ret, err
		case uint32(ret) != xdpGoOn:
			return xdpAborted, nil
		}
	}
	return xdpAborted, nil
}

// devmap runs the program of a devmap's element, if it has one, whose XDP_PASS sends the packet; redirects from there come to nothing.
func (c *Chain) devmap(e *chainEnd, m maps.Map, to prog.Redirect, ret uint64) (uint64, error) {
	l := c.element(HookDevmap, m, to.Key)
	if l == nil {
		return ret, nil
	}
	return c.runDevmap(e, l, to.To)
}

// runDevmap runs the program of a devmap's element, whose packets leave by an interface.
func (c *Chain) runDevmap(e *chainEnd, l *link, ifindex uint32) (uint64, error) {
	e.to = ifindex
	c.noRedirect(e)
	c.noMetadata(e)
	c.space.Store32(e.ctx+prog.XDPRxQueue, 0) // of the receiving side the kernel hands on the device alone
	c.space.Store32(e.ctx+prog.XDPEgress, ifindex)
	ret, err := c.run(l, e)
	if err == nil && uint32(ret) != xdpPass && uint32(ret) != xdpDrop {
		ret = xdpAborted
	}
	return ret, err
}

// element finds the program of a map's element, nil when it has none.
func (c *Chain) element(h Hook, m maps.Map, key uint32) *link {
	if m.Spec().ValueSize < 8 {
		return nil
	}
	binary.LittleEndian.PutUint32(c.all.key[:], key)
	addr := m.LookupAddr(0, c.all.key[:])
	if addr == 0 {
		return nil
	}
	return c.named(h, c.space.Load32(addr+4))
}

// named finds a program by the word that elements name it by.
func (c *Chain) named(h Hook, element uint32) *link {
	for _, l := range c.by[h] {
		if l.Element == element {
			return l
		}
	}
	return nil
}

// noMetadata takes away what only the programs of the device see (Linux: those that ask cannot be of a map's element, bpf_prog_is_dev_bound).
func (c *Chain) noMetadata(e *chainEnd) { prog.SetRxMetadata(c.space, e.ctx, &prog.Input{}) }

// noRedirect forgets a redirect that has been followed.
func (c *Chain) noRedirect(e *chainEnd) {
	c.space.Store64(offset(e.ctx, prog.FrameRedirKind), 0)
	c.space.Store64(offset(e.ctx, prog.FrameRedirMap), 0)
}

// toTC makes an sk_buff of a packet that XDP passed: its bytes and metadata stay where they are, but for a VLAN tag.
func (c *Chain) toTC(i int, e *chainEnd) error {
	var out prog.Output
	if !prog.ReadFrame(c.space, e.ctx, prog.XDP, &out) {
		return failure("the ctx describes no packet any more")
	}
	p := &c.batch[i]
	data, end := c.space.Load32(e.ctx+prog.XDPData), c.space.Load32(e.ctx+prog.XDPDataEnd)
	meta := uint32(len(out.Meta))
	in := prog.Input{Time: out.Time, Number: out.Number, Ifindex: p.in.Ifindex, PktType: p.in.PktType, NoMAC: p.ip, Protocol: p.in.Protocol}
	if !e.remote { // from another CPU comes no more than the bytes (Linux: __xdp_build_skb_from_frame)
		in.QueueMapping, in.Hash = p.in.QueueMapping, p.in.Hash
		in.VlanPresent, in.VlanProto, in.VlanTCI = p.in.VlanPresent, p.in.VlanProto, p.in.VlanTCI
	}
	in.WireLen = uint32(max(int64(p.wire)+int64(len(out.Data))-int64(p.n), 0))
	if len(out.Data) >= etherLen && !c.raw && !p.ip {
		if p.mac && in.PktType <= 2 { // eth_type_trans, after XDP
			in.PktType = addressType(out.Data)
		}
		var tagged packet
		tagged.n = len(out.Data)
		if !c.keep && !in.VlanPresent && takeVLAN(out.Data, &tagged) {
			c.vlan++
			e.untagged = true
			moved, _ := c.space.Bytes(data-meta, meta+vlanLen)
			copy(moved[vlanLen:], moved[:meta]) // skb_reorder_vlan_header
			data += vlanLen
			in.WireLen = uint32(max(int64(in.WireLen)-vlanLen, 0))
			in.VlanPresent, in.VlanProto, in.VlanTCI = true, tagged.in.VlanProto, tagged.in.VlanTCI
		}
	}
	head, limit := c.space.Load32(offset(e.ctx, prog.FrameHead)), c.space.Load32(offset(e.ctx, prog.FrameEnd))
	if s := c.side; s.slots != 0 {
		limit = s.slots + uint32(i)*s.slot + s.slot - tailroom
	}
	ctx := c.frames + uint32(i)*c.stride
	prog.SetFrame(c.space, ctx, prog.SchedCLS, head, data, end, limit, &in)
	c.space.Store32(ctx+prog.SKBDataMeta, data-meta)
	e.ctx, e.typ = ctx, prog.SchedCLS
	return nil
}

// tc runs the programs of a TC hook: those of tcx links, then filters, direct-action ones and such as classify (Linux: tcx_run,
// cls_bpf_classify). Nobody's verdict is TC_ACT_UNSPEC, with which the packet goes on as with TC_ACT_OK.
func (c *Chain) tc(list []*link, e *chainEnd) (uint64, error) {
	done := false // with tcx
	for _, l := range list {
		if l.Hook == HookEgress && l.Ifindex != 0 && l.Ifindex != e.to || l.TCX && done {
			continue
		}
		if !l.TCX {
			c.space.Store32(e.ctx+prog.SKBTCClassid, 0)
		}
		ret, err := c.run(l, e)
		if err != nil {
			return ret, err
		}
		code := uint32(ret)
		switch {
		case l.Classic && code == 0:
		case l.Classic:
			return tcOK, nil
		case code == tcOK || code == tcShot || code == tcRedirect || !l.TCX && (code == tcStolen || code == tcTrap):
			return ret, nil
		case l.TCX:
			done = code != tcUnspec
		}
	}
	return tcUnspec, nil
}

// sends reports whether a TC redirect comes by an egress program.
func (c *Chain) sends(to prog.Redirect) bool {
	if to.To == 0 || to.Kind != prog.RedirectNeigh && (to.Kind != prog.RedirectIfindex || to.Key&redirectIngress != 0) {
		return false
	}
	return slices.ContainsFunc(c.by[HookEgress], func(l *link) bool { return l.Ifindex == 0 || l.Ifindex == to.To })
}

// redirectIngress is BPF_F_INGRESS, in the key of a redirect to an interface.
const redirectIngress = 1

// toEgress puts the packet on another interface (Linux: __bpf_tx_skb).
func (c *Chain) toEgress(e *chainEnd, ifindex uint32) {
	e.to = ifindex
	c.noRedirect(e)
	c.space.Store32(e.ctx+prog.SKBIfindex, ifindex)
	if c.space.Load8(e.ctx+prog.SKBTstampType) == 0 { // skb_clear_tstamp leaves delivery times
		c.space.Store64(e.ctx+prog.SKBTstamp, 0)
	}
}

// isOf reports whether a link has the place in its chain that another one has in a chain like it: that in NewChain's list, for a program of
// a map's element its name.
func (l *link) isOf(o *link) bool {
	if l.Hook == HookDevmap || l.Hook == HookCpumap {
		return o.Hook == l.Hook && o.Name == l.Name
	}
	return o.Hook == l.Hook && o.place == l.place
}

// count counts a packet under the program that decided.
func (e *chainEnd) count(ret uint32, n uint64) { e.decided.decided.verdict(ret, n) }

// left reports whether a packet left the interface's CPU on its way: on the wire, or to another one. Without a chain none does.
func (e *chainEnd) left() bool { return e != nil && (e.to != 0 || e.remote) }

// sent is the redirect by which a packet left, false when it did not.
func (e *chainEnd) sent(s *mem.Space, ret uint32) (prog.Redirect, bool) {
	to := prog.Redirect{Kind: prog.RedirectIfindex, To: e.to}
	switch {
	case ret == redirectVerdict(e.typ):
		return readRedirect(s, e.ctx), true
	case e.to == 0:
		return to, false
	case e.typ == prog.XDP:
		return to, ret == xdpPass
	}
	return to, ret == tcOK || ret == tcUnspec
}

// add adds the counts of another CPU's chain.
func (c *Chain) add(o *Chain) {
	c.vlan += o.vlan
	for i, l := range c.links {
		l.packets += o.links[i].packets
		l.faults += o.links[i].faults
		if l.measured != nil {
			l.measured.merge(o.links[i].measured)
		}
		l.ran.add(&o.links[i].ran)
		l.decided.add(&o.links[i].decided)
	}
}

// report puts what the chain's programs did into a report.
func (c *Chain) report(rep *Report) {
	rep.VLAN += c.vlan
	rep.Verdicts, rep.Programs = []Verdict{}, []ProgramReport{}
	for _, l := range c.links {
		hook := l.Hook.String()
		p := ProgramReport{Name: l.Name, Hook: hook, Packets: l.packets, Faults: l.faults, Verdicts: l.ran.list(l.verdictName)}
		if l.measured != nil {
			p.Measures = l.measured.report()
		}
		rep.Programs = append(rep.Programs, p)
		for _, v := range l.decided.list(l.Hook.Type().Verdict) {
			v.Program, v.Hook = l.Name, hook
			rep.Verdicts = append(rep.Verdicts, v)
		}
	}
	slices.SortStableFunc(rep.Verdicts, func(a, b Verdict) int { return cmp.Compare(b.Packets, a.Packets) })
}
