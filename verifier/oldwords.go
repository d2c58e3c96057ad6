package verifier

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/skepvm/skep/internal/tnum"
	"github.com/skepvm/skep/kver"
)

// Messages are written in the newest kernel's words. What older ones said in other words is put in its place here, so that
// a search for a message of a profile's kernel finds what it should. A message that is not here is in the newest words.

// oldWords are words that releases changed.
var oldWords = []struct {
	until    kver.Version // the first release with the new words
	now, old string
}{
	{kver.V(5, 8), "outside of the allowed memory range", "outside of the array range"},
	{kver.V(5, 8), "make sure to bounds check any such access", "make sure to bounds check any array access into a map"},
	{kver.V(5, 8), "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN",
		"function calls to other bpf functions are allowed for root only"},
	{kver.V(5, 18), "mem access 'scalar'", "mem access 'inv'"},
	{kver.V(5, 18), "type=scalar", "type=inv"},
	{kver.V(6, 12), "program of this type cannot use helper ", "unknown func "},
}

// inWordsOf puts a message into the words of a kernel.
func inWordsOf(k kver.Version, message string) string {
	for i := range oldWords {
		if w := &oldWords[i]; !k.AtLeast(w.until) {
			message = strings.ReplaceAll(message, w.now, w.old)
		}
	}
	return message
}

// Releases that changed the form of messages.
var (
	plainRanges   = kver.V(6, 8)  // ranges are two numbers, and known bits without an unknown one are one
	directHelpers = kver.V(6, 13) // a helper's access to the stack is no longer called indirect
)

// bits is known bits as the profile's kernel writes them (kernel: tnum_strn).
func (p *Profile) bits(t tnum.T) string {
	if p.Kernel.AtLeast(plainRanges) {
		return t.String()
	}
	return fmt.Sprintf("(%#x; %#x)", t.Value, t.Mask)
}

// failRange rejects a value that is not in a range (kernel: verbose_invalid_scalar).
func (v *verifier) failRange(r *reg, lo, hi int32, what string) *Error {
	if v.profile.Kernel.AtLeast(plainRanges) {
		return v.fail(ReturnValue, "%s has %s should have been in [%d, %d]", what, rangeWords(r), lo, hi)
	}
	value := "unknown scalar value"
	if !r.tn.IsUnknown() {
		value = "value " + v.profile.bits(r.tn)
	}
	return v.fail(ReturnValue, "%s has %s should have been in %s", what, value, v.profile.bits(tnum.Range(uint64(int64(lo)), uint64(int64(hi)))))
}

// The messages about stack that is not there, or that was never written.
var (
	stackBounds = regexp.MustCompile(`^invalid( variable-offset)? (?:read from|write to) stack R(\d+) off=(-?\d+) size=(\d+)$`)
	stackUninit = regexp.MustCompile(`^invalid read from stack R\d+ off (-?\d+)\+`)
)

// ofHelper puts a rejection of stack that a helper was given into the words of the profile's kernel.
func (v *verifier) ofHelper(e *Error) *Error {
	switch {
	case e == nil || v.profile.Kernel.AtLeast(directHelpers):
	case !v.profile.VarStack:
		e.Kernel = stackBounds.ReplaceAllString(e.Kernel, "invalid stack type R$2 off=$3 access_size=$4")
		e.Kernel = stackUninit.ReplaceAllString(e.Kernel, "invalid indirect read from stack off $1+")
	case e.Code == UninitStack:
		e.Kernel = strings.Replace(e.Kernel, " read from stack", " indirect read from stack", 1)
	default:
		e.Kernel = strings.Replace(e.Kernel, readFrom+" stack", " indirect access to stack", 1)
		e.Kernel = strings.Replace(e.Kernel, writeTo+" stack", " indirect access to stack", 1)
	}
	return e
}

// ofAccess is ofHelper for loads and stores: before 5.10 they said whether the place is outside the stack at all, or only
// below what was written.
func (v *verifier) ofAccess(e *Error) *Error {
	if e == nil || v.profile.VarStack {
		return e
	}
	m := stackBounds.FindStringSubmatch(e.Kernel)
	if m == nil {
		return e
	}
	e.Kernel = fmt.Sprintf("invalid read from stack off %s+0 size %s", m[3], m[4])
	var off int
	if _, err := fmt.Sscan(m[3], &off); err != nil || off >= 0 || off < -stackBytes {
		e.Kernel = fmt.Sprintf("invalid stack off=%s size=%s", m[3], m[4])
	}
	return e
}
