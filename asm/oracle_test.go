package asm_test

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

// verdict is what a live kernel said of a program.
type verdict struct {
	Name    string `json:"name"`
	Insns   string `json:"insns"`
	Actual  string `json:"actual"`
	ErrLine string `json:"err_line"`
}

func verdicts(t *testing.T) (list []verdict) {
	dir := os.Getenv("SKEP_ORACLE")
	if dir == "" {
		dir = "../../shared/oracle"
	}
	file, err := os.Open(filepath.Join(dir, "verifier_cases.jsonl.gz"))
	if err != nil {
		t.Skip("no kernel verdicts here (SKEP_ORACLE): ", err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	require.NoError(t, err)
	d := json.NewDecoder(bufio.NewReader(z))
	for d.More() {
		var v verdict
		require.NoError(t, d.Decode(&v))
		list = append(list, v)
	}
	return list
}

// firstIllegal returns the first refusal of CheckImm64, else of Check: the kernel looks at all 64-bit loads first. It
// refuses a CallReg in the kernel's words, which is the verifier's work.
func firstIllegal(prog []asm.Insn) error {
	var refused error
	for pc := 0; pc < len(prog); pc++ {
		err := asm.Check(prog[pc])
		if asm.KindOf(prog[pc]) == asm.CallReg {
			err = &asm.FieldError{Field: asm.FieldOp, Value: int64(prog[pc].Op), Reason: fmt.Sprintf("unknown opcode %02x", prog[pc].Op)}
		}
		if err != nil && refused == nil {
			refused = err
		}
		if prog[pc].Op != asm.LdImm64.Info().Opcode {
			continue
		}
		if pc+1 == len(prog) {
			return &asm.FieldError{Field: asm.FieldOp, Reason: "invalid bpf_ld_imm64 insn"}
		}
		if err := asm.CheckImm64(prog[pc], prog[pc+1]); err != nil {
			return err
		}
		pc++
	}
	return refused
}

// TestKernelVerdicts compares Check with a kernel: what it loaded is legal, and what it refused for its fields is
// refused in its words. Every program survives FormatProgram and Parse.
func TestKernelVerdicts(t *testing.T) {
	fields := []string{"reserved fields", "unknown opcode", "is invalid", "ld_imm64 insn", "frame pointer is read only"}
	refused := 0
	for _, v := range verdicts(t) {
		b, err := hex.DecodeString(v.Insns)
		require.NoError(t, err)
		prog, err := asm.DecodeProgram(b)
		require.NoError(t, err)
		again, err := asm.Parse(asm.FormatProgram(prog), asm.ParseOptions{})
		require.NoError(t, err)
		require.Equal(t, prog, again)

		err = firstIllegal(prog)
		if v.Actual == "ACCEPT" {
			require.NoError(t, err, v.Name)
		}
		for _, words := range fields {
			if strings.Contains(v.ErrLine, words) {
				require.ErrorContains(t, err, v.ErrLine, v.Name)
				refused++
			}
		}
	}
	require.Greater(t, refused, 30)
}

// TestLLVM reads what LLVM's disassembler writes. Release 14 has no words for jset and stores of immediates.
func TestLLVM(t *testing.T) {
	mc, err := exec.LookPath("llvm-mc")
	if err != nil {
		t.Skip("no llvm-mc: ", err)
	}
	if out, _ := exec.Command(mc, "--version").Output(); !strings.Contains(string(out), "bpfel") {
		t.Skip("llvm-mc without BPF")
	}
	read := map[asm.Class]bool{}
	for _, cpu := range []string{"v2", "v3", "v4"} {
		var src strings.Builder
		for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
			in := k.Example()
			for i, b := range asm.Append(nil, in) {
				fmt.Fprintf(&src, "%s0x%02x", map[bool]string{true: "", false: " "}[i == 0], b)
			}
			if k == asm.LdImm64 {
				src.WriteString(strings.Repeat(" 0", asm.InsnSize))
			}
			src.WriteByte('\n')
		}
		cmd := exec.Command(mc, "-triple=bpfel", "-mcpu="+cpu, "-disassemble", "-show-encoding")
		cmd.Stdin = strings.NewReader(src.String())
		out, err := cmd.Output()
		require.NoError(t, err)
		for _, line := range strings.Split(string(out), "\n") {
			text, list, ok := strings.Cut(line, "encoding: [")
			if !ok {
				continue
			}
			want := decodeHex(t, strings.NewReplacer("0x", "", ",", "", "]", "").Replace(strings.TrimSpace(list)))
			row := asm.KindOf(want[0]).Info()
			if row.Class == asm.ClassCall && row.Name != "CallHelper" {
				continue // one word for all calls there
			}
			got, err := asm.Parse(text, asm.ParseOptions{})
			require.NoError(t, err, line)
			require.Equal(t, want, got, line)
			read[row.Class] = true
		}
	}
	for _, c := range []asm.Class{asm.ClassALU, asm.ClassBranch, asm.ClassLoad, asm.ClassStore, asm.ClassAtomic, asm.ClassSwap, asm.ClassImm64} {
		require.True(t, read[c], "class %d", c)
	}
}
