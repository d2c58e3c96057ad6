package cbpf_test

import (
	"errors"
	"fmt"

	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

func ExampleCompile() {
	p, err := cbpf.CompileOptions{SnapLen: 96}.Compile("ip and not tcp", linktype.Ethernet)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(p)
	// Output:
	// (000) ldh      [12]
	// (001) jeq      #0x800           jt 2	jf 5
	// (002) ldb      [23]
	// (003) jeq      #0x6             jt 5	jf 4
	// (004) ret      #96
	// (005) ret      #0
}

// What is wrong with a filter comes with its place.
func ExampleCompile_error() {
	_, err := cbpf.Compile("tcp port 22 or port 99999", linktype.Ethernet)
	fmt.Println(err)
	var e *expr.Error
	if errors.As(err, &e) {
		fmt.Println(e.Caret())
	}
	// Output:
	// filter, byte 20: 99999 is not a port, ports are 0 to 65535
	// tcp port 22 or port 99999
	//                     ^^^^^
}
