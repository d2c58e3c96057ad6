package maps

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestStackTraces(t *testing.T) {
	s := newSpace(t)
	m := newMap(t, s, &Spec{Type: StackTrace, KeySize: 4, ValueSize: 24, MaxEntries: 3}, 1).(*StackTraces)
	defer m.Close()
	stack := func(ips ...uint64) (b []byte) {
		for _, ip := range ips {
			b = binary.LittleEndian.AppendUint64(b, ip)
		}
		return b
	}
	first, err := m.Put(stack(1, 2), false, false)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Put(stack(1, 2), false, false); again != first || err != nil {
		t.Errorf("the same stack: id %d and %d, %v", first, again, err)
	}
	if cut, err := m.Put(stack(1, 2, 0, 9), false, false); cut != first || err != nil {
		t.Errorf("the same but for what is cut off: id %d and %d, %v", first, cut, err)
	}
	value, err := m.HostLookup(appendLE32(first))
	if err != nil || !bytes.Equal(value, stack(1, 2, 0)) {
		t.Errorf("value %x, %v", value, err)
	}
	// Four buckets: other stacks soon meet this one.
	for ip := uint64(3); ; ip++ {
		id := traceHash(stack(ip, 0, 0)) & 3
		if id != first {
			continue
		}
		if _, err := m.Put(stack(ip), false, false); ErrnoOf(err) != EEXIST {
			t.Errorf("a stack with the id of another: %v", err)
		}
		if got, err := m.Put(stack(ip), true, false); got != first || err != nil {
			t.Errorf("replaced: id %d, %v", got, err)
		}
		break
	}
	full := Errno(0)
	for ip := range uint64(100) {
		if _, err := m.Put(stack(ip, 7), true, false); err != nil {
			full = ErrnoOf(err)
		}
	}
	if full != ENOMEM || m.Len() != 3 {
		t.Errorf("%d stacks of 3: %v", m.Len(), full)
	}
}

// Where nothing is known of mapped files, a build id is an address (Linux: BPF_STACK_BUILD_ID_IP).
func TestStackBuildIDs(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: StackTrace, KeySize: 4, ValueSize: 64, MaxEntries: 4, Flags: StackBuildID}, 1).(*StackTraces)
	stack := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 0x401000), 0x402000)
	id, err := m.Put(append(stack, stack...), false, false) // two of four fit
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 64)
	want[0], want[32] = 2, 2
	copy(want[24:], stack[:8])
	copy(want[56:], stack[8:])
	if got, err := m.HostLookup(appendLE32(id)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("% x, %v", got, err)
	}
}
