package main

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/object"
)

// TestDisasmAsm: what disasm --labels prints of every program of every committed object, asm makes the same bytes of.
func TestDisasmAsm(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../examples/*.o", "../../examples/rejected/*.o", "../../bench/workloads/*.o", "../../object/testdata/*.o"} {
		list, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, list)
		files = append(files, list...)
	}
	programs := 0
	for _, file := range files {
		o, err := object.LoadFile(file, object.Options{})
		require.NoError(t, err)
		for _, p := range o.Programs {
			var want strings.Builder
			for _, in := range p.Insns {
				want.WriteString(hex.EncodeToString(asm.Append(nil, in)) + "\n")
			}
			for _, syntax := range []string{"llvm", "mnemonic"} {
				var text, got, stderr bytes.Buffer
				require.Zero(t, run([]string{"disasm", "--labels", "--syntax", syntax, "--prog", p.Name, file}, nil, &text, &stderr), stderr.String())
				require.Zero(t, run([]string{"asm", "--syntax", syntax}, bytes.NewReader(text.Bytes()), &got, &stderr), "%s\n%s", stderr.String(), text.String())
				require.Equal(t, want.String(), got.String(), "%s %s %s", file, p.Name, syntax)
			}
			programs++
		}
	}
	require.Greater(t, programs, 40)
}

// TestLabelNames: names that cannot be labels, or are taken, get others.
func TestLabelNames(t *testing.T) {
	for _, name := range []string{"main", "L1", "a.b$c", "exit", "call"} {
		require.True(t, isLabel(name), name)
	}
	for _, name := range []string{"", "r1", "w10", "pc", "x-y.bin", "1a", "a:", "a b", "é", "a # b"} {
		require.False(t, isLabel(name), name)
	}
}
