package pcap

import (
	"io"
	"time"
)

// followPause is how long a followed file is left alone after it had nothing new.
const followPause = 50 * time.Millisecond

// Follow returns a source that waits for more where src ends, as tail -f does: for a file that a capture is still
// being written to. It ends, as at the end of a file, when stop is closed. A file that ends in the middle of a record is then in
// error only if the record never came to its end.
func Follow(src io.Reader, stop <-chan struct{}) io.Reader { return &follower{src, stop} }

type follower struct {
	src  io.Reader
	stop <-chan struct{}
}

// Name is the followed file's, for messages.
func (f *follower) Name() string {
	if n, ok := f.src.(interface{ Name() string }); ok {
		return n.Name()
	}
	return ""
}

func (f *follower) Read(b []byte) (int, error) {
	for {
		n, err := f.src.Read(b)
		if n > 0 || err != nil && err != io.EOF {
			return n, err
		}
		select {
		case <-f.stop:
			return 0, io.EOF
		case <-time.After(followPause):
		}
	}
}
