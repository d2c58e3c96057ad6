package mem

import "fmt"

// Reason says why an operation on a space failed.
type Reason uint8

// Reasons of an Error.
const (
	OutOfMemory   Reason = iota + 1 // no free range of guest addresses is large enough
	LimitReached                    // Options.Limit
	BadSize                         // not a power of two, out of range, or 0
	BadAlign                        // not a power of two
	NoReservation                   // the system gives no address space
	Foreign                         // a snapshot of a space of another size or kind
)

var reasons = [...]string{
	OutOfMemory:   "out of guest memory",
	LimitReached:  "limit of guest memory reached",
	BadSize:       "bad size",
	BadAlign:      "alignment is not a power of two",
	NoReservation: "no address space to be had",
	Foreign:       "snapshot of a different space",
}

func (r Reason) String() string {
	if int(r) < len(reasons) && reasons[r] != "" {
		return reasons[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Error is a failed operation on a space.
type Error struct {
	Op     string // "new", "alloc", "restore", "reset"
	Size   uint64 // bytes that were asked for
	Reason Reason
	Err    error // what the system said; may be nil
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("guest memory: %s of %d bytes: %s", e.Op, e.Size, e.Reason)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap returns what the system said.
func (e *Error) Unwrap() error { return e.Err }
