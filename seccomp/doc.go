// Package seccomp is what the kernel's seccomp does with classic BPF: which filters it takes, what they see of a system
// call, what they answer and how the answers of several are one; and the compiler of container profiles.
package seccomp

//go:generate go run gen.go
