package object

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/prog"
)

func TestRunConfig(t *testing.T) {
	o := load(t, testdata(t, "chain.o"), Options{})
	for name, want := range map[string]*prog.RunConfig{
		"odd_drop": {Priority: 20, Continue: 1<<31 | 1<<1 | 1<<2},
		"only_tx":  {Priority: 10, Continue: 1<<31 | 1<<3}, // XDP_PASS is taken back
		"send":     nil,
		"route":    nil,
	} {
		p := o.Program(name)
		require.NotNil(t, p, name)
		require.Empty(t, p.Broken, name)
		require.Equal(t, want, p.Run, name)
	}
	require.Equal(t, []string{`run configuration of only_tx: nobody knows "banana"`}, o.Warnings)
	require.Nil(t, o.Map(".xdp_run_config"))
}
