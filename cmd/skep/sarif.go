package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// The types below are the part of SARIF 2.1.0 (OASIS) that a rejection needs; names and nesting are the standard's.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string              `json:"id"`
		ShortDescription sarifMessage        `json:"shortDescription"`
		FullDescription  sarifMessage        `json:"fullDescription"`
		Help             sarifMessage        `json:"help"`
		HelpURI          string              `json:"helpUri"`
		Properties       sarifRuleProperties `json:"properties"`
	}
	sarifRuleProperties struct {
		Tags []string `json:"tags"`
	}
	sarifMessage struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level     string          `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifMessage      `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Related      []sarifLocation   `json:"relatedLocations,omitempty"`
		CodeFlows    []sarifCodeFlow   `json:"codeFlows,omitempty"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   sarifProperties   `json:"properties"`
	}
	sarifProperties struct {
		Object  string   `json:"object"`
		Program string   `json:"program"`
		Kernels []string `json:"kernels"`
		PC      int      `json:"pc"`
	}
	sarifCodeFlow struct {
		ThreadFlows []sarifThreadFlow `json:"threadFlows"`
	}
	sarifThreadFlow struct {
		Locations []sarifFlowLocation `json:"locations"`
	}
	sarifFlowLocation struct {
		Location sarifLocation `json:"location"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
		Message  *sarifMessage  `json:"message,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int           `json:"startLine"`
		StartColumn int           `json:"startColumn,omitempty"`
		Snippet     *sarifMessage `json:"snippet,omitempty"`
	}
	sarifLogical struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
	}
)

const (
	sarifSchema = "https://json.schemastore.org/sarif-2.1.0.json"
	projectURI  = "https://github.com/skepvm/skep"
)

// writeSARIF reports the rejections by demanded kernels: one result for what several kernels say alike.
func writeSARIF(w io.Writer, v *verification, src sources) error {
	run := sarifRun{
		Tool: sarifTool{sarifDriver{Name: "skep", Version: version(), InformationURI: projectURI,
			Rules: sarifRules()}},
		Invocations: []sarifInvocation{{ExecutionSuccessful: len(v.unreadable) == 0}},
		Results:     []sarifResult{},
	}
	for _, u := range v.unreadable {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{Level: "error",
			Message: sarifMessage{Text: u.err.Error()}, Locations: []sarifLocation{{Physical: sarifPhysical{Artifact: artifact(u.file)}}}})
	}
	for i := range v.programs {
		run.Results = append(run.Results, v.sarifResults(i, src)...)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// sarifRules are the codes of the verifier.
func sarifRules() []sarifRule {
	rules := make([]sarifRule, len(verifier.Codes))
	for i, c := range verifier.Codes {
		c, _ = verifier.Lookup(c.Code)
		rules[i] = sarifRule{ID: string(c.Code), ShortDescription: sarifMessage{Text: c.Meaning},
			FullDescription: sarifMessage{Text: c.Meaning + "."}, Help: sarifHelp(&c),
			HelpURI:    projectURI + "/blob/main/docs/errors.md#" + strings.ToLower(string(c.Code)),
			Properties: sarifRuleProperties{Tags: []string{c.Group}}}
	}
	return rules
}

// sarifHelp says of a code what it means, what to do, and which programs are rejected so and accepted instead.
func sarifHelp(c *verifier.CodeRow) sarifMessage {
	text := fmt.Sprintf("%s.\nWhat to do: %s.\n", c.Meaning, c.Hint)
	md := fmt.Sprintf("%s.\n\n**What to do:** %s.\n", c.Meaning, c.Hint)
	for _, example := range []struct{ name, code string }{{"Rejected so", c.Example}, {"Accepted", c.Fixed}} {
		if example.code != "" {
			text += fmt.Sprintf("\n%s:\n%s", example.name, example.code)
			md += fmt.Sprintf("\n%s:\n```\n%s```\n", example.name, example.code)
		}
	}
	return sarifMessage{Text: text, Markdown: md}
}

// sarifResults are the rejections of program i, without the ones that differ in the kernel alone.
func (v *verification) sarifResults(i int, src sources) []sarifResult {
	var all []sarifResult
	index := map[string]int{}
	for k := range v.targets {
		o := &v.of(i)[k]
		if o.Accepted || !v.demand[k] {
			continue
		}
		print := fmt.Sprintf("%s/%s/%s/%d", filepath.Base(o.Object), o.Program, o.cause.Code, o.cause.PC)
		if n, ok := index[print]; ok {
			all[n].Properties.Kernels = append(all[n].Properties.Kernels, o.Kernel)
			continue
		}
		index[print] = len(all)
		r := sarifResultOf(o, src)
		r.Fingerprints = map[string]string{"skepRejection/v1": print}
		all = append(all, r)
	}
	for n := range all {
		all[n].Message.Text += "\nKernels: " + strings.Join(all[n].Properties.Kernels, ", ")
	}
	return all
}

func sarifResultOf(o *outcome, src sources) sarifResult {
	e := o.cause
	text := e.Error()
	for _, more := range []string{e.Reason, e.Hint} {
		if more != "" {
			text += "\n" + more
		}
	}
	at := src.location(o.Object, e.Line)
	at.Logical = []sarifLogical{{Name: o.Program, Kind: "function"}}
	r := sarifResult{RuleID: string(e.Code), RuleIndex: ruleIndex(e.Code), Level: "error", Message: sarifMessage{Text: text},
		Locations:  []sarifLocation{at},
		Properties: sarifProperties{Object: o.Object, Program: o.Program, Kernels: []string{o.Kernel}, PC: e.PC}}
	for _, c := range e.Causes {
		cause := src.location(o.Object, c.Line)
		cause.Message = &sarifMessage{Text: fmt.Sprintf("%d: %s", c.PC, c.Text)}
		r.Related = append(r.Related, cause)
	}
	var flow []sarifFlowLocation
	for _, s := range e.Path {
		step := src.location(o.Object, s.Line)
		step.Message = &sarifMessage{Text: stepText(s)}
		flow = append(flow, sarifFlowLocation{step})
	}
	if len(flow) > 0 {
		end := src.location(o.Object, e.Line)
		end.Message = &sarifMessage{Text: fmt.Sprintf("%d: %s", e.PC, asm.Format(e.Insn, nil))}
		r.CodeFlows = []sarifCodeFlow{{[]sarifThreadFlow{{append(flow, sarifFlowLocation{end})}}}}
	}
	return r
}

// stepText is a branch on the way to a rejection.
func stepText(s verifier.Step) string {
	way := "not taken"
	if s.Taken {
		way = "taken"
	}
	if s.Why != "" {
		way += " (" + s.Why + ")"
	}
	return fmt.Sprintf("%d: %s: %s", s.PC, s.Text, way)
}

// ruleIndex is the place of a code in the rules; -1, which SARIF takes for unknown, when it has none.
func ruleIndex(code verifier.Code) int {
	for i := range verifier.Codes {
		if verifier.Codes[i].Code == code {
			return i
		}
	}
	return -1
}

// sources finds the files that line information names: compilers write them relative to the directory that they run in.
type sources struct{ dir string }

// find returns the path of a source file of an object, relative to the working directory if it is below it.
func (s sources) find(object, name string) string {
	if filepath.IsAbs(name) {
		return belowHere(name)
	}
	if s.dir != "" {
		return belowHere(filepath.Join(s.dir, name))
	}
	for _, try := range []string{name, filepath.Join(filepath.Dir(object), name)} {
		if _, err := os.Stat(try); err == nil {
			return belowHere(try)
		}
	}
	return filepath.Clean(name)
}

// belowHere makes a path relative to the working directory, unless it is not below it.
func belowHere(path string) string {
	here, err := os.Getwd()
	if err != nil || !filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	rel, err := filepath.Rel(here, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return filepath.Clean(path)
	}
	return rel
}

// location is a source line, or the object itself where there is none.
func (s sources) location(object string, l *prog.Line) sarifLocation {
	if l == nil || l.Line < 1 || l.File == "" {
		return sarifLocation{Physical: sarifPhysical{Artifact: artifact(belowHere(object))}}
	}
	region := &sarifRegion{StartLine: l.Line, StartColumn: max(l.Col, 0)}
	if l.Text != "" {
		region.Snippet = &sarifMessage{Text: l.Text}
	}
	return sarifLocation{Physical: sarifPhysical{Artifact: artifact(s.find(object, l.File)), Region: region}}
}

// artifact makes a URI reference of a path.
func artifact(path string) sarifArtifact {
	u := url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme, u.Path = "file", "/"+strings.TrimPrefix(u.Path, "/") // C:/… too
	}
	return sarifArtifact{u.String()}
}
