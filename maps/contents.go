package maps

import "github.com/skepvm/skep/mem"

// Contents is all that a map holds at a time, in its own layout: elements, in their order of use, and positions of queues and rings.
type Contents struct {
	space *mem.Space
	part  *mem.Part
}

// Save copies what a map holds. Nothing may change the map meanwhile.
func Save(m Map) *Contents {
	c := HostOf(m).core()
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Contents{c.space, c.space.SavePart(c.owned)}
}

// Restore makes the map, which must be open, hold that again. Nothing may use the map meanwhile.
func (c *Contents) Restore() { c.space.RestorePart(c.part) }
