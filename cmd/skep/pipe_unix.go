//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreBrokenPipe lets a write to a pipe that nobody reads fail, where it would end the process and the report with it.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }
