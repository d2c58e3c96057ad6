package main

import "fmt"

// Instructions that compilers often put together, and that engines do at once: each sequence with registers that are
// distinct and shared, and entered in its middle.

// named finds an operation.
func named(name string) aluOp {
	for _, o := range arithmetic {
		if o.name == name {
			return o
		}
	}
	panic("no operation " + name)
}

// namedBranch finds a branch.
func namedBranch(name string) branch {
	for _, b := range branches {
		if b.name == name {
			return b
		}
	}
	panic("no branch " + name)
}

func sequenceVectors() (all []file) {
	for _, name := range []string{"add", "and", "lsh", "rsh", "arsh"} {
		all = append(all, newFile("sequences/mov_"+name+"_imm", "a move and "+name+" of an immediate to the same register", moveThen(named(name)), nil))
	}
	all = append(all, newFile("sequences/mov_add_reg", "a move and an addition of a register", moveAdd(), nil))
	for _, name := range []string{"lsh", "rsh"} {
		all = append(all, newFile("sequences/mov_"+name+"_xor", "a step of a hash: move, "+name+", exclusive or", hashStep(named(name)), nil))
	}
	all = append(all, newFile("sequences/mov_add_jgt", "a check of a length: move, add, compare", lengthCheck(), nil),
		newFile("sequences/add_jne", "the end of a loop: add, compare", loopEnd(), nil))
	for i := range sizes[:3] {
		for _, name := range []string{"jeq", "jne"} {
			all = append(all, newFile(fmt.Sprintf("sequences/ldx%s_%s32", sizes[i].suffix, name),
				"a load and a comparison of what it loaded", loadCompare(i, namedBranch(name), 32), memory))
		}
	}
	return all
}

// moveThen: rD = rS; rD op= imm.
func moveThen(o aluOp) *program {
	p := newProgram()
	id := 0
	inPairs(p, false, values, func(v uint64, d, s reg) {
		imm := o.immediates()[id%len(o.immediates())]
		id++
		p.lddw(s, v)
		p.lddw(d, ^v)
		p.movX(d, s)
		p.aluK(o, 64, d, imm)
		p.expect(d, o.result(64, v, uint64(int64(imm))))
		p.expect(s, v)
		p.comment("onto itself")
		p.movX(s, s)
		p.aluK(o, 64, s, imm)
		p.expect(s, o.result(64, v, uint64(int64(imm))))
		p.comment("from its second instruction on")
		p.lddw(d, v)
		label := fmt.Sprintf("middle%d", id)
		p.ja(label)
		p.movX(d, s)
		p.mark(label)
		p.aluK(o, 64, d, imm)
		p.expect(d, o.result(64, v, uint64(int64(imm))))
		p.passed()
	})
	return p
}

// moveAdd: rD = rS; rD += rT, where rT may be either.
func moveAdd() *program {
	p := newProgram()
	add := named("add")
	inPairs(p, false, values, func(v uint64, d, s reg) {
		third := other(d, s)
		for _, c := range []struct {
			operand reg
			want    uint64
		}{{third, v + 77}, {s, v + v}, {d, v + v}} {
			p.lddw(s, v)
			p.lddw(d, ^v)
			p.movK(third, 77)
			p.movX(d, s)
			p.aluX(add, 64, d, c.operand)
			p.expect(d, c.want)
			p.expect(s, v)
		}
		p.passed()
	})
	return p
}

// hashStep: rT = rS; rT shift= n; rD ^= rT, where rD may be rS.
func hashStep(shift aluOp) *program {
	p := newProgram()
	xor := named("xor")
	n := 0
	inPairs(p, false, values, func(v uint64, d, s reg) {
		n++
		by := int32(n * 5 % 64)
		moved := shift.result(64, v, uint64(by))
		third := other(d, s)
		const old = 0x5a5a5a5aa5a5a5a5
		p.lddw(s, v)
		p.lddw(d, old)
		p.movX(third, s)
		p.aluK(shift, 64, third, by)
		p.aluX(xor, 64, d, third)
		p.expect(d, old^moved)
		p.expect(s, v)
		p.expect(third, moved)
		p.comment("into the register that it began with")
		p.movX(third, s)
		p.aluK(shift, 64, third, by)
		p.aluX(xor, 64, s, third)
		p.expect(s, v^moved)
		p.comment("with itself")
		p.lddw(s, v)
		p.movX(d, s)
		p.aluK(shift, 64, d, by)
		p.aluX(xor, 64, d, d)
		p.expect(d, 0)
		p.passed()
	})
	return p
}

// lengthCheck: rT = rS; rT += imm; if rT > rE goto.
func lengthCheck() *program {
	p := newProgram()
	greater := namedBranch("jgt")
	id := 0
	inPairs(p, false, values, func(v uint64, d, s reg) {
		for _, delta := range []uint64{minus(1), 0, 1} {
			id++
			const imm = 14
			end := other(d, s)
			p.lddw(s, v)
			p.lddw(end, v+imm+delta)
			p.movX(d, s)
			p.addK(d, imm)
			p.test(id, v+imm > v+imm+delta, id%2 == 0, func(label string) { p.branchX(greater, 64, d, end, label) })
			p.expect(d, v+imm)
			p.expect(s, v)
			p.comment("compared with itself and with where it came from")
			id++
			p.movX(d, s)
			p.addK(d, imm)
			p.test(id, false, false, func(label string) { p.branchX(greater, 64, d, d, label) })
			id++
			p.movX(d, s)
			p.addK(d, imm)
			p.test(id, v+imm > v, false, func(label string) { p.branchX(greater, 64, d, s, label) })
		}
	})
	return p
}

// loopEnd: rD += imm; if rD != imm goto, up and down.
func loopEnd() *program {
	p := newProgram()
	id := 0
	inPairs(p, false, []int32{1, -1, 8, 0x7fffffff}, func(step int32, d, _ reg) {
		id++
		p.lddw(d, uint64(-3*int64(step)))
		p.mark(fmt.Sprintf("loop%d", id))
		p.addK(p.n, 1)
		p.addK(d, step)
		p.branchK(notEqual, 64, d, 0, fmt.Sprintf("loop%d", id))
		p.cases += 3
		for _, to := range []int32{step, step - 1, -0x80000000} {
			id++
			p.movK(d, 0)
			p.addK(d, step)
			p.test(id, step != to, false, func(label string) { p.branchK(notEqual, 64, d, to, label) })
			p.expect(d, uint64(int64(step)))
		}
	})
	return p
}

// loadCompare: rD = *(rS + off); if rD == imm goto.
func loadCompare(size int, b branch, width int) *program {
	p := newProgram()
	n := sizes[size].bytes
	id := 0
	inPairs(p, true, places[:7], func(pl place, d, s reg) {
		v := little(memory[pl.at+int(pl.off):], n)
		for _, imm := range []int32{int32(v), int32(v) + 1, int32(v) ^ 0x40000000} {
			for _, base := range []reg{s, d} {
				id++
				p.pointer(base, pl)
				p.load(size, d, base, pl.off)
				p.test(id, b.result(width, v, uint64(int64(imm))), id%2 == 0, func(label string) { p.branchK(b, width, d, imm, label) })
				p.expect(d, v)
			}
		}
	})
	return p
}
