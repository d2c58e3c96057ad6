//go:build !linux && !darwin && !windows

package execmem

func alloc(int) ([]byte, error) { return nil, ErrUnsupported }

func publish([]byte) error { return ErrUnsupported }

func free([]byte) error { return ErrUnsupported }
