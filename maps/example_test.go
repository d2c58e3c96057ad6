package maps_test

import (
	"fmt"
	"os"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
)

// A program's struct flow { __u32 src; __u16 port; __u8 proto; } and its padding byte.
type flow struct {
	Src   uint32
	Port  uint16
	Proto uint8
	_     uint8
}

type counters struct{ Packets, Bytes uint64 }

func Example() {
	space, err := mem.New(mem.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer space.Close()
	m, err := maps.New(space, &maps.Spec{Name: "flows", Type: maps.Hash, KeySize: 8, ValueSize: 16, MaxEntries: 100}, maps.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	dns := flow{Src: 0x0a000001, Port: 53, Proto: 17}
	if err := maps.Put(m, dns, counters{Packets: 1, Bytes: 64}); err != nil {
		fmt.Println(err)
		return
	}
	c, err := maps.Get[flow, counters](m, dns)
	fmt.Printf("%+v %v\n", c, err)
	_, err = maps.Get[flow, counters](m, flow{})
	fmt.Println(err)
	// Output:
	// {Packets:1 Bytes:64} <nil>
	// map "flows": lookup: no such element (ENOENT)
}

func ExampleDumpJSON() {
	space, err := mem.New(mem.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer space.Close()
	u32 := &maps.Layout{Kind: maps.Int, Size: 4}
	m, err := maps.New(space, &maps.Spec{Name: "verdicts", Type: maps.PerCPUArray, KeySize: 4, ValueSize: 4, MaxEntries: 5,
		Key: u32, Value: u32}, maps.Options{CPUs: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = m.Update(1, []byte{2, 0, 0, 0}, []byte{7, 0, 0, 0}, maps.Any)
	_ = maps.DumpJSON(os.Stdout, m)
	// Output:
	// {"name":"verdicts","type":"percpu_array","elements":[
	// {"key":2,"values":[0,7]}]}
}

func ExampleRing_Read() {
	space, err := mem.New(mem.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer space.Close()
	m, err := maps.New(space, &maps.Spec{Name: "events", Type: maps.RingBuf, MaxEntries: 4096}, maps.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ring := m.(*maps.Ring)
	_ = ring.Output([]byte("one"))
	reserved := ring.Reserve(4)
	_ = ring.Output([]byte("three"))
	for sample := range ring.Read() { // stops at the reserved record
		fmt.Printf("%s\n", sample)
	}
	space.Store32(reserved, 0x216f7774)
	_ = ring.Commit(reserved, false)
	for sample := range ring.Read() {
		fmt.Printf("%s\n", sample)
	}
	// Output:
	// one
	// two!
	// three
}

// With BTF, a Go struct's fields find their members by name.
func ExampleElements() {
	space, err := mem.New(mem.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer space.Close()
	u64 := &maps.Layout{Kind: maps.Int, Size: 8}
	stats := &maps.Layout{Kind: maps.Struct, Name: "stats", Size: 24, Fields: []maps.Field{ // a loader has it from the object
		{Name: "rx_packets", Type: u64}, {Name: "rx_bytes", BitOff: 64, Type: u64}, {Name: "last_seen", BitOff: 128, Type: u64}}}
	m, err := maps.New(space, &maps.Spec{Name: "ports", Type: maps.Hash, KeySize: 2, ValueSize: 24, MaxEntries: 16, Value: stats,
		LockOff: -1, TimerOff: -1}, maps.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	type port struct{ RxBytes, RxPackets int }
	for i := range uint16(2) {
		if err := maps.Put(m, 80+i, port{RxBytes: 1500, RxPackets: int(i) + 1}); err != nil {
			fmt.Println(err)
		}
	}
	for e, err := range maps.Elements[uint16, port](m) {
		fmt.Printf("%d: %+v %v\n", e.Key, e.Value, err)
	}
	// Output:
	// 80: {RxBytes:1500 RxPackets:1} <nil>
	// 81: {RxBytes:1500 RxPackets:2} <nil>
}

// A process cannot change a map that is frozen.
func ExampleHost_Freeze() {
	space, err := mem.New(mem.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer space.Close()
	m, err := maps.New(space, &maps.Spec{Name: "limits", Type: maps.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}, maps.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(maps.Put(m, uint32(0), uint32(100)))
	fmt.Println(maps.HostOf(m).Freeze())
	fmt.Println(maps.Put(m, uint32(0), uint32(200)))
	// Output:
	// <nil>
	// <nil>
	// map "limits": update: operation not permitted (EPERM)
}

func ExampleSamples() {
	space, err := mem.New(mem.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer space.Close()
	m, err := maps.New(space, &maps.Spec{Name: "events", Type: maps.RingBuf, MaxEntries: 4096}, maps.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ring := m.(*maps.Ring)
	_ = ring.Output([]byte{1, 0, 80, 0})
	_ = ring.Output([]byte{2, 0, 187, 1})
	for event, err := range maps.Samples[struct{ CPU, Port uint16 }](ring, nil) {
		fmt.Printf("%+v %v\n", event, err)
	}
	// Output:
	// {CPU:1 Port:80} <nil>
	// {CPU:2 Port:443} <nil>
}

func ExamplePerfReader() {
	reader := maps.NewPerfReader(1 << 20)
	// vm.Config{Event: reader.Add} has a machine tell it of bpf_perf_event_output.
	reader.Add(nil, 3, []byte("hello"))
	for event, lost := range reader.Read() {
		fmt.Printf("CPU %d: %s, %d lost\n", event.CPU, event.Data, lost)
	}
	// Output:
	// CPU 3: hello, 0 lost
}
