// Package verifier proves that a program is safe to run, as the Linux kernel's verifier would, for a chosen kernel.
//
// Verify looks at the program as a whole first (cfg.go: functions, jumps, loads, control flow), then walks every path
// (walk.go) with an abstract machine: registers (reg.go) that hold scalars (bounds.go: known bits and ranges) or
// pointers, stack, references (state.go). Three things are kept apart:
//
//   - what must hold: mem.go, ctx.go, stack.go for memory, helper.go and mapfit.go for calls of helpers;
//   - what changes: alu_step.go and alu.go, jump.go and branch.go, calls.go and callback.go;
//   - when two states are alike: prune.go, with precise.go to tell which scalars matter.
//
// What lives on the stack as a whole is in dynptr.go and iter.go; regions in which less is allowed are in region.go.
//
// What loaders without CAP_PERFMON may not do, against Spectre, is in spectre.go.
//
// The path of each state is a list of steps (history.go): precision and the path in an error both come from it.
//
// Whose rules these are is data: a Profile. A rejection is an *Error with a stable Code; codes.txt has the smallest
// program for each. What is not known yet is refused (E_UNSUPPORTED): struct_ops and extension programs, objects that
// programs allocate, kinds of arguments of helpers and of kernel functions (kfunc.go) that no check is there for, and callbacks
// but those in callback.go.
//
// # Deviations from Linux
//
//   - Instructions that no path reaches must have legal fields too, because engines decode them.
//   - Without BTF of the kernel only the first members of struct bpf_map can be read. Programs that use what they read of the
//     kernel's objects can be verified, but not run: see Verified.Runnable.
//   - An object of one slot on the stack lies below R10. The kernel takes R10 itself for the slot at fp-8.
//   - The slices of a ring buffer's dynptr end with its record. In the kernel up to 6.18 those of bpf_dynptr_slice stay.
//   - Programs with an exception callback are refused. struct cpumask is that of a kernel for 8192 CPUs.
//   - Whether a function may sleep or be made to return something else is not in BTF: fmod_ret is for security_* only, and of
//     tracing and LSM programs that sleep only iterators are known.
//   - A kptr to a struct that is not in the kernel's BTF, or without BTF one that owns another type than the kernel has destructors
//     for, is taken to be to one of the program's own.
//   - bpf_get_smp_processor_id is below 8192; a kernel uses the number of its own CPUs.
//   - A pointer that was moved down may be zero: guest addresses are small.
//   - A load-acquire from the ctx or the packet is refused also where the loaded register is the address.
//   - bpf_fib_lookup and bpf_snprintf write their memory; in the kernel up to 6.18 constants on the stack survive them.
package verifier
