package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// chainCase is a txtar file of testdata/chain: options, packets, a part "HOOK NAME [prio N] [mask N] [tcx] [classic] [if N]" for each program,
// devices "MAP KEY VALUE [PROGRAM]", and what comes of it.
type chainCase struct {
	options  Options
	link     linktype.Type
	capture  []byte
	programs []chainSource
	elements []string
	rejected bool // by the verifier: not for the JIT
}

type chainSource struct {
	ChainProgram
	src string
}

// chainMaps are those that programs of chain cases know.
func chainMaps() []*maps.Spec {
	dev := &maps.Spec{Name: "devs", Type: maps.DevMap, KeySize: 4, ValueSize: 8, MaxEntries: 4, LockOff: -1, TimerOff: -1}
	cpu := &maps.Spec{Name: "cpus", Type: maps.CPUMap, KeySize: 4, ValueSize: 8, MaxEntries: 4, LockOff: -1, TimerOff: -1}
	hash := &maps.Spec{Name: "table", Type: maps.DevMapHash, KeySize: 4, ValueSize: 8, MaxEntries: 8, LockOff: -1, TimerOff: -1}
	return []*maps.Spec{counterMap(), dev, cpu, hash}
}

func readChain(t *testing.T, ar *txtar.Archive) *chainCase {
	c := &chainCase{link: linktype.Ethernet}
	var packets string
	for _, f := range ar.Files {
		words := strings.Fields(f.Name)
		switch words[0] {
		case "options":
			old := replayCase{}
			for line := range strings.Lines(string(f.Data)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				old.option(t, key, value, &c.link)
			}
			c.options, c.rejected = old.options, old.rejected
		case "packets":
			packets = string(f.Data)
		case "elements":
			c.elements = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		case "want":
		default:
			c.programs = append(c.programs, readChainProgram(t, words, string(f.Data)))
		}
	}
	c.capture = captureOf(t, c.link, packets)
	return c
}

func readChainProgram(t *testing.T, words []string, src string) chainSource {
	hook := slices.Index(hookNames[:], words[0])
	require.GreaterOrEqual(t, hook, 0, words[0])
	p := chainSource{ChainProgram{Hook: Hook(hook), Name: words[1], Priority: DefaultPriority}, src}
	for rest := words[2:]; len(rest) > 0; rest = rest[1:] {
		if flag := map[string]*bool{"tcx": &p.TCX, "classic": &p.Classic}[rest[0]]; flag != nil {
			*flag = true
			continue
		}
		n, err := strconv.ParseUint(rest[1], 0, 32)
		require.NoError(t, err)
		switch rest[0] {
		case "prio":
			p.Priority = uint32(n)
		case "mask":
			p.Continue = uint32(n)
		case "if":
			p.Ifindex = uint32(n)
		default:
			t.Fatalf("unknown word %q", rest[0])
		}
		rest = rest[1:]
	}
	return p
}

// target makes a machine and a chain of engines on it.
func (c *chainCase) target(t *testing.T, engine string) (Target, error) {
	m, err := vm.NewMachine(vm.Config{Space: smallSpace(engine == "checked"), Budget: 100_000})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	specs := chainMaps()
	ids := map[string]uint32{}
	programs := []ChainProgram{}
	for _, src := range c.programs {
		p := &prog.Program{Name: src.Name, Type: src.Hook.Type(), License: "GPL", Maps: specs}
		parse(t, p, src.src)
		if src.Hook == HookDevmap {
			p.Section = "xdp/devmap" // may read egress_ifindex
		}
		if build := engines[engine]; build != nil {
			src.Engine, err = build(m, p)
		} else {
			var l *vm.Linked
			l, err = m.Link(p)
			require.NoError(t, err, src.Name)
			src.Engine, err = vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{Checked: engine == "checked"})
		}
		require.NoError(t, err, src.Name)
		linked := m.Programs()
		ids[src.Name] = linked[len(linked)-1].ID() + 1
		src.Element = ids[src.Name]
		programs = append(programs, src.ChainProgram)
	}
	for _, e := range c.elements {
		words := strings.Fields(e)
		key, value := make([]byte, 4), make([]byte, 8)
		key[0], value[0] = words[1][0]-'0', words[2][0]-'0'
		if len(words) > 3 {
			value[4] = byte(ids[words[3]])
		}
		mp, err := m.AddMap(specs[slices.IndexFunc(specs, func(s *maps.Spec) bool { return s.Name == words[0] })])
		require.NoError(t, err)
		require.NoError(t, mp.HostUpdate(key, value, 0))
	}
	chain, err := NewChain(programs)
	return Target{Machine: m, Engine: chain}, err
}

func (c *chainCase) outcome(t *testing.T, engine, against string) string {
	o := c.options
	var err error
	o.Target, err = c.target(t, engine)
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	if against != "" {
		other, err := c.target(t, against)
		require.NoError(t, err)
		o.Against = &other
	}
	sink := &noteSink{stream: stream{notes: map[noteKey]string{}}}
	o.Type, o.Input, o.Sinks, o.CountChanged = o.Target.Engine.(*Chain).Type(), bytes.NewReader(c.capture), []Sink{sink}, true
	rep, err := Run(o)
	if rep == nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	rep.Elapsed, rep.Engine, rep.Against = 0, "", ""
	programs := rep.Programs
	rep.Programs = nil
	var out strings.Builder
	j, jerr := json.Marshal(rep)
	require.NoError(t, jerr)
	out.WriteString(strings.Replace(string(j), `,"engine":"","elapsed_ns":0`, "", 1) + "\n")
	for _, p := range programs {
		fmt.Fprintf(&out, "%s %s: %d packets", p.Hook, p.Name, p.Packets)
		for _, v := range p.Verdicts {
			fmt.Fprintf(&out, ", %s %d", v.Name, v.Packets)
		}
		out.WriteString("\n")
	}
	out.WriteString(sink.b.String())
	if err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
	}
	return out.String()
}

// noteSink notes every packet as the comment that a pcapng file gets, and its bytes.
type noteSink struct {
	stream
	b strings.Builder
}

func (s *noteSink) Write(x *Exit) error {
	fmt.Fprintf(&s.b, "%d if%d %s: %d/%d %x\n", x.Number, x.Ifindex, s.note(x), len(x.Data), x.OrigLen, x.Data[:min(len(x.Data), 20)])
	return nil
}

// TestChains runs the txtar files of testdata/chain on every engine, and on pairs of them.
func TestChains(t *testing.T) {
	files, err := filepath.Glob("testdata/chain/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			require.NoError(t, err)
			c := readChain(t, ar)
			last := &ar.Files[len(ar.Files)-1]
			require.Equal(t, "want", last.Name)
			want := string(last.Data)
			if *update {
				want = c.outcome(t, "interp", "")
				last.Data = []byte(want)
				require.NoError(t, os.WriteFile(file, txtar.Format(ar), 0o644))
			}
			for _, name := range engineNames() {
				if name == "jit" && c.rejected {
					continue
				}
				require.Equal(t, want, c.outcome(t, name, ""), name)
				if name != "interp" {
					require.Equal(t, want, c.outcome(t, "interp", name), "interp against %s", name)
				}
			}
		})
	}
}

// lastEngine is machine code where there is some.
func lastEngine() string {
	names := engineNames()
	return names[len(names)-1]
}

func chainFile(t *testing.T, name string) *chainCase {
	ar, err := txtar.ParseFile(filepath.Join("testdata", "chain", name+".txtar"))
	require.NoError(t, err)
	return readChain(t, ar)
}

// On several CPUs, every one has its chain; the counts of all are those of one, and sinks get the packets in order.
func TestChainOnCPUs(t *testing.T) {
	one, two := chainFile(t, "egress"), chainFile(t, "egress")
	var packets strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&packets, "%d 02000000%04x020000000002 0800 %02x*46\n", i, i%97, i%4)
	}
	one.capture = captureOf(t, linktype.Ethernet, packets.String())
	want := one.outcome(t, lastEngine(), "")
	require.Contains(t, want, `tc/ingress router: 3000 packets`)

	m, err := vm.NewMachine(vm.Config{CPUs: 2, Space: smallSpace(false)})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	chains := [2]*Chain{}
	for cpu := range chains {
		var programs []ChainProgram
		for _, src := range two.programs {
			p := &prog.Program{Name: src.Name, Type: src.Hook.Type(), License: "GPL"}
			parse(t, p, src.src)
			l, err := m.Link(p)
			require.NoError(t, err)
			src.Engine, err = vm.NewInterpreter(m.CPU(cpu), l, vm.InterpOptions{})
			require.NoError(t, err)
			programs = append(programs, src.ChainProgram)
		}
		chains[cpu], err = NewChain(programs)
		require.NoError(t, err)
	}
	sink := &noteSink{stream: stream{notes: map[noteKey]string{}}}
	rep, err := Run(Options{Type: prog.SchedCLS, Target: Target{Machine: m, Engine: chains[0]}, Others: []vm.Engine{chains[1]},
		Input: bytes.NewReader(one.capture), Sinks: []Sink{sink}, Detail: true})
	require.NoError(t, err)
	insns := uint64(0)
	for _, p := range rep.Programs {
		require.Equal(t, p.Packets, p.Instructions.Count, p.Name)
		require.Equal(t, p.Packets, p.Nanoseconds.Count, p.Name)
		insns += p.Instructions.Sum
	}
	require.Equal(t, rep.Insns, insns)
	require.Equal(t, rep.Packets, rep.Detail.Instructions.Count)
	require.Equal(t, 2, rep.CPUs)
	require.True(t, strings.HasSuffix(want, sink.b.String()), "sinks get other packets")
	for _, p := range rep.Programs {
		require.Contains(t, want, fmt.Sprintf("%s %s: %d packets", p.Hook, p.Name, p.Packets))
	}
	for _, v := range rep.Verdicts {
		require.Contains(t, want, fmt.Sprintf(`{"program":"%s","hook":"%s","name":"%s","value":%d,"packets":%d,`, v.Program, v.Hook, v.Name, v.Value, v.Packets))
	}
}

func TestChainRefused(t *testing.T) {
	c := chainFile(t, "xdp_order")
	good, err := c.target(t, "interp")
	require.NoError(t, err)
	chain := good.Engine.(*Chain)
	_, err = chain.Run(64)
	require.ErrorContains(t, err, "in a replay only")

	_, err = NewChain(nil)
	require.ErrorContains(t, err, "to begin with")
	_, err = NewChain([]ChainProgram{{Name: "x"}})
	require.ErrorContains(t, err, `program "x" of a chain: no engine`)
	_, err = NewChain([]ChainProgram{{Name: "x", Hook: hooks, Engine: chain}})
	require.ErrorContains(t, err, "no hook")
	_, err = NewChain([]ChainProgram{{Name: "x", Hook: HookEgress, Engine: chain}})
	require.ErrorContains(t, err, "to begin with")

	_, err = NewChain([]ChainProgram{{Name: "x", Hook: HookDevmap, Engine: chain}})
	require.ErrorContains(t, err, "not of any map's element")

	for _, p := range []ChainProgram{{Hook: HookXDP}, {Hook: HookIngress, TCX: true}} {
		p.Name, p.Engine, p.Classic = "x", chain, true
		_, err = NewChain([]ChainProgram{p})
		require.ErrorContains(t, err, "only a TC filter can classify")
	}

	o := Options{Type: prog.XDP, Target: good, Input: bytes.NewReader(c.capture)}
	for _, change := range []func(*Options){
		func(o *Options) { o.Type = prog.SchedCLS },
		func(o *Options) { o.Others = []vm.Engine{chain} },
		func(o *Options) { o.Others = []vm.Engine{chain.links[0].Engine} },
		func(o *Options) {
			other := target(t, assemble(t, prog.XDP, "r0 = 0\nexit"), "interp")
			o.Against = &other
		},
	} {
		bad := o
		change(&bad)
		_, err := Run(bad)
		require.ErrorContains(t, err, "several programs")
	}
	rep, err := Run(o)
	require.NoError(t, err)
	require.EqualValues(t, 3, rep.Packets)
	_, err = chain.Run(64)
	require.ErrorContains(t, err, "in a replay only")
}
