package maps

import (
	"errors"
	"fmt"
)

// Errno is a Linux error number, positive. Helpers return it negated.
type Errno int32

// Error numbers that map operations give (Linux: errno-base.h, errno.h; ENOTSUPP is the kernel's own).
const (
	EPERM      Errno = 1
	ENOENT     Errno = 2
	E2BIG      Errno = 7
	EAGAIN     Errno = 11
	ENOMEM     Errno = 12
	EFAULT     Errno = 14
	EBUSY      Errno = 16
	EEXIST     Errno = 17
	EINVAL     Errno = 22
	ENOSPC     Errno = 28
	ERANGE     Errno = 34
	ENODATA    Errno = 61
	EOVERFLOW  Errno = 75
	EOPNOTSUPP Errno = 95
	ENOTSUPP   Errno = 524
)

var errnoText = map[Errno]string{
	EPERM:      "operation not permitted (EPERM)",
	ENOENT:     "no such element (ENOENT)",
	E2BIG:      "too big or map full (E2BIG)",
	EAGAIN:     "no room at the moment (EAGAIN)",
	ENOMEM:     "out of guest memory (ENOMEM)",
	EFAULT:     "bad address (EFAULT)",
	EBUSY:      "busy (EBUSY)",
	EEXIST:     "element exists (EEXIST)",
	EINVAL:     "invalid argument (EINVAL)",
	ENOSPC:     "no space (ENOSPC)",
	ERANGE:     "address out of range (ERANGE)",
	ENODATA:    "no data (ENODATA)",
	EOVERFLOW:  "value out of range (EOVERFLOW)",
	EOPNOTSUPP: "operation not supported (EOPNOTSUPP)",
	ENOTSUPP:   "operation not supported (ENOTSUPP)",
}

func (e Errno) String() string {
	if s, ok := errnoText[e]; ok {
		return s
	}
	return fmt.Sprintf("errno %d", int32(e))
}

// Ret returns what a helper leaves in R0: -errno.
func (e Errno) Ret() uint64 { return uint64(-int64(e)) }

// Error is a failed map operation.
type Error struct {
	Op     string // "create", "lookup", "update", "delete", "push", "pop", "peek", "reserve", ...
	Map    string // name
	Errno  Errno
	Reason string // what was wrong, when Errno does not say it all
}

func (e *Error) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("map %q: %s: %s: %s", e.Map, e.Op, e.Reason, e.Errno)
	}
	return fmt.Sprintf("map %q: %s: %s", e.Map, e.Op, e.Errno)
}

// Is makes errors.Is match on Errno: &Error{Errno: ENOENT} stands for any ENOENT.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Errno == e.Errno && t.Op == "" && t.Map == ""
}

// ErrnoOf returns the error number in err: 0 for nil, EINVAL for an error that is none of this package's.
func ErrnoOf(err error) Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(*Error); ok { // the usual case, without the walk
		return e.Errno
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Errno
	}
	return EINVAL
}
