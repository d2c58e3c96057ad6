//go:build linux || darwin

package jit

import "golang.org/x/sys/cpu"

var host = Processor{Arch: "arm64", LSE: cpu.ARM64.HasATOMICS}

// enter runs machine code from a stub until it leaves; state.site says why it did.
//
//go:noescape
func enter(s *state, stub uintptr)
