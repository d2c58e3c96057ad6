package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// seconds is a time, written without an exponent.
type seconds float64

// MarshalXMLAttr implements xml.MarshalerAttr.
func (s seconds) MarshalXMLAttr(name xml.Name) (xml.Attr, error) {
	return xml.Attr{Name: name, Value: fmt.Sprintf("%.6f", float64(s))}, nil
}

// JUnit's elements, as CI systems read them.
type (
	junitReport struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     seconds     `xml:"time,attr,omitempty"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Line    int           `xml:"line,attr,omitempty"`
		Time    seconds       `xml:"time,attr,omitempty"`
		Failure *junitMessage `xml:"failure"`
		Error   *junitMessage `xml:"error"`
		Skipped *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",cdata"`
	}
)

// add appends a case to the suite of that name, which is the last one or a new one.
func (r *junitReport) add(suite string, c junitCase) {
	if n := len(r.Suites); n == 0 || r.Suites[n-1].Name != suite {
		r.Suites = append(r.Suites, junitSuite{Name: suite})
	}
	s := &r.Suites[len(r.Suites)-1]
	s.Cases = append(s.Cases, c)
	s.Tests++
	s.Time += c.Time
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

func (r *junitReport) write(w io.Writer) error {
	fmt.Fprint(w, xml.Header)
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(r); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// writeJUnit reports the outcomes under the kernels that were demanded, a suite an object, and what could not be read.
func writeJUnit(w io.Writer, v *verification, diff *comparison, src sources) error {
	var report junitReport
	for i := range v.outcomes {
		if o := &v.outcomes[i]; v.demand[i%len(v.targets)] {
			report.add(o.Object, junitCaseOf(o, diff, src))
		}
	}
	for _, u := range v.unreadable {
		report.add(u.file, junitCase{Class: u.file, Name: "load", Error: &junitMessage{Message: u.err.Error(), Type: "unreadable"}})
	}
	return report.write(w)
}

// xmlText leaves out what XML cannot have, in a CDATA section either: source lines come out of the object.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' || r == utf8.RuneError || r == 0xfffe || r == 0xffff {
			return '?'
		}
		return r
	}, s)
}

func junitCaseOf(o *outcome, diff *comparison, src sources) junitCase {
	c := junitCase{Name: fmt.Sprintf("%s (%s)", o.Program, o.Kernel), Class: o.Object, Time: seconds(o.TimeUS / 1e6)}
	if e := o.cause; e != nil {
		var text strings.Builder
		printOutcome(&text, o)
		c.Failure = &junitMessage{Message: e.Error(), Type: string(e.Code), Text: xmlText(text.String())}
		if e.Line != nil && e.Line.File != "" {
			c.File, c.Line = src.find(o.Object, e.Line.File), e.Line.Line
		}
	} else if why := diff.failure(o); why != "" {
		c.Failure = &junitMessage{Message: why, Type: "baseline", Text: why + ": compared with " + diff.name}
	}
	return c
}
