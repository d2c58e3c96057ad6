// Package suite runs tests of packet programs: tables of cases in YAML, which need no code, and objects that bring their own tests.
//
// A table (see Parse) says for each case which packet, ctx and map contents a program gets, and what is to come of it. An object
// with tests (see RunObject) has for each of them programs that make a packet, run what is tested, and judge the result, as container
// datapaths have it.
package suite

import "time"

// Status is how a test ended.
type Status string

// The statuses.
const (
	Pass  Status = "pass"
	Fail  Status = "fail"
	Skip  Status = "skip"
	Error Status = "error" // it could not be run
)

// Result is one test's.
type Result struct {
	Suite    string        `json:"suite"` // file of the table, or of the object
	Name     string        `json:"name"`
	Status   Status        `json:"status"`
	Message  string        `json:"message,omitempty"` // why it did not pass; several lines
	Log      []string      `json:"log,omitempty"`     // what programs printed
	File     string        `json:"file,omitempty"`
	Line     int           `json:"line,omitempty"` // where the case is in File
	Duration time.Duration `json:"ns"`
}
