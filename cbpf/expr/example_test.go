package expr_test

import (
	"fmt"

	"github.com/skepvm/skep/cbpf/expr"
)

// Every value has its qualifiers, also where they were taken over.
func ExampleParse() {
	n, err := expr.Parse("tcp dst port ftp or ftp-data and not net 10")
	fmt.Println(n, err)
	// Output: tcp dst port ftp or tcp dst port ftp-data and not net 10 <nil>
}
