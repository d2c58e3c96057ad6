package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/verifier"
)

// skepRun runs the command in this process.
func skepRun(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

const (
	goodObject = "../../examples/subprogs.bpf.o"
	badObject  = "../../examples/rejected/no_bounds.bpf.o"
	oldObject  = "../../examples/ddos.bpf.o" // needs 5.12
)

// TestVerifyIsDeterministic compares reports that were made by one and by many workers, times aside.
func TestVerifyIsDeterministic(t *testing.T) {
	objects, err := filepath.Glob("../../examples/*.o")
	require.NoError(t, err)
	objects = append(objects, badObject, "../../examples/rejected/endless.bpf.o")
	times := regexp.MustCompile(`"time_us": [0-9.]+|time="[0-9.]+"|verification time [0-9]+ usec`)
	reports := func(jobs string) []string {
		dir := t.TempDir()
		args := append([]string{"verify", "--kernel", "lts,dag", "--log=2", "--heat", "-o", "json", "--jobs", jobs,
			"--junit", dir + "/junit.xml", "--sarif", dir + "/verify.sarif"}, objects...)
		code, out, _ := skepRun(args...)
		require.Equal(t, exitRejected, code)
		junit, err := os.ReadFile(dir + "/junit.xml")
		require.NoError(t, err)
		sarif, err := os.ReadFile(dir + "/verify.sarif")
		require.NoError(t, err)
		texts := []string{out, string(junit), string(sarif)}
		for i := range texts {
			texts[i] = times.ReplaceAllString(texts[i], "")
		}
		return texts
	}
	one := reports("1")
	for _, jobs := range []string{"2", "16"} {
		for i, text := range reports(jobs) {
			require.True(t, one[i] == text, "report %d differs with --jobs %s", i, jobs)
		}
	}
}

// TestVeristatReadsCSV reads the CSV as veristat does: it splits lines at commas, takes several for one, and wants as many
// values as there are columns, all of which it knows.
func TestVeristatReadsCSV(t *testing.T) {
	known := strings.Split("file_name prog_name verdict duration total_insns total_states peak_states max_states_per_insn "+
		"max_mark_read_len prog_size prog_size_jited prog_type attach_type stack_depth", " ")
	number := regexp.MustCompile(`^[0-9]+$`)
	code, out, _ := skepRun("verify", "-o", "csv", goodObject, badObject)
	require.Equal(t, exitRejected, code)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, known, strings.Split(lines[0], ","))
	verdicts := []string{"success", "failure"}
	for i, line := range lines[1:] {
		values := strings.FieldsFunc(line, func(r rune) bool { return r == ',' })
		require.Len(t, values, len(known))
		require.Equal(t, verdicts[i], values[2])
		for c, v := range values {
			if c >= 3 && c != 11 && c != 12 {
				require.Regexp(t, number, v, known[c])
			}
		}
		require.Equal(t, []string{"xdp", "xdp"}, values[11:13])
	}
}

// TestJUnit parses the report and checks its counts and messages.
func TestJUnit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "junit.xml")
	code, _, _ := skepRun("verify", "--kernel", "5.10,6.18", "--junit", name, goodObject, badObject, "none.o", oldObject)
	require.Equal(t, exitUsage, code)
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	var report junitReport
	require.NoError(t, xml.Unmarshal(data, &report))
	type counts struct {
		name                    string
		tests, failures, errors int
	}
	var got []counts
	for _, s := range report.Suites {
		got = append(got, counts{s.Name, s.Tests, s.Failures, s.Errors})
		require.Len(t, s.Cases, s.Tests)
	}
	require.Equal(t, []counts{{goodObject, 2, 0, 0}, {badObject, 2, 2, 0}, {oldObject, 2, 1, 0}, {"none.o", 1, 0, 1}}, got)
	bad := report.Suites[1].Cases[0]
	require.Equal(t, "no_bounds (5.10)", bad.Name)
	require.Equal(t, string(verifier.PacketBounds), bad.Failure.Type)
	require.Equal(t, "../../examples/rejected/no_bounds.bpf.c", bad.File)
	require.Equal(t, 18, bad.Line)
	require.Contains(t, bad.Failure.Text, "if (ip->proto == PROTO_TCP)")
	require.Nil(t, report.Suites[2].Cases[1].Failure)
	require.Contains(t, report.Suites[3].Cases[0].Error.Message, "none.o")
}

// TestXMLText checks that a report stays XML whatever a source line holds.
func TestXMLText(t *testing.T) {
	var report junitReport
	odd := "a\x00b\x1b[31m\xff ]]> \ufffe <&>"
	report.add("s", junitCase{Name: odd, Failure: &junitMessage{Message: odd, Text: xmlText(odd)}})
	var out bytes.Buffer
	require.NoError(t, report.write(&out))
	var back junitReport
	require.NoError(t, xml.Unmarshal(out.Bytes(), &back), out.String())
	require.Equal(t, "a?b?[31m? ]]> ? <&>", back.Suites[0].Cases[0].Failure.Text)
}

// TestLogIsBounded checks that a long log loses its beginning.
func TestLogIsBounded(t *testing.T) {
	l := logTail{max: 10}
	for _, line := range []string{"one", "two", "three", "four", "five"} {
		l.add(line)
	}
	require.Equal(t, []string{"… 3 lines left out", "four", "five"}, l.text())
	l = logTail{max: 10}
	l.add("one")
	require.Equal(t, []string{"one"}, l.text())
}

// TestSARIF checks what the schema of SARIF 2.1.0 requires, and that results point into rules and source.
func TestSARIF(t *testing.T) {
	name := filepath.Join(t.TempDir(), "verify.sarif")
	code, _, _ := skepRun("verify", "--kernel", "5.10,6.18", "--sarif", name, goodObject, badObject, "none.o", oldObject)
	require.Equal(t, exitUsage, code)
	log := readSARIF(t, name)
	errorPage, err := os.ReadFile("../../docs/errors.md")
	require.NoError(t, err)
	require.Len(t, log.Runs, 1)
	sarif := log.Runs[0]
	for i, r := range sarif.Tool.Driver.Rules {
		require.Equal(t, string(verifier.Codes[i].Code), r.ID)
		require.Contains(t, r.Help.Markdown, "What to do")
		_, anchor, _ := strings.Cut(r.HelpURI, "docs/errors.md#")
		require.Contains(t, string(errorPage), "\n### "+strings.ToUpper(anchor)+"\n")
		require.NotEmpty(t, r.ShortDescription.Text)
	}
	require.False(t, sarif.Invocations[0].ExecutionSuccessful)
	require.Equal(t, "none.o", sarif.Invocations[0].Notifications[0].Locations[0].Physical.Artifact.URI)
	require.Len(t, sarif.Results, 2)
	for _, r := range sarif.Results {
		require.Equal(t, r.RuleID, sarif.Tool.Driver.Rules[r.RuleIndex].ID)
	}
	bad := sarif.Results[0]
	require.Equal(t, []string{"5.10", "6.18"}, bad.Properties.Kernels)
	at := bad.Locations[0].Physical
	require.Equal(t, "../../examples/rejected/no_bounds.bpf.c", at.Artifact.URI)
	require.Equal(t, 18, at.Region.StartLine)
	require.Equal(t, 10, at.Region.StartColumn)
	flow := bad.CodeFlows[0].ThreadFlows[0].Locations
	require.Equal(t, at.Region, flow[len(flow)-1].Location.Physical.Region)
	require.Greater(t, len(flow), 1)
	for _, step := range flow {
		require.NotEmpty(t, step.Location.Message.Text)
	}
	require.Equal(t, []string{"5.10"}, sarif.Results[1].Properties.Kernels)
}

// TestSARIFOfNothing checks that a report without rejections has the lists that the schema requires.
func TestSARIFOfNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "verify.sarif")
	code, _, _ := skepRun("verify", "--sarif", name, goodObject)
	require.Equal(t, exitOK, code)
	require.Empty(t, readSARIF(t, name).Runs[0].Results)
	require.True(t, readSARIF(t, name).Runs[0].Invocations[0].ExecutionSuccessful)
}

// required are the properties that the schema demands of objects, by the property that holds them.
var required = map[string][]string{
	"":                           {"version", "runs"},
	"runs":                       {"tool", "results"}, // results: or no scan was made
	"tool":                       {"driver"},
	"driver":                     {"name"},
	"rules":                      {"id"},
	"results":                    {"message"},
	"invocations":                {"executionSuccessful"},
	"toolExecutionNotifications": {"message"},
	"codeFlows":                  {"threadFlows"},
	"threadFlows":                {"locations"},
	"message":                    {"text"},
	"shortDescription":           {"text"},
	"fullDescription":            {"text"},
	"help":                       {"text"},
	"region":                     {"startLine"},
	"artifactLocation":           {"uri"},
}

// readSARIF parses a report and checks every object in it for what the schema requires.
func readSARIF(t *testing.T, name string) (log sarifLog) {
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	var any any
	require.NoError(t, json.Unmarshal(data, &any))
	checkRequired(t, "", any)
	require.NoError(t, json.Unmarshal(data, &log))
	require.Equal(t, "2.1.0", log.Version)
	return log
}

func checkRequired(t *testing.T, name string, v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			checkRequired(t, name, item)
		}
	case map[string]any:
		for _, want := range required[name] {
			require.NotNil(t, v[want], "%s has no %s: %v", name, want, v)
		}
		if line, ok := v["startLine"]; ok {
			require.GreaterOrEqual(t, line, 1.0)
		}
		if column, ok := v["startColumn"]; ok {
			require.GreaterOrEqual(t, column, 1.0)
		}
		for key, item := range v {
			checkRequired(t, key, item)
		}
	}
}

// FuzzBaseline reads arbitrary CSV files: a row that is taken has a key, and an error names the file.
func FuzzBaseline(f *testing.F) {
	f.Add("file_name,prog_name,verdict,total_insns\na.o,x,success,12\n")
	f.Add("file,prog,kernel\na.o,\"x\ny\",6.1\n")
	f.Add("file,prog,insns\na.o,x,many\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		rows, _, err := readBaseline(strings.NewReader(text), "old.csv")
		if err != nil {
			require.Contains(t, err.Error(), "old.csv")
			return
		}
		for _, r := range rows {
			require.NotEmpty(t, r.key.program)
		}
	})
}
