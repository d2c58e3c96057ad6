package vm

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
)

// To the host, maps of sockets hold cookies; programs find addresses.
func TestHostMaps(t *testing.T) {
	local := netip.MustParseAddrPort("10.0.0.1:80")
	m, err := NewMachine(Config{Sockets: []helpers.Socket{{Proto: helpers.ProtoTCP, Local: local, Cookie: 42},
		{Proto: helpers.ProtoTCP, Local: local, Cookie: 7}}})
	require.NoError(t, err)
	defer m.Close()
	word := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	for _, spec := range []*maps.Spec{
		{Name: "sockmap", Type: maps.SockMap, KeySize: 4, ValueSize: 8, MaxEntries: 4},
		{Name: "sockhash", Type: maps.SockHash, KeySize: 4, ValueSize: 8, MaxEntries: 4},
		{Name: "sockarray", Type: maps.ReuseportSockArray, KeySize: 4, ValueSize: 8, MaxEntries: 4},
		{Name: "small", Type: maps.SockMap, KeySize: 4, ValueSize: 4, MaxEntries: 4},
	} {
		mp, err := m.AddMap(spec)
		require.NoError(t, err)
		host, key := m.Host(mp), []byte{1, 0, 0, 0}
		n := spec.ValueSize
		require.Error(t, host.HostUpdate(key, word(5)[:n], 0), spec.Name)
		require.NoError(t, host.HostUpdate(key, word(7)[:n], 0), spec.Name)
		require.Equal(t, m.Sockets().Addr(1), mp.LookupAddr(0, key), spec.Name)
		got, err := host.HostLookup(key)
		require.NoError(t, err)
		require.Equal(t, word(7)[:n], got, spec.Name)
		seen := 0
		for _, value := range host.All() {
			if len(value) > 0 && value[0] != 0 {
				require.Equal(t, word(7)[:n], value, spec.Name)
				seen++
			}
		}
		require.Equal(t, 1, seen, spec.Name)
		require.NoError(t, host.Delete(key))
	}
	mp, err := m.AddMap(&maps.Spec{Name: "storage", Type: maps.SKStorage, KeySize: 4, ValueSize: 8, Flags: maps.NoPrealloc})
	require.NoError(t, err)
	host, key := m.Host(mp), []byte{42, 0, 0, 0}
	require.Error(t, host.HostUpdate([]byte{9, 0, 0, 0}, word(1), 0))
	require.NoError(t, host.HostUpdate(key, word(99), 0))
	next, ok := host.Next(nil)
	require.True(t, ok)
	require.Equal(t, key, next)
	got, err := host.HostLookup(key)
	require.NoError(t, err)
	require.Equal(t, word(99), got)
	require.NoError(t, host.Delete(key))
	_, err = host.HostLookup(key)
	require.Error(t, err)
	plain, err := m.AddMap(&maps.Spec{Name: "plain", Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	require.NoError(t, err)
	require.Equal(t, plain, m.Host(plain))
	require.Nil(t, m.Host(nil))
}
