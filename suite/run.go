package suite

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

// Options of the runs. The zero value is the fastest engine.
type Options struct {
	Machine skep.Options // engine, profile and machine; its trace goes to results instead
	// Reset names maps that are emptied between the tests of an object.
	Reset []string
	// Only runs the tests whose name holds it.
	Only string
}

// Run runs the cases of a table, each on a machine of its own. each sees every result as it comes.
func (t *Table) Run(o Options, each func(Result)) error {
	obj, err := object.LoadFile(t.Object, o.Machine.Load)
	if err != nil {
		return err
	}
	if err := t.checkState(obj, o); err != nil {
		return err
	}
	for i := range t.Cases {
		c := &t.Cases[i]
		if !strings.Contains(c.Name, o.Only) {
			continue
		}
		start := time.Now()
		r := t.run(obj, c, o)
		r.Suite, r.Name, r.File, r.Line, r.Duration = t.File, c.Name, t.File, c.Line, time.Since(start)
		each(r)
	}
	return nil
}

// run runs one case.
func (t *Table) run(obj *object.Object, c *Case, o Options) (r Result) {
	broken := func(err error) Result {
		var at *CaseError
		if errors.As(err, &at) {
			at.File = t.File
		}
		r.Status, r.Message = Error, err.Error()
		return r
	}
	opts := t.machine(o)
	opts.Machine.Trace = func(line string) { r.Log = append(r.Log, strings.TrimRight(line, "\n")) }
	v, err := skep.New(obj, opts)
	if err != nil {
		return broken(err)
	}
	defer v.Close()
	if err := t.loadState(v); err != nil {
		return broken(err)
	}
	for _, state := range []map[string]yaml.Node{t.Maps, c.Maps} {
		if err := setMaps(v, state); err != nil {
			return broken(err)
		}
	}
	name := c.Program
	if name == "" {
		name = t.Program
	}
	ctx := c.Ctx
	if ctx == nil {
		ctx = map[string]any{}
	}
	if err := c.needsPacket(obj, name); err != nil {
		return broken(err)
	}
	res, err := c.runs(v, name, ctx)
	if err != nil {
		return broken(err)
	}
	wrong, err := c.compare(v, typeOf(obj, name), &res, r.Log)
	if err != nil {
		return broken(err)
	}
	r.Status = Pass
	if len(wrong) > 0 {
		r.Status, r.Message = Fail, strings.Join(wrong, "\n")
	}
	return r
}

// runs runs a case as often as it says, and lets time go by behind each run.
func (c *Case) runs(v *skep.VM, name string, ctx map[string]any) (res skep.Result, err error) {
	var now uint64
	for range c.Repeat {
		packet := skep.Packet{Data: c.Packet, Input: prog.Input{Time: now}, Ctx: ctx}
		if res, err = v.Run(name, packet); err != nil {
			var bad *prog.CtxError
			if errors.As(err, &bad) {
				err = errorAt(fieldAt(&c.ctx, bad.Field), "%v", err)
			}
			return res, err
		}
		now += uint64(c.After)
		if c.After == 0 {
			continue
		}
		if _, err = v.RunTimers(now); err != nil {
			return res, err
		}
	}
	return res, nil
}

// machine is what the cases run on.
func (t *Table) machine(o Options) skep.Options {
	if t.Sockets != nil {
		o.Machine.Machine.Sockets = t.Sockets
	}
	return o.Machine
}

// checkState finds out whether the state fits the object, before any case. What else is wrong with the object is for the cases.
func (t *Table) checkState(obj *object.Object, o Options) error {
	if t.State == "" {
		return nil
	}
	v, err := skep.New(obj, t.machine(o))
	if err != nil {
		return nil
	}
	defer v.Close()
	if err = t.loadState(v); err != nil {
		var at *CaseError
		if errors.As(err, &at) {
			at.File = t.File
		}
	}
	return err
}

// loadState sets maps to what the state's file says.
func (t *Table) loadState(v *skep.VM) error {
	if t.State == "" {
		return nil
	}
	f, err := os.Open(t.State)
	if err != nil {
		return errorAt(t.stateAt, "%v", err)
	}
	defer f.Close()
	if err := maps.LoadJSON(f, v.Map); err != nil {
		return errorAt(t.stateAt, "%s: %v", t.State, err)
	}
	return nil
}

// typeOf is the type of a program of an object; name may be "" when there is just one.
func typeOf(obj *object.Object, name string) prog.Type {
	for _, p := range obj.Programs {
		if p.Name == name || name == "" {
			return p.Type
		}
	}
	return prog.Unspec
}

// needsPacket says that a case has no packet and its program wants one.
func (c *Case) needsPacket(obj *object.Object, name string) error {
	if c.Packet == nil && typeOf(obj, name).Row().Packet {
		return &CaseError{Line: c.Line, Col: c.col, Reason: "no packet: give layers, {hex: …} or {pcap: FILE#NUMBER}"}
	}
	return nil
}

// setMaps puts elements into maps.
func setMaps(v *skep.VM, state map[string]yaml.Node) error {
	for _, name := range sortedKeys(state) {
		m, elements, err := elementsOf(v, name, state[name])
		if err != nil {
			return err
		}
		for _, e := range elements {
			key, err := maps.EncodeKey(m.Spec(), e.Key)
			if err != nil {
				return errorAt(e.at, "map %s: %v", name, err)
			}
			value, err := maps.EncodeValue(m.Spec(), e.Value)
			if err != nil {
				return errorAt(e.at, "map %s: %v", name, err)
			}
			if err := m.Update(0, key, value, maps.Any); err != nil {
				return errorAt(e.at, "%v", err)
			}
		}
	}
	return nil
}

// element is an entry of a map in a table.
type element struct {
	Key   any
	Value any
	at    *yaml.Node
}

// UnmarshalYAML refuses fields that an element does not have, and keeps the place.
func (e *element) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return errorAt(n, "want {key: …, value: …}")
	}
	for i := 0; i < len(n.Content); i += 2 {
		if f := n.Content[i]; !listed("key value", f.Value) {
			return errorAt(f, "unknown field %q of an element", f.Value)
		}
	}
	type plain element
	e.at = n
	return n.Decode((*plain)(e))
}

func elementsOf(v *skep.VM, name string, n yaml.Node) (maps.Map, []element, error) {
	m := v.Map(name)
	if m == nil {
		return nil, nil, errorAt(&n, "the object has no map %q", name)
	}
	var list []element
	if err := n.Decode(&list); err != nil {
		var bad *CaseError
		if errors.As(err, &bad) {
			return nil, nil, bad
		}
		return nil, nil, errorAt(&n, "map %s: want a list of {key: …, value: …}", name)
	}
	return m, list, nil
}

// compare lists what is not as the case wants it.
func (c *Case) compare(v *skep.VM, typ prog.Type, res *skep.Result, log []string) (wrong []string, err error) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if w := c.Want.Verdict; w != "" && w != res.Verdict && w != strconv.Itoa(int(int32(res.Ret))) && w != strconv.FormatUint(uint64(res.Ret), 10) {
		say("verdict %s (%d), want %s", res.Verdict, int32(res.Ret), w)
	}
	want := c.Want.Packet
	if c.Want.Same {
		want = c.Packet
	}
	if want != nil && !bytes.Equal(want, res.Data) {
		say("packet differs%s\n got %s\nwant %s", firstDifference(res.Data, want), hex.EncodeToString(res.Data), hex.EncodeToString(want))
	}
	for _, name := range sortedKeys(c.Want.Ctx) {
		got, ok := res.Ctx[name]
		if !ok {
			return nil, errorAt(c.Want.ctxAt(name), "there is no ctx field %q that can be read", name)
		}
		same, err := typ.SameField(name, got, c.Want.Ctx[name])
		if err != nil {
			return nil, fmt.Errorf("want.ctx: %w", err)
		}
		if !same {
			say("ctx %s is %v, want %v", name, got, c.Want.Ctx[name])
		}
	}
	for _, name := range sortedKeys(c.Want.Maps) {
		m, elements, err := elementsOf(v, name, c.Want.Maps[name])
		if err != nil {
			return nil, err
		}
		for _, e := range elements {
			text, err := compareElement(m, e)
			if err != nil {
				return nil, errorAt(e.at, "map %s: %v", name, err)
			}
			if text != "" {
				say("map %s: %s", name, text)
			}
		}
	}
	if c.Want.Trace != nil && strings.Join(c.Want.Trace, "\n") != strings.Join(log, "\n") {
		say("printed %q, want %q", log, c.Want.Trace)
	}
	return wrong, nil
}

// compareElement says how an element differs, "" when it does not. A value of null is one that is not there.
func compareElement(m maps.Map, e element) (string, error) {
	key, err := maps.EncodeKey(m.Spec(), e.Key)
	if err != nil {
		return "", err
	}
	got, err := m.HostLookup(key)
	if e.Value == nil {
		if err == nil {
			return fmt.Sprintf("key %v is there, and should not be", e.Key), nil
		}
		return "", nil
	}
	want, bad := maps.EncodeValue(m.Spec(), e.Value)
	if bad != nil {
		return "", bad
	}
	if err != nil {
		return fmt.Sprintf("key %v: %v", e.Key, err), nil
	}
	if got = got[:len(want)]; !bytes.Equal(got, want) {
		return fmt.Sprintf("key %v has value %x, want %x (%v)", e.Key, got, want, e.Value), nil
	}
	return "", nil
}

func firstDifference(got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf(" from byte %d on", i)
		}
	}
	return fmt.Sprintf(": %d bytes, want %d", len(got), len(want))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

var errNoTests = errors.New("no tests: a test has programs in sections that end in /pktgen, /setup and /check")
