package pcap

import (
	"errors"
	"io"
	"os"
)

// Reading ahead: while the records of one half of the buffer are in use, a goroutine fills the other half. A record
// that is cut by the end of a half is completed in the margin before the other half's data:
//
//	| margin | chunk ………… cut| margin | chunk …………… |
//	                    └───────> here
const (
	aheadMargin = 320 << 10 // of each half: a record with its options must fit
	aheadChunk  = 64 << 10  // smallest chunk that is worth it

	// AheadBuffer is the size of buffer that Open wants: two chunks of 1 MiB with their margins.
	AheadBuffer = 2 * (aheadMargin + defaultBufferSize)
)

// ahead is the goroutine's side. Only one request is open at a time.
type ahead struct {
	half    int // bytes of a half
	current int // half in use, 0 or 1
	pending bool
	request chan int // a half to fill
	answer  chan chunk
}

type chunk struct {
	n   int
	err error
}

// splitFor prepares r to read ahead when src is a regular file, whose reads never wait for somebody, and the buffer is
// large enough.
func (r *Reader) splitFor(src *os.File) {
	info, err := src.Stat()
	if err != nil || !info.Mode().IsRegular() || len(r.buf) < 2*(aheadMargin+aheadChunk) {
		return
	}
	r.ahead = &ahead{half: len(r.buf) / 2, request: make(chan int, 1), answer: make(chan chunk, 1)}
	r.hi = r.ahead.half
	r.room = aheadMargin
}

// startAhead begins to fill the other half, once the source is what it will be.
func (r *Reader) startAhead() {
	if r.ahead == nil {
		return
	}
	if r.eof {
		r.ahead = nil // all is here already
		r.room = r.hi
		return
	}
	go r.ahead.run(r.src, r.buf)
	r.ahead.ask(1)
}

func (a *ahead) ask(half int) {
	a.pending = true
	a.request <- half
}

// run fills halves until there are no more requests.
func (a *ahead) run(src io.Reader, buf []byte) {
	for half := range a.request {
		b := buf[half*a.half+aheadMargin : (half+1)*a.half]
		var c chunk
		for idle := 0; c.n < len(b) && c.err == nil; {
			var n int
			n, c.err = readOnce(src, b[c.n:])
			c.n += n
			if idle++; n > 0 {
				idle = 0
			} else if idle == maxIdle {
				c.err = io.ErrNoProgress
			}
		}
		a.answer <- c
	}
}

// maxIdle is how often a source may give nothing before it counts as failed.
const maxIdle = 100

// readOnce is one Read, which it does not trust.
func readOnce(src io.Reader, b []byte) (int, error) {
	n, err := src.Read(b)
	if n < 0 || n > len(b) {
		return 0, errors.New("source returned an impossible count")
	}
	return n, err
}

// swapHalves goes over to the other half, with what is unparsed in front of it, and has the old one filled.
func (r *Reader) swapHalves() {
	a := r.ahead
	c := <-a.answer
	a.pending = false
	a.current ^= 1
	start := a.current*a.half + aheadMargin
	left := r.end - r.pos
	at := start - left
	copy(r.buf[at:start], r.buf[r.pos:r.end])
	r.base += int64(r.pos) - int64(at)
	r.pos, r.end = at, start+c.n
	r.note(c.err)
	if !r.eof {
		a.ask(a.current ^ 1)
	}
}

// stopAhead waits for the goroutine, which must not write to the buffer any more.
func (r *Reader) stopAhead() {
	if r.ahead == nil || r.ahead.request == nil {
		return
	}
	if r.ahead.pending {
		<-r.ahead.answer
	}
	close(r.ahead.request)
	r.ahead.request = nil
}
