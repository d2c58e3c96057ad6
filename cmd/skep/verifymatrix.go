package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/skepvm/skep/verifier"
)

// lacks are the words of the matrix for what a kernel or a loader lacks, in the order of the legend.
var lacks = []struct {
	need          verifier.NeedKind
	word, meaning string
}{
	{verifier.NeedInsns, "insn", "has instructions that this kernel does not know"},
	{verifier.NeedHelper, "helper", "calls a helper that this kernel does not have, or not for this program type"},
	{verifier.NeedKfunc, "kfunc", "calls a kernel function that this kernel does not have"},
	{verifier.NeedMap, "map", "has a map of a type that this kernel does not know"},
	{verifier.NeedMapFlag, "flag", "has a map with a flag that this kernel does not know"},
	{verifier.NeedType, "type", "is of a program type that this kernel does not know"},
	{verifier.NeedAttach, "attach", "is of a section that this kernel does not load: an attach type, or a flag"},
	{verifier.NeedField, "field", "uses a ctx field that this kernel does not have"},
	{needCaps, "caps", "needs a capability that the loader does not have"},
}

// needCaps is no need of a kernel.
const needCaps verifier.NeedKind = "capability"

// lack says what the kernel or the loader lacks; "" when the program is at fault, or at none.
func (o *outcome) lack() verifier.NeedKind {
	switch {
	case o.Accepted:
		return ""
	case o.cause.Need != nil:
		return o.cause.Need.What
	case o.cause.Code == verifier.NotPrivileged:
		return needCaps
	}
	return ""
}

// cell is the word for an outcome in the matrix.
func (o *outcome) cell() string {
	if o.Accepted {
		return "ok"
	}
	for _, l := range lacks {
		if l.need == o.lack() {
			return l.word
		}
	}
	return string(o.cause.Code)
}

// walked says that the program is rejected for what it does.
func (o *outcome) walked() bool { return !o.Accepted && strings.HasPrefix(o.cell(), codePrefix) }

// codePrefix is what all codes of rejections begin with.
const codePrefix = "E_"

// printMatrix prints program x kernel, and what the words in it mean.
func printMatrix(w io.Writer, v *verification) {
	t := &table{paint: cellColor}
	head := []string{"object", "program"}
	for _, k := range v.targets {
		head = append(head, k.name)
	}
	t.add(head...)
	seen := map[string]bool{}
	for i := range v.programs {
		all := v.of(i)
		row := []string{filepath.Base(all[0].Object), all[0].Program}
		if i > 0 && v.of(i - 1)[0].Object == all[0].Object {
			row[0] = ""
		}
		for k := range all {
			row = append(row, all[k].cell())
			seen[all[k].cell()] = true
			seen[codePrefix] = seen[codePrefix] || all[k].walked()
		}
		t.add(row...)
	}
	t.print(w)
	for _, l := range lacks {
		if seen[l.word] {
			fmt.Fprintf(w, "  %-7s %s\n", l.word, l.meaning)
		}
	}
	if seen[codePrefix] {
		fmt.Fprintf(w, "  %-7s rejected: skep explain %s… says what the code means\n", codePrefix+"…", codePrefix)
	}
}

// printMatrixDetail prints rejections in full: all of them, or one of each program.
func printMatrixDetail(w io.Writer, v *verification, all bool) {
	for i := range v.programs {
		outcomes := v.of(i)
		typical := typicalRejection(outcomes)
		for k := range outcomes {
			o := &outcomes[k]
			if o.Accepted || !all && k != typical {
				continue
			}
			fmt.Fprintf(w, "\nREJECT  %s  %s, %d insns (rules: %s%s)\n", o.Program, o.Type, o.Insns, o.profile.Name, alike(outcomes, k))
			printRejection(w, o.cause)
		}
	}
}

// typicalRejection is the one by the oldest kernel that has all that the program needs, loops too; -1 when there is none.
func typicalRejection(outcomes []outcome) int {
	found := -1
	for k := range outcomes {
		switch o := &outcomes[k]; {
		case !o.walked():
		case o.cause.Code != verifier.BackEdge:
			return k
		case found < 0:
			found = k
		}
	}
	return found
}

// alike names the other kernels that say the same as outcome k.
func alike(outcomes []outcome, k int) string {
	var names []string
	for i := range outcomes {
		if o, e := &outcomes[i], outcomes[k].cause; i != k && !o.Accepted && o.cause.Code == e.Code && o.cause.PC == e.PC {
			names = append(names, o.Kernel)
		}
	}
	switch len(names) {
	case 0:
		return ""
	case len(outcomes) - 1:
		return "; the same on all others"
	}
	return "; the same on " + strings.Join(names, ", ")
}

// cellColor is green for what is accepted, red for what is rejected, yellow for what the kernel lacks.
func cellColor(cell string) string {
	switch {
	case cell == "ok":
		return "\x1b[32m"
	case strings.HasPrefix(cell, codePrefix):
		return "\x1b[31m"
	}
	for _, l := range lacks {
		if l.word == cell {
			return "\x1b[33m"
		}
	}
	return ""
}
