//go:build !linux

package kernel_test

import "testing"

// pinCPU has nothing to do where there is no kernel to ask.
func pinCPU(*testing.T) {}
