package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/conformance/vector"
)

// pluginSources are objects as runners of vectors compile them: nothing but functions in .text, without types,
// licence or section names.
var pluginSources = []struct {
	name, source string
	flags        []string
	memory, want string
}{
	{"one function", `
int check(unsigned char *m, unsigned long n) {
	int sum = 0;
	for (unsigned long i = 0; i < n; i++)
		sum += m[i];
	return sum;
}`, nil, "01 02 03 f0", "f6"},
	{"no memory", `long check(void *m, long n) { return m ? 1 : -2 - n; }`, nil, "", "fffffffffffffffe"},
	{"static function", `
static __attribute__((noinline)) int half(int v) { return v / 2; }
int check(unsigned char *m) { return half(m[0]) + half(m[1]); }`, []string{"-mcpu=v1"}, "08 10", "c"},
	{"called function first", `
__attribute__((noinline)) int twice(int v) { return v * 2; }
int check(unsigned char *m) { return twice(m[0]) + twice(m[1]); }`, nil, "08 10", "30"},
	{"main among others", `
__attribute__((noinline)) int other(void *m) { return 1; }
int main(unsigned char *m) { return m[0] + 1; }`, []string{"-ffreestanding"}, "08", "9"},
	{"helper", `
static long (*strncmp_)(const void *a, unsigned n, const void *b) = (void *)182;
int check(unsigned char *m) { char s[4] = "abd"; return strncmp_(m, 4, s) < 0; }`, nil, "61 62 63 00", "1"},
	{"call by register", `
int check(long *m) { int (*f)(void) = (int (*)(void))m[0]; return f() + 5; }`, nil, "08 00 00 00 00 00 00 00", "5"},
	{"v4", `int check(signed char *m) { return m[0] / m[1]; }`, []string{"-mcpu=v4"}, "80 ff", "80"},
	{"table", `
static const unsigned char table[4] = {3, 1, 4, 1};
int check(unsigned char *m) { return table[m[0] & 3]; }`, nil, "02", "4"},
}

// TestPluginELF compiles them with clang and runs them on every engine.
func TestPluginELF(t *testing.T) {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip("no clang-19")
	}
	for _, c := range pluginSources {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			source, object := filepath.Join(dir, "x.c"), filepath.Join(dir, "x.o")
			require.NoError(t, os.WriteFile(source, []byte(c.source), 0o644))
			out, err := exec.Command(clang, append(c.flags, "-O2", "-target", "bpf", "-c", source, "-o", object)...).CombinedOutput()
			require.NoError(t, err, string(out))
			elf, err := os.ReadFile(object)
			require.NoError(t, err)
			for _, engine := range vector.Engines() {
				var stdout, stderr bytes.Buffer
				code := run([]string{"conformance", "plugin", "--elf", "--engine", engine, c.memory}, strings.NewReader(fmt.Sprintf("% x\n", elf)), &stdout, &stderr)
				require.Equal(t, 0, code, stderr.String())
				require.Equal(t, c.want+"\n", stdout.String(), engine)
			}
		})
	}
}
