//go:build linux || darwin || windows

package jit

import "golang.org/x/sys/cpu"

const available = true

// enter runs machine code from a stub until it leaves; state.site says why it did.
//
//go:noescape
func enter(s *state, stub uintptr)

func hasBMI2() bool { return cpu.X86.HasBMI2 }
