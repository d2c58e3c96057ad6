package mem_test

import (
	"fmt"

	"github.com/skepvm/skep/mem"
)

func ExampleSpace() {
	s, err := mem.New(mem.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	addr, err := s.Alloc(1500, 8) // a packet buffer, say
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Store32(addr, 0x0100007f)
	view, _ := s.Bytes(addr, 4)
	fmt.Println(view, s.Load64(addr))
	// Any address is harmless: this one reaches into the margin behind the space.
	fmt.Println(s.Load64(s.Mask()))
	// Output:
	// [127 0 0 1] 16777343
	// 0
}
