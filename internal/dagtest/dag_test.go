// Package dagtest checks the import graph of the module.
package dagtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/skepvm/skep"

// allowed says what each package may import of this module ("" is the root package).
// It is a statement of policy: don't edit it to fix a build.
var allowed = map[string]string{
	"asm":                "kver",
	"mem":                "",
	"kver":               "",
	"btf":                "",
	"maps":               "mem kver btf",
	"prog":               "asm maps mem kver btf",
	"internal/jsonpos":   "",
	"helpers":            "asm mem maps prog kver internal/jsonpos",
	"object":             "asm maps prog kver btf",
	"internal/tnum":      "",
	"verifier":           "asm maps prog helpers kver btf internal/tnum",
	"vm":                 "asm mem maps prog helpers kver",
	"internal/amd64":     "",
	"internal/arm64":     "",
	"internal/execmem":   "",
	"jit":                "asm mem maps prog helpers verifier vm kver internal/amd64 internal/arm64 internal/execmem",
	"linktype":           "",
	"cbpf":               "asm maps prog linktype cbpf/expr",
	"cbpf/expr":          "linktype",
	"seccomp":            "asm maps prog cbpf internal/jsonpos",
	"internal/pcap":      "linktype",
	"traffic":            "internal/pcap linktype",
	"replay":             "prog mem maps vm cbpf linktype internal/pcap",
	"cover":              "asm prog",
	"tracing":            "mem prog helpers btf internal/jsonpos",
	"examples":           "",
	"":                   "tracing cover cbpf cbpf/expr linktype asm mem maps prog helpers object verifier vm jit replay kver btf",
	"suite":              "*",
	"conformance":        "*",
	"conformance/gen":    "asm maps prog helpers",
	"conformance/kernel": "*",
	"conformance/vector": "asm mem prog helpers vm jit",
	"internal/oracle":    "asm maps prog",
	"bench/figures":      "bench/kept bench/workloads",
	"bench/kept":         "",
	"conformance/fuzz":   "*",
	"internal/reference": "asm mem maps prog vm",
	"bench/workloads":    "examples traffic",
	"bench/native":       "bench/workloads",
	"bench/replay":       "*",

	"bench/replay/gopacketread": "",
	"bench/replay/plainread":    "",

	"cmd/skep": "*",

	"internal/tools/verifycases": "verifier internal/oracle",
	"internal/tools/vectors":     "", // evidence against the packages that it would import
}

// testOnly packages hold what tests share: only tests may import them, and they may import anything but cmd.
var testOnly = map[string]bool{"internal/vmtest": true, "internal/pcaptest": true, "internal/browsertest": true, "internal/dagtest": true}

// external says which packages may import a module from outside; "test" is any test file.
var external = map[string]string{
	"github.com/spf13/cobra":                "cmd/skep",
	"github.com/spf13/pflag":                "cmd/skep", // cobra's flags
	"github.com/cilium/ebpf":                "object conformance/kernel",
	"github.com/google/gopacket":            "test cmd/skep suite bench/replay/gopacketread",
	"github.com/klauspost/compress":         "internal/pcap",
	"go.yaml.in/yaml/v3":                    "suite",
	"github.com/rogpeppe/go-internal":       "test",
	"github.com/stretchr/testify":           "test",
	"github.com/twitchyliquid64/golang-asm": "test",
	"golang.org/x/net":                      "test",
	"golang.org/x/arch":                     "test jit",
	"golang.org/x/sys":                      "test mem jit internal/execmem helpers conformance/kernel cmd/skep bench/replay",
}

type imp struct{ pkg, file, path string }

func TestImports(t *testing.T) {
	imports := scan(t)
	if len(imports) < 50 {
		t.Fatalf("found only %d imports: is the walk broken?", len(imports))
	}
	for _, i := range imports {
		inTest := strings.HasSuffix(i.file, "_test.go") || testOnly[i.pkg]
		if dep, ok := strings.CutPrefix(i.path, module); ok {
			checkInternal(t, i, strings.TrimPrefix(dep, "/"), inTest)
		} else if strings.Contains(strings.Split(i.path, "/")[0], ".") {
			checkExternal(t, i, inTest)
		}
	}
}

func checkInternal(t *testing.T, i imp, dep string, inTest bool) {
	if dep == "cmd/skep" {
		t.Errorf("%s imports the command", i.file)
	}
	if inTest {
		return
	}
	rule, known := allowed[i.pkg]
	switch {
	case !known:
		t.Errorf("%s: package %q has no row in the policy", i.file, i.pkg)
	case testOnly[dep]:
		t.Errorf("%s imports %s, which is for tests", i.file, dep)
	case rule != "*" && !contains(rule, dep):
		t.Errorf("%s: %q may not import %q (allowed: %s)", i.file, i.pkg, dep, rule)
	}
}

func checkExternal(t *testing.T, i imp, inTest bool) {
	for mod, users := range external {
		if i.path != mod && !strings.HasPrefix(i.path, mod+"/") {
			continue
		}
		if !contains(users, i.pkg) && (!inTest || !contains(users, "test")) {
			t.Errorf("%s: %q may not import %s (allowed: %s)", i.file, i.pkg, i.path, users)
		}
		return
	}
	t.Errorf("%s imports %s, which is not in the policy", i.file, i.path)
}

func contains(list, word string) bool {
	for _, w := range strings.Fields(list) {
		if w == word {
			return true
		}
	}
	return false
}

// scan parses the import clauses of every Go file of the module.
func scan(t *testing.T) []imp {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var out []imp
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n == "testdata" || n != "." && strings.HasPrefix(n, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		found, err := importsOf(root, name)
		out = append(out, found...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Slice(out, func(a, b int) bool { return out[a].file < out[b].file })
	return out
}

func importsOf(root, name string) ([]imp, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	rel = filepath.ToSlash(rel)
	pkg := path.Dir(rel)
	if pkg == "." {
		pkg = ""
	}
	var out []imp
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, imp{pkg, rel, p})
	}
	return out, nil
}
