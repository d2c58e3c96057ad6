package vmtest

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// kindsByName finds kinds by their lower-case name.
var kindsByName = func() map[string]asm.Kind {
	m := map[string]asm.Kind{}
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		m[strings.ToLower(k.String())] = k
	}
	return m
}()

// pairs are the destination and source registers that operations are tried in, triesPerLine of them on each line, in
// turn. Every register is in one, and those that machines treat in a special way are in both roles.
var pairs = [][2]asm.Reg{{1, 2}, {0, 4}, {4, 0}, {3, 9}, {5, 6}, {6, 3}, {7, 8}, {8, 5}, {9, 7}, {2, 1}}

const triesPerLine = 3

// scratchOff is the stack slot that operations on memory use.
const scratchOff = -16

func parseOps(file, text string) ([]*Case, error) {
	var cases []*Case
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		more, err := parseOp(line, i)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		for j, c := range more {
			c.Name = fmt.Sprintf("%s:%d/%d: %s", file, i+1, j, strings.TrimSpace(line))
		}
		cases = append(cases, more...)
	}
	return cases, nil
}

// op is a line of an .ops file.
type op struct {
	name     string
	line     int
	args     []uint64
	want     []uint64
	branches bool // want is yes (1) or no (0)
}

func parseOp(line string, number int) ([]*Case, error) {
	left, right, ok := strings.Cut(line, "=")
	f := strings.Fields(left)
	if !ok || len(f) < 2 {
		return nil, fmt.Errorf("want OPERATION ARGUMENTS = RESULTS")
	}
	o := op{name: f[0], line: number}
	var err error
	if o.args, err = o.numbers(f[1:]); err != nil {
		return nil, err
	}
	if o.want, err = o.numbers(strings.Fields(right)); err != nil {
		return nil, err
	}
	return o.cases()
}

func (o *op) numbers(words []string) ([]uint64, error) {
	var out []uint64
	for _, w := range words {
		if w == "yes" || w == "no" {
			o.branches = true
			out = append(out, map[string]uint64{"no": 0, "yes": 1}[w])
			continue
		}
		v, err := parseNumber(w)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// shapes says, for each class, how many numbers stand on each side.
var shapes = map[asm.Class][2]int{
	asm.ClassALU: {2, 1}, asm.ClassBranch: {2, 1}, asm.ClassNeg: {1, 1}, asm.ClassSwap: {1, 1}, asm.ClassMovsx: {1, 1},
	asm.ClassAddrCast: {1, 1}, asm.ClassLoad: {1, 1}, asm.ClassLoadAcq: {1, 1}, asm.ClassStore: {2, 1},
	asm.ClassStoreRel: {2, 1}, asm.ClassAtomic: {2, 2},
}

func (o *op) cases() ([]*Case, error) {
	var out []*Case
	for _, suffix := range []string{"", "k", "x"} {
		k, ok := kindsByName[o.name+suffix]
		if !ok {
			continue
		}
		info := k.Info()
		shape := shapes[info.Class]
		if info.Class == asm.ClassAtomic && info.Atomic == asm.AtomicCmpxchg {
			shape[0]++
		}
		if shape != [2]int{len(o.args), len(o.want)} || o.branches != (info.Class == asm.ClassBranch) {
			return nil, fmt.Errorf("%s: want %d numbers = %d", o.name, shape[0], shape[1])
		}
		for i := range triesPerLine {
			p := pairs[(o.line*triesPerLine+i)%len(pairs)]
			out = append(out, o.build(k, p[0], p[1])...)
		}
		if info.UseSrc && shape[0] == 2 && info.Class != asm.ClassAtomic && o.args[0] == o.args[1] {
			out = append(out, o.build(k, 3, 3)...)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no operation %s", o.name)
	}
	return out, nil
}

// build makes the case of one kind in one pair of registers; none when the immediate does not fit.
func (o *op) build(k asm.Kind, d, s asm.Reg) []*Case {
	info := k.Info()
	in := k.Example()
	switch info.Class {
	case asm.ClassALU, asm.ClassBranch:
		in.Dst = d
		if info.UseSrc {
			in.Src = s
		} else if !fits(o.args[1], &in, info) {
			return nil
		}
		if info.Class == asm.ClassBranch {
			return o.branch(in, d, s)
		}
		return o.register(in, d, s, o.args[0], o.args[1])
	case asm.ClassNeg, asm.ClassSwap:
		in.Dst = d
		return o.register(in, d, s, o.args[0], 0)
	case asm.ClassMovsx, asm.ClassAddrCast:
		in.Dst, in.Src = d, s
		return o.register(in, d, s, ^o.args[0], o.args[0])
	}
	return o.memory(k, in, d, s)
}

// fits puts v into in's immediate when it means v there: sign-extended, or with only the low half looked at.
func fits(v uint64, in *asm.Insn, info *asm.Info) bool {
	in.Imm = int32(v)
	return uint64(int64(in.Imm)) == v || info.Width == 32 && v>>32 == 0 || info.Class == asm.ClassStore && info.Size <= 4
}

func program(insns ...asm.Insn) *Case {
	p := newProgram("op", prog.SchedCLS, insns, nil)
	return &Case{Programs: []*prog.Program{p}, Packet: make([]byte, 64), Runs: 1}
}

func loadImm(r asm.Reg, v uint64) []asm.Insn {
	lo := asm.LdImm64.Example()
	lo.Dst, lo.Imm = r, int32(v)
	return []asm.Insn{lo, {Imm: int32(v >> 32)}}
}

func mov(d, s asm.Reg) asm.Insn {
	in := asm.Mov64X.Example()
	in.Dst, in.Src = d, s
	return in
}

var exit = asm.Exit.Example()

// register runs in with d and s set, and expects d afterwards; s must be as before.
func (o *op) register(in asm.Insn, d, s asm.Reg, dst, src uint64) []*Case {
	other := asm.Reg(1) // neither d nor s
	for other == d || other == s {
		other++
	}
	code := loadImm(d, dst)
	count := uint64(4)
	if d != s {
		code = append(code, loadImm(s, src)...)
		count += 4
	}
	code = append(code, in)
	if d != s { // fold any change of s into the result
		code = append(code, loadImm(other, src)...)
		xor, add := asm.Xor64X.Example(), asm.Add64X.Example()
		xor.Dst, xor.Src, add.Dst, add.Src = s, other, d, s
		code = append(code, xor, add)
	}
	c := program(append(code, mov(0, d), exit)...)
	c.R0, c.Insns = &o.want[0], &count
	return []*Case{c}
}

func (o *op) branch(in asm.Insn, d, s asm.Reg) []*Case {
	code := loadImm(d, o.args[0])
	count := uint64(4)
	if d != s {
		code = append(code, loadImm(s, o.args[1])...)
		count++
	}
	in.Off = 2
	zero, one := asm.Mov64K.Example(), asm.Mov64K.Example()
	zero.Dst, zero.Imm, one.Dst, one.Imm = 0, 0, 0, 1
	c := program(append(code, in, zero, exit, one, exit)...)
	c.R0, c.Insns = &o.want[0], &count
	return []*Case{c}
}

// memory runs a load, store or atomic on a stack slot. The base is R10 and, in another case, a copy of it.
func (o *op) memory(k asm.Kind, in asm.Insn, d, s asm.Reg) []*Case {
	var cases []*Case
	for _, viaCopy := range []bool{false, true} {
		info := k.Info()
		data, base, off := d, asm.FP, int16(scratchOff)
		var code []asm.Insn
		if viaCopy {
			base, off = s, 0
			add := asm.Add64K.Example()
			add.Dst, add.Imm = base, scratchOff
			code = append(code, mov(base, asm.FP), add)
		}
		cmpxchg := info.Class == asm.ClassAtomic && info.Atomic == asm.AtomicCmpxchg
		if cmpxchg && (d == 0 || viaCopy && s == 0) {
			continue // R0 has its own part in it
		}
		tmp := asm.Reg(1) // sets the memory up, and reads it
		for tmp == d || tmp == s {
			tmp++
		}
		st := asm.Stx64.Example()
		st.Dst, st.Src, st.Off = asm.FP, tmp, scratchOff
		code = append(append(code, loadImm(tmp, o.args[0])...), st)
		in.Off = off
		switch info.Class {
		case asm.ClassLoad, asm.ClassLoadAcq:
			in.Dst, in.Src = data, base
			cases = append(cases, finish(append(code, in, mov(0, data)), o.want[0]))
			continue
		case asm.ClassStore, asm.ClassStoreRel, asm.ClassAtomic:
			in.Dst = base
			if info.UseSrc || info.Class != asm.ClassStore {
				in.Src = data
				code = append(code, loadImm(data, o.args[1])...)
			} else if !fits(o.args[1], &in, info) {
				continue
			}
		}
		if cmpxchg {
			code = append(code, loadImm(0, o.args[2])...)
			data = 0
		}
		code = append(code, in)
		if info.Class == asm.ClassAtomic {
			cases = append(cases, finish(append(code[:len(code):len(code)], mov(0, data)), o.want[1]))
		}
		ld := asm.Ldx64.Example()
		ld.Dst, ld.Src, ld.Off = 0, asm.FP, scratchOff
		cases = append(cases, finish(append(code, ld), o.want[0]))
	}
	return cases
}

func finish(code []asm.Insn, want uint64) *Case {
	c := program(append(code, exit)...)
	c.R0 = &want
	return c
}
