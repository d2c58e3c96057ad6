package cbpf

import (
	"strconv"
	"strings"
)

// labelUse is a jump to a label.
type labelUse struct {
	pc    int
	where token
	set   func(in *Insn, skip int) bool // puts the distance in; no when the field can't hold it
}

func setK(in *Insn, skip int) bool {
	in.K = uint32(skip)
	return true
}

func setJt(in *Insn, skip int) bool {
	in.Jt = uint8(skip)
	return skip <= 255
}

func setJf(in *Insn, skip int) bool {
	in.Jf = uint8(skip)
	return skip <= 255
}

// parseAsm reads the Asm form. As bpf_asm it cares for words, not for lines.
func (p *parser) parseAsm() error {
	for p.peek().kind != tokenEnd {
		if err := p.parseLabels(); err != nil {
			return err
		}
		start := p.peek()
		in, err := p.parseInsn()
		if err != nil {
			return err
		}
		p.src.add(in, start)
	}
	return p.resolve()
}

// resolve fills in the distances of jumps.
func (p *parser) resolve() error {
	for _, j := range p.jumps {
		to, ok := p.labels[j.where.text]
		if p.numbered {
			to, ok = int(min(j.where.value, 1<<30)), true
		}
		skip := to - j.pc - 1
		switch {
		case !ok:
			return j.where.errorf("there is no label %q", clip(j.where.text))
		case skip < 0:
			return j.where.errorf("jump backwards")
		case !j.set(&p.src.Program[j.pc], skip):
			return j.where.errorf("jump over %d instructions, more than 255", skip)
		}
	}
	return nil
}

// parseLabels takes the labels before an instruction.
func (p *parser) parseLabels() error {
	for {
		t := p.peek()
		if t.kind != tokenWord || p.tokens[p.next+1].text != ":" {
			return nil
		}
		if reserved(strings.ToLower(t.text)) {
			return t.errorf("%q can't be a label", t.text)
		}
		if _, twice := p.labels[t.text]; twice {
			return t.errorf("there are two labels %q", clip(t.text))
		}
		p.labels[t.text] = len(p.src.Program)
		p.next += 2
	}
}

// parseInsn reads an instruction; its jumps go to labels, which are resolved later.
func (p *parser) parseInsn() (Insn, error) {
	t := p.take()
	row := asmWords[strings.ToLower(t.text)]
	if t.kind != tokenWord || row == nil {
		return Insn{}, t.want("an instruction")
	}
	if p.numbered && row.word == "ret" && (p.at("(") || p.peek().kind == tokenEnd) {
		return Insn{Op: ClassRet | RetA}, nil // tcpdump -d leaves the a out
	}
	for _, form := range row.forms {
		bare := row.bare && p.peek().kind == tokenNumber
		if !bare && !p.begins(form.arg) {
			continue
		}
		in := Insn{Op: form.op}
		if err := p.operand(form, &in); err != nil {
			return Insn{}, err
		}
		return in, nil
	}
	return Insn{}, p.peek().want("an operand of " + row.word)
}

// begins reports whether the next tokens begin an operand of the given shape.
func (p *parser) begins(arg operand) bool {
	second := token{}
	if p.peek().kind != tokenEnd {
		second = p.tokens[p.next+1]
	}
	word := p.peek()
	if p.at("#") || p.at("[") {
		word = second
	}
	_, anc := ancWords[strings.ToLower(word.text)]
	isLen := strings.EqualFold(word.text, "len") || strings.EqualFold(word.text, "pktlen")
	switch arg {
	case opNone:
		return true
	case opX, opCondX:
		return p.at("x") || p.at("%") && strings.EqualFold(second.text, "x")
	case opA:
		return p.at("a") || p.at("%") && strings.EqualFold(second.text, "a")
	case opImm, opCondK:
		return p.at("#") && !anc && !isLen
	case opAbs:
		return anc || p.at("[") && !strings.EqualFold(second.text, "x") && second.text != "%"
	case opInd:
		return p.at("[")
	case opMem:
		return p.at("m")
	case opMsh:
		return p.peek().kind == tokenNumber
	case opLen:
		return isLen && !p.at("[")
	}
	return true // opJa: target says what it wants
}

// operand reads the operand of an instruction whose shape is known.
func (p *parser) operand(form asmForm, in *Insn) (err error) {
	switch form.arg {
	case opX, opA:
		p.skip("%")
		p.next++
	case opImm:
		p.skip("#")
		in.K, err = p.number(true)
	case opAbs:
		in.K, err = p.absolute()
	case opInd:
		p.next++
		p.skip("%")
		if err = p.expect("x", "+"); err == nil {
			in.K, err = p.number(true)
		}
		if err == nil {
			err = p.expect("]")
		}
	case opMem:
		p.next++
		if err = p.expect("["); err == nil {
			in.K, err = p.number(true)
		}
		if err == nil {
			err = p.expect("]")
		}
	case opMsh:
		in.K, err = p.headerLength()
	case opLen:
		p.skip("#")
		p.next++
	case opJa:
		err = p.target(setK)
	case opCondK, opCondX:
		err = p.condition(form, in)
	}
	return err
}

// absolute reads [k], [name] or name.
func (p *parser) absolute() (k uint32, err error) {
	bracket := p.skip("[")
	if !bracket {
		p.skip("#")
	}
	if which, ok := ancWords[strings.ToLower(p.peek().text)]; ok {
		p.next++
		k = AncillaryOff + uint32(which)
	} else if k, err = p.number(true); err != nil {
		return 0, err
	}
	if bracket {
		return k, p.expect("]")
	}
	return k, nil
}

// headerLength reads 4*([k]&0xf).
func (p *parser) headerLength() (uint32, error) {
	four := p.take()
	if four.value != 4 {
		return 0, four.want("4")
	}
	if err := p.expect("*", "(", "["); err != nil {
		return 0, err
	}
	k, err := p.number(true)
	if err != nil {
		return 0, err
	}
	if err := p.expect("]", "&"); err != nil {
		return 0, err
	}
	if t := p.take(); t.kind != tokenNumber || t.value != 0xf {
		return 0, t.want("0xf")
	}
	return k, p.expect(")")
}

// condition reads what a conditional jump compares with and its targets.
func (p *parser) condition(form asmForm, in *Insn) (err error) {
	if form.arg == opCondX {
		p.skip("%")
		p.next++
	} else {
		p.skip("#")
		if in.K, err = p.number(true); err != nil {
			return err
		}
	}
	if p.numbered {
		return p.numberedTargets()
	}
	if err := p.expect(","); err != nil {
		return err
	}
	if form.negate {
		return p.target(setJf)
	}
	if err := p.target(setJt); err != nil || !p.skip(",") {
		return err
	}
	return p.target(setJf)
}

// numberedTargets reads "jt 4 jf 6".
func (p *parser) numberedTargets() error {
	if err := p.expect("jt"); err != nil {
		return err
	}
	if err := p.target(setJt); err != nil {
		return err
	}
	if err := p.expect("jf"); err != nil {
		return err
	}
	return p.target(setJf)
}

// target reads a label, or in numbered lines the number of an instruction, and remembers what to do about it.
func (p *parser) target(set func(*Insn, int) bool) error {
	t := p.take()
	if p.numbered {
		if t.kind != tokenNumber {
			return t.want("the number of an instruction")
		}
	} else if t.kind != tokenWord || reserved(strings.ToLower(t.text)) {
		return t.want("a label")
	}
	p.jumps = append(p.jumps, labelUse{len(p.src.Program), t, set})
	return nil
}

// parseDisasm reads the Disasm form.
func (p *parser) parseDisasm() error {
	p.numbered = true
	for p.peek().kind != tokenEnd {
		if err := p.expect("("); err != nil {
			return err
		}
		t := p.peek()
		if n, err := p.number(false); err != nil || int64(n) != int64(len(p.src.Program)) {
			return t.want("the number " + strconv.Itoa(len(p.src.Program)))
		}
		if err := p.expect(")"); err != nil {
			return err
		}
		start := p.peek()
		in, err := p.parseInsn()
		if err != nil {
			return err
		}
		p.src.add(in, start)
	}
	return p.resolve()
}
