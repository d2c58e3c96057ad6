package oracle

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

// made is a file of two cases of our own: a lookup, and a program that is not there any more.
const made = `{"id":7,"file":"a.c","name":"lookup","prog_type_name":"xdp","flags":2,"insns":"18110000000000000000000000000000b7000000020000009500000000000000","fixups":[{"kind":"prog1","insns":[0]}],"actual":"REJECT","err_line":"R2 !read_ok","expect":"ACCEPT","expect_unpriv":"UNDEF","static":{"has_back_edge":false}}

{"id":8,"insns":"9500","prog_type_name":"xdp"}
`

func TestRead(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte(made))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	for _, in := range []string{made, zipped.String(), strings.TrimSpace(made)} {
		cases, err := Read(strings.NewReader(in))
		require.NoError(t, err)
		require.Len(t, cases, 2)
		p, err := cases[0].Program()
		require.NoError(t, err)
		require.Len(t, p.Insns, 4)
		require.Len(t, p.Maps, 1)
		require.EqualValues(t, asm.PseudoMapIdx, p.Insns[0].Src)
		require.True(t, cases[0].Strict())
		_, err = cases[1].Program()
		require.ErrorContains(t, err, "8 : : insns:")
	}
}

func TestBadFile(t *testing.T) {
	for in, want := range map[string]string{
		"{}\n{":                  "line 2: unexpected end of JSON input",
		`{"id":"x"}`:             "line 1: json:",
		"\x1f\x8b0":              "unexpected EOF",
		"\x1f\x8b\x08\x00garble": "unexpected EOF",
	} {
		_, err := Read(strings.NewReader(in))
		require.ErrorContains(t, err, want, "%q", in)
	}
	for _, c := range []Case{
		{Insns: "zz"},
		{Insns: "9500000000000000", ProgTypeName: "nothing"},
		{Insns: "9500000000000000", ProgTypeName: "xdp", Fixups: []Fixup{{"map_hash_8b", []int{1}}}},
		{Insns: "9500000000000000", ProgTypeName: "xdp", Fixups: []Fixup{{"no such kind", []int{0}}}},
	} {
		_, err := c.Program()
		require.Error(t, err, "%+v", c)
	}
	for kind := range mapKinds {
		require.NotNil(t, mapOf(kind), kind)
	}
}

func TestSameWords(t *testing.T) {
	for _, c := range []struct {
		said, want string
		same       bool
	}{
		{"invalid access to packet, off=0\nR1 offset is outside of the packet", "R1 offset is outside of the packet", true},
		{"a b c", "a\tc", true},
		{"a b c", "c\ta", false},
		{"R1 !read_ok", "R2 !read_ok", false},
		{"anything", "", true},
	} {
		require.Equal(t, c.same, SameWords(c.said, c.want), "%+v", c)
	}
}

func TestAnswers(t *testing.T) {
	c := &Case{
		Actual: "ACCEPT", Expect: "REJECT", ErrStr: "one\ttwo", ExpectUnpriv: "UNDEF", ProgTypeName: "xdp", Insns: strings.Repeat("0", 16),
	}
	check := func(profile string, want Answer, known bool) {
		t.Helper()
		got, ok := AnswersBy[profile](c)
		require.Equal(t, known, ok)
		require.Equal(t, want, got)
	}
	check("6.18", Answer{Accepted: true}, true)
	check("dag", Answer{Accepted: true}, true)
	check("6.1", Answer{Words: "one\ttwo"}, true)
	check("unpriv", Answer{}, false)
	c.ProgTypeName, c.Static.HasBackEdge = "socket_filter", true
	check("unpriv", Answer{Words: "one\ttwo"}, true)
	c.ErrUnpriv = "three"
	check("unpriv", Answer{Words: "three"}, true)
	check("dag", Answer{}, true)
	c.ExpectUnpriv, c.Static.HasBackEdge, c.Insns = "ACCEPT", false, strings.Repeat("0", 16*4097)
	check("unpriv", Answer{Accepted: true}, true)
	check("dag", Answer{}, true)
	c.Actual = ""
	check("6.18", Answer{}, false)
	check("noperfmon", Answer{}, false)
	c.NoPerfmon.Actual, c.NoPerfmon.ErrLine, c.NoPerfmon.Processed = "REJECT", "no", 7
	check("noperfmon", Answer{Words: "no", Processed: 7}, true)
}
