package verifier_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

func ownTables(t *testing.T) *helpers.Tables {
	t.Helper()
	none := func(*helpers.Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }
	xdp := helpers.SetOf(prog.XDP)
	fill := helpers.Row{ID: 700, Name: "fill", Types: xdp | helpers.SetOf(prog.Own), Fn: none,
		Args: [5]helpers.Arg{helpers.ArgMem | helpers.ArgUninit | helpers.ArgWrite, helpers.ArgSize, helpers.ArgCtx}}
	place := helpers.Row{ID: 701, Name: "place", Types: xdp, Fn: none, Ret: helpers.RetMem | helpers.RetMaybeNull, RetSize: 16}
	tables, err := helpers.NewTables(helpers.Own{
		Helpers: []helpers.OwnHelper{{Row: fill}, {Row: place}},
		Kfuncs: []helpers.OwnKfunc{
			{Decl: "struct session *session_get(u32 id__k)", Flags: helpers.KfuncAcquire | helpers.KfuncRetNull, Types: xdp, Fn: none},
			{Decl: "struct other *other_get(void)", Flags: helpers.KfuncAcquire, Types: xdp, Fn: none},
			{Decl: "int session_age(struct session *s)", Flags: helpers.KfuncTrusted, Types: xdp, Fn: none},
			{Decl: "void session_put(struct session *s)", Flags: helpers.KfuncRelease, Types: xdp, Fn: none},
			{Decl: "int session_name(struct session *s, char *name, u32 name__sz)", Types: xdp, Fn: none},
			{Decl: "int of_ctx(struct xdp_md *ctx, u64 *out)", Types: xdp, Fn: none},
			{Decl: "u8 of_policy(struct policy_ctx *ctx)", Types: helpers.SetOf(prog.Own), Fn: none},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func policyType(t *testing.T) *prog.TypeRow {
	t.Helper()
	row, err := prog.NewType(prog.TypeRow{Name: "policy", CtxName: "policy_ctx", CtxSize: 16, PktRead: true,
		Fields: []prog.CtxField{
			{Name: "data", Off: 0, Size: 4, Access: prog.Read, Yields: prog.PktData},
			{Name: "data_end", Off: 4, Size: 4, Access: prog.Read, Yields: prog.PktEnd},
			{Name: "cost", Off: 8, Size: 8, Access: prog.Read | prog.Write | prog.Narrow},
		},
		Ret: &prog.Range{Min: 0, Max: 1}, Calls: []string{"bpf_ktime_get_ns", "bpf_iter_num_new"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// TestOwn verifies programs that use what an embedder added. want is the words of the rejection, "" for none.
func TestOwn(t *testing.T) {
	const get = "r1 = 7\n call kfunc session_get\n if r0 == 0 goto out\n r6 = r0\n"
	const put = "r1 = r6\n call kfunc session_put\n out:\n r0 = 0\n exit"
	const packet = "r2 = *(u32 *)(r1 + 0)\n r3 = *(u32 *)(r1 + 4)\n r4 = r2\n r4 += 8\n r0 = 0\n if r4 > r3 goto +2\n"
	for _, c := range []struct{ name, typ, code, want string }{
		{"object", "xdp", get + put, ""},
		{"object not checked for NULL", "xdp", "r1 = 7\n call kfunc session_get\n r6 = r0\n" + put, "Possibly NULL pointer passed to trusted arg0"},
		{"object kept", "xdp", get + "out: r0 = 0\n exit", "Unreleased reference"},
		{"object given back twice", "xdp", get + "r1 = r6\n call kfunc session_put\n" + put, "arg#0 pointer type STRUCT session"},
		{"object looked into", "xdp", get + "r0 = *(u64 *)(r6 + 0)\n" + put, "struct session is not known"},
		{"object written", "xdp", get + "*(u64 *)(r6 + 0) = 0\n" + put, "struct session is not known"},
		{"object moved", "xdp", get + "r6 += 8\n" + put, "must have zero offset"},
		{"another object", "xdp", "call kfunc other_get\n r6 = r0\n" + put, "expected pointer to STRUCT session but R1 has a pointer to STRUCT other"},
		{"a number as object", "xdp", "r6 = 4096\n" + put, "arg#0 pointer type STRUCT session"},
		{"number not constant", "xdp", "r1 = *(u32 *)(r1 + 0)\n call kfunc session_get\n r0 = 0\n exit", "R1"},
		{"memory", "xdp", get + "r1 = r6\n r2 = r10\n r2 += -8\n *(u64 *)(r2 + 0) = 0\n r3 = 8\n call kfunc session_name\n" + put, ""},
		{"memory too short", "xdp", get + "r1 = r6\n r2 = r10\n r2 += -8\n *(u64 *)(r2 + 0) = 0\n r3 = 9\n call kfunc session_name\n" + put, "size=9"},
		{"ctx and a number's place", "xdp", "r2 = r10\n r2 += -8\n *(u64 *)(r2 + 0) = 0\n call kfunc of_ctx\n r0 = 0\n exit", ""},
		{"no ctx", "xdp", "r1 = r10\n r1 += -8\n r2 = r1\n *(u64 *)(r2 + 0) = 0\n call kfunc of_ctx\n r0 = 0\n exit", "expected pointer to ctx, but got fp"},
		{"helper fills memory", "xdp", "r3 = r1\n r1 = r10\n r1 += -8\n r2 = 8\n call fill\n r0 = *(u64 *)(r10 - 8)\n r0 &= 1\n exit", ""},
		{"helper with memory of no size", "xdp", "r3 = r1\n r1 = r10\n r1 += -8\n r2 = 0\n call fill\n r0 = 0\n exit", "invalid zero-sized read"},
		{"helper's memory", "xdp", "call place\n if r0 == 0 goto +2\n *(u64 *)(r0 + 8) = 1\n r0 = 0\n exit", ""},
		{"past helper's memory", "xdp", "call place\n if r0 == 0 goto +2\n *(u64 *)(r0 + 9) = 1\n r0 = 0\n exit", "invalid access to memory, mem_size=16"},
		{"helper's memory not checked", "xdp", "call place\n *(u64 *)(r0 + 8) = 1\n r0 = 0\n exit", "mem_or_null"},
		{"helper of another type", "socket_filter", "r3 = r1\n r1 = r10\n r1 += -8\n r2 = 8\n call fill\n r0 = 0\n exit", "cannot use helper fill#700"},
		{"kernel function of another type", "socket_filter", "call kfunc other_get\n r0 = 0\n exit", "calling kernel function other_get is not allowed"},
		{"own type", "policy", "r0 = *(u8 *)(r1 + 8)\n r0 &= 1\n exit", ""},
		{"own type's packet", "policy", packet + "r0 = *(u64 *)(r2 + 0)\n r0 &= 1\n exit", ""},
		{"past own type's packet", "policy", packet + "r0 = *(u64 *)(r2 + 1)\n r0 &= 1\n exit", "invalid access to packet"},
		{"own type's packet written", "policy", packet + "*(u64 *)(r2 + 0) = 1\n r0 = 0\n exit", "cannot write into packet"},
		{"own type's result", "policy", "r0 = 2\n exit", "should have been in [0, 1]"},
		{"own type's helper", "policy", "r3 = r1\n r1 = r10\n r1 += -8\n r2 = 8\n call fill\n r0 = 0\n exit", ""},
		{"own type's ctx", "policy", "call kfunc of_policy\n r0 &= 1\n exit", ""},
		{"no ctx of the own type", "policy", "r1 = r10\n r1 += -8\n call kfunc of_policy\n r0 &= 1\n exit", "expected pointer to ctx"},
		{"helper that the own type lists", "policy", "call bpf_ktime_get_ns\n r0 &= 1\n exit", ""},
		{"helper that it does not list", "policy", "call bpf_get_prandom_u32\n r0 &= 1\n exit", "cannot use helper"},
		{"kernel function that it does not list", "policy", "call kfunc bpf_rcu_read_lock\n r0 = 0\n exit", "is not allowed"},
	} {
		p := &prog.Program{Name: "main", License: "GPL"}
		if c.typ == "policy" {
			p.Type, p.Own = prog.Own, policyType(t)
		} else {
			p.Type, _ = prog.TypeOf(c.typ)
		}
		tables := ownTables(t)
		var err error
		p.Insns, err = asm.Parse(c.code, asm.ParseOptions{Helpers: tables.ID, Kfuncs: func(name string) (int32, bool) {
			p.Kfuncs = append(p.Kfuncs, prog.Kfunc{Name: name})
			return int32(len(p.Kfuncs) - 1), true
		}})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		v, err := verifier.Verify(p, verifier.Options{Tables: tables})
		var e *verifier.Error
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == "":
			if v.Tables() != tables || v.Runnable() != nil {
				t.Errorf("%s: it cannot run: %v", c.name, v.Runnable())
			}
		case !errors.As(err, &e) || !strings.Contains(e.Kernel, c.want):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if _, err := verifier.Verify(p, verifier.Options{}); strings.Contains(c.code, "kfunc s") && err == nil {
			t.Errorf("%s: accepted without the tables", c.name)
		}
	}
}

// TestOwnTypeRefused has one wrong thing at a time in the row of an own type.
func TestOwnTypeRefused(t *testing.T) {
	good := prog.TypeRow{Name: "policy", CtxName: "policy_ctx", CtxSize: 16,
		Fields: []prog.CtxField{{Name: "a", Off: 0, Size: 4, Access: prog.Read}, {Name: "b", Off: 8, Size: 8, Access: prog.Read}}}
	if _, err := prog.NewType(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(r *prog.TypeRow){
		"the name is empty":    func(r *prog.TypeRow) { r.Name = "" },
		"one of the kernel's":  func(r *prog.TypeRow) { r.Name = "xdp" },
		"ctx xdp_md":           func(r *prog.TypeRow) { r.CtxName = "xdp_md" },
		"want a CtxName":       func(r *prog.TypeRow) { r.CtxSize = 12 },
		"no result is from":    func(r *prog.TypeRow) { r.Ret = &prog.Range{Min: 1} },
		"has no name":          func(r *prog.TypeRow) { r.Fields[0].Name = "" },
		"overlaps another":     func(r *prog.TypeRow) { r.Fields[1].Off = 0 },
		"leaves the ctx":       func(r *prog.TypeRow) { r.Fields[1].Size = 16 },
		"its Unit must be":     func(r *prog.TypeRow) { r.Fields[0].Size = 3 },
		"numbers and packets":  func(r *prog.TypeRow) { r.Fields[1].Yields = prog.Sock },
		"is 4 bytes, and can":  func(r *prog.TypeRow) { r.Fields[1].Yields = prog.PktData },
		"want one field each":  func(r *prog.TypeRow) { r.Fields[0].Yields = prog.PktData },
		"PktWrite want a pack": func(r *prog.TypeRow) { r.PktWrite = true },
	} {
		r := good
		r.Fields = append([]prog.CtxField(nil), good.Fields...)
		change(&r)
		if _, err := prog.NewType(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for want, calls := range map[string]string{"no helper or kernel function bpf_nonesuch": "bpf_nonesuch", "works on a ctx": "bpf_skb_load_bytes"} {
		r := good
		r.Calls = []string{calls}
		row, err := prog.NewType(r)
		if err != nil {
			t.Fatal(err)
		}
		p := &prog.Program{Name: "main", Type: prog.Own, Own: row, Insns: []asm.Insn{{Op: 0xb7}, {Op: 0x95}}}
		if _, err := verifier.Verify(p, verifier.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
