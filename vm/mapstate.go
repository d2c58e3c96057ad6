package vm

import (
	"github.com/skepvm/skep/maps"
)

// MapState is what the maps of a machine hold at a time, and the timers in their values. It may be used any number of times.
type MapState struct {
	contents []*maps.Contents
	timers   timers
}

// SaveMaps copies what the maps hold. No program may run meanwhile.
func (m *Machine) SaveMaps() *MapState {
	s := &MapState{timers: m.timers.save()}
	for _, mp := range m.table.All() {
		s.contents = append(s.contents, maps.Save(mp))
	}
	return s
}

// RestoreMaps makes the maps hold what they did when the state was saved, and their timers wait for what they did. The rest of the machine
// goes on as it is: random numbers, and objects that values pointed to, which nobody has any more. Maps that were added since are left alone.
// No program may run meanwhile.
func (m *Machine) RestoreMaps(s *MapState) {
	for _, c := range s.contents {
		c.Restore()
	}
	m.timers.restore(&s.timers, len(m.cpus))
}
