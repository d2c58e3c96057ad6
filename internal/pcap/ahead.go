package pcap

import (
	"io"
	"runtime"
)

// ahead reads the next piece of a file while the one before it is parsed. The buffer is two halves; each begins with room
// for what was left of the other:
//
//	| room | piece        | room | piece        |
//	       ^ unparsed bytes are copied before the piece that goes on with them
type ahead struct {
	half, room int
	cur        int            // which half is parsed, 0 or 1
	pending    chan aheadRead // gives one value when reading is true
	reading    bool
}

type aheadRead struct {
	n   int
	err error
}

// aheadRoom is the part of a half that is kept free. A record that is longer ends the reading ahead.
const aheadRoom = 8

// minAhead is the smallest buffer that is worth it.
const minAhead = 128 << 10

// ReadAhead makes the reader read while the caller works on what it has. The source must not wait for anybody: a file, or a
// decompressor of one. Close waits for a read that is under way.
func (r *Reader) ReadAhead() {
	if len(r.buf) >= minAhead && runtime.GOMAXPROCS(0) > 1 {
		half := len(r.buf) / 2
		r.ahead = &ahead{half: half, room: half / aheadRoom, cur: 1, pending: make(chan aheadRead, 1)}
	}
}

// start reads into the half that is not parsed.
func (a *ahead) start(r *Reader) {
	at := (1 - a.cur) * a.half
	piece := r.buf[at+a.room : at+a.half]
	src := r.src
	a.reading = true
	go func() {
		for range maxIdle {
			if n, err := readOnce(src, piece); n > 0 || err != nil {
				a.pending <- aheadRead{n, err}
				return
			}
		}
		a.pending <- aheadRead{0, io.ErrNoProgress}
	}()
}

// next goes on with the other half. It reports false when that is impossible: the reader goes on as ever then.
func (a *ahead) next(r *Reader) bool {
	left := r.end - r.pos
	if left > a.room {
		a.stop(r)
		return false
	}
	if !a.reading {
		if r.eof {
			return false
		}
		copy(r.buf[a.room-left:], r.buf[r.pos:r.end]) // out of the way: the whole buffer was one piece
		r.base += int64(r.pos - (a.room - left))
		r.pos, r.end = a.room-left, a.room
		a.start(r)
	}
	got := <-a.pending
	a.reading = false
	to := (1-a.cur)*a.half + a.room
	copy(r.buf[to-left:to], r.buf[r.pos:r.end])
	r.base += int64(r.pos - (to - left))
	r.pos, r.end = to-left, to+got.n
	r.note(got.err)
	a.cur = 1 - a.cur
	if !r.eof {
		a.start(r)
	}
	return true
}

// stop ends the reading ahead: what was read lies behind what is unparsed, at the front of the buffer.
func (a *ahead) stop(r *Reader) {
	r.ahead = nil
	rest := append([]byte(nil), r.buf[r.pos:r.end]...)
	if a.reading {
		got := <-a.pending
		at := (1-a.cur)*a.half + a.room
		rest = append(rest, r.buf[at:at+got.n]...)
		r.note(got.err)
	}
	r.base += int64(r.pos)
	r.pos, r.end = 0, copy(r.buf, rest)
}

// wait lets a read come to its end.
func (a *ahead) wait() {
	if a != nil && a.reading {
		<-a.pending
		a.reading = false
	}
}
