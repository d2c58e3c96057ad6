package asm_test

import (
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

var aluOps = map[string]asm.ALUOp{"add": asm.Add, "sub": asm.Sub, "mul": asm.Mul, "div": asm.Div, "sdiv": asm.SDiv, "or": asm.Or,
	"and": asm.And, "lsh": asm.Lsh, "rsh": asm.Rsh, "mod": asm.Mod, "smod": asm.SMod, "xor": asm.Xor, "mov": asm.Mov, "arsh": asm.Arsh}

var conds = map[string]asm.Cond{"jeq": asm.Jeq, "jgt": asm.Jgt, "jge": asm.Jge, "jset": asm.Jset, "jne": asm.Jne, "jsgt": asm.Jsgt,
	"jsge": asm.Jsge, "jlt": asm.Jlt, "jle": asm.Jle, "jslt": asm.Jslt, "jsle": asm.Jsle}

var swaps = map[string]asm.SwapOp{"le": asm.ToLE, "be": asm.ToBE, "bswap": asm.Bswap}

var atomics = map[string]asm.AtomicOp{"atomic_add": asm.AtomicAdd, "atomic_or": asm.AtomicOr, "atomic_and": asm.AtomicAnd,
	"atomic_xor": asm.AtomicXor, "atomic_xchg": asm.AtomicXchg, "atomic_cmpxchg": asm.AtomicCmpxchg}

// TestEval runs testdata/eval.txt, and checks that it has a case of every operation.
func TestEval(t *testing.T) {
	seen := map[string]bool{}
	lines(t, "eval.txt", func(t *testing.T, line string) {
		left, want, ok := strings.Cut(line, " = ")
		require.True(t, ok)
		f := strings.Fields(left)
		seen[f[0]] = true
		n := make([]uint64, len(f))
		for i, s := range f[1:] {
			n[i] = value(t, s)
		}
		got := evalCase(t, f[0], uint8(n[0]), n[1:])
		if want != "yes" && want != "no" && want != "kept" {
			want = show(value(t, want))
		}
		require.Equal(t, want, got)
	})
	for _, name := range slices.Concat(keys(aluOps), keys(conds), keys(swaps), keys(atomics)) {
		require.True(t, seen[name], "no case of %s", name)
	}
}

func keys[V any](m map[string]V) []string { return slices.Collect(maps.Keys(m)) }

func value(t *testing.T, s string) uint64 {
	if strings.HasPrefix(s, "-") {
		v, err := strconv.ParseInt(s, 0, 64)
		require.NoError(t, err)
		return uint64(v)
	}
	v, err := strconv.ParseUint(s, 0, 64)
	require.NoError(t, err)
	return v
}

func show(v uint64) string { return "0x" + strconv.FormatUint(v, 16) }

func evalCase(t *testing.T, name string, size uint8, v []uint64) string {
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	}
	if op, ok := aluOps[name]; ok {
		return show(asm.Eval(op, size, v[0], v[1]))
	}
	if c, ok := conds[name]; ok {
		return yes(asm.Taken(c, size, v[0], v[1]))
	}
	if op, ok := swaps[name]; ok {
		return show(asm.EvalSwap(op, size, v[0]))
	}
	if op, ok := atomics[name]; ok {
		newv, store := asm.EvalAtomic(op, size, v[0], v[1], v[2])
		if !store {
			require.Equal(t, v[0], newv)
			return "kept"
		}
		return show(newv)
	}
	if name == "neg" {
		return show(asm.EvalNeg(size, v[0]))
	}
	bits, err := strconv.Atoi(strings.TrimPrefix(name, "sext"))
	require.NoError(t, err)
	return show(asm.SignExtend(v[0], uint8(bits/8), size))
}

// edges are values at which operations turn.
var edges = []uint64{
	0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 65, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff,
	0x100000000, 0x100000001, 0x1ffffffff, 0x7fffffff80000000, 0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000001,
	0xaaaaaaaaaaaaaaaa, 0xfffffffeffffffff, 0xffffffff00000000, 0xffffffff80000000, 0xfffffffffffffffe, 0xffffffffffffffff,
}

// TestEvalAgainstIntegers compares Eval and Taken on all pairs of edges with a model in unbounded integers.
func TestEvalAgainstIntegers(t *testing.T) {
	for _, width := range []uint8{32, 64} {
		for _, a := range edges {
			for _, b := range edges {
				m := model{width, a, b}
				for name, op := range aluOps {
					if got, want := asm.Eval(op, width, a, b), m.alu(name); got != want {
						t.Errorf("%s %d %#x %#x: %#x, want %#x", name, width, a, b, got, want)
					}
				}
				for name, c := range conds {
					if got, want := asm.Taken(c, width, a, b), m.taken(name); got != want {
						t.Errorf("%s %d %#x %#x: %v, want %v", name, width, a, b, got, want)
					}
				}
			}
		}
	}
}

// model is RFC 9669 in unbounded integers.
type model struct {
	width uint8
	a, b  uint64
}

func (m model) unsigned(v uint64) *big.Int {
	n := new(big.Int).SetUint64(v)
	return n.Mod(n, m.modulus())
}

func (m model) signed(v uint64) *big.Int {
	n := m.unsigned(v)
	if n.Bit(int(m.width)-1) != 0 {
		n.Sub(n, m.modulus())
	}
	return n
}

func (m model) modulus() *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(m.width)) }

func (m model) alu(name string) uint64 {
	ua, ub, sa, sb, r := m.unsigned(m.a), m.unsigned(m.b), m.signed(m.a), m.signed(m.b), new(big.Int)
	shift := uint(m.b) & uint(m.width-1)
	zero := ub.Sign() == 0
	switch name {
	case "add":
		r.Add(ua, ub)
	case "sub":
		r.Sub(ua, ub)
	case "mul":
		r.Mul(ua, ub)
	case "div", "sdiv", "mod", "smod":
		q, rem := new(big.Int), new(big.Int).Set(ua)
		switch {
		case zero:
		case name[0] == 's':
			q.QuoRem(sa, sb, rem)
		default:
			q.QuoRem(ua, ub, rem)
		}
		r = map[bool]*big.Int{true: q, false: rem}[strings.HasSuffix(name, "div")]
	case "or":
		r.Or(ua, ub)
	case "and":
		r.And(ua, ub)
	case "xor":
		r.Xor(ua, ub)
	case "mov":
		r = ub
	case "lsh":
		r.Lsh(ua, shift)
	case "rsh":
		r.Rsh(ua, shift)
	case "arsh":
		r.Rsh(sa, shift)
	}
	return r.Mod(r, m.modulus()).Uint64()
}

func (m model) taken(name string) bool {
	c := m.unsigned(m.a).Cmp(m.unsigned(m.b))
	name, signed := strings.CutPrefix(strings.TrimPrefix(name, "j"), "s")
	if name == "et" { // jset
		return new(big.Int).And(m.unsigned(m.a), m.unsigned(m.b)).Sign() != 0
	}
	if signed {
		c = m.signed(m.a).Cmp(m.signed(m.b))
	}
	return map[string]bool{"eq": c == 0, "ne": c != 0, "gt": c > 0, "ge": c >= 0, "lt": c < 0, "le": c <= 0}[name]
}

func TestOperand(t *testing.T) {
	require.Equal(t, uint64(42), asm.Operand(asm.Insn{Op: asm.Add64X.Info().Opcode, Imm: 7}, 42))
	require.Equal(t, ^uint64(0), asm.Operand(asm.Insn{Op: asm.Add64K.Info().Opcode, Imm: -1}, 42))
	require.Equal(t, ^uint64(0), asm.Operand(asm.Insn{Op: asm.Jgt32K.Info().Opcode, Imm: -1}, 42))
	require.Equal(t, ^uint64(6), asm.Operand(asm.Insn{Op: asm.St64.Info().Opcode, Imm: -7}, 42))
}
