package seccomp

import (
	"fmt"
	"strconv"
	"strings"
)

// Action is a filter's answer without its data (Linux: SECCOMP_RET_ACTION_FULL).
type Action uint32

// The actions, the most restrictive first: the kernel compares them as signed numbers.
const (
	KillProcess Action = 0x80000000
	KillThread  Action = 0x00000000
	Trap        Action = 0x00030000
	Errno       Action = 0x00050000
	UserNotif   Action = 0x7fc00000
	Trace       Action = 0x7ff00000
	Log         Action = 0x7ffc0000
	Allow       Action = 0x7fff0000
)

// actions are the names: the kernel's, and those of profiles.
var actions = []struct {
	action Action
	name   string
	tokens []string
	data   bool // profiles may give it a value: errnoRet
}{
	{KillProcess, "KILL_PROCESS", []string{"SCMP_ACT_KILL_PROCESS"}, false},
	{KillThread, "KILL_THREAD", []string{"SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD"}, false},
	{Trap, "TRAP", []string{"SCMP_ACT_TRAP"}, false},
	{Errno, "ERRNO", []string{"SCMP_ACT_ERRNO"}, true},
	{UserNotif, "USER_NOTIF", []string{"SCMP_ACT_NOTIFY"}, false},
	{Trace, "TRACE", []string{"SCMP_ACT_TRACE"}, true},
	{Log, "LOG", []string{"SCMP_ACT_LOG"}, false},
	{Allow, "ALLOW", []string{"SCMP_ACT_ALLOW"}, false},
}

// maxErrno is the highest error that a call can return (Linux: MAX_ERRNO).
const maxErrno = 4095

// Return is a filter's return value.
type Return uint32

// Action is what becomes of the call: that of the upper 16 bits, KillProcess where there is no such action
// (Linux: __seccomp_filter).
func (r Return) Action() Action {
	a := Action(r & 0xffff0000)
	for i := range actions {
		if actions[i].action == a {
			return a
		}
	}
	return KillProcess
}

// Data are the lower 16 bits: the error that the call returns, at most 4095, or what the tracer or signal handler gets.
func (r Return) Data() uint16 {
	d := uint16(r)
	if r.Action() == Errno {
		d = min(d, maxErrno)
	}
	return d
}

// severity is by what the kernel compares: the lower, the more restrictive (Linux: ACTION_ONLY).
func (r Return) severity() int32 { return int32(uint32(r) & 0xffff0000) }

func (a Action) String() string {
	for i := range actions {
		if actions[i].action == a {
			return actions[i].name
		}
	}
	return fmt.Sprintf("ACTION(%#x)", uint32(a))
}

// String is the action and, where it means something, the data: "ERRNO(EPERM)", "TRACE(7)".
func (r Return) String() string {
	a, raw := r.Action(), Action(r&0xffff0000)
	switch {
	case a != raw:
		return fmt.Sprintf("%s (unknown action %#x)", a, uint32(raw))
	case a == Errno:
		return "ERRNO(" + ErrnoName(r.Data()) + ")"
	case r.Data() != 0 && (a == Trace || a == Trap):
		return a.String() + "(" + strconv.Itoa(int(r.Data())) + ")"
	}
	return a.String()
}

// ErrnoName names an error number of Linux: "EPERM", or the number itself.
func ErrnoName(n uint16) string {
	if name, ok := constants().errnos[uint64(n)]; ok {
		return name
	}
	return strconv.Itoa(int(n))
}

// ParseAction reads an action of a profile (SCMP_ACT_ALLOW) or of the kernel (ALLOW).
func ParseAction(s string) (Action, error) {
	a, _, err := parseAction(s)
	return a, err
}

func parseAction(s string) (a Action, data bool, err error) {
	var known []string
	for i := range actions {
		row := &actions[i]
		if s == row.name {
			return row.action, row.data, nil
		}
		for _, token := range row.tokens {
			if s == token {
				return row.action, row.data, nil
			}
			known = append(known, token)
		}
	}
	return 0, false, fmt.Errorf("unknown action %q: want one of %s", s, strings.Join(known, ", "))
}
