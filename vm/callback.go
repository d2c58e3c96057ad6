package vm

import (
	"errors"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
)

// Error numbers that the helpers of this file return, negated.
const (
	errnoE2BIG  = 7
	errnoEINVAL = 22
)

func negative(errno uint64) uint64 { return -errno }

// engineHelper does the helpers that call back into the program; code[i] is the call.
func (x *Interpreter) engineHelper(row *helpers.Row, i int) *Fault {
	call := callback{x: x, row: row, site: i, prog: x.prog}
	switch row.ID {
	case loopID:
		return call.loop()
	case forEachElemID:
		return call.forEachElem()
	}
	return call.fail(errors.New("not implemented"))
}

// callback is a helper call that runs a function of the program some times.
type callback struct {
	x     *Interpreter
	row   *helpers.Row
	site  int // of the call, in prog.code
	prog  *Linked
	entry int // of the function
}

func (c *callback) fail(err error) *Fault {
	f := c.x.fault(HelperError, c.site)
	f.Helper, f.Err = c.row.Name, err
	return f
}

// find looks up the function whose address a register holds.
func (c *callback) find(slot uint64) *Fault {
	entry, ok := c.prog.at(slot)
	if !ok {
		return c.fail(errors.New("callback is no instruction of the program"))
	}
	c.entry = entry
	return nil
}

// run calls the function with a in R1 to R5 and leaves its result in R0.
func (c *callback) run(a [5]uint64) *Fault {
	x := c.x
	copy(x.regs[1:], a[:])
	if f := x.enter(c.site+1, c.entry); f != nil {
		return f
	}
	outer := x.base
	x.base = x.depth
	if f := x.resume(); f != nil {
		return f
	}
	x.base = outer
	x.leave()
	return nil
}

// loop is bpf_loop(nr, callback, ctx, flags): R0 is the number of iterations done.
func (c *callback) loop() *Fault {
	r := &c.x.regs
	nr, ctx, flags := uint32(r[1]), r[3], r[4]
	if f := c.find(r[2]); f != nil {
		return f
	}
	switch {
	case flags != 0:
		r[0] = negative(errnoEINVAL)
		return nil
	case nr > MaxLoops:
		r[0] = negative(errnoE2BIG)
		return nil
	}
	done := uint32(0)
	for done < nr {
		if f := c.run([5]uint64{uint64(done), ctx}); f != nil {
			return f
		}
		done++
		if r[0] != 0 {
			break
		}
	}
	r[0] = uint64(done)
	return nil
}

// forEachElem is bpf_for_each_map_elem(map, callback, ctx, flags): R0 is the number of elements visited. The callback
// gets the map, a copy of the key, the value on this CPU, and ctx.
func (c *callback) forEachElem() *Fault {
	x := c.x
	r := &x.regs
	m, handle, ctx, flags := x.mapOf(r[1]), r[1], r[3], r[4]
	if f := c.find(r[2]); f != nil {
		return f
	}
	if m == nil || !iterable(m.Spec().Type) || flags != 0 {
		r[0] = negative(errnoEINVAL)
		return nil
	}
	key, err := x.space.Alloc(max(m.Spec().KeySize, 1), 8)
	if err != nil {
		return c.fail(err)
	}
	defer x.space.Free(key)
	view, _ := x.space.Bytes(key, m.Spec().KeySize)
	done := uint64(0)
	for _, k := range keysOf(m) {
		value := m.LookupAddr(x.env.CPU, k)
		if value == 0 {
			continue // deleted by an earlier callback
		}
		copy(view, k)
		if x.check != nil {
			x.check.grant(span{key, m.Spec().KeySize, false})
			x.check.grantElement(m, value)
		}
		if f := c.run([5]uint64{handle, uint64(key), uint64(value), ctx}); f != nil {
			return f
		}
		done++
		if r[0] != 0 {
			break
		}
	}
	r[0] = done
	return nil
}

// iterable reports whether a map type has map_for_each_callback in the kernel.
func iterable(t maps.Type) bool {
	switch t {
	case maps.Hash, maps.LRUHash, maps.PerCPUHash, maps.LRUPerCPUHash, maps.Array, maps.PerCPUArray:
		return true
	}
	return false
}

// keysOf lists the keys first, so that a callback may delete elements.
func keysOf(m maps.Map) [][]byte {
	keys := make([][]byte, 0, m.Len())
	for k, ok := m.Next(nil); ok && len(keys) < cap(keys); k, ok = m.Next(k) {
		keys = append(keys, append([]byte(nil), k...))
	}
	return keys
}
