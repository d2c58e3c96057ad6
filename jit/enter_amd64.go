//go:build linux || darwin || windows

package jit

import "golang.org/x/sys/cpu"

var host = Processor{Arch: "amd64", BMI2: cpu.X86.HasBMI2}

// enter runs machine code from a stub until it leaves; state.site says why it did.
//
//go:noescape
func enter(s *state, stub uintptr)
