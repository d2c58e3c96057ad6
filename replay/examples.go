package replay

import (
	"cmp"
	"errors"
	"slices"
)

// maxExamples is how many faults, and how many packets with XDP_ABORTED, a Report keeps of a program.
const maxExamples = 5

// fault counts a fault, and keeps the first of each program.
func (r *runner) fault(number uint64, err error) {
	r.report.Faults++
	x := FaultExample{Packet: number, Err: err}
	var of *ChainFault
	if errors.As(err, &of) {
		x.Program, x.Hook = of.Program, of.Hook.String()
	}
	if room(r.report.FaultExamples, x.isOf) {
		x.Error = err.Error()
		r.report.FaultExamples = append(r.report.FaultExamples, x)
	}
}

// aborted keeps the first packets with XDP_ABORTED; program and hook are "" of a single program.
func (r *runner) aborted(number uint64, program, hook string) {
	x := AbortedExample{number, program, hook}
	if room(r.report.AbortedExamples, x.isOf) {
		r.report.AbortedExamples = append(r.report.AbortedExamples, x)
	}
}

func (x *FaultExample) isOf(y *FaultExample) bool { return x.Program == y.Program && x.Hook == y.Hook }

func (x *AbortedExample) isOf(y *AbortedExample) bool {
	return x.Program == y.Program && x.Hook == y.Hook
}

// room reports whether a list has room for another example of the same program.
func room[X any](list []X, same func(*X) bool) bool {
	n := 0
	for i := range list {
		if same(&list[i]) {
			n++
		}
	}
	return n < maxExamples
}

// first puts the examples of several CPUs in the order of their packets, and leaves the first of each program.
func first[X any](list []X, packet func(*X) uint64, isOf func(a, b *X) bool) []X {
	slices.SortStableFunc(list, func(a, b X) int { return cmp.Compare(packet(&a), packet(&b)) })
	out := list[:0]
	for i := range list {
		x := list[i]
		if room(out, func(y *X) bool { return isOf(&x, y) }) {
			out = append(out, x)
		}
	}
	return out
}

// firstExamples leaves those that a replay on one CPU would have.
func (rep *Report) firstExamples() {
	rep.FaultExamples = first(rep.FaultExamples, func(x *FaultExample) uint64 { return x.Packet }, (*FaultExample).isOf)
	rep.AbortedExamples = first(rep.AbortedExamples, func(x *AbortedExample) uint64 { return x.Packet }, (*AbortedExample).isOf)
}
