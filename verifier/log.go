package verifier

import (
	"bytes"
	"fmt"
	"math/bits"
	"path"
	"strings"
	"time"

	"github.com/skepvm/skep/asm"
)

// logger writes the verifier's log as the kernel does (kernel: bpf_verifier_log): text is appended to a buffer and taken
// back from its end, to add the state to an instruction's line, or to drop what a path that ended well has written.
// Positions are offsets in all that was ever written. Methods that a nil logger has do nothing then.
type logger struct {
	write func(string)
	level LogLevel
	start time.Time

	buf  []byte
	base int // position of buf[0]

	// What may have changed since the state was printed last: registers, and slots of the running frame's stack.
	regs  uint16
	slots uint64

	fresh   bool // the state is that of a branch taken up again, or after a return
	insnEnd int  // where the line of the last instruction ends
	insnLen int  // its length
	file    string
	line    int  // source line printed last, of file
	lastPC  int  // instruction that was executed last
	why     bool // the words of the error are written
}

// keptLog is how much of a path's log is kept until it is known whether it ends well, in bytes. The beginning of a longer
// one is lost, as in the buffer of a loader.
const keptLog = 16 << 20

func newLogger(o *Options) *logger {
	level := o.LogLevel
	if level == 0 {
		level = LogBranches
	}
	return &logger{write: o.Log, level: level, start: time.Now(), lastPC: -1}
}

// paths reports whether instructions are logged, walks whether all of them are.
func (l *logger) paths() bool { return l != nil && l.level&(LogBranches|LogInsns) != 0 }
func (l *logger) walks() bool { return l != nil && l.level&LogInsns != 0 }

func (l *logger) printf(format string, args ...any) {
	l.buf = fmt.Appendf(l.buf, format, args...)
}

// pos is the end of what was written.
func (l *logger) pos() int {
	if l == nil {
		return 0
	}
	return l.base + len(l.buf)
}

// reset takes back what was written from pos on.
func (l *logger) reset(pos int) {
	if pos < l.base {
		l.base, l.buf = pos, l.buf[:0]
		return
	}
	l.buf = l.buf[:pos-l.base]
}

// trim hands over the lines that nothing can take back, or forgets the oldest ones.
func (l *logger) trim() {
	switch {
	case l.walks():
		if n := l.insnEnd - l.insnLen - l.base; n > 0 {
			l.emit(l.buf[:n])
			l.cut(n)
		}
	case len(l.buf) > 2*keptLog:
		n := len(l.buf) - keptLog
		n += bytes.IndexByte(l.buf[n:], '\n') + 1
		l.cut(n)
	}
}

func (l *logger) cut(n int) {
	l.base += n
	l.buf = l.buf[:copy(l.buf, l.buf[n:])]
}

func (l *logger) emit(text []byte) {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		l.write(string(line))
		text = rest
	}
}

// touchSlot notes that a slot of stack is to be printed.
func (l *logger) touchSlot(i int) {
	if l != nil {
		l.slots |= 1 << i
	}
}

// touchAll notes that all of the state is to be printed.
func (l *logger) touchAll() {
	if l != nil {
		l.regs, l.slots = 1<<11-1, ^uint64(0)
	}
}

// insn writes the state that the last instruction left, and the next one, which is at v.pc.
func (l *logger) insn(v *verifier) {
	if l.walks() && l.fresh {
		l.printf("\nfrom %d to %d%s:", l.lastPC, v.pc, v.cur.manner())
		l.buf = v.appendState(l.buf, v.cur, v.cur.depth, allOfState)
		l.fresh = false
	}
	switch {
	case l.level&LogStates != 0:
		l.printf("%d:", v.pc)
		l.buf = v.appendState(l.buf, v.cur, v.cur.depth, allOfState)
		l.regs, l.slots = 0, 0
	case l.regs != 0 || l.slots != 0:
		l.insnState(v)
	}
	l.sourceLine(v, v.pc, "; ")
	l.trim()
	at := l.pos()
	l.printf("%d: ", v.pc)
	l.buf = v.appendInsn(l.buf, v.pc)
	l.buf = append(l.buf, '\n')
	l.insnEnd = l.pos()
	l.insnLen = l.insnEnd - at
	l.touchOperands(v)
	l.lastPC = v.pc
}

// Columns at which the state follows an instruction (kernel: BPF_LOG_ALIGNMENT, BPF_LOG_MIN_ALIGNMENT).
const (
	stateColumn     = 40
	stateColumnStep = 8
)

// insnState writes what the last instruction changed, behind it when nothing was written since (kernel: print_insn_state).
func (l *logger) insnState(v *verifier) {
	if l.insnEnd != 0 && l.insnEnd == l.pos() {
		l.reset(l.insnEnd - 1)
		column := max(l.insnLen+stateColumnStep/2, stateColumn)
		column = (column + stateColumnStep - 1) / stateColumnStep * stateColumnStep
		l.printf("%*c;", column-l.insnLen-1, ' ')
	} else {
		l.printf("%d:", v.pc)
	}
	l.buf = v.appendState(l.buf, v.cur, v.cur.depth, changed{l.regs, l.slots})
	l.regs, l.slots = 0, 0
}

// branched writes what a branch changed on the way that is followed first.
func (l *logger) branched(v *verifier) {
	if l.paths() && l.level&LogStates == 0 {
		l.insnState(v)
	}
}

// sourceLine writes the line of C that pc belongs to, unless it is the one that was written last (kernel: verbose_linfo).
func (l *logger) sourceLine(v *verifier, pc int, prefix string) {
	if !l.paths() {
		return
	}
	s := v.prog.LineAt(pc)
	if s == nil || s.File == l.file && s.Line == l.line {
		return
	}
	l.file, l.line = s.File, s.Line
	l.printf("%s%s @ %s:%d\n", prefix, strings.TrimLeft(s.Text, " \t\r\n\v\f"), path.Base(s.File), s.Line)
}

// touchOperands notes the registers of the instruction at v.pc, which will have been read or written (kernel:
// check_reg_arg).
func (l *logger) touchOperands(v *verifier) {
	use, def := v.useDef(v.pc)
	switch v.insns[v.pc].class {
	case asm.ClassExit:
		if v.cur.depth > 0 {
			use = 0
		}
	case asm.ClassAbs, asm.ClassInd:
		const scratched, skb = 0x3f, 1 << 6
		use, def = asm.Reads(v.prog.Insns[v.pc]), scratched|skb
	}
	l.regs |= uint16(use | def)
}

// safe writes that the path need not be followed on.
func (l *logger) safe(v *verifier) {
	if !l.paths() {
		return
	}
	if l.fresh {
		l.printf("\nfrom %d to %d%s: safe\n", l.lastPC, v.pc, v.cur.manner())
	} else {
		l.printf("%d: safe\n", v.pc)
	}
}

// manner tells speculative paths from others.
func (s *state) manner() string {
	if s.speculative {
		return " (speculative execution)"
	}
	return ""
}

// averted writes an error that a barrier averts.
func (l *logger) averted(err *Error) {
	if l.paths() {
		l.printf("%s\n", err.Kernel)
	}
}

// next begins with a branch that was saved when the log was as long as pos; from is the branch.
func (l *logger) next(pos, from int) {
	if l == nil {
		return
	}
	l.touchAll()
	l.fresh = true
	l.lastPC = from
	if !l.walks() {
		l.reset(pos)
	}
}

// states writes two frames at a call or return.
func (l *logger) states(v *verifier, first string, a int, second string, b int) {
	if !l.paths() {
		return
	}
	for _, x := range []struct {
		title string
		frame int
	}{{first, a}, {second, b}} {
		l.printf("%s:\n", x.title)
		l.buf = v.appendState(l.buf, v.cur, x.frame, allOfState)
	}
}

// returning writes the states at a return to the instruction at pc.
func (l *logger) returning(v *verifier, pc int) {
	if !l.paths() {
		return
	}
	l.states(v, "returning from callee", v.cur.depth, fmt.Sprintf("to caller at %d", pc), v.cur.depth-1)
	l.fresh = true
}

// goesOn says that the state at a return is not to be printed once more.
func (l *logger) goesOn() {
	if l != nil {
		l.fresh = false
	}
}

// functions writes where the functions begin (kernel: check_subprogs).
func (l *logger) functions(v *verifier) {
	if !l.walks() {
		return
	}
	for i := range v.subs {
		l.printf("func#%d @%d\n", i, v.subs[i].start)
	}
}

// liveRegs writes what is known of registers before the walk begins (kernel: compute_live_registers).
func (l *logger) liveRegs(v *verifier) {
	if !l.walks() {
		return
	}
	l.printf("Live regs before insn:\n")
	for pc := 0; pc < len(v.insns); pc++ {
		var set [10]byte
		for i := range set {
			set[i] = '.'
			if v.insns[pc].live>>i&1 != 0 {
				set[i] = byte('0' + i)
			}
		}
		if scc := v.insns[pc].scc; scc > 0 {
			l.printf("%3d ", scc)
		} else {
			l.printf("    ")
		}
		l.printf("%3d: %s ", pc, set[:])
		l.buf = append(v.appendInsn(l.buf, pc), '\n')
		if v.wide(pc) {
			pc++
		}
	}
}

// backFrom writes where a way back begins, or goes on in an older state: over the instructions last to first.
func (l *logger) backFrom(v *verifier, b *backtracker, st *state, last, next int) {
	if !l.walks() {
		return
	}
	first := v.subs[st.frames[0].fn].start
	if st.parent != nil {
		first = st.parent.pc
	}
	l.printf("mark_precise: frame%d: last_idx %d first_idx %d subseq_idx %d \n", b.depth, last, first, next)
}

// backOver writes an instruction on a way back.
func (l *logger) backOver(v *verifier, b *backtracker, pc int) {
	if !l.walks() {
		return
	}
	l.backSet(b, b.depth, "", " before ")
	l.printf("%d: ", pc)
	l.buf = append(v.appendInsn(l.buf, pc), '\n')
}

// marked writes a frame of a kept state in which something was marked precise.
func (l *logger) marked(v *verifier, b *backtracker, st *state, frame int) {
	if !l.walks() {
		return
	}
	l.backSet(b, frame, "parent state ", ": ")
	l.buf = v.appendState(l.buf, st, frame, allOfState)
}

func (l *logger) backSet(b *backtracker, frame int, what, end string) {
	l.printf("mark_precise: frame%d: %sregs=", frame, what)
	l.buf = append(appendRegSet(l.buf, uint16(b.regs[frame])), " stack="...)
	l.buf = append(appendSlotSet(l.buf, b.slots[frame]), end...)
}

// giveUp writes that a way back ended where values can't be followed, forced what is precise for that.
func (l *logger) giveUp(st *state) {
	if l.walks() {
		l.printf("mark_precise: frame%d: falling back to forcing all scalars precise\n", st.depth)
	}
}

func (l *logger) forced(frame int, kind byte, n int) {
	if !l.walks() {
		return
	}
	if kind == 'r' {
		l.printf("force_precise: frame%d: forcing r%d to be precise\n", frame, n)
	} else {
		l.printf("force_precise: frame%d: forcing fp%d to be precise\n", frame, -slotSize*(n+1))
	}
}

// propagating writes what of a kept state is precise, so that the path that ends there inherits it.
func (l *logger) propagating(frame int, regs uint16, slots uint64) {
	if !l.walks() || regs == 0 && slots == 0 {
		return
	}
	l.printf("frame %d: propagating ", frame)
	l.buf = appendRegSet(l.buf, regs)
	for i, m := 0, slots; m != 0; i, m = i+1, m&(m-1) {
		if i > 0 || regs != 0 {
			l.buf = append(l.buf, ',')
		}
		l.printf("fp%d", -slotSize*(bits.TrailingZeros64(m)+1))
	}
	l.buf = append(l.buf, '\n')
}

// loop writes that a loop was entered or left, or that a path ended in it.
func (l *logger) loop(what string, id *loopID) {
	if !l.walks() || id.scc < 0 {
		return
	}
	l.printf("SCC %s (", what)
	for _, pc := range id.calls {
		if pc == 0 {
			break
		}
		l.printf("%d,", pc)
	}
	l.printf("%d)\n", id.scc)
}

// liveSlots writes what has become known of the stack before an instruction.
func (l *logger) liveSlots(v *verifier, f *instance, frame, pc int, live, covered uint64) {
	if !l.walks() {
		return
	}
	u := f.use(frame, pc)
	if u.read == 0 && u.written == 0 && pc != f.start && !v.insns[pc].prune {
		return
	}
	l.maskChange(f, "live", frame, pc, u.live, live)
	l.maskChange(f, "written", frame, pc, u.covered, covered)
}

func (l *logger) maskChange(f *instance, what string, frame, pc int, old, now uint64) {
	if old == now {
		return
	}
	l.chain(&f.callChain)
	l.printf(" frame %d insn %d ", frame, pc)
	if more := now &^ old; more != 0 {
		l.printf("+%s ", what)
		l.buf = append(appendSlotSet(l.buf, more), ' ')
	}
	if less := old &^ now; less != 0 {
		l.printf("-%s ", what)
		l.buf = appendSlotSet(l.buf, less)
	}
	l.buf = append(l.buf, '\n')
}

func (l *logger) chain(c *callChain) {
	l.buf = append(l.buf, '(')
	for i := 1; i <= c.depth; i++ {
		l.printf("%d,", c.calls[i])
	}
	l.printf("%d)", c.start)
}

// livenessDone writes that all is known of a function that its paths so far can tell.
func (l *logger) livenessDone(f *instance, rounds int) {
	if !l.walks() {
		return
	}
	l.chain(&f.callChain)
	l.printf(" live stack update done in %d iterations\n", rounds)
}

// end writes the error, what was counted, and all that was held back.
func (l *logger) end(v *verifier, err *Error) {
	if err != nil && err.Kernel != "" && !l.why {
		l.printf("%s\n", err.Kernel)
	}
	if l.level&LogStats != 0 {
		l.printf("verification time %d usec\nstack depth ", time.Since(l.start).Microseconds())
		for i := range v.subs {
			if i > 0 {
				l.printf("+")
			}
			l.printf("%d", v.subs[i].stack)
		}
		l.printf("\n")
	}
	l.printf("processed %d insns (limit %d) max_states_per_insn %d total_states %d peak_states %d mark_read 0\n",
		v.stats.Processed, v.profile.MaxProcessed, v.stats.MaxStatesPerInsn, v.stats.States, v.stats.PeakStates)
	l.emit(l.buf)
}

// note writes a line about a function, with its number and name.
func (l *logger) note(v *verifier, format string, fn int) {
	if l.paths() {
		l.printf(format, fn, v.funcName(fn))
	}
}

// validating begins with the walk of a global function.
func (l *logger) validating(v *verifier, fn int) {
	if l.paths() {
		l.printf("Validating %s() func#%d...\n", v.funcName(fn), fn)
	}
}

// begin begins with the walk of a function, walked ends it: nothing stays of paths that ended well.
func (l *logger) begin() {
	if l == nil {
		return
	}
	l.touchAll()
	l.fresh, l.lastPC, l.file, l.line = false, -1, "", 0
}

func (l *logger) walked() {
	if l != nil && !l.walks() {
		l.reset(0)
	}
}

// endless writes the error of a loop that comes back to the state old.
func (l *logger) endless(v *verifier, words string, old *state) {
	if l == nil {
		return
	}
	l.sourceLine(v, v.pc, "; ")
	l.printf("%s\ncur state:", words)
	l.buf = v.appendState(l.buf, v.cur, v.cur.depth, allOfState)
	l.printf("old state:")
	l.buf = v.appendState(l.buf, old, old.depth, allOfState)
	l.why = true
}

// appendRegSet appends registers as "r0,r2" (kernel: bpf_fmt_reg_mask).
func appendRegSet(b []byte, set uint16) []byte {
	for m := set; m != 0; m &= m - 1 {
		if m != set {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "r%d", bits.TrailingZeros16(m))
	}
	return b
}

// appendSlotSet appends stack slots as "-8,-24" (kernel: bpf_fmt_stack_mask).
func appendSlotSet(b []byte, set uint64) []byte {
	for m := set; m != 0; m &= m - 1 {
		if m != set {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%d", -slotSize*(bits.TrailingZeros64(m)+1))
	}
	return b
}
