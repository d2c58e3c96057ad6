package verifier

import (
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
)

// checkThrow checks a call of bpf_throw: its cookie is what the program returns, and nothing may be held. The path ends
// there (kernel: check_kfunc_call, check_resource_leak).
func (v *verifier) checkThrow() *Error {
	if err := v.checkReturn(1); err != nil {
		return err
	}
	return v.checkHeld(kfuncThrow)
}

// exceptionCallback is the function that the program declares for what it throws, "" without one
// (kernel: bpf_find_exception_callback_insn_off).
func (v *verifier) exceptionCallback() string {
	if v.prog.Types == nil || len(v.prog.Funcs) == 0 {
		return ""
	}
	id, ok := v.prog.Types.Find(btf.Func, v.prog.Funcs[0].Name)
	if !ok {
		return ""
	}
	for _, tag := range v.prog.Types.Tags(id, -1) {
		if name, ok := strings.CutPrefix(tag, "exception_callback:"); ok {
			return name
		}
	}
	return ""
}

// checkCallbacksThrow rejects a throw in a callback, or in what one calls: the helper in between cannot be unwound
// (kernel: check_max_stack_depth).
func (v *verifier) checkCallbacksThrow() *Error {
	seen := make([]bool, len(v.subs))
	for fn := range v.subs {
		if v.subs[fn].callback {
			if err := v.checkNoThrow(fn, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNoThrow rejects a throw in function fn and in what it calls. Functions that were seen before have none.
func (v *verifier) checkNoThrow(fn int, seen []bool) *Error {
	if seen[fn] {
		return nil
	}
	seen[fn] = true
	for pc := v.subs[fn].start; pc < v.subs[fn].end; pc++ {
		switch in := &v.insns[pc]; {
		case in.throws():
			return v.failAt(pc, BadCallback, "bpf_throw kfunc (insn %d) cannot be called from callback subprog %d", pc, fn)
		case in.kind == asm.CallLocal, in.kind == asm.LdImm64 && asm.Reg(in.src) == asm.PseudoFunc:
			if err := v.checkNoThrow(int(v.subOf[in.target]), seen); err != nil {
				return err
			}
		}
	}
	return nil
}
