//go:build !amd64 || !(linux || darwin || windows)

package jit

const available = false

func enter(*state, uintptr) { panic("jit: no machine code on this system") }

func hasBMI2() bool { return false }
