package kernel_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
)

var combinations = flag.Int("combinations", 8, "argument lists for each helper and program type")

// arguments are ways to fill a register; %d is its number. R6 has the ctx, and 64 bytes of stack are written.
var arguments = []string{
	"r%d = 0", "r%d = 1", "r%d = 16", "r%d = -1", "r%d = r6", "r%d = map[global]", "r%d = map[hash]", "r%d = r10",
	"r%[1]d = r10\nr%[1]d += -64", "r%[1]d = r10\nr%[1]d += -8", "r%d = 6 ll", "r%d = *(u32 *)(r6 + 0)", "",
}

// callOf is a program that calls a helper with arguments of any sort.
func callOf(row *helpers.Row, r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("r6 = r1\n")
	for off := 8; off <= 64; off += 8 {
		fmt.Fprintf(&b, "*(u64 *)(r10 - %d) = 0\n", off)
	}
	for arg := 5; arg >= 1; arg-- {
		if how := arguments[r.IntN(len(arguments))]; how != "" {
			fmt.Fprintf(&b, how+"\n", arg)
		}
	}
	fmt.Fprintf(&b, "call %d\nr0 = 0\nexit", row.ID)
	return b.String()
}

// TestArguments calls every helper with arguments of every sort: what we accept, the kernel accepts.
func TestArguments(t *testing.T) {
	r := newReferee(t)
	rng := rand.New(rand.NewPCG(*first, 9))
	asked, accepted := 0, 0
	for id := range helpers.Table {
		row := helpers.ByID(int32(id))
		if row == nil {
			continue
		}
		for _, typ := range []prog.Type{prog.XDP, prog.SchedCLS, prog.SocketFilter, prog.CgroupSKB, prog.LWTXmit, prog.SkSKB, prog.FlowDissector} {
			for range *combinations {
				text := callOf(row, rng)
				o, err := r.ask(typ, text)
				require.NoError(t, err, text)
				asked++
				if o.ours == nil {
					accepted++
				}
				if o.falseAccept() {
					t.Errorf("%s in %s: accepted, and the kernel says: %v\n%s", row.Name, typ, o.kernel, text)
				}
				o.close()
			}
		}
	}
	t.Logf("%d calls, %d accepted", asked, accepted)
	require.Positive(t, accepted)
}
