// Package vmtest holds the test cases that every engine must pass, and runs them: see Run. The cases are text; nobody
// needs Go to add one.
//
// # Programs: files *.txt
//
// A file is a list of cases. Lines that begin with # are comments outside of code. A case is
//
//	=== name of the case
//	key: value
//	---
//	instructions, as asm.Parse reads them; helpers by name, maps as map[NAME]
//	--- NAME
//	instructions of another program of the case, for tail calls
//
// The keys:
//
//	type: xdp                           program type; default sched_cls
//	packet: 0a0b 0c                     the packet in hex; default 64 zero bytes
//	map: NAME TYPE KEY VALUE ENTRIES    a map, sizes in bytes; FLAGS may follow
//	send: MAP SAMPLE                    a sample of a user ring buffer, in hex; !SAMPLE is a discarded one
//	task: PID CGROUP ABOVE...           the current task, its control group and those above it. Goes with a map
//	attached: CGROUP                    the control group that the program is attached to. Goes with a map
//	entry: MAP KEY VALUE                initial element, key and value in hex
//	entry: MAP KEY @NAME                the same for a program array: a program of the case
//	timer: MAP OFFSET                   where the map's values have a struct bpf_timer
//	budget: 1000                        instructions that a run may take
//	link: verified                      the programs are linked as those that the verifier accepted are
//	runs: 3                             runs, one after another; what follows is expected of the last. Default 1
//	advance: 1000                       ns between runs, in which timers fire; the first run is at time 0
//	advance fault: KIND PC              that the timers after the last run must end with
//	r0: 0x2a                            expected result; negative numbers too
//	insns: 7                            expected instruction count
//	after: 0a0b                         expected packet afterwards
//	fault: KIND PC [HOW ADDR SIZE]      expected fault, such as "CallDepth 3" or "BadAccess 2 load 0x10 4"
//	checked: KIND PC [HOW ADDR SIZE]    the same, of the checked engine only
//
// # Operations: files *.ops
//
// A line is one operation with what it must give; each is tried with an immediate where it fits, and in several
// registers. Numbers are Go literals, negative ones too.
//
//	add64 DST SRC = RESULT                       arithmetic, by the names of asm.Kind without K or X
//	neg64 DST = RESULT                           negation, byte order (be16 …)
//	movsx64b SRC = RESULT                        sign-extending moves
//	jeq64 DST SRC = yes                          branches: yes or no
//	atomicadd64 MEMORY SRC = MEMORY RESULT       atomics; RESULT is the source register afterwards
//	atomiccmpxchg64 MEMORY SRC R0 = MEMORY R0
//	ldx8 MEMORY = RESULT                         loads, also ldsx8, loadacq8
//	stx8 MEMORY SRC = MEMORY                     stores, also st8 (of a fitting immediate), storerel8
package vmtest

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Case is one program, or several that tail-call each other, and what a run must give.
type Case struct {
	Name     string
	Programs []*prog.Program // the first one is run
	Maps     []*maps.Spec
	Packet   []byte
	Budget   uint64
	Runs     int
	Advance  *uint64
	Verified bool // link with LinkVerified

	Sends  []Sample
	Task   *helpers.Task
	Cgroup uint64

	R0, Insns *uint64   // nil: anything
	After     []byte    // nil: anything
	Late      *vm.Fault // of the callbacks after the last run; Kind and PC
	Fault     *vm.Fault // of every engine; Kind, PC, and with Size != 0 Addr, Size and Write
	Checked   *vm.Fault // of the checked engine; nil is Fault
}

// Sample is one of a user ring buffer.
type Sample struct {
	Map     string
	Data    []byte
	Discard bool
}

// Load reads every *.txt and *.ops file of dir.
func Load(dir string) ([]*Case, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	var cases []*Case
	for _, name := range names {
		read := map[string]func(file, text string) ([]*Case, error){".txt": parseCases, ".ops": parseOps}[filepath.Ext(name)]
		if read == nil {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		more, err := read(filepath.Base(name), string(text))
		if err != nil {
			return nil, err
		}
		cases = append(cases, more...)
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("no cases in %s", dir)
	}
	return cases, nil
}

// reader builds the cases of one .txt file.
type reader struct {
	file  string
	line  int
	cases []*Case
	cur   *Case
	typ   prog.Type
	name  string   // of the program whose code is being read; "" while reading keys
	code  []string // its lines so far
	start int      // line of the first of code
}

func parseCases(file, text string) ([]*Case, error) {
	r := &reader{file: file}
	for i, line := range strings.Split(text, "\n") {
		r.line = i + 1
		if err := r.readLine(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, r.line, err)
		}
	}
	if err := r.endCode(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, r.line, err)
	}
	return r.cases, nil
}

func (r *reader) readLine(line string) error {
	if name, ok := strings.CutPrefix(line, "=== "); ok {
		if err := r.endCode(); err != nil {
			return err
		}
		r.cur = &Case{Name: strings.TrimSuffix(r.file, ".txt") + "/" + name, Runs: 1, Packet: make([]byte, 64)}
		r.typ = prog.SchedCLS
		r.cases = append(r.cases, r.cur)
		return nil
	}
	if name, ok := strings.CutPrefix(line, "---"); ok {
		if r.cur == nil {
			return fmt.Errorf("code before the first case")
		}
		if err := r.endCode(); err != nil {
			return err
		}
		r.name, r.start = strings.TrimSpace(name), r.line+1
		if r.name == "" {
			r.name = "main"
		}
		return nil
	}
	if r.name != "" {
		r.code = append(r.code, line)
		return nil
	}
	if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	key, value, ok := strings.Cut(line, ":")
	if !ok || r.cur == nil {
		return fmt.Errorf("%q is neither a key nor code", line)
	}
	return r.setKey(key, strings.TrimSpace(value))
}

// endCode makes a program of the lines read since the last "---".
func (r *reader) endCode() error {
	if r.name == "" {
		return nil
	}
	insns, err := asm.Parse(strings.Join(r.code, "\n"), asm.ParseOptions{
		Helpers: helpers.ID,
		Maps: func(name string) (int32, bool) {
			i := slices.IndexFunc(r.cur.Maps, func(s *maps.Spec) bool { return s.Name == name })
			return int32(i), i >= 0
		},
	})
	if err != nil {
		return fmt.Errorf("code from line %d: %w", r.start, err)
	}
	r.cur.Programs = append(r.cur.Programs, newProgram(r.name, r.typ, insns, r.cur.Maps))
	r.name, r.code = "", nil
	return nil
}

func newProgram(name string, t prog.Type, insns []asm.Insn, specs []*maps.Spec) *prog.Program {
	p := &prog.Program{Name: name, Section: t.String(), Type: t, License: "GPL", Insns: insns, Maps: specs}
	starts := []int{0}
	for pc, in := range insns {
		target := in.Target(pc)
		k := asm.KindOf(in)
		if (k == asm.CallLocal || k == asm.LdImm64) && target >= 0 && !slices.Contains(starts, target) {
			starts = append(starts, target)
		}
	}
	slices.Sort(starts)
	for i, start := range starts {
		end := len(insns)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		p.Funcs = append(p.Funcs, prog.Func{Name: fmt.Sprintf("f%d", i), Start: start, End: end})
	}
	p.Funcs[0].Name = name
	return p
}

func (r *reader) setKey(key, value string) error {
	c := r.cur
	var err error
	switch key {
	case "type":
		var ok bool
		if r.typ, ok = prog.TypeOf(value); !ok {
			err = fmt.Errorf("no program type %s", value)
		}
	case "packet":
		c.Packet, err = parseHex(value)
	case "after":
		c.After, err = parseHex(value)
	case "map":
		err = r.addMap(value)
	case "entry":
		err = r.addEntry(value)
	case "send":
		err = c.addSample(value)
	case "task":
		err = c.setTask(strings.Fields(value))
	case "attached":
		c.Cgroup, err = parseNumber(value)
	case "budget":
		c.Budget, err = parseNumber(value)
	case "link":
		if c.Verified = value == "verified"; !c.Verified {
			err = fmt.Errorf("link: want verified")
		}
	case "runs":
		c.Runs, err = strconv.Atoi(value)
	case "advance":
		c.Advance, err = parsePointer(value)
	case "advance fault":
		c.Late, err = parseFault(value)
	case "timer":
		err = r.addTimer(value)
	case "r0":
		c.R0, err = parsePointer(value)
	case "insns":
		c.Insns, err = parsePointer(value)
	case "fault":
		c.Fault, err = parseFault(value)
	case "checked":
		c.Checked, err = parseFault(value)
	default:
		err = fmt.Errorf("no key %q", key)
	}
	return err
}

func (c *Case) addSample(value string) error {
	name, data, _ := strings.Cut(value, " ")
	data, discard := strings.CutPrefix(data, "!")
	b, err := parseHex(data)
	c.Sends = append(c.Sends, Sample{name, b, discard})
	return err
}

func (c *Case) setTask(words []string) error {
	all := make([]uint64, len(words))
	for i, w := range words {
		var err error
		if all[i], err = parseNumber(w); err != nil {
			return err
		}
	}
	if len(all) < 2 {
		return fmt.Errorf("task: want PID CGROUP ABOVE...")
	}
	c.Task = &helpers.Task{PID: uint32(all[0]), TGID: uint32(all[0]), CgroupID: all[1], Ancestors: all[2:]}
	return nil
}

func (r *reader) addMap(value string) error {
	f := strings.Fields(value)
	if len(f) == 5 {
		f = append(f, "0")
	}
	if len(f) != 6 {
		return fmt.Errorf("map: want NAME TYPE KEY VALUE ENTRIES [FLAGS]")
	}
	t, ok := maps.TypeOf(f[1])
	if !ok {
		return fmt.Errorf("no map type %s", f[1])
	}
	s := &maps.Spec{Name: f[0], Type: t, LockOff: -1, TimerOff: -1}
	for i, p := range []*uint32{&s.KeySize, &s.ValueSize, &s.MaxEntries, &s.Flags} {
		n, err := strconv.ParseUint(f[2+i], 10, 32)
		if err != nil {
			return err
		}
		*p = uint32(n)
	}
	r.cur.Maps = append(r.cur.Maps, s)
	return nil
}

func (r *reader) addTimer(value string) error {
	name, off, _ := strings.Cut(value, " ")
	i := slices.IndexFunc(r.cur.Maps, func(s *maps.Spec) bool { return s.Name == name })
	if i < 0 {
		return fmt.Errorf("no map %s", name)
	}
	n, err := strconv.Atoi(off)
	if err != nil {
		return err
	}
	spec := r.cur.Maps[i]
	spec.Fields = []btf.Field{{Kind: btf.Timer, Off: uint32(n), Size: 16}}
	if spec.TimerOff = n; n == 0 {
		spec.Value = &maps.Layout{Kind: maps.Struct, Fields: []maps.Field{{Type: &maps.Layout{Kind: maps.Struct, Name: "bpf_timer", Size: 16}}}}
	}
	return nil
}

func (r *reader) addEntry(value string) error {
	f := strings.Fields(value)
	if len(f) != 3 {
		return fmt.Errorf("entry: want MAP KEY VALUE")
	}
	i := slices.IndexFunc(r.cur.Maps, func(s *maps.Spec) bool { return s.Name == f[0] })
	if i < 0 {
		return fmt.Errorf("no map %s", f[0])
	}
	key, err := parseHex(f[1])
	if err != nil {
		return err
	}
	e := maps.Entry{Key: key}
	if name, ok := strings.CutPrefix(f[2], "@"); ok {
		e.ProgName = name
	} else if e.Value, err = parseHex(f[2]); err != nil {
		return err
	}
	r.cur.Maps[i].Contents = append(r.cur.Maps[i].Contents, e)
	return nil
}

func parseHex(s string) ([]byte, error) { return hex.DecodeString(strings.ReplaceAll(s, " ", "")) }

func parsePointer(s string) (*uint64, error) {
	v, err := parseNumber(s)
	return &v, err
}

// parseNumber reads a Go literal of up to 64 bits; negative ones become their two's complement.
func parseNumber(s string) (uint64, error) {
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return uint64(v), nil
	}
	return strconv.ParseUint(s, 0, 64)
}

var faultKinds = []vm.FaultKind{vm.BadAccess, vm.BudgetExceeded, vm.BadInsn, vm.CallDepth, vm.HelperError}

func parseFault(s string) (*vm.Fault, error) {
	f := strings.Fields(s)
	if len(f) != 2 && len(f) != 5 {
		return nil, fmt.Errorf("fault: want KIND PC [load|store ADDR SIZE]")
	}
	out := &vm.Fault{}
	for _, k := range faultKinds {
		if k.String() == f[0] {
			out.Kind = k
		}
	}
	if out.Kind == vm.NoFault {
		return nil, fmt.Errorf("no fault kind %s", f[0])
	}
	var err error
	if out.PC, err = strconv.Atoi(f[1]); err != nil || len(f) == 2 {
		return out, err
	}
	out.Write = f[2] == "store"
	if out.Addr, err = parseNumber(f[3]); err != nil {
		return nil, err
	}
	out.Size, err = strconv.Atoi(f[4])
	return out, err
}
