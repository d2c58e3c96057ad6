package prog

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCaps(t *testing.T) {
	for _, c := range []struct {
		text string
		caps Caps
		same string
	}{
		{"none", NoCaps, "none"},
		{"all", AllCaps, "all"},
		{"bpf", CapBPF, "bpf"},
		{"bpf,perfmon,net_admin", CapBPF | CapPerfmon | CapNetAdmin, "bpf,perfmon,net_admin"},
		{"CAP_NET_ADMIN, cap_bpf", CapBPF | CapNetAdmin, "bpf,net_admin"},
		{"perfmon,net_admin,bpf,sys_admin", AllCaps, "all"},
	} {
		got, err := ParseCaps(c.text)
		require.NoError(t, err)
		require.Equal(t, c.caps, got)
		require.Equal(t, c.same, got.String())
	}
	for _, bad := range []string{"", "root", "bpf,", "all,bpf"} {
		_, err := ParseCaps(bad)
		require.Error(t, err, bad)
	}
	require.True(t, CapSysAdmin.Has(CapBPF|CapPerfmon))
	require.False(t, CapBPF.Has(CapBPF|CapPerfmon))
	require.True(t, NoCaps.Has(NoCaps))
}
