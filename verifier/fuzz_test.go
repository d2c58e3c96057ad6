package verifier_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// fuzzProfile is the newest kernel with little patience, so that a fuzzer gets through many programs.
func fuzzProfile() *verifier.Profile {
	p := verifier.Newest()
	p.MaxProcessed = 5000
	return p
}

// judge verifies p twice and checks that the answer is well formed and the same.
func judge(t *testing.T, p *prog.Program) {
	t.Helper()
	v, err := verifier.Verify(p, verifier.Options{Profile: fuzzProfile()})
	again, err2 := verifier.Verify(p, verifier.Options{Profile: fuzzProfile(), Log: func(string) {}})
	if err == nil {
		if v == nil || v.Program() != p || again == nil || v.Stats().Processed != again.Stats().Processed {
			t.Fatalf("accepted once: %v, then %v: %v", v, again, err2)
		}
		return
	}
	var e, e2 *verifier.Error
	if v != nil || !errors.As(err, &e) || !errors.As(err2, &e2) {
		t.Fatalf("not one typed error: %v, %v", err, err2)
	}
	if e.Code == verifier.Internal {
		t.Fatalf("%s", e.Detail())
	}
	if e.Code != e2.Code || e.PC != e2.PC || e.Kernel != e2.Kernel {
		t.Fatalf("two answers:\n%s\n%s", e.Detail(), e2.Detail())
	}
	if _, ok := verifier.Lookup(e.Code); !ok || e.Kernel == "" || e.Detail() == "" {
		t.Fatalf("incomplete: %s", e.Detail())
	}
}

// fuzzTypes are the program types that a fuzzer's first byte chooses from.
var fuzzTypes = []prog.Type{prog.XDP, prog.SchedCLS, prog.SocketFilter, prog.CgroupSKB, prog.SkLookup, prog.Tracepoint,
	prog.SockOps, prog.SkMsg, prog.Kprobe, prog.Syscall}

// FuzzVerify takes any bytes for instructions.
func FuzzVerify(f *testing.F) {
	for _, file := range caseFiles(f) {
		for _, c := range loadCases(f, file) {
			f.Add(byte(0), asm.EncodeProgram(c.prog.Insns))
		}
	}
	f.Fuzz(func(t *testing.T, typ byte, code []byte) {
		insns, err := asm.DecodeProgram(code[:len(code)&^7])
		if err != nil {
			t.Fatal(err)
		}
		judge(t, &prog.Program{Type: fuzzTypes[int(typ)%len(fuzzTypes)], License: "GPL", Insns: insns, Maps: caseMaps()})
	})
}

// FuzzVerifyGrammar takes plausible programs and changes a few fields, so that it gets deep into the walk.
func FuzzVerifyGrammar(f *testing.F) {
	for i := range uint64(64) {
		f.Add(i, []byte{byte(i), byte(i * 7), byte(i * 31), 1})
	}
	f.Fuzz(func(t *testing.T, seed uint64, changes []byte) {
		p := gen.Make(gen.FromSeed(seed), nil).Program
		for len(changes) >= 4 {
			mutate(&p.Insns[int(changes[0])%len(p.Insns)], changes[1]%6, changes[2], changes[3])
			changes = changes[4:]
		}
		judge(t, p)
	})
}

// mutate changes one field of an instruction.
func mutate(in *asm.Insn, field, a, b byte) {
	switch field {
	case 0:
		in.Imm += int32(int8(a))
	case 1:
		in.Off += int16(int8(a))
	case 2:
		in.Dst = asm.Reg(a % 11)
	case 3:
		in.Src = asm.Reg(a % 11)
	case 4: // another kind of the same class and form
		if k := asm.Kind(1 + int(a)%(asm.NumKinds-1)); k.Info().Class == asm.KindOf(*in).Info().Class {
			in.Op = k.Info().Opcode
		}
	case 5:
		in.Imm = int32(a) << (b % 32)
	}
}

func caseFiles(tb testing.TB) []string {
	files, err := filepath.Glob(filepath.Join("testdata", "cases", "*.txt"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no cases: %v", err)
	}
	return append(files, "codes.txt")
}

// fuzzDecls are types that functions of a broken program may claim to have.
var fuzzDecls = btf.MustDeclare(`
struct value { int n; struct bpf_spin_lock lock; struct bpf_timer timer; struct value *next; char text[8]; };
struct loop { struct loop *self; };
int plain(int a); int ctx(struct xdp_md *c); int pointers(struct value *v, char *s, void *p); void nothing(void); long many(int a, int b, int c, int d, int e, int f);
`)

// FuzzVerifyBroken takes any bytes for instructions, and others for all that comes with them: maps, functions, lines, types and
// kernel functions that make no sense, as a damaged object might have them.
func FuzzVerifyBroken(f *testing.F) {
	for _, file := range caseFiles(f) {
		for i, c := range loadCases(f, file) {
			f.Add(byte(i), asm.EncodeProgram(c.prog.Insns), []byte{byte(i), 1, 2, 3, 4, 5, 6, 7, byte(i * 7), 200, 3, 1, 9})
		}
	}
	f.Fuzz(func(t *testing.T, typ byte, code, rest []byte) {
		insns, err := asm.DecodeProgram(code[:len(code)&^7])
		if err != nil {
			t.Fatal(err)
		}
		next := func() int {
			if len(rest) == 0 {
				return 0
			}
			b := rest[0]
			rest = rest[1:]
			return int(int8(b))
		}
		p := &prog.Program{Type: fuzzTypes[int(typ)%len(fuzzTypes)], License: "GPL", Insns: insns, Types: fuzzDecls}
		for range uint(next()) % 6 {
			m := &maps.Spec{Name: "m", Type: maps.Type(uint32(next())), KeySize: uint32(next()), ValueSize: uint32(next()),
				MaxEntries: uint32(next()), Flags: uint32(next()), LockOff: next(), TimerOff: next()}
			if next() > 0 {
				m.Inner = &maps.Spec{Type: maps.Type(uint32(next())), KeySize: uint32(next()), ValueSize: uint32(next())}
			}
			m.Frozen, m.DataSection = next() > 0, next() > 0
			p.Maps = append(p.Maps, m)
		}
		for range uint(next()) % 5 {
			p.Funcs = append(p.Funcs, prog.Func{Name: "f", Start: next(), End: next(), Global: next() > 0, Type: btf.ID(next())})
		}
		for range uint(next()) % 5 {
			p.Lines = append(p.Lines, prog.Line{PC: next(), File: "f.c", Line: next(), Col: next(), Text: "x"})
		}
		names := []string{"bpf_iter_num_new", "bpf_iter_num_next", "bpf_dynptr_from_xdp", "bpf_obj_new_impl", "bpf_throw", "", "nonesuch"}
		for range uint(next()) % 5 {
			p.Kfuncs = append(p.Kfuncs, prog.Kfunc{Name: names[uint(next())%uint(len(names))], Weak: next() > 0})
		}
		judge(t, p)
	})
}
