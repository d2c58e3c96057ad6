package verifier_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/gen"
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
