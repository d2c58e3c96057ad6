// Package gen makes programs that look like what people write: packet bounds checks, map lookups, spills, loops, local
// calls, with now and then a mistake of the kind that a verifier must find. It knows the grammar of such programs, not
// the verifier's rules: about half of what it makes is refused.
package gen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Program is a generated program.
type Program struct {
	*prog.Program
	Text string // what Parse takes
	// Local is set when a run depends on the environment, so that only runs under one environment compare: time, random
	// numbers, which element a full map gives up, which programs a program array holds.
	Local bool
	// Traces is set when it prints.
	Traces bool
	// Callbacks is set when it hands a function to a helper, or a local function tail-calls: the kernel demands BTF for these.
	Callbacks bool
}

// Shapes names everything that the generator can put into a program.
func Shapes() []string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.name)
	}
	return names
}

// content is what the generator believes a register to hold.
type content uint8

const (
	nothing content = iota
	number
	context
	packet
	packetEnd
	value      // of a map
	maybeValue // of a map, or null
	stackPtr
)

// reg is a register as the generator sees it: only a hint, it may be wrong.
type reg struct {
	is   content
	size int // bytes that may be accessed behind packet and value pointers
}

type generator struct {
	src    Source
	cov    *Coverage
	typ    prog.Type
	out    strings.Builder
	regs   [11]reg
	stack  map[int]reg // 8-byte slots that were written
	labels int
	outs   string // label of the current function's exit
	depth  int    // nesting of statements
	fn     int    // function being made
	funcs  [][]reg
	room   int // statements left
	slips  int // a choice in slips goes wrong
	shapes []shape
	prog   Program
}

var types = []prog.Type{prog.XDP, prog.SchedCLS, prog.SocketFilter}

// Types lists the types of generated programs.
func Types() []prog.Type { return slices.Clone(types) }

// Make makes a program of the source's choices. cov may be nil.
func Make(src Source, cov *Coverage) *Program { return MakeOver(src, cov, Maps()) }

// MakeOver is Make over maps that Maps made, which programs may share.
func MakeOver(src Source, cov *Coverage, over []*maps.Spec) *Program {
	if cov == nil {
		cov = &Coverage{}
	}
	if cov.Shapes == nil {
		cov.Shapes = map[string]int{}
	}
	g := &generator{src: src, cov: cov}
	g.typ = types[src.IntN(len(types))]
	g.room = 4 + src.IntN(28)
	g.shapes = shapes
	if src.IntN(3) == 0 {
		g.shapes = numeric
	}
	g.slips = []int{40, 150, 600, 1 << 12}[src.IntN(4)]
	g.main()
	g.prog.Text = g.out.String()
	p, err := ParseOver(g.typ, g.prog.Text, over)
	if err != nil {
		panic("gen: " + err.Error() + "\n" + g.prog.Text) // the generator's own mistake
	}
	cov.Add(p)
	g.prog.Program = p
	return &g.prog
}

func (g *generator) n(n int) int             { return g.src.IntN(n) }
func (g *generator) one(in int) bool         { return g.src.IntN(in) == in-1 }
func (g *generator) slip() bool              { return g.one(g.slips) }
func (g *generator) pick(s ...string) string { return s[g.n(len(s))] }

func (g *generator) emit(format string, args ...any) {
	fmt.Fprintf(&g.out, format+"\n", args...)
}

func (g *generator) label() string {
	g.labels++
	return fmt.Sprintf("L%d", g.labels)
}

func (g *generator) place(label string) { g.emit("%s:", label) }

// main makes the entry and then the functions that were called.
func (g *generator) main() {
	g.begin(nil)
	g.regs[1].is = context
	g.emit("r6 = r1")
	g.regs[6].is = context
	if g.typ != prog.SocketFilter && !g.one(8) {
		g.loadPacket(7, 8)
	}
	if g.one(2) {
		g.scalar(9)
	}
	g.body()
	for g.fn = 1; g.fn <= len(g.funcs); g.fn++ {
		g.room = 2 + g.n(8)
		g.place(fmt.Sprintf("func%d", g.fn))
		g.begin(g.funcs[g.fn-1])
		g.body()
	}
}

// begin starts a function that has these arguments.
func (g *generator) begin(args []reg) {
	g.regs, g.stack = [11]reg{}, map[int]reg{}
	copy(g.regs[1:6], args)
	g.regs[10] = reg{is: stackPtr}
	g.outs = g.label()
}

func (g *generator) body() {
	start := g.out.Len()
	for g.room > 0 {
		g.statement()
	}
	g.exit()
	if !strings.Contains(g.out.String()[start:], " "+g.outs+"\n") && !g.slip() {
		return // nobody goes there
	}
	g.place(g.outs)
	g.emit("r0 = %d", g.n(3))
	g.emit("exit")
}

// exit returns some number.
func (g *generator) exit() {
	if r, ok := g.find(number); ok && !g.one(4) {
		g.emit("r0 = r%d", r)
	} else if !g.slip() {
		g.emit("r0 = %d", g.n(3))
	}
	if g.fn == 0 && g.typ != prog.SocketFilter && g.one(2) {
		g.emit("w0 &= 3")
	}
	g.emit("exit")
}

// shape is one sort of statement.
type shape struct {
	name   string
	weight int
	make   func(*generator)
}

// shapes are all; numeric are those that make programs in which ranges of numbers are all that matters.
var (
	shapes, numeric []shape

	isNumeric = []string{"alu", "number", "narrow", "probe", "extend", "constants", "ifElse", "valueVar", "stackVar", "spill", "fill"}
)

func weigh(shapes []shape) (sum int) {
	for _, s := range shapes {
		sum += s.weight
	}
	return sum
}

func init() { // a table whose functions use it
	shapes = []shape{
		{"alu", 24, (*generator).alu},
		{"number", 10, func(g *generator) { g.scalar(g.anyReg()) }},
		{"narrow", 8, (*generator).narrow},
		{"probe", 6, (*generator).probe},
		{"extend", 4, (*generator).extend},
		{"packet", 3, func(g *generator) { g.loadPacket(g.anyReg(), g.anyReg()) }},
		{"packetCheck", 9, (*generator).packetCheck},
		{"packetVar", 6, (*generator).packetVariable},
		{"access", 12, (*generator).access},
		{"lookup", 7, (*generator).lookup},
		{"valueVar", 7, (*generator).valueVariable},
		{"direct", 2, (*generator).direct},
		{"spill", 8, (*generator).spill},
		{"fill", 8, (*generator).fill},
		{"stackVar", 5, (*generator).stackVariable},
		{"atomic", 5, (*generator).atomic},
		{"ordered", 2, (*generator).ordered},
		{"ifElse", 8, (*generator).ifElse},
		{"constants", 4, (*generator).constants},
		{"loop", 5, (*generator).loop},
		{"mayGoto", 2, (*generator).mayGoto},
		{"call", 4, (*generator).call},
		{"callback", 2, (*generator).callback},
		{"tailCall", 1, (*generator).tailCall},
		{"earlyExit", 2, (*generator).earlyExit},
		{"backward", 2, (*generator).backward},
		{"helper", 9, (*generator).helper},
		{"pointerMath", 5, (*generator).pointerMath},
		{"pointerCompare", 3, (*generator).pointerCompare},
		{"ctxStore", 2, (*generator).ctxStore},
		{"classic", 2, (*generator).classic},
		{"copy", 4, (*generator).copy},
		{"wild", 1, (*generator).wild},
	}
	for _, s := range shapes {
		if slices.Contains(isNumeric, s.name) {
			numeric = append(numeric, s)
		}
	}
}

// statement makes one statement of a random shape.
func (g *generator) statement() {
	g.room--
	at := g.n(weigh(g.shapes))
	for _, s := range g.shapes {
		if at -= s.weight; at < 0 {
			g.cov.Shapes[s.name]++
			s.make(g)
			return
		}
	}
}

// block makes up to n statements in a branch or loop.
func (g *generator) block(n int) {
	if g.depth >= 3 {
		n = 1
	}
	g.depth++
	for range n {
		if g.room > 0 {
			g.statement()
		}
	}
	g.depth--
}

// find gives a register with that content.
func (g *generator) find(is content) (int, bool) {
	start := g.n(10)
	for i := range 10 {
		if r := (start + i) % 10; g.regs[r].is == is {
			return r, true
		}
	}
	return 0, false
}

// need is find, and makes a number when there is none; for others it is false.
func (g *generator) need(is content) (int, bool) {
	if g.slip() {
		return g.n(11), true
	}
	r, ok := g.find(is)
	if !ok && is == number {
		r, ok = g.anyReg(), true
		g.scalar(r)
	}
	return r, ok
}

// num is a register with a number.
func (g *generator) num() int { r, _ := g.need(number); return r }

// anyReg is a register to overwrite: seldom one with something that is hard to get again.
func (g *generator) anyReg() int {
	r := g.n(10)
	if is := g.regs[r].is; (is == context || is == packetEnd || r == 6) && !g.one(6) {
		r = g.n(6)
	}
	return r
}

func (g *generator) set(r int, is content, size int) { g.regs[r] = reg{is, size} }

// saved is what a branch may change.
type saved struct {
	regs  [11]reg
	stack map[int]reg
}

func (g *generator) save() saved {
	s := saved{g.regs, map[int]reg{}}
	for k, v := range g.stack {
		s.stack[k] = v
	}
	return s
}

func (g *generator) restore(s saved) { g.regs, g.stack = s.regs, s.stack }

// join keeps what holds now and at s.
func (g *generator) join(s saved) {
	if g.slip() {
		return
	}
	for i := range g.regs {
		if g.regs[i].is != s.regs[i].is {
			g.regs[i] = reg{}
		}
		g.regs[i].size = min(g.regs[i].size, s.regs[i].size)
	}
	for k, v := range g.stack {
		if s.stack[k].is != v.is {
			delete(g.stack, k)
		}
	}
}
