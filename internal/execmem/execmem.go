// Package execmem gives executable pages to machine code. No page is ever writable and executable at the same time, and
// code always gets fresh pages, so no processor can hold stale instructions of them.
package execmem

import (
	"errors"
	"fmt"
	"os"
	"unsafe"
)

// ErrUnsupported says that the operating system has no executable memory for us.
var ErrUnsupported = errors.New("no executable memory on this system")

// Code is machine code in executable, read-only pages.
type Code struct{ pages []byte }

// Load copies code into fresh pages and makes them executable.
func Load(code []byte) (*Code, error) {
	if len(code) == 0 {
		return nil, errors.New("execmem: no code")
	}
	pages, err := alloc(roundToPages(len(code)))
	if err != nil {
		return nil, fmt.Errorf("execmem: %d bytes: %w", len(code), err)
	}
	copy(pages, code)
	if err := publish(pages); err != nil {
		return nil, errors.Join(fmt.Errorf("execmem: making %d bytes executable: %w", len(code), err), free(pages))
	}
	return &Code{pages}, nil
}

// Entry is the address of the first byte of the code.
func (c *Code) Entry() uintptr { return uintptr(unsafe.Pointer(&c.pages[0])) }

// Free gives the pages back. Nothing may run in them any more. A second Free does nothing.
func (c *Code) Free() error {
	pages := c.pages
	c.pages = nil
	if pages == nil {
		return nil
	}
	return free(pages)
}

func roundToPages(n int) int {
	page := os.Getpagesize()
	return (n + page - 1) / page * page
}
