package cbpf_test

import (
	"fmt"
	"log"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/prog"
	"golang.org/x/net/bpf"
)

func ExampleParse() {
	p, err := cbpf.Parse(`
		ldh [12]
		jne #0x806, drop	/* ARP */
		ret #-1
	drop:	ret #0`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p)
	fmt.Println(p.Text(cbpf.Comma))
	// Output:
	// (000) ldh      [12]
	// (001) jeq      #0x806           jt 2	jf 3
	// (002) ret      #-1
	// (003) ret      #0
	//
	// 4,40 0 0 12,21 0 1 2054,6 0 0 4294967295,6 0 0 0
}

func ExampleSource_Validate() {
	src, err := cbpf.ParseSource("ldb [0]\nst M[0]\nldx M[1]\nret a")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(src.Validate(cbpf.Pcap))
	fmt.Println(src.Validate(cbpf.Socket))
	// Output:
	// <nil>
	// 3:1: M[1] is read, and not always set before
}

func ExampleFilter_Run() {
	p, err := cbpf.Parse("ld len\njgt #1000, big\nret #0\nbig: ret #96")
	if err != nil {
		log.Fatal(err)
	}
	f, err := cbpf.NewFilter(p, cbpf.Pcap)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Run(&cbpf.Packet{Data: make([]byte, 64), WireLen: 64}))
	fmt.Println(f.Run(&cbpf.Packet{Data: make([]byte, 64), WireLen: 1500})) // captured short
	// Output:
	// 0
	// 96
}

func ExampleProgram_Trace() {
	p, err := cbpf.Parse("ldb [0]\njeq #0x45, yes\nret #0\nyes: ret #1")
	if err != nil {
		log.Fatal(err)
	}
	answer := p.Trace(cbpf.Pcap, cbpf.Packet{Data: []byte{0x45}}, func(s cbpf.Step) {
		fmt.Printf("%d A=%#x\n", s.PC, s.A)
	})
	fmt.Println(answer)
	// Output:
	// 0 A=0x0
	// 1 A=0x45
	// 3 A=0x45
	// 1
}

func ExampleProgram_EBPF() {
	p, err := cbpf.Parse("ldb [9]\njne #17, no\nret #262144\nno: ret #0")
	if err != nil {
		log.Fatal(err)
	}
	xdp, err := p.EBPF(cbpf.EBPFOptions{Type: prog.XDP, Verdict: &cbpf.Verdict{Match: 1, NoMatch: 2}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(asm.FormatProgram(xdp.Insns))
	// Output:
	// r8 = *(u32 *)(r1 + 0)
	// r9 = *(u32 *)(r1 + 4)
	// r2 = r8
	// r2 += 10
	// if r2 > r9 goto +4
	// r0 = *(u8 *)(r8 + 9)
	// if r0 != 17 goto +2
	// w0 = 1
	// exit
	// w0 = 2
	// exit
}

func ExampleToRaw() {
	p := cbpf.FromRaw([]bpf.RawInstruction{{Op: 0x28, K: 12}, {Op: 0x16}})
	for _, in := range cbpf.ToRaw[bpf.RawInstruction](p) {
		fmt.Println(in.Disassemble())
	}
	// Output:
	// ldh [12]
	// ret a
}

func ExampleToPcap() {
	// pcap.BPFInstruction of github.com/google/gopacket/pcap, which needs cgo
	type BPFInstruction struct {
		Code uint16
		Jt   uint8
		Jf   uint8
		K    uint32
	}
	p, err := cbpf.Parse("ldb [23]\njeq #6, tcp\nret #0\ntcp: ret #262144")
	if err != nil {
		log.Fatal(err)
	}
	insns := cbpf.ToPcap[BPFInstruction](p)
	fmt.Println(insns)
	fmt.Println(cbpf.FromPcap(insns).Text(cbpf.Comma))
	// Output:
	// [{48 0 0 23} {21 1 0 6} {6 0 0 0} {6 0 0 262144}]
	// 4,48 0 0 23,21 1 0 6,6 0 0 0,6 0 0 262144
}
