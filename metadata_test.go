package skep_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// TestXDPMetadata: what a packet's record has is there, the rest is ENODATA, and no kernel would load the program unbound.
func TestXDPMetadata(t *testing.T) {
	object := assembled(prog.XDP, nil, nil, `
		r6 = r1
		*(u64 *)(r10 - 8) = 7
		*(u64 *)(r10 - 16) = 7
		*(u64 *)(r10 - 24) = 7
		r2 = r10
		r2 += -8
		call kfunc bpf_xdp_metadata_rx_timestamp
		r7 = r0
		r1 = r6
		r2 = r10
		r2 += -16
		r3 = r10
		r3 += -24
		call kfunc bpf_xdp_metadata_rx_hash
		r7 += r0
		r1 = r6
		r2 = r10
		r2 += -16
		r3 = r10
		r3 += -24
		call kfunc bpf_xdp_metadata_rx_vlan_tag
		r7 += r0
		r0 = *(u64 *)(r10 - 8)
		r0 += r7
		exit`)
	object.Programs[0].License = "GPL"
	_, err := verifier.Verify(object.Programs[0], verifier.Options{})
	require.ErrorContains(t, err, "metadata kfuncs require device-bound program")
	const errNoData = 61
	for _, engine := range bothEngines {
		vm, err := skep.New(object, skep.Options{Engine: engine})
		require.NoError(t, err)
		packet := skep.Packet{Data: sshPacket}
		packet.Time = 123456
		res, err := vm.Run("", packet)
		require.NoError(t, err)
		require.Equal(t, int32(123456-2*errNoData), int32(res.Ret), engine)
		packet.Time = 0
		res, err = vm.Run("", packet)
		require.NoError(t, err)
		require.Equal(t, int32(7-3*errNoData), int32(res.Ret), engine)
		packet.Ctx = map[string]any{"rx_hash": 5}
		res, err = vm.Run("", packet)
		require.NoError(t, err)
		require.Equal(t, int32(7-2*errNoData), int32(res.Ret), engine)
		packet.Ctx = map[string]any{"rx_hash_type": 1, "rx_vlan_proto": "0x8100"}
		res, err = vm.Run("", packet)
		require.NoError(t, err)
		require.Equal(t, int32(7-errNoData), int32(res.Ret), engine)
		require.NoError(t, vm.Close())
	}
}
