//go:build !unix

package main

// ignoreBrokenPipe does nothing where a write to a broken pipe just fails.
func ignoreBrokenPipe() {}
