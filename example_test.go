package skep_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/traffic"
)

// sshPacket is a TCP SYN to port 22: Ethernet, IPv4, TCP.
var sshPacket = append([]byte{
	2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00,
	0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0xf6, 0xcb, 192, 0, 2, 1, 192, 0, 2, 2,
	0xc0, 0x00, 0, 22, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0,
}, make([]byte, 6)...)

// Load an object, verify it, run one packet.
func Example() {
	vm, err := skep.Open("examples/block_ssh_xdp.bpf.o", skep.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	res, err := vm.Run("", skep.Packet{Data: sshPacket})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Verdict)
	// Output: XDP_DROP
}

// Let a capture through a filter of tcpdump's language, without libpcap.
func ExampleVM_Filter() {
	machine, err := skep.New(&object.Object{}, skep.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer machine.Close()
	web, err := machine.Filter("web", "tcp port 80 or tcp port 443", cbpf.CompileOptions{})
	if err != nil {
		log.Fatal(err)
	}
	report, err := replay.Run(replay.Options{
		Target: replay.Target{Machine: machine.Machine()}, Filters: []replay.Filter{web},
		Input: bytes.NewReader(traffic.Sample()),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d packets\n", report.Filters[0].Packets, report.Packets)
	// Output: 120 of 500 packets
}

// Read a map after a run.
func ExampleVM_Map() {
	vm, err := skep.Open("examples/count_protocols.bpf.o", skep.Options{Engine: skep.EngineInterp})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	for range 3 {
		if _, err := vm.Run("count_load_bytes", skep.Packet{Data: sshPacket}); err != nil {
			log.Fatal(err)
		}
	}
	tcp, err := maps.Get[uint32, uint64](vm.Map("packets"), 6)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("TCP packets:", tcp)
	// Output: TCP packets: 3
}
