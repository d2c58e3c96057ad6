package skep_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// assembled is an object of one program: what object.Load makes of a file that clang compiled.
func assembled(t prog.Type, own *prog.TypeRow, tables *helpers.Tables, text string) *object.Object {
	p := &prog.Program{Name: "main", Type: t, Own: own, License: "MIT"}
	var err error
	p.Insns, err = asm.Parse(text, asm.ParseOptions{
		Helpers: tables.ID,
		Kfuncs: func(name string) (int32, bool) {
			p.Kfuncs = append(p.Kfuncs, prog.Kfunc{Name: name})
			return int32(len(p.Kfuncs) - 1), true
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	p.Funcs = []prog.Func{{Name: p.Name, End: len(p.Insns)}}
	return &object.Object{Programs: []*prog.Program{p}}
}

// bothEngines are where examples run: machine code where there is some.
var bothEngines = []string{skep.EngineInterp, skep.EngineChecked, skep.EngineAuto}

// A helper of one's own: the verifier holds programs to its prototype, and each engine calls the Go function.
func Example_ownHelper() {
	tables, err := helpers.NewTables(helpers.Own{Helpers: []helpers.OwnHelper{{
		Row: helpers.Row{
			ID: 700, Name: "my_reputation", Types: helpers.SetOf(prog.XDP),
			Args: [5]helpers.Arg{helpers.ArgMem | helpers.ArgReadOnly, helpers.ArgSize},
		},
		Go: func(address []byte) int32 {
			if len(address) == 4 && address[0] == 192 {
				return -1
			}
			return 100
		},
	}}})
	if err != nil {
		log.Fatal(err)
	}

	// C: static int (*my_reputation)(const void *address, u32 size) = (void *)700;
	object := assembled(prog.XDP, nil, tables, `
		*(u32 *)(r10 - 4) = 0x010200c0   ; 192.0.2.1
		r1 = r10
		r1 += -4
		r2 = 4
		call my_reputation
		if w0 s< 0 goto drop
		r0 = 2
		exit
	drop:
		r0 = 1
		exit`)
	for _, engine := range bothEngines {
		opts := skep.Options{Engine: engine}
		opts.Machine.Tables = tables
		vm, err := skep.New(object, opts)
		if err != nil {
			log.Fatal(err)
		}
		res, err := vm.Run("", skep.Packet{Data: sshPacket})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(res.Verdict)
		vm.Close()
	}

	// Memory that the program has not got.
	bad := assembled(prog.XDP, nil, tables, `
		r1 = r10
		r1 += -4
		r2 = 8
		call my_reputation
		exit`)
	_, err = verifier.Verify(bad.Programs[0], verifier.Options{Tables: tables})
	var rejected *verifier.Error
	fmt.Println(errors.As(err, &rejected), rejected.Kernel)

	// A prototype that the Go function does not fit.
	_, err = helpers.NewTables(helpers.Own{Helpers: []helpers.OwnHelper{{
		Row: helpers.Row{ID: 701, Name: "my_log", Types: helpers.SetOf(prog.XDP),
			Args: [5]helpers.Arg{helpers.ArgMem | helpers.ArgReadOnly, helpers.ArgSize}, Ret: helpers.RetVoid},
		Go: func(text string) {},
	}}})
	fmt.Println(err)
	// Output:
	// XDP_DROP
	// XDP_DROP
	// XDP_DROP
	// true invalid read from stack R1 off=-4 size=8
	// my_log: argument 1 is memory with its size: the Go function takes string, want []uint8
}

// Kernel functions of one's own, declared in C: one gives an object, which the verifier makes programs give back.
func Example_ownKfunc() {
	users := 0
	tables, err := helpers.NewTables(helpers.Own{Kfuncs: []helpers.OwnKfunc{
		{Decl: "struct session *session_get(u32 id)", Flags: helpers.KfuncAcquire | helpers.KfuncRetNull, Types: helpers.SetOf(prog.XDP),
			Go: func(id uint32) uint64 {
				if id != 7 {
					return 0
				}
				users++
				return 0x1000 + uint64(id) // any number but 0
			}},
		{Decl: "int session_age(struct session *s)", Flags: helpers.KfuncTrusted, Types: helpers.SetOf(prog.XDP),
			Go: func(s uint64) int { return int(s - 0x1000) }},
		{Decl: "void session_put(struct session *s)", Flags: helpers.KfuncRelease, Types: helpers.SetOf(prog.XDP),
			Go: func(s uint64) { users-- }},
	}})
	if err != nil {
		log.Fatal(err)
	}
	object := assembled(prog.XDP, nil, tables, `
		r1 = 7
		call kfunc session_get
		if r0 == 0 goto out
		r6 = r0
		r1 = r0
		call kfunc session_age
		r7 = r0
		r1 = r6
		call kfunc session_put
		r0 = r7
		exit
	out:
		r0 = 0
		exit`)
	for _, engine := range bothEngines {
		opts := skep.Options{Engine: engine}
		opts.Machine.Tables = tables
		vm, err := skep.New(object, opts)
		if err != nil {
			log.Fatal(err)
		}
		res, err := vm.Run("", skep.Packet{Data: sshPacket})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(res.Ret, users)
		vm.Close()
	}

	// A program that keeps what it got.
	leak := assembled(prog.XDP, nil, tables, `
		r1 = 7
		call kfunc session_get
		r0 = 0
		exit`)
	_, err = verifier.Verify(leak.Programs[0], verifier.Options{Tables: tables})
	var rejected *verifier.Error
	fmt.Println(errors.As(err, &rejected), rejected.Code)
	// Output:
	// 7 0
	// 7 0
	// 7 0
	// true E_REF_LEAK
}

// A program type of one's own, with its ctx: what may be read and written, which results there are, and what its programs may call.
func Example_ownType() {
	policy, err := prog.NewType(prog.TypeRow{
		Name: "policy", CtxName: "policy_ctx", CtxSize: 16,
		Fields: []prog.CtxField{
			{Name: "user", Off: 0, Size: 4, Access: prog.Read},
			{Name: "action", Off: 4, Size: 2, Access: prog.Read},
			{Name: "cost", Off: 8, Size: 8, Access: prog.Read | prog.Write},
		},
		Ret:      &prog.Range{Min: 0, Max: 1},
		Verdicts: []prog.Verdict{{Value: 0, Name: "DENY"}, {Value: 1, Name: "ALLOW"}},
		Calls:    []string{"bpf_map_lookup_elem", "bpf_ktime_get_ns"},
	})
	if err != nil {
		log.Fatal(err)
	}
	// Of a C file this is SEC("policy") int main(struct policy_ctx *ctx), loaded with object.Options{Types: []*prog.TypeRow{policy}}.
	object := assembled(prog.Own, policy, nil, `
		r2 = *(u32 *)(r1 + 0)
		*(u64 *)(r1 + 8) = 25
		r0 = 0
		if w2 != 1000 goto +1
		r0 = 1
		exit`)
	for _, engine := range bothEngines {
		vm, err := skep.New(object, skep.Options{Engine: engine})
		if err != nil {
			log.Fatal(err)
		}
		ctx := make([]byte, policy.CtxSize)
		binary.LittleEndian.PutUint32(ctx, 1000)
		res, err := vm.RunCtx("", ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(res.Verdict, binary.LittleEndian.Uint64(ctx[8:]))
		vm.Close()
	}
	for _, text := range []string{
		"*(u32 *)(r1 + 0) = 1\n r0 = 1\n exit",    // a field that can only be read
		"r0 = *(u32 *)(r1 + 12)\n r0 &= 1\n exit", // half of one that is read whole
		"r0 = 2\n exit", // no result of the type
		"call bpf_get_prandom_u32\n r0 &= 1\n exit",           // a helper that it may not call
		"r2 = 0\n r3 = 0\n call bpf_redirect\n r0 = 0\n exit", // nor may it this one
	} {
		p := assembled(prog.Own, policy, nil, text).Programs[0]
		_, err := verifier.Verify(p, verifier.Options{})
		var rejected *verifier.Error
		fmt.Println(errors.As(err, &rejected), rejected.Code)
	}
	// Output:
	// ALLOW 25
	// ALLOW 25
	// ALLOW 25
	// true E_CTX_ACCESS
	// true E_CTX_ACCESS
	// true E_RETURN_VALUE
	// true E_HELPER_UNAVAILABLE
	// true E_HELPER_UNAVAILABLE
}
