package verifier_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// lastMinor are the last releases before the major number changed.
var lastMinor = map[uint8]uint8{3: 19, 4: 20, 5: 19, 6: 19}

// before is the release before k.
func before(k kver.Version) kver.Version {
	if k.Minor > 0 {
		return kver.V(k.Major, k.Minor-1)
	}
	return kver.V(k.Major-1, lastMinor[k.Major-1])
}

// TestRules checks that each row of Rules has a case whose verdict changes exactly with its release, and because of it.
func TestRules(t *testing.T) {
	cases := map[string][]*verifyCase{}
	for _, c := range loadCases(t, filepath.Join("testdata", "cases", "kernels.txt")) {
		if c.rule != "" {
			cases[c.rule] = append(cases[c.rule], c)
		}
	}
	var last kver.Version
	for i := range verifier.Rules {
		r := &verifier.Rules[i]
		if !r.Since.AtLeast(last) {
			t.Errorf("%s (%v) comes after a rule of %v", r.Name, r.Since, last)
		}
		last = r.Since
		if len(cases[r.Name]) == 0 {
			t.Errorf("no case for %s", r.Name)
		}
		for _, c := range cases[r.Name] {
			t.Run(r.Name+"/"+c.name, func(t *testing.T) { checkFlip(t, r, c) })
		}
		delete(cases, r.Name)
	}
	for name := range cases {
		t.Errorf("case for %s, which is no rule", name)
	}
}

func checkFlip(t *testing.T, r *verifier.RuleRow, c *verifyCase) {
	verdict := func(profile *verifier.Profile) bool {
		_, err := verifier.Verify(c.prog, verifier.Options{Profile: profile.With(c.caps)})
		return err == nil
	}
	old := before(r.Since)
	on := verifier.Linux(int(r.Since.Major), int(r.Since.Minor))
	off := verifier.Linux(int(r.Since.Major), int(r.Since.Minor))
	r.Set(off, false)
	with, older, without := verdict(on), verdict(verifier.Linux(int(old.Major), int(old.Minor))), verdict(off)
	if with == older || with == without {
		t.Errorf("accepted: %v on %v, %v on %v, %v on %v without the rule", with, r.Since, older, old, without, r.Since)
	}
}

// TestLowest checks the lowest release and what decides it.
func TestLowest(t *testing.T) {
	for _, c := range []struct {
		name, code string
		typ        prog.Type
		lowest     string
		decides    []string
	}{
		{"any", "r0 = 0\nexit", prog.XDP, "4.19", nil},
		{"loop", "r6 = 0\nagain:\nr6 += 1\nif r6 < 10 goto again\nr0 = 0\nexit", prog.XDP, "5.4", []string{"bounded loops (5.3)"}},
		{"int", "r6 = *(u32 *)(r1 + 12)\nif w6 s< 0 goto out\nif w6 s> 7 goto out\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\n" +
			"r1 = map[array]\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\nr0 += r6\nr0 = *(u8 *)(r0 + 0)\nout:\nr0 = 0\nexit",
			prog.XDP, "5.10", []string{"32-bit bounds (5.7)"}},
		{"ctx field", "r0 = *(u64 *)(r1 + 184)\nr0 = 0\nexit", prog.SchedCLS, "6.1", []string{"ctx field __sk_buff.hwtstamp (5.16)"}},
		{"two fields", "r0 = *(u64 *)(r1 + 184)\nr0 = *(u8 *)(r1 + 180)\nr0 = 0\nexit", prog.SchedCLS, "6.1",
			[]string{"ctx field __sk_buff.hwtstamp (5.16)", "ctx field __sk_buff.tstamp_type (5.18)"}},
		{"helper", "r1 = map[ring]\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\nr1 = r0\nr2 = 0\n" +
			"call bpf_ringbuf_discard\nout:\nr0 = 0\nexit", prog.XDP, "5.10",
			[]string{"map type ringbuf (5.8)", "helper bpf_ringbuf_reserve (5.8)", "helper bpf_ringbuf_discard (5.8)"}},
		{"instruction", "r2 = 3\nr3 = 4\nr2 s/= r3\nr0 = 0\nexit", prog.XDP, "6.6", []string{"v4: signed division (6.6)"}},
		{"type", "r0 = 1\nexit", prog.SkLookup, "5.10", []string{"program type sk_lookup (5.9)"}},
		{"never", "r0 = *(u32 *)(r2 + 0)\nexit", prog.XDP, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &prog.Program{Name: c.name, Type: c.typ, License: "GPL", Maps: caseMaps()}
			var err error
			if p.Insns, err = parse(p, c.code); err != nil {
				t.Fatal(err)
			}
			s := verifier.Lowest(p, verifier.Options{}, verifier.Profiles(verifier.LongTerm))
			got := ""
			if s.Lowest != nil {
				got = s.Lowest.Kernel.String()
			}
			if got != c.lowest {
				t.Fatalf("lowest %q, want %q: %v", got, c.lowest, s.Error)
			}
			var decides []string
			for _, n := range s.Decides {
				decides = append(decides, n.String())
			}
			if !slices.Equal(decides, c.decides) {
				t.Errorf("decided by %q, want %q", decides, c.decides)
			}
		})
	}
}

// FuzzNeeds checks that no program makes Needs stumble.
func FuzzNeeds(f *testing.F) {
	f.Add([]byte{0x85, 0, 0, 0, 181, 0, 0, 0, 0x18, 1, 0, 0, 3, 0, 0, 0})
	f.Fuzz(func(t *testing.T, code []byte) {
		insns, err := asm.DecodeProgram(code)
		if err != nil {
			return
		}
		p := &prog.Program{Type: prog.Type(len(code)) % (prog.NumTypes + 1), Insns: insns, Maps: caseMaps()}
		for _, n := range verifier.Needs(p) {
			if n.String() == "" || n.PC >= len(insns) {
				t.Errorf("%+v", n)
			}
		}
	})
}
