package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// Config of a Machine. The zero value is one CPU, packet time, seed 0, no shadow.
type Config struct {
	Space   mem.Options                            // Shadow is needed by checked interpreters
	CPUs    int                                    // virtual CPUs; 0 is 1
	Seed    uint64                                 // of the random numbers; each CPU has its own sequence
	Clock   func() uint64                          // monotonic ns; nil is packet time
	Trace   func(line string)                      // lines of bpf_trace_printk; nil drops them
	Event   func(m maps.Map, cpu int, data []byte) // data of bpf_perf_event_output; nil drops it
	Router  helpers.Router                         // answers bpf_fib_lookup and bpf_check_mtu; nil knows no interface
	Sockets []helpers.Socket                       // what socket lookups find
	Effect  func(helpers.Effect)                   // what programs ask for that has no other place; nil drops it
	Counter func(m maps.Map, index uint32) (helpers.Counter, bool)
	Tables  *helpers.Tables // helpers and kernel functions; nil is the kernel's
	Budget  uint64          // instructions a run may take; 0 is DefaultBudget
	Cover   bool            // count how often each instruction is executed: see Executed
}

// Machine is all that a set of programs shares: guest memory, maps, and the programs themselves, which tail calls
// find by id. Link and AddMap may be called from any goroutine, runs included; a CPU belongs to one goroutine at
// a time.
type Machine struct {
	config Config
	space  *mem.Space
	table  *maps.Table
	cpus   []*CPU

	sockets *helpers.Sockets
	timers  timers

	mu      sync.RWMutex // guards what follows
	specs   map[*maps.Spec]maps.Map
	pending []pendingEntry
	linked  []*Linked // by id
}

// pendingEntry is an initial element of a map whose value is the name of a program or of another map.
type pendingEntry struct {
	m     maps.Map
	entry maps.Entry
}

// NewMachine reserves guest memory and makes the CPUs. The caller must Close the machine.
func NewMachine(c Config) (*Machine, error) {
	if c.CPUs == 0 {
		c.CPUs = 1
	}
	if c.CPUs < 0 || c.CPUs > MaxCPUs {
		return nil, fmt.Errorf("machine with %d CPUs: want 1 to %d", c.CPUs, MaxCPUs)
	}
	if c.Budget == 0 {
		c.Budget = DefaultBudget
	}
	space, err := mem.New(c.Space)
	if err != nil {
		return nil, err
	}
	m := &Machine{config: c, space: space, table: maps.NewTable(space), specs: map[*maps.Spec]maps.Map{}}
	m.timers.byID = map[uint32]*timer{}
	if m.sockets, err = helpers.NewSockets(space, c.Sockets); err != nil {
		return nil, errors.Join(err, space.Close())
	}
	for i := range c.CPUs {
		cpu, err := newCPU(m, i)
		if err != nil {
			return nil, errors.Join(err, space.Close())
		}
		m.cpus = append(m.cpus, cpu)
	}
	return m, nil
}

// Spare makes a CPU beside the machine's own, for what runs while all of those are busy. To programs it is the first: none that changes a
// map with a value for each CPU may run on it. It lives as long as the machine.
func (m *Machine) Spare() (*CPU, error) { return newCPU(m, 0) }

// MaxCPUs is the most virtual CPUs of a machine.
const MaxCPUs = 1024

// Close closes the maps and gives the guest memory back. No engine of the machine may be used afterwards.
func (m *Machine) Close() error {
	for _, mp := range m.table.All() {
		mp.Close()
	}
	return m.space.Close()
}

// Space returns the guest memory.
func (m *Machine) Space() *mem.Space { return m.space }

// Maps returns the maps by handle.
func (m *Machine) Maps() *maps.Table { return m.table }

// Sockets returns the socket table.
func (m *Machine) Sockets() *helpers.Sockets { return m.sockets }

// NumCPUs returns the number of virtual CPUs.
func (m *Machine) NumCPUs() int { return len(m.cpus) }

// CPU returns virtual CPU i; it panics when there is none.
func (m *Machine) CPU(i int) *CPU { return m.cpus[i] }

// Tables returns the helpers and kernel functions that programs of the machine call.
func (m *Machine) Tables() *helpers.Tables { return m.config.Tables }

// Budget returns the most instructions that a run may take.
func (m *Machine) Budget() uint64 { return m.config.Budget }

// Program returns the linked program of an id, or nil.
func (m *Machine) Program(id uint32) *Linked {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if uint64(id) >= uint64(len(m.linked)) {
		return nil
	}
	return m.linked[id]
}

// Programs returns the linked programs in order of their ids.
func (m *Machine) Programs() []*Linked {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return append([]*Linked(nil), m.linked...)
}

// AddMap makes the map of spec, or returns the one it made before for the same *Spec. The initial contents are filled
// in, except for values that name programs or maps: see SetProgs.
func (m *Machine) AddMap(spec *maps.Spec) (maps.Map, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.addMap(spec)
}

func (m *Machine) addMap(spec *maps.Spec) (maps.Map, error) {
	if mp := m.specs[spec]; mp != nil {
		return mp, nil
	}
	if spec.Broken != "" {
		return nil, fmt.Errorf("map %s: %s", spec.Name, spec.Broken)
	}
	mp, err := maps.New(m.space, spec, maps.Options{CPUs: len(m.cpus)})
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", spec.Name, err)
	}
	if err := maps.Fill(mp); err != nil {
		mp.Close()
		return nil, fmt.Errorf("map %s: initial contents: %w", spec.Name, err)
	}
	if spec.Frozen { // programs are verified with what it holds
		if err := maps.HostOf(mp).Freeze(); err != nil {
			mp.Close()
			return nil, fmt.Errorf("map %s: %w", spec.Name, err)
		}
	}
	for _, e := range spec.Contents {
		if e.ProgName != "" || e.MapName != "" {
			m.pending = append(m.pending, pendingEntry{mp, e})
		}
	}
	m.table.Add(mp)
	m.specs[spec] = mp
	return mp, nil
}

// SetProgs fills in the initial elements of maps that name programs or other maps, for all maps added since the
// last call. The names are those of these programs and maps, as an object has its own; without any, of all that the machine has.
// Of programs with one name the one linked last counts. What is not there leaves its element empty; the error joins those of all that
// failed, a *MissingError each in that case.
func (m *Machine) SetProgs(programs []*prog.Program, specs []*maps.Spec) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pending) == 0 {
		return nil
	}
	all := len(programs)+len(specs) == 0
	ids := make(map[string]uint32, len(m.linked))
	for id, l := range m.linked {
		if all || slices.Contains(programs, l.prog) {
			ids[l.prog.Name] = uint32(id)
		}
	}
	handles := map[string]uint32{}
	for _, mp := range m.table.All() {
		name := mp.Spec().Name
		if _, ok := handles[name]; !ok && (all || slices.Contains(specs, mp.Spec())) {
			handles[name] = mp.Handle()
		}
	}
	var failed []error
	for _, p := range m.pending {
		if err := p.fill(ids, handles); err != nil {
			failed = append(failed, fmt.Errorf("map %s: initial contents: %w", p.m.Spec().Name, err))
		}
	}
	m.pending = nil
	return errors.Join(failed...)
}

// MissingError says that an initial element of a map names what the machine has not got.
type MissingError struct {
	What string // "program" or "map"
	Name string
}

func (e *MissingError) Error() string { return "no " + e.What + " " + e.Name }

// fill gives the element its value.
func (p *pendingEntry) fill(ids, handles map[string]uint32) error {
	var value uint32
	if name := p.entry.ProgName; name != "" {
		id, ok := ids[name]
		if !ok {
			return &MissingError{"program", name}
		}
		value = id + 1
	} else {
		handle, ok := handles[p.entry.MapName]
		if !ok {
			return &MissingError{"map", p.entry.MapName}
		}
		value = handle
	}
	return p.m.HostUpdate(p.entry.Key, binary.LittleEndian.AppendUint32(nil, value), 0)
}
