//go:build linux || darwin || windows

package jit

import "golang.org/x/sys/cpu"

var host = Processor{Arch: "amd64", BMI2: cpu.X86.HasBMI2, MOVBE: features()>>movbe&1 != 0}

// movbe is the bit of MOVBE among the features. (Intel SDM volume 2, CPUID.)
const movbe = 22

// features is what CPUID leaf 1 says in ECX.
func features() uint32

// enter runs machine code from a stub until it leaves; state.site says why it did.
//
//go:noescape
func enter(s *state, stub uintptr)
