package maps

// storageMax is how many objects may have a value in a storage map. The kernel has no limit but memory.
const storageMax = 1 << 16

// storage is SKStorage: a value for each object that was given one, by the object's guest address. Values appear as a hash's do.
// Deviation: at most storageMax objects.
type storage struct {
	*hash
	given *Spec
}

func newStorage(c *core) (Map, error) {
	given, sized := c.spec, *c.spec
	sized.MaxEntries = storageMax
	c.spec = &sized
	h, err := makeHash(c)
	if err != nil {
		return nil, err
	}
	return &storage{h, given}, nil
}

// Spec returns what the map was made of, whose MaxEntries is 0.
func (m *storage) Spec() *Spec { return m.given }
