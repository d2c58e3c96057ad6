package pcap

import (
	"io"
	"time"
)

// Interruptible returns a source that ends, as at the end of a file, when stop is closed, even while src is waiting for bytes as a
// pipe does. It reads src in a goroutine of its own, which stays until that read comes back.
func Interruptible(src io.Reader, stop <-chan struct{}) io.Reader {
	i := &interruptible{src: src, stop: stop, full: make(chan heldRead), empty: make(chan []byte, heldReads)}
	for range heldReads {
		i.empty <- make([]byte, heldSize)
	}
	go i.pump()
	return i
}

const (
	heldReads = 2 // one is filled while the other is used
	heldSize  = 256 << 10
)

// heldRead is what one read gave.
type heldRead struct {
	buf  []byte
	left []byte // of buf, not given yet
	err  error
}

type interruptible struct {
	src   io.Reader
	stop  <-chan struct{}
	full  chan heldRead
	empty chan []byte
	now   heldRead
}

// Name is the source's, for messages.
func (i *interruptible) Name() string { return nameOf(i.src) }

func (i *interruptible) pump() {
	for {
		select {
		case <-i.stop:
			return
		case buf := <-i.empty:
			n, err := readOnce(i.src, buf)
			select {
			case <-i.stop:
				return
			case i.full <- heldRead{buf, buf[:n], err}:
			}
			if err != nil {
				return
			}
		}
	}
}

func (i *interruptible) Read(b []byte) (int, error) {
	if len(i.now.left) == 0 {
		if i.now.err != nil {
			return 0, i.now.err
		}
		if i.now.buf != nil {
			i.empty <- i.now.buf
		}
		select {
		case i.now = <-i.full:
		case <-i.stop:
			i.now = heldRead{err: io.EOF}
		}
	}
	n := copy(b, i.now.left)
	i.now.left = i.now.left[n:]
	if len(i.now.left) == 0 {
		return n, i.now.err
	}
	return n, nil
}

// followPause is how long a followed file is left alone after it had nothing new.
const followPause = 50 * time.Millisecond

// Follow returns a source that waits for more where src ends, as tail -f does: for a file that a capture is still
// being written to. It ends, as at the end of a file, when stop is closed. A file that ends in the middle of a record is then in
// error only if the record never came to its end.
func Follow(src io.Reader, stop <-chan struct{}) io.Reader { return &follower{src, stop, followPause} }

type follower struct {
	src   io.Reader
	stop  <-chan struct{}
	pause time.Duration
}

// Name is the followed file's, for messages.
func (f *follower) Name() string { return nameOf(f.src) }

// nameOf is the name of a source that has one.
func nameOf(src io.Reader) string {
	if n, ok := src.(interface{ Name() string }); ok {
		return n.Name()
	}
	return ""
}

func (f *follower) Read(b []byte) (int, error) {
	for {
		n, err := f.src.Read(b)
		switch {
		case err != nil && err != io.EOF:
			return n, err
		case n > 0:
			return n, nil // an end that came with them is none yet
		}
		select {
		case <-f.stop:
			return 0, io.EOF
		case <-time.After(f.pause):
		}
	}
}
