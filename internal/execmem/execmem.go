// Package execmem gives memory outside the Go heap to machine code: executable pages for the code itself, and plain
// pages for its stack and state. No page is ever writable and executable at the same time, and code always gets
// fresh pages, so no processor can hold stale instructions of them.
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
	return freeOnce(pages)
}

// Data is zeroed readable and writable memory that never moves.
type Data struct{ pages []byte }

// Alloc gives size bytes rounded up to whole pages.
func Alloc(size int) (*Data, error) {
	if size <= 0 {
		return nil, fmt.Errorf("execmem: size %d", size)
	}
	pages, err := alloc(roundToPages(size))
	if err != nil {
		return nil, fmt.Errorf("execmem: %d bytes: %w", size, err)
	}
	return &Data{pages}, nil
}

// Bytes is the whole memory.
func (d *Data) Bytes() []byte { return d.pages }

// Free gives the memory back. A second Free does nothing.
func (d *Data) Free() error {
	pages := d.pages
	d.pages = nil
	return freeOnce(pages)
}

func freeOnce(pages []byte) error {
	if pages == nil {
		return nil
	}
	return free(pages)
}

func roundToPages(n int) int {
	page := os.Getpagesize()
	return (n + page - 1) / page * page
}
