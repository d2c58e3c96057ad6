package verifier_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

const kernelsHead = `# Kernels

What skep knows of kernel releases. This page is made from the tables in verifier/rules.go, asm, prog, maps and helpers
(go test ./verifier -run TestKernelsDoc -update).

A release stands for the newest stable one of its series, as distributions ship it: what a fix brought to 5.10.y counts from
5.10 on. A release without a row of its own answers as the one before it. The loader has all capabilities, the JIT is on, and
every option that brings a helper or a program type is set.

Where the statements come from:

| word | meaning |
|---|---|
| sources | read in the sources of one release that has it and of one that has not; which release between the two it was is from change logs. Read were parts of 4.19 and 5.4 (trees of phone makers), 5.10 and 5.15 (Android's common tree), 6.6 (a router maker's), and 6.1 and 6.12 (Debian's) |
| seen | measured on a running 6.18 |
| knowledge | from change logs, documentation or memory: the release may be off by one or two |

Verdicts of 6.18 are compared with a running kernel, those of 6.1 with the expectations of the kernel's own cases; no other
release was at hand to run. Known to be missing: 6.18 finds the one value that fits both range and known bits, and here all
releases from 6.8 on do. What programs may read of the kernel's objects, tags of arguments and special fields of map values have
rules by release of their own, in verifier/btf.go, global.go and fields.go. Each rule has a case in verifier/testdata/cases/kernels.txt whose verdict changes with the rule's
release and because of the rule.

Of helpers, the releases in which they came are known from the kernel's documentation, which program types may call them from
the sources of 6.1 and 6.12 and from a running 6.18, and the openings in between from the sources of 4.19, 5.10 and 5.15 for
network types, else from change logs. What a release could do and newer ones cannot (bpf_get_local_storage for sk_msg programs
on 4.19) is not in the tables. Ctx fields have the release that brought the field.

Messages are in the words of the release where verifier/oldwords.go has them, else in those of the newest.
`

// TestKernelsDoc checks that docs/kernels.md is what the tables say; -update writes it.
func TestKernelsDoc(t *testing.T) {
	var b strings.Builder
	b.WriteString(kernelsHead)
	for _, section := range []func(*strings.Builder){limitsDoc, rulesDoc, insnsDoc, typesDoc, mapsDoc, helpersDoc, fieldsDoc} {
		section(&b)
	}
	checkGolden(t, filepath.Join("..", "docs", "kernels.md"), b.String())
}

func limitsDoc(b *strings.Builder) {
	b.WriteString("\n## Limits\n\n| rules | instructions | processed | pending branches | frames | functions | stack | stack counts in steps of |\n|---|---|---|---|---|---|---|---|\n")
	for _, p := range append(verifier.Profiles(verifier.LongTerm), verifier.DAG(), verifier.Unprivileged()) {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d | %d | %d |\n", p.Name, p.MaxInsns, p.MaxProcessed, p.MaxJumpSeq, p.MaxFrames,
			p.MaxSubprogs, p.MaxStack, p.StackRound)
	}
}

func rulesDoc(b *strings.Builder) {
	b.WriteString("\n## Rules\n\n| since | rule | meaning | known from |\n|---|---|---|---|\n")
	for _, r := range verifier.Rules {
		fmt.Fprintf(b, "| %v | %s | %s | %s |\n", r.Since, r.Name, r.Meaning, r.Source)
	}
}

// sinceRow is a line of a table that is in the order of releases.
type sinceRow struct {
	since kver.Version
	text  string
}

func writeRows(b *strings.Builder, rows []sinceRow) {
	slices.SortStableFunc(rows, func(x, y sinceRow) int { return x.since.Compare(y.since) })
	for _, r := range slices.Compact(rows) {
		fmt.Fprintf(b, "| %v | %s |\n", r.since, r.text)
	}
}

func insnsDoc(b *strings.Builder) {
	b.WriteString("\n## Instructions\n\nThose that came after the first kernels with eBPF; [assembly.md](assembly.md) has all.\n\n| since | instructions |\n|---|---|\n")
	p := &prog.Program{Type: prog.SocketFilter, Insns: []asm.Insn{
		{Op: 0x18, Src: asm.PseudoFunc}, {}, {Op: 0x18, Src: asm.PseudoMapIdxValue}, {}}}
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if k != asm.LdImm64 && k.Info().Since != asm.Never {
			p.Insns = append(p.Insns, k.Example())
		}
	}
	var rows []sinceRow
	for _, n := range verifier.Needs(p) {
		if n.What == verifier.NeedInsns {
			rows = append(rows, sinceRow{n.Since, n.Name})
		}
	}
	writeRows(b, rows)
}

func typesDoc(b *strings.Builder) {
	b.WriteString("\n## Program types and sections\n\nSections are listed where they came after their program type.\n\n| since | program type or section |\n|---|---|\n")
	var rows []sinceRow
	for t := prog.SocketFilter; t < prog.NumTypes; t++ {
		rows = append(rows, sinceRow{t.Row().Since, t.String()})
	}
	for i := range prog.Sections {
		if s := &prog.Sections[i]; s.Since != (kver.Version{}) {
			rows = append(rows, sinceRow{s.Since, "section `" + s.Pattern + "`"})
		}
	}
	writeRows(b, rows)
}

func mapsDoc(b *strings.Builder) {
	b.WriteString("\n## Map types and flags\n\n| since | map type or flag |\n|---|---|\n")
	var rows []sinceRow
	for _, f := range maps.FlagRows {
		rows = append(rows, sinceRow{f.Since, "flag " + f.Name})
	}
	for t := maps.Hash; t < maps.NumTypes; t++ {
		rows = append(rows, sinceRow{t.Row().Since, t.String()})
	}
	writeRows(b, rows)
}

func helpersDoc(b *strings.Builder) {
	b.WriteString("\n## Helpers\n\nWith the program types that may call them only since a later release.\n\n| since | helper | later |\n|---|---|---|\n")
	var rows []sinceRow
	for i := range helpers.Table {
		if r := &helpers.Table[i]; r.Name != "" {
			rows = append(rows, sinceRow{r.Since, r.Name + " | " + laterTypes(r)})
		}
	}
	writeRows(b, rows)
}

// laterTypes lists the types to which a helper was opened, by release; types that are younger than the helper are no news.
func laterTypes(r *helpers.Row) string {
	by := map[kver.Version][]string{}
	for t := prog.SocketFilter; t < prog.NumTypes; t++ {
		if since, ok := helpers.Since(r, t); ok && since != r.Since && since != t.Row().Since && t != prog.Ext {
			by[since] = append(by[since], t.String())
		}
	}
	var releases []kver.Version
	for k := range by {
		releases = append(releases, k)
	}
	slices.SortFunc(releases, kver.Version.Compare)
	var parts []string
	for _, k := range releases {
		parts = append(parts, fmt.Sprintf("%v %s", k, strings.Join(by[k], ", ")))
	}
	return strings.Join(parts, "; ")
}

func fieldsDoc(b *strings.Builder) {
	b.WriteString("\n## Ctx fields\n\nThose that came after their program type.\n\n| since | field | program types |\n|---|---|---|\n")
	types := map[sinceRow][]string{}
	for t := prog.SocketFilter; t < prog.NumTypes; t++ {
		row := t.Row()
		for i := range row.Fields {
			f := &row.Fields[i]
			if f.Access&prog.Write != 0 && f.SinceWrite.Compare(row.Since) > 0 {
				add(types, sinceRow{f.SinceWrite, row.CtxName + "." + f.Name + " (stores)"}, t)
			}
			if f.Access != 0 && f.Since.Compare(row.Since) > 0 {
				add(types, sinceRow{f.Since, row.CtxName + "." + f.Name}, t)
			}
		}
	}
	var rows []sinceRow
	for k, list := range types {
		rows = append(rows, sinceRow{k.since, k.text + " | " + strings.Join(list, ", ")})
	}
	slices.SortFunc(rows, func(x, y sinceRow) int { return strings.Compare(x.text, y.text) })
	writeRows(b, rows)
}

func add(types map[sinceRow][]string, key sinceRow, t prog.Type) {
	if list := types[key]; len(list) == 0 || list[len(list)-1] != t.String() {
		types[key] = append(list, t.String())
	}
}
