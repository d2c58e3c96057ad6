package seccomp

import "github.com/skepvm/skep/cbpf"

// Row is what becomes of a call, whatever its arguments where that can be said.
type Row struct {
	NR   int32
	Name string // "" of a number that is no call
	// Answers are the different verdicts that were found, at least one.
	Answers []Answer
	// Certain says that no filter looks at more than number and architecture: the one answer is that of every such call. Else there
	// may be answers that were not found.
	Certain bool
	// Always says that the kernel remembers the call as allowed and runs no filter for it.
	Always bool
}

// Answer is a verdict and the arguments of a call that gets it.
type Answer struct {
	Return Return
	By     int
	Args   [6]uint64
	Looked uint8
}

// Table judges every call of an architecture, those without a name too. The arguments are 0 first; then each comparison of
// an argument that a filter made is tried both ways, until nothing new is found, so that actions that only some arguments
// get show. Every answer comes with arguments that get it. Where filters look at arguments, or at the instruction pointer, that is a
// search and no proof: what they compute of arguments, other than by masks, may hide an answer. See Row.Certain.
func (s Stack) Table(a *Arch) []Row {
	always := s.AlwaysAllow(a)
	out := make([]Row, 0, a.Count())
	for nr := range a.Count() {
		n := int32(uint32(nr) | a.Bit)
		row := Row{NR: n, Name: a.Syscall(n), Always: always[nr]}
		s.explore(&row, Data{NR: n, Arch: a.Audit})
		out = append(out, row)
	}
	return out
}

// maxTried is how many lists of arguments are tried with a number.
const maxTried = 4096

// explore judges a call with the arguments of d and with those that its comparisons lead to.
func (s Stack) explore(row *Row, d Data) {
	row.Certain = s.byNumber(s.Run(&d))
	seen := map[[6]uint64]bool{d.Args: true}
	todo := [][6]uint64{d.Args}
	for len(todo) > 0 {
		d.Args = todo[0]
		todo = todo[1:]
		v := s.Run(&d)
		row.add(Answer{v.Return, v.By, d.Args, v.Looked})
		for _, step := range v.Steps {
			for _, c := range s[step.Filter].compares(step.Path) {
				for _, args := range c.both(d.Args, d.Big()) {
					if !seen[args] && len(seen) < maxTried {
						seen[args] = true
						todo = append(todo, args)
					}
				}
			}
		}
	}
}

// byNumber reports whether a verdict was found without a look at more than number and architecture, so that every call with those goes the same
// way.
func (s Stack) byNumber(v Verdict) bool {
	for _, step := range v.Steps {
		for _, pc := range step.Path {
			if in := s[step.Filter].Program[pc]; in.Op == opLoad && in.K != offNR && in.K != offArch {
				return false
			}
		}
	}
	return true
}

// compare is a comparison of masked bits of a half of an argument with a constant.
type compare struct {
	off     uint32 // of the half in the record
	mask, k uint32
}

// compares are the comparisons that a run made.
func (f *Filter) compares(path []int) []compare {
	var out []compare
	var c compare
	for _, pc := range path {
		switch in := f.Program[pc]; {
		case in.Op == opLoad:
			c = compare{off: in.K, mask: ^uint32(0)}
		case in.Op == opAnd:
			c.mask &= in.K
		case in.Op == opJeq, in.Op == opJgt, in.Op == opJge, in.Op == opJset:
			if c.k = in.K; c.off >= offArgs {
				out = append(out, c)
			}
		case in.Op&7 != cbpf.ClassJmp:
			c = compare{}
		}
	}
	return out
}

// both gives arguments for which the comparison, of whatever kind, comes out one way and the other.
func (c compare) both(args [6]uint64, big bool) [][6]uint64 {
	arg := (c.off - offArgs) / 8
	shift := c.off % 8 / 4 * 32
	if big {
		shift ^= 32
	}
	old := uint32(args[arg] >> shift)
	var out [][6]uint64
	for _, k := range [...]uint32{c.k, c.k + 1, c.k - 1, ^c.k} {
		half := old&^c.mask | k&c.mask
		next := args
		next[arg] = args[arg]&^(0xffffffff<<shift) | uint64(half)<<shift
		out = append(out, next)
	}
	return out
}

func (r *Row) add(a Answer) {
	for _, old := range r.Answers {
		if old.Return == a.Return {
			return
		}
	}
	r.Answers = append(r.Answers, a)
}
