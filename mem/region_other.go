//go:build !linux && !darwin && !windows

package mem

// largestSize is the most that New tries for where a space is ordinary Go memory.
const largestSize = MaxSize >> 4

// DefaultSize is the size of a space when Options do not say: 64 MiB of Go memory.
const DefaultSize = MaxSize >> 6

// reserve allocates n bytes. The Go runtime ends the process when there is not enough, so this never fails.
func reserve(n uint64) ([]byte, error) { return make([]byte, n), nil }

func unreserve([]byte) error { return nil }

func discard(b []byte) { clear(b) }
