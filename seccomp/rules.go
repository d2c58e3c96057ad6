package seccomp

import (
	"fmt"
	"slices"
)

// rule is a conditional answer to a call.
type rule struct {
	conds []Cond
	ret   Return
}

// callRules say what becomes of a call: the first rule that holds answers, then the rest.
type callRules struct {
	rules []rule
	rest  Return
	fixed bool // by an entry without conditions: nothing can be added
}

// key is the same for calls that are treated the same.
func (c *callRules) key() string { return fmt.Sprint(c.rules, c.rest) }

// multiplexed are the calls that socketcall and ipc stand for, by their first argument (Linux: include/uapi/linux/net.h,
// ipc.h).
var multiplexed = map[string]struct {
	call string
	arg  uint64
}{
	"socket": {"socketcall", 1}, "bind": {"socketcall", 2}, "connect": {"socketcall", 3}, "listen": {"socketcall", 4},
	"accept": {"socketcall", 5}, "getsockname": {"socketcall", 6}, "getpeername": {"socketcall", 7},
	"socketpair": {"socketcall", 8}, "send": {"socketcall", 9}, "recv": {"socketcall", 10}, "sendto": {"socketcall", 11},
	"recvfrom": {"socketcall", 12}, "shutdown": {"socketcall", 13}, "setsockopt": {"socketcall", 14},
	"getsockopt": {"socketcall", 15}, "sendmsg": {"socketcall", 16}, "recvmsg": {"socketcall", 17},
	"accept4": {"socketcall", 18}, "recvmmsg": {"socketcall", 19}, "sendmmsg": {"socketcall", 20},
	"semop": {"ipc", 1}, "semget": {"ipc", 2}, "semctl": {"ipc", 3}, "semtimedop": {"ipc", 4}, "msgsnd": {"ipc", 11},
	"msgrcv": {"ipc", 12}, "msgget": {"ipc", 13}, "msgctl": {"ipc", 14}, "shmat": {"ipc", 21}, "shmdt": {"ipc", 22},
	"shmget": {"ipc", 23}, "shmctl": {"ipc", 24},
}

// rulesFor makes the rules of an architecture's calls of a profile's entries, by number, and notes what gets lost.
//
// As libseccomp's: an entry whose answer is the default's counts for nothing; one without conditions, the first of its
// call, answers alone, whatever others say.
func (p *Profile) rulesFor(a *Arch, note func(string, ...any)) map[int32]*callRules {
	out := map[int32]*callRules{}
	for i := range p.Entries {
		e := &p.Entries[i]
		if e.Ret == p.Default {
			continue
		}
		for _, name := range e.Names {
			p.addRule(out, a, name, e.Args, e.Ret, note)
			m, ok := multiplexed[name]
			switch {
			case !a.Multiplex || !ok:
			case len(e.Args) > 0:
				note("%s: %s hides the arguments of %s, so the entry with conditions is not for it", a.Name, m.call, name)
			default:
				p.addRule(out, a, m.call, []Cond{{Arg: 0, Op: EQ, Value: m.arg}}, e.Ret, note)
			}
		}
	}
	return out
}

func (p *Profile) addRule(out map[int32]*callRules, a *Arch, name string, conds []Cond, ret Return, note func(string, ...any)) {
	nr, ok := a.Number(name)
	if !ok {
		return
	}
	c := out[nr]
	if c == nil {
		c = &callRules{rest: p.Default}
		out[nr] = c
	}
	switch {
	case c.fixed && len(conds) > 0:
		if c.rest != ret {
			note("%s: always %s by an earlier entry without conditions; the one with %s counts for nothing", name, c.rest, ret)
		}
	case c.fixed:
		if c.rest != ret {
			note("%s: %s by its first entry; the later %s counts for nothing", name, c.rest, ret)
		}
	case len(conds) == 0:
		if slices.ContainsFunc(c.rules, func(r rule) bool { return r.ret != ret }) {
			note("%s: always %s by an entry without conditions; those with conditions count for nothing", name, ret)
		}
		*c = callRules{rest: ret, fixed: true}
	default:
		if slices.ContainsFunc(c.rules, func(r rule) bool { return r.ret != ret }) {
			note("%s: entries with conditions and different actions: the first that holds answers", name)
		}
		c.rules = append(c.rules, rule{conds, ret})
	}
}

// unknownNames are the names of entries that no architecture has, sorted and each once.
func (p *Profile) unknownNames() []string {
	var out []string
	for i := range p.Entries {
		for _, name := range p.Entries[i].Names {
			if !KnownSyscall(name) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}
