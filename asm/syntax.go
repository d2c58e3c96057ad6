package asm

import (
	"fmt"
	"strings"
	"sync"
)

// A text syntax is a list of templates, by which Format writes and Parse reads. A template is literal text with
// holes in braces, each the home of an operand:
//
//	{rd} {rs}     Dst and Src as r0..r10        {wd} {ws}   as w0..w10
//	{pd} {ps}     as %r0..%r10
//	{ri} {pi}     Imm as r0..r10, %r0..%r10
//	{off}         Off as " + 4" or " - 4"       {ix}        Imm the same way
//	{disp}        Off as "+4" or "-4"
//	{k}           Imm as a number               {bits}      the same, of any 32 bits
//	{j} {l}       Off, Imm as a jump target: +3, or a label
//	{fn}          Imm as a function: pc+5, or a label
//	{helper} {kfunc} {map}                      Imm as a number, or a name that ParseOptions resolves
//	{module}      Off as " module 2", or nothing when 0
//	{q} {up}      the 64-bit immediate of two slots; Imm of the second slot
type hole uint8

const (
	holeNone hole = iota
	holeRD
	holeRS
	holeWD
	holeWS
	holePD
	holePS
	holeRI
	holePI
	holeOff
	holeIx
	holeDisp
	holeK
	holeBits
	holeJ
	holeL
	holeFn
	holeHelper
	holeKfunc
	holeMap
	holeModule
	holeQ
	holeUp
)

var holeNames = map[string]hole{
	"rd": holeRD, "rs": holeRS, "wd": holeWD, "ws": holeWS, "pd": holePD, "ps": holePS, "ri": holeRI, "pi": holePI, "off": holeOff, "ix": holeIx, "disp": holeDisp, "k": holeK, "bits": holeBits,
	"j": holeJ, "l": holeL, "fn": holeFn, "helper": holeHelper, "kfunc": holeKfunc, "map": holeMap, "module": holeModule, "q": holeQ, "up": holeUp,
}

// part is a literal or a hole of a template.
type part struct {
	hole   hole
	text   string  // of a literal, as written
	tokens []token // of a literal, as read
}

// template is one way to write a kind.
type template struct {
	kind  Kind
	parts []part
	// fix is the field whose value, beyond the kind, chooses among the kind's templates, and holds that value in fixed.
	fix   Field
	fixed int32
	upper bool // has a hole for the second slot
}

var aluText = [...]string{Add: "+=", Sub: "-=", Mul: "*=", Div: "/=", SDiv: "s/=", Or: "|=", And: "&=", Lsh: "<<=", Rsh: ">>=",
	Mod: "%=", SMod: "s%=", Xor: "^=", Mov: "=", Arsh: "s>>="}

var condText = [...]string{Jeq: "==", Jgt: ">", Jge: ">=", Jset: "&", Jne: "!=", Jsgt: "s>", Jsge: "s>=", Jlt: "<", Jle: "<=",
	Jslt: "s<", Jsle: "s<="}

var atomicText = [...]struct{ op, name string }{AtomicAdd: {"+=", "add"}, AtomicOr: {"|=", "or"}, AtomicAnd: {"&=", "and"},
	AtomicXor: {"^=", "xor"}, AtomicXchg: {"", "xchg"}, AtomicCmpxchg: {"", "cmpxchg"}}

// controlText spells the kinds of control flow. A kind's first spelling is the one that is written, but for a CallReg
// whose register is in Imm.
var controlText = map[Kind][]string{
	Ja:         {"goto {j}"},
	Ja32:       {"gotol {l}"},
	MayGoto:    {"may_goto {j}"},
	CallHelper: {"call {helper}"},
	CallLocal:  {"call {fn}"},
	CallKfunc:  {"call kfunc {kfunc}{module}"},
	CallReg:    {"callx {rd}", "callx imm {ri}"},
	Exit:       {"exit"},
}

// imm64Text spells the forms of a 64-bit immediate load, by Src. Where two have the same Src, the first
// is for an upper half of 0.
var imm64Text = [...]struct {
	src  Reg
	text string
}{
	{PseudoNone, "{rd} = {q} ll"},
	{PseudoMapFD, "{rd} = map_fd[{k}]"},
	{PseudoMapValue, "{rd} = map_fd[{k}][{up}]"},
	{PseudoBTFID, "{rd} = btf[{k}]"},
	{PseudoBTFID, "{rd} = btf[{k}][{up}]"},
	{PseudoFunc, "{rd} = func {fn}"},
	{PseudoMapIdx, "{rd} = map[{map}]"},
	{PseudoMapIdxValue, "{rd} = map[{map}][{up}]"},
}

// grammar is all templates.
type grammar struct {
	of [NumKinds][]template   // by kind: Parse reads all, Format writes the first that fits
	by map[string][]*template // by shape, so that Parse tries few
}

// syntax makes the grammar when first asked: programs that neither read nor write text don't pay for it.
var syntax = sync.OnceValue(func() *grammar { return newGrammar(kindTemplates) })

func newGrammar(of func(Kind) []template) *grammar {
	g := &grammar{by: map[string][]*template{}}
	for k := Invalid + 1; k < NumKinds; k++ {
		g.of[k] = of(k)
		for i := range g.of[k] {
			key := shape(g.of[k][i].sample())
			g.by[key] = append(g.by[key], &g.of[k][i])
		}
	}
	return g
}

// shape is what the first tokens of a statement tell: its keyword, or the width of the first register, and the
// operator behind a register.
func shape(tokens []token) string {
	i := 0
	if tokens[0].text == "if" {
		i = 1
	}
	if i+1 >= len(tokens) || !isRegisterName(tokens[i].text) {
		return tokens[0].text
	}
	return tokens[0].text[:1] + tokens[i].text[:1] + tokens[i+1].text
}

// sample returns a statement of t, with registers where it has registers and zeroes for other operands.
func (t *template) sample() (tokens []token) {
	for _, p := range t.parts {
		switch p.hole {
		case holeNone:
			tokens = append(tokens, p.tokens...)
		case holeRD, holeRS, holeRI:
			tokens = append(tokens, token{kind: tokenName, text: "r0"})
		case holeWD, holeWS:
			tokens = append(tokens, token{kind: tokenName, text: "w0"})
		default:
			tokens = append(tokens, token{kind: tokenNumber, text: "0"})
		}
	}
	return tokens
}

func kindTemplates(k Kind) []template {
	row := &Table[k]
	var list []template
	add := func(format string, args ...any) { list = append(list, newTemplate(k, fmt.Sprintf(format, args...))) }
	d, s, operand := "{rd}", "{rs}", "{k}"
	if row.Width == 32 {
		d, s = "{wd}", "{ws}"
	}
	if row.UseSrc {
		operand = s
	}
	switch row.Class {
	case ClassALU:
		add("%s %s %s", d, aluText[row.ALU], operand)
	case ClassNeg:
		add("%s = -%s", d, d)
	case ClassMovsx:
		add("%s = (s%d)%s", d, 8*row.Size, s)
	case ClassSwap:
		add("{rd} = %s {rd}", strings.ToLower(row.Name))
	case ClassAddrCast:
		list = castTemplates("{rd} = addr_space_cast({rs}, %d, %d)")
	case ClassBranch:
		add("if %s %s %s goto {j}", d, condText[row.Cond], operand)
	case ClassJump, ClassMayGoto, ClassCall, ClassExit:
		list = controlTemplates(k, controlText)
	case ClassImm64:
		list = imm64Templates(strings.NewReplacer())
	case ClassAbs:
		add("r0 = *(u%d *)skb[{k}]", 8*row.Size)
	case ClassInd:
		add("r0 = *(u%d *)skb[{rs}{ix}]", 8*row.Size)
	default:
		for _, text := range memoryText(row) {
			add("%s", text)
		}
	}
	return list
}

func controlTemplates(k Kind, texts map[Kind][]string) (list []template) {
	for _, text := range texts[k] {
		list = append(list, newTemplate(k, text))
	}
	if k == CallReg {
		list[0].fix = FieldImm // to 0: the register is in Dst
	}
	return list
}

// castTemplates fills the address spaces, to and from, into text.
func castTemplates(text string) (list []template) {
	for from := range int32(2) {
		t := newTemplate(AddrCast, fmt.Sprintf(text, from^1, from))
		t.fix, t.fixed = FieldImm, from|(from^1)<<16
		list = append(list, t)
	}
	return list
}

// imm64Templates lists the forms of a 64-bit immediate load, reworded.
func imm64Templates(reword *strings.Replacer) (list []template) {
	for _, f := range imm64Text {
		t := newTemplate(LdImm64, reword.Replace(f.text))
		t.fix, t.fixed = FieldSrc, int32(f.src)
		list = append(list, t)
	}
	return list
}

// memoryText spells loads, stores and atomics. Where an operand is narrower than 64 bits both register names are
// read: compilers for ISA v3 write "w1 = *(u8 *)(r2 + 0)" for what the kernel writes with r1.
func memoryText(row *Info) []string {
	bits := int(row.Size) * 8
	at := func(base string) string { return fmt.Sprintf("(u%d *)({%s}{off})", bits, base) }
	narrow := func(text string) []string {
		if bits == 64 {
			return []string{text}
		}
		return []string{text, strings.NewReplacer("{rd} =", "{wd} =", "= {rs}", "= {ws}", ", {rs}", ", {ws}").Replace(text)}
	}
	switch row.Class {
	case ClassLoad:
		if row.Signed {
			return []string{fmt.Sprintf("{rd} = *(s%d *)({rs}{off})", bits)}
		}
		return narrow("{rd} = *" + at("rs"))
	case ClassStore:
		if !row.UseSrc {
			return []string{"*" + at("rd") + " = {k}"}
		}
		return narrow("*" + at("rd") + " = {rs}")
	case ClassLoadAcq:
		return wideOrNarrow(row, "{d} = load_acquire("+at("rs")+")")
	case ClassStoreRel:
		return wideOrNarrow(row, "store_release("+at("rd")+", {s})")
	}
	return atomicTemplates(row, at("rd"))
}

// atomicTemplates spells a read-modify-write as LLVM does, then as the kernel's log does.
func atomicTemplates(row *Info, at string) []string {
	text, infix := atomicText[row.Atomic], ""
	if row.Size == 8 {
		infix = "64"
	}
	// LLVM's names of the exchanges: xchg_64 and xchg32_32.
	suffix := fmt.Sprintf("%s_%d", map[uint8]string{4: "32", 8: ""}[row.Size], 8*row.Size)
	switch {
	case row.Atomic == AtomicXchg:
		return wideOrNarrow(row, "{s} = xchg"+suffix+"({rd}{off}, {s})", "{s} = atomic"+infix+"_xchg("+at+", {s})")
	case row.Atomic == AtomicCmpxchg:
		return wideOrNarrow(row, "{0} = cmpxchg"+suffix+"({rd}{off}, {0}, {s})", "{0} = atomic"+infix+"_cmpxchg("+at+", {0}, {s})")
	case row.Fetch:
		texts := []string{"{s} = atomic_fetch_" + text.name + "(" + at + ", {s})"}
		if infix != "" {
			texts = append(texts, "{s} = atomic"+infix+"_fetch_"+text.name+"("+at+", {s})")
		}
		return wideOrNarrow(row, texts...)
	}
	return wideOrNarrow(row, "lock *"+at+" "+text.op+" {s}")
}

// wideOrNarrow fills {d}, {s} and {0} with the register names for the row's size, the ones to write first; below
// 64 bits the 64-bit names are read too.
func wideOrNarrow(row *Info, texts ...string) []string {
	wide := strings.NewReplacer("{d}", "{rd}", "{s}", "{rs}", "{0}", "r0")
	narrow := strings.NewReplacer("{d}", "{wd}", "{s}", "{ws}", "{0}", "w0")
	var out []string
	for _, text := range texts {
		if row.Size < 8 {
			out = append(out, narrow.Replace(text))
		}
		out = append(out, wide.Replace(text))
	}
	return out
}

func newTemplate(k Kind, text string) template {
	t := template{kind: k}
	for text != "" {
		lit, rest, found := strings.Cut(text, "{")
		if lit != "" {
			tokens, err := lex(lit, 1)
			if err != nil {
				panic("asm: template of " + k.String() + ": " + err.Error())
			}
			t.parts = append(t.parts, part{text: lit, tokens: tokens[:len(tokens)-1]})
		}
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		h, ok := holeNames[name]
		if !ok {
			panic("asm: template of " + k.String() + " has no hole called " + name)
		}
		t.parts = append(t.parts, part{hole: h})
		t.upper = t.upper || h == holeQ || h == holeUp
		text = after
	}
	return t
}
