//go:build !(amd64 && (linux || darwin || windows)) && !(arm64 && (linux || darwin))

package jit

var host Processor

func enter(*state, uintptr) { panic("jit: no machine code on this system") }
