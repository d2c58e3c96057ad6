package conformance_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/vm"
)

// refereed is what the live kernel judges: helpers that are executed, and map types that are used by what is executed.
type refereed struct {
	helpers map[string]bool
	maps    map[string]bool
}

// TestEveryRowIsRefereed: every helper and every map type that is marked as implemented is executed by a program that is compared with
// the live kernel (TestReferees and TestDatapaths of conformance/kernel), or is named in referee/elsewhere.txt with the test that
// compares it, or the reason why the kernel cannot. Nothing else is named there. That makes docs/features.md true.
func TestEveryRowIsRefereed(t *testing.T) {
	seen := refereed{map[string]bool{}, map[string]bool{}}
	all, err := conformance.Referees()
	require.NoError(t, err)
	for _, d := range append(all, conformance.Datapaths()...) {
		seen.add(t, d)
	}
	elsewhere := readElsewhere(t)
	check := func(name string, implemented, refereed bool) {
		reason, named := elsewhere[name]
		delete(elsewhere, name)
		switch {
		case implemented && !refereed && !named:
			t.Errorf("%s is implemented: no program of the referee executes it, and elsewhere.txt does not name it", name)
		case refereed && named:
			t.Errorf("%s is executed by the referee: elsewhere.txt need not name it (%s)", name, reason)
		case !implemented && named:
			t.Errorf("%s is not implemented: elsewhere.txt names it", name)
		}
	}
	for i := range helpers.Table {
		if r := &helpers.Table[i]; r.Name != "" {
			check(r.Name, r.Implemented(), seen.helpers[r.Name])
		}
	}
	for typ := maps.Unspec + 1; typ < maps.NumTypes; typ++ {
		row := typ.Row()
		check(row.Kernel, row.Implemented(), seen.maps[row.Kernel])
	}
	for name := range elsewhere {
		t.Errorf("elsewhere.txt names %s, which there is not", name)
	}
}

// add notes what an object's traffic executes.
func (r *refereed) add(t *testing.T, d *conformance.Datapath) {
	o, err := conformance.OpenDatapath(d, skep.Options{Engine: skep.EngineInterp, Machine: vm.Config{Cover: true, Clock: func() uint64 { return 90e9 }}})
	require.NoError(t, err)
	defer o.VM.Close()
	require.NoError(t, d.Play([]conformance.Player{o}, func(conformance.Step, []conformance.Moment) error { return nil }))
	for _, p := range o.VM.Coverage().Programs {
		for pc, in := range p.Prog.Insns {
			if p.Counts[pc] == 0 {
				continue
			}
			switch asm.KindOf(in) {
			case asm.CallHelper:
				r.helpers[helpers.ByID(in.Imm).Name] = true
			case asm.LdImm64:
				if in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue {
					r.maps[p.Prog.Maps[in.Imm].Type.Row().Kernel] = true
				}
			}
		}
	}
}

// readElsewhere reads lines of a name and a reason. A reason that begins with a test, as "conformance/kernel TestSockets:", is
// checked: the test has to be there.
func readElsewhere(t *testing.T) map[string]string {
	text, err := os.ReadFile("referee/elsewhere.txt")
	require.NoError(t, err)
	all := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		name, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" {
			continue
		}
		reason = strings.TrimSpace(reason)
		require.NotEmpty(t, reason, "%s: no reason", name)
		require.NotContains(t, all, name)
		all[name] = reason
		if where, _, ok := strings.Cut(reason, ":"); ok && strings.Contains(where, " Test") {
			requireTest(t, where)
		}
	}
	return all
}

// requireTest wants "package TestName" to be a test of that package.
func requireTest(t *testing.T, where string) {
	pkg, name, _ := strings.Cut(where, " ")
	files, err := filepath.Glob(filepath.Join("..", pkg, "*_test.go"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if bytes.Contains(text, []byte("\nfunc "+name+"(t *testing.T)")) {
			return
		}
	}
	t.Errorf("elsewhere.txt: there is no test %s", where)
}
