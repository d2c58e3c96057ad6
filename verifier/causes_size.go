package verifier

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/skepvm/skep/asm"
)

// infiniteLoop says which instructions the loop has and what its branches look at.
func (x *explainer) infiniteLoop() {
	end := x.failing()
	start := x.t.lastVisit(end)
	if start < 0 {
		return
	}
	low, high := end, start
	frozen, unknown := []string{}, []string{}
	seen := map[int32]bool{}
	for step := start; step < end; step++ {
		s := x.t.steps[step]
		if x.order(step) < x.order(low) {
			low = step
		}
		if x.order(step) > x.order(high) {
			high = step
		}
		in := x.insn(step)
		if in.class != asm.ClassBranch || seen[s.pc] {
			continue
		}
		seen[s.pc] = true
		for _, n := range []uint8{in.dst, in.src} {
			if n == in.src && (!in.useSrc || in.src == in.dst) {
				continue
			}
			p := place{s.depth, n}
			r := x.t.value(p, step).reg
			x.show(p)
			word := fmt.Sprintf("R%d", n)
			switch {
			case r.typ == scalar && !r.isConst() && !slices.Contains(unknown, word):
				unknown = append(unknown, word)
			case (r.typ != scalar || r.isConst()) && !slices.Contains(frozen, word):
				frozen = append(frozen, word)
			}
		}
		x.cause(step, "the loop goes on here: %s", x.loopOperands(step))
	}
	lines := x.where(low)
	if to := x.where(high); to != lines {
		lines += " to " + to
	}
	x.e.Reason = fmt.Sprintf("the loop from %s may run for ever: two rounds begin in the same state", lines)
	switch {
	case len(seen) == 0:
		x.e.Reason += ", and it has no way out"
		x.e.Hint = "give the loop a condition under which it ends"
	case len(unknown) > 0:
		x.e.Reason += fmt.Sprintf("; whether it ends depends on %s, of which nothing is known in either round", strings.Join(unknown, ", "))
		x.e.Hint = "count the rounds: for (i = 0; i < 64; i++), with a constant limit, or use bpf_loop"
	default:
		x.e.Reason += fmt.Sprintf("; what its condition looks at, %s, has the same value in each round", strings.Join(frozen, ", "))
		x.e.Hint = "let each round change what the loop's condition looks at"
	}
}

// order sorts the steps of a loop as they stand in the source, or in the program when there is no source.
func (x *explainer) order(step int32) int {
	pc := int(x.t.steps[step].pc)
	if l := x.v.prog.LineAt(pc); l != nil {
		return l.Line
	}
	return pc
}

func (x *explainer) loopOperands(step int32) string {
	in := x.insn(step)
	depth := x.t.steps[step].depth
	dst := x.t.value(place{depth, in.dst}, step).reg
	text := fmt.Sprintf("R%d=%s", in.dst, x.v.regText(&dst))
	if in.useSrc {
		src := x.t.value(place{depth, in.src}, step).reg
		text += fmt.Sprintf(" R%d=%s", in.src, x.v.regText(&src))
	}
	return text
}

// hottest is how many source lines are named as the most visited.
const hottest = 5

// tooComplex names the source lines that were visited most, loops first of all.
func (x *explainer) tooComplex() {
	type spot struct {
		pc, visits, most int
	}
	var spots []spot
	total := 0
	for pc := range x.v.insns {
		n := int(x.v.insns[pc].visits)
		total += n
		if n == 0 {
			continue
		}
		l := x.v.prog.LineAt(pc)
		i := slices.IndexFunc(spots, func(s spot) bool {
			o := x.v.prog.LineAt(s.pc)
			return l != nil && o != nil && o.Line == l.Line && o.File == l.File
		})
		if i < 0 {
			spots = append(spots, spot{pc, n, n})
			continue
		}
		spots[i].visits += n
		spots[i].most = max(spots[i].most, n)
	}
	slices.SortStableFunc(spots, func(a, b spot) int { return cmp.Compare(b.visits, a.visits) })
	for i, s := range spots {
		percent := (100*s.visits + total/2) / max(total, 1)
		if i == hottest || percent == 0 {
			break
		}
		x.causeAt(int32(i), s.pc, fmt.Sprintf("%d %% of the work: visited %d times", percent, s.most))
	}
	if len(spots) == 0 {
		return
	}
	x.e.Reason = fmt.Sprintf("%d instructions were walked and there are more: most of them at %s", total, x.v.where(spots[0].pc))
	if x.e.Code == TooManyJumps {
		x.e.Reason = fmt.Sprintf("more than %d branches wait to be walked, after %d instructions: most of them at %s",
			x.v.profile.MaxJumpSeq, total, x.v.where(spots[0].pc))
	}
	x.e.Hint = "make loops shorter or replace them by bpf_loop, turn code that is inlined often into a function that is not static, " +
		"or split the program with tail calls"
}

// stackDepth lists the functions of the heaviest chain of calls.
func (x *explainer) stackDepth() {
	v := x.v
	chains := make([]chain, len(v.subs))
	if err := v.chainFrom(0, 1, chains); err != nil {
		return
	}
	var parts []string
	for fn, order := 0, int32(0); fn >= 0; order++ {
		s := &v.subs[fn]
		parts = append(parts, fmt.Sprintf("%s %d", v.funcName(fn), s.stack))
		x.causeAt(order, s.start, fmt.Sprintf("%s uses %d bytes of stack", v.funcName(fn), s.stack))
		next := -1
		for pc := s.start; pc < s.end; pc++ {
			if in := &v.insns[pc]; in.kind == asm.CallLocal || in.kind == asm.LdImm64 && asm.Reg(in.src) == asm.PseudoFunc {
				if callee := int(v.subOf[in.target]); next < 0 || chains[callee].bytes > chains[next].bytes {
					next = callee
				}
			}
		}
		fn = next
	}
	x.e.Reason = fmt.Sprintf("the functions of one chain of calls use %d bytes of stack together, each rounded up to %d; %d are allowed: %s",
		chains[0].bytes, v.profile.StackRound, v.profile.MaxStack, strings.Join(parts, " + "))
	x.e.Hint = "move large variables into a per-CPU array map, or let the functions be inlined"
}
