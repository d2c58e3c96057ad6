package vm

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/asm"
)

// FaultKind says what stopped a guest.
type FaultKind uint8

// The kinds of fault.
const (
	NoFault        FaultKind = iota
	BadAccess                // checked mode: memory that the program may not touch; Addr, Size, Write
	BudgetExceeded           // more instructions than Config.Budget
	BadInsn                  // instruction that this project cannot run: kfunc
	CallDepth                // more than MaxFrames activations
	HelperError              // Helper failed, is unknown or missing; Err
	Thrown                   // no fault: bpf_throw ends the run, with Regs[0] as its result. Engines return none of these
)

var faultNames = [...]string{"none", "BadAccess", "BudgetExceeded", "BadInsn", "CallDepth", "HelperError", "Thrown"}

func (k FaultKind) String() string {
	if int(k) < len(faultNames) {
		return faultNames[k]
	}
	return fmt.Sprintf("FaultKind(%d)", uint8(k))
}

// Fault is the error of a run: what the guest did, and where.
type Fault struct {
	Kind   FaultKind
	PC     int    // slot of the instruction
	Prog   string // name of the program that it is in: not the one started, after a tail call
	Addr   uint64 // BadAccess: address as computed, before it is cut to 32 bits
	Size   int    // BadAccess: bytes
	Write  bool   // BadAccess: store, else load
	Regs   [asm.NumRegs]uint64
	Helper string // name of the helper that failed or made the access; "" when none
	Err    error  // cause, may be nil
}

func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pc %d: ", f.PC)
	switch f.Kind {
	case BadAccess:
		how := "load"
		if f.Write {
			how = "store"
		}
		fmt.Fprintf(&b, "%s of %d bytes at %#x is outside what the program may touch", how, f.Size, f.Addr)
	case BudgetExceeded:
		b.WriteString("instruction budget exceeded")
	case BadInsn:
		b.WriteString("cannot run this instruction")
	case CallDepth:
		fmt.Fprintf(&b, "more than %d nested calls", MaxFrames)
	case HelperError:
		b.WriteString("helper failed")
	default:
		b.WriteString(f.Kind.String())
	}
	if f.Helper != "" {
		b.WriteString(" in " + f.Helper)
	}
	if f.Err != nil {
		b.WriteString(": " + f.Err.Error())
	}
	if f.Prog != "" {
		b.WriteString(" (program " + f.Prog + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Dump returns the registers at the fault, one a line.
func (f *Fault) Dump() string {
	var b strings.Builder
	for i, v := range f.Regs {
		fmt.Fprintf(&b, "%-3s 0x%016x %d\n", asm.Reg(i), v, int64(v))
	}
	return b.String()
}
