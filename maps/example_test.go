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
