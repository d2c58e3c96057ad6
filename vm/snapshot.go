package vm

import (
	"errors"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/mem"
)

// Snapshot is the state of a machine between runs: guest memory with the maps in it, the programs, and what each CPU
// keeps. It may be used any number of times.
type Snapshot struct {
	memory  *mem.Snapshot
	maps    int
	pending int
	linked  int
	cpus    []cpuState
	timers  timers
}

type cpuState struct {
	env helpers.Env
	rng splitMix

	async uint32
}

// Snapshot copies the state. No program may run meanwhile.
func (m *Machine) Snapshot() *Snapshot {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := &Snapshot{memory: m.space.Snapshot(), maps: len(m.table.All()), pending: len(m.pending), linked: len(m.linked)}
	for _, c := range m.cpus {
		s.cpus = append(s.cpus, cpuState{*c.Env, c.rng, c.async})
	}
	s.timers = m.timers.save()
	return s
}

var errMapsAdded = errors.New("maps were added to the machine since the snapshot")

// Reset makes the machine what it was when the snapshot of it was taken: a run behaves as it did then, and memory that
// nobody allocated is zero. Programs linked since are gone, and engines of them must not run again. It fails when
// maps were added since. changed sees the pages that were different: see mem.Space.Reset.
func (m *Machine) Reset(s *Snapshot, changed func(addr uint32, page []byte)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.table.All()) != s.maps || len(m.pending) != s.pending || len(m.linked) < s.linked || len(m.cpus) != len(s.cpus) {
		return errMapsAdded
	}
	if err := m.space.Reset(s.memory, changed); err != nil {
		return err
	}
	m.timers.restore(&s.timers, len(m.cpus))
	clear(m.linked[s.linked:])
	m.linked = m.linked[:s.linked]
	for i, c := range m.cpus {
		*c.Env, c.rng, c.async = s.cpus[i].env, s.cpus[i].rng, s.cpus[i].async
	}
	return nil
}
