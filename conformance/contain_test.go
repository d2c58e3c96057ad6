package conformance_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// claim is what the verifier's log says of a register's number.
type claim struct {
	text string
	test func(v uint64) bool
}

// visits are the verifier's states at each slot: claims by register, for those that hold numbers.
type visits map[int][]map[int]claim

var (
	visitLine = regexp.MustCompile(`^(\d+):((?: frame\d:)? R.*)$`)
	register  = regexp.MustCompile(`\bR(\d+)=P?(scalar\([^ ]*\)|-?\d+|0x[0-9a-f]+)(?: |$)`)
	attribute = regexp.MustCompile(`((?:[su](?:min|max)(?:32)?=)+)(-?\w+)`)
	bits      = regexp.MustCompile(`var_off=\((\w+); (\w+)\)`)
)

func parseNumber(s string) uint64 {
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return uint64(v)
	}
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		panic(err) // the log's format changed
	}
	return v
}

// inside says for each attribute of the log whether v is within it.
var inside = map[string]func(v, limit uint64) bool{
	"smin":   func(v, l uint64) bool { return int64(v) >= int64(l) },
	"smax":   func(v, l uint64) bool { return int64(v) <= int64(l) },
	"umin":   func(v, l uint64) bool { return v >= l },
	"umax":   func(v, l uint64) bool { return v <= l },
	"smin32": func(v, l uint64) bool { return int32(v) >= int32(l) },
	"smax32": func(v, l uint64) bool { return int32(v) <= int32(l) },
	"umin32": func(v, l uint64) bool { return uint32(v) >= uint32(l) },
	"umax32": func(v, l uint64) bool { return uint32(v) <= uint32(l) },
}

func parseClaim(text string) claim {
	if !strings.HasPrefix(text, "scalar") {
		want := parseNumber(text)
		return claim{text, func(v uint64) bool { return v == want }}
	}
	attrs := attribute.FindAllStringSubmatch(text, -1)
	known := bits.FindStringSubmatch(text)
	return claim{text, func(v uint64) bool {
		for _, a := range attrs {
			for _, name := range strings.Split(strings.TrimSuffix(a[1], "="), "=") {
				if !inside[name](v, parseNumber(a[2])) {
					return false
				}
			}
		}
		return known == nil || v&^parseNumber(known[2]) == parseNumber(known[1])
	}}
}

func (vs visits) add(line string) {
	m := visitLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	pc, _ := strconv.Atoi(m[1])
	state := map[int]claim{}
	for _, r := range register.FindAllStringSubmatch(m[2], -1) {
		n, _ := strconv.Atoi(r[1])
		state[n] = parseClaim(r[2])
	}
	vs[pc] = append(vs[pc], state)
}

// covers reports whether one of the states at pc contains the registers.
func (vs visits) covers(pc int, regs *[asm.NumRegs]uint64) bool {
	for _, state := range vs[pc] {
		ok := true
		for n, c := range state {
			ok = ok && c.test(regs[n])
		}
		if ok {
			return true
		}
	}
	return false
}

// escape runs an accepted program and looks for a moment at which the registers are in none of the verifier's states.
// Programs in which a path was cut short because a like one was safe are left out: ok is false.
func escape(t prog.Type, text string, seed uint64) (wrong string, ok bool) {
	p, err := gen.Parse(t, text)
	if err != nil {
		return "", false
	}
	vs, pruned := visits{}, false
	rules := conformance.Profile()
	rules.MaxProcessed = 1000 // the log is slow
	v, err := verifier.Verify(p, verifier.Options{Profile: rules, LogLevel: verifier.LogInsns | verifier.LogStates, Log: func(line string) {
		pruned = pruned || strings.HasSuffix(line, ": safe")
		vs.add(line)
	}})
	if err != nil || pruned || conformance.MayGoto(p) {
		return "", false
	}
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Size: 1 << 26}, Budget: conformance.Budget})
	if err != nil {
		return err.Error(), true
	}
	defer m.Close()
	l, err := m.LinkVerified(v.Program())
	if err != nil {
		return err.Error(), true
	}
	x, err := vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{Trace: func(_ *vm.Linked, pc int, regs *[asm.NumRegs]uint64) {
		if wrong == "" && !vs.covers(pc, regs) {
			wrong = fmt.Sprintf("at %d the registers are %#x, and the verifier thinks %v", pc, *regs, vs[pc])
		}
	}})
	if err != nil {
		return err.Error(), true
	}
	buf, err := prog.NewBuffer(m.Space(), t, 0)
	if err != nil {
		return err.Error(), true
	}
	for _, packet := range conformance.Packets(seed) {
		if err := buf.Set(packet, &prog.Input{Ifindex: uint32(seed), Mark: uint32(seed * 0x9e3779b9), Priority: 0x80000000}); err != nil {
			return err.Error(), true
		}
		if _, err := x.Run(buf.Ctx()); err != nil {
			return err.Error(), true
		}
	}
	return wrong, true
}

func (c claim) String() string { return c.text }

// TestContained shows that what registers hold is always among what the verifier believes.
func TestContained(t *testing.T) {
	compared, failed := 0, 0
	n := (*count + 2) / 3 // logs take time
	for seed := *first; seed < *first+n; seed++ {
		p := gen.Make(gen.FromSeed(seed), nil)
		wrong, ok := escape(p.Type, p.Text, seed)
		if ok {
			compared++
		}
		if wrong == "" {
			continue
		}
		text := conformance.Minimize(p.Text, func(text string) bool {
			w, _ := escape(p.Type, text, seed)
			return w != ""
		})
		w, _ := escape(p.Type, text, seed)
		t.Errorf("seed %d: %s\ngo test ./conformance -run TestContained -seed %d -programs 1\nsmallest %s program: %s\n%s", seed,
			wrong, seed, p.Type, w, text)
		if failed++; failed == 5 {
			t.Fatal("too many")
		}
	}
	t.Logf("%d of %d programs compared", compared, n)
	if n >= 1000 && uint64(compared)*20 < n {
		t.Errorf("only %d of %d programs compared", compared, n)
	}
}
