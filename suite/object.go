package suite

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

// bufferLen is how long a packet a pktgen program is given, zeros: a page without headroom and tailroom.
const bufferLen = 4096 - 256 - 320

// What a check program returns.
const (
	checkError = 100
	checkPass  = 101
	checkFail  = 102
	checkSkip  = 103
)

// objectTest is one test of an object: its programs by their part, some may be missing but check.
type objectTest struct {
	name                 string
	pktgen, setup, check *prog.Program
}

// testsOf finds tests by the sections of programs: "tc/test/NAME/pktgen", "…/setup", "…/check".
func testsOf(obj *object.Object) []*objectTest {
	byName := map[string]*objectTest{}
	var tests []*objectTest
	for _, p := range obj.Programs {
		at := strings.LastIndexByte(p.Section, '/')
		if at < 0 {
			continue
		}
		name, part := p.Section[:at], p.Section[at+1:]
		if part != "pktgen" && part != "setup" && part != "check" {
			continue
		}
		t := byName[name]
		if t == nil {
			t = &objectTest{name: shortName(name)}
			byName[name] = t
			tests = append(tests, t)
		}
		switch part {
		case "pktgen":
			t.pktgen = p
		case "setup":
			t.setup = p
		case "check":
			t.check = p
		}
	}
	return tests
}

// shortName leaves the program type out: "tc/test/nat" is "nat".
func shortName(section string) string {
	parts := strings.Split(section, "/")
	if len(parts) > 1 {
		parts = parts[1:]
	}
	if len(parts) > 1 && parts[0] == "test" {
		parts = parts[1:]
	}
	return strings.Join(parts, "/")
}

// RunObject runs the tests that an object brings. Each has programs in sections of its name. pktgen makes a packet out of 3,520
// bytes of zeros, and a ctx; setup runs on that, and its result, a u32, is put in front of the packet that it leaves; check looks
// at all of it and returns 101 for pass, 102 fail, 103 skip, 100 error. Programs in sections that end in "/tail" are put into
// program arrays as their BTF tags "tail:MAP/SLOT" say. Maps keep their contents from test to test, except for those of o.Reset.
func RunObject(file string, data []byte, o Options, each func(Result)) error {
	obj, err := object.LoadBytes(data, file, o.Machine.Load)
	if err != nil {
		return err
	}
	tests := testsOf(obj)
	if len(tests) == 0 {
		return fmt.Errorf("%s: %w", file, errNoTests)
	}
	var log []string
	opts := o.Machine
	opts.Machine.Trace = func(line string) { log = append(log, strings.TrimRight(line, "\n")) }
	v, err := skep.New(obj, opts)
	if err != nil {
		return err
	}
	defer v.Close()
	if err := fillTails(v, data); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, name := range o.Reset {
		if v.Map(name) == nil {
			return fmt.Errorf("%s: no map %q to empty between tests", file, name)
		}
	}
	for _, t := range tests {
		if !strings.Contains(t.name, o.Only) {
			continue
		}
		log = nil
		start := time.Now()
		r := t.run(v)
		r.Suite, r.Name, r.Log, r.Duration = file, t.name, log, time.Since(start)
		each(r)
		for _, name := range o.Reset {
			v.Map(name).Clear()
		}
	}
	return nil
}

// run runs a test's programs one after the other, each on what the one before left.
func (t *objectTest) run(v *skep.VM) (r Result) {
	broken := func(format string, args ...any) Result {
		r.Status, r.Message = Error, fmt.Sprintf(format, args...)
		return r
	}
	if t.check == nil {
		return broken("no program in a section %s/check", t.name)
	}
	packet := skep.Packet{Data: make([]byte, bufferLen), Ctx: map[string]any{}}
	for _, p := range []*prog.Program{t.pktgen, t.setup} {
		if p == nil {
			continue
		}
		res, err := v.Run(p.Name, packet)
		if err != nil {
			return broken("%s: %v", p.Name, err)
		}
		packet.Data, packet.Ctx = slices.Clone(res.Data), writable(p.Type, res.Ctx)
		if p == t.setup {
			packet.Data = append(binary.LittleEndian.AppendUint32(nil, res.Ret), packet.Data...)
		}
	}
	res, err := v.Run(t.check.Name, packet)
	if err != nil {
		return broken("%s: %v", t.check.Name, err)
	}
	switch res.Ret {
	case checkPass:
		r.Status = Pass
	case checkFail:
		r.Status, r.Message = Fail, "the check failed"
	case checkSkip:
		r.Status = Skip
	case checkError:
		return broken("the check says that it could not be made")
	default:
		return broken("the check returned %d: want %d to %d", int32(res.Ret), checkError, checkSkip)
	}
	return r
}

// carried are the ctx fields that go from program to program (Linux: convert___skb_to_skb).
var carried = []string{"mark", "priority", "ingress_ifindex", "ifindex", "cb", "tstamp", "wire_len", "gso_segs", "gso_size", "hwtstamp",
	"rx_queue_index", "queue_mapping", "tc_index", "tc_classid", "hash"}

// writable are those of a ctx that its type has.
func writable(t prog.Type, ctx map[string]any) map[string]any {
	out := map[string]any{}
	for _, name := range carried {
		if v, ok := ctx[name]; ok {
			out[name] = numbers(v)
		}
	}
	return out
}

// numbers are a ctx field's values as WriteCtx takes them.
func numbers(v any) any {
	list, ok := v.([]uint64)
	if !ok {
		return v
	}
	out := make([]any, len(list))
	for i, n := range list {
		out[i] = n
	}
	return out
}

// fillTails puts programs into program arrays by their tags.
func fillTails(v *skep.VM, data []byte) error {
	types, err := btf.Parse(data)
	if err != nil {
		return nil // without BTF there are no tags
	}
	ids := map[string]uint32{}
	for _, l := range v.Machine().Programs() {
		ids[l.Prog().Name] = l.ID()
	}
	for _, p := range v.Object().Programs {
		if !strings.HasSuffix(p.Section, "/tail") {
			continue
		}
		fn, ok := types.Find(btf.Func, p.Name)
		if !ok {
			continue
		}
		for _, tag := range types.Tags(fn, -1) {
			place, ok := strings.CutPrefix(tag, "tail:")
			if !ok {
				continue
			}
			if err := fillTail(v, ids, p, place); err != nil {
				return fmt.Errorf("program %s, tag %q: %w", p.Name, tag, err)
			}
		}
	}
	return nil
}

// fillTail puts a program at a place "MAP/SLOT".
func fillTail(v *skep.VM, ids map[string]uint32, p *prog.Program, place string) error {
	name, slot, _ := strings.Cut(place, "/")
	m := v.Map(name)
	if m == nil {
		return fmt.Errorf("no map %q", name)
	}
	index, err := strconv.ParseUint(slot, 0, 32)
	if err != nil {
		return fmt.Errorf("%q is no slot", slot)
	}
	id, ok := ids[p.Name]
	if !ok {
		if _, err := v.Verify(p.Name); err != nil {
			return err
		}
		return fmt.Errorf("it was not linked")
	}
	return m.HostUpdate(binary.LittleEndian.AppendUint32(nil, uint32(index)), binary.LittleEndian.AppendUint32(nil, id+1), 0)
}
