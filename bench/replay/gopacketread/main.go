// Command gopacketread reads a pcap file with gopacket in the fastest way that it has, and prints the number of packets. It is a command of
// its own so that nothing else is in it.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/gopacket/pcapgo"
)

func main() {
	n, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gopacketread:", err)
		os.Exit(1)
	}
	fmt.Println(n)
}

func run(args []string) (n int, err error) {
	if len(args) != 1 {
		return 0, errors.New("usage: gopacketread FILE")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r, err := pcapgo.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return 0, err
	}
	for {
		_, _, err := r.ZeroCopyReadPacketData()
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
		n++
	}
}
