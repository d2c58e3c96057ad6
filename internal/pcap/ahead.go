package pcap

import (
	"io"
	"os"
	"runtime"
)

// ahead reads the next pieces of a file while the one before them is parsed. The buffer is a ring of pieces; each begins with room
// for what was left of the one before:
//
//	| room | piece        | room | piece        | …
//	       ^ unparsed bytes are copied before the piece that goes on with them
//
// A plain file is read at several places at once: copying out of the page cache is most of what reading costs, and one core does not
// come to an end with it sooner than another one parses.
type ahead struct {
	size, room int // of a piece, with its room
	cur        int // the piece that is parsed; -1 before the first
	pieces     [aheadPieces]chan aheadRead
	flying     int // pieces behind cur that are being read or have been

	file *os.File // read at offset off; nil when the source is read one piece after the other
	off  int64
}

type aheadRead struct {
	n   int
	err error
}

const (
	aheadPieces = 4
	// aheadRoom is the part of a piece that is kept free. A record that is longer ends the reading ahead.
	aheadRoom = 4
	// minAhead is the smallest buffer that is worth it.
	minAhead = 256 << 10
)

// ReadAhead makes the reader read while the caller works on what it has. The source must not wait for anybody: a file, or a
// decompressor of one. Close waits for reads that are under way.
func (r *Reader) ReadAhead() {
	if len(r.buf) < minAhead || runtime.GOMAXPROCS(0) == 1 {
		return
	}
	a := &ahead{size: len(r.buf) / aheadPieces, cur: -1}
	a.room = a.size / aheadRoom
	for i := range a.pieces {
		a.pieces[i] = make(chan aheadRead, 1)
	}
	if f, ok := r.raw.src.(*os.File); ok && r.unpacker == nil {
		a.file, a.off = f, r.raw.n.Load()
	}
	r.ahead = a
}

// start begins to read the next piece that nobody reads.
func (a *ahead) start(r *Reader) {
	i := (a.cur + 1 + a.flying) % aheadPieces
	piece, done := a.data(r, i), a.pieces[i]
	a.flying++
	if a.file == nil {
		src := r.src
		go func() { done <- readSome(src, piece) }()
		return
	}
	off := a.off
	a.off += int64(len(piece))
	go func() {
		n, err := a.file.ReadAt(piece, off)
		done <- aheadRead{n, err}
	}()
}

// readSome reads until something came.
func readSome(src io.Reader, b []byte) aheadRead {
	for range maxIdle {
		if n, err := readOnce(src, b); n > 0 || err != nil {
			return aheadRead{n, err}
		}
	}
	return aheadRead{0, io.ErrNoProgress}
}

// data is piece i of the buffer, without its room.
func (a *ahead) data(r *Reader, i int) []byte { return r.buf[i*a.size+a.room : (i+1)*a.size] }

// take waits for the next piece.
func (a *ahead) take(r *Reader) aheadRead {
	a.cur = (a.cur + 1) % aheadPieces
	a.flying--
	got := <-a.pieces[a.cur]
	if a.file != nil {
		r.raw.n.Add(int64(got.n))
	}
	r.note(got.err)
	return got
}

// next goes on with the next piece. It reports false when that is impossible: the reader goes on as ever then.
func (a *ahead) next(r *Reader) bool {
	left := r.end - r.pos
	if left > a.room {
		a.stop(r)
		return false
	}
	if r.eof {
		return false
	}
	if a.cur < 0 { // the whole buffer was one piece: what is left goes before the first
		copy(r.buf[a.room-left:], r.buf[r.pos:r.end])
		r.base += int64(r.pos - (a.room - left))
		r.pos, r.end = a.room-left, a.room
		a.startAll(r)
	}
	got := a.take(r)
	to := a.cur*a.size + a.room
	copy(r.buf[to-left:to], r.buf[r.pos:r.end])
	r.base += int64(r.pos - (to - left))
	r.pos, r.end = to-left, to+got.n
	if !r.eof {
		a.startAll(r)
	}
	return true
}

// startAll begins to read as many pieces as may be read.
func (a *ahead) startAll(r *Reader) {
	most := 1 // each piece begins where the last one ended
	if a.file != nil {
		most = aheadPieces - 1
	}
	for a.flying < most {
		a.start(r)
	}
}

// stop ends the reading ahead: what was read lies behind what is unparsed, at the front of the buffer.
func (a *ahead) stop(r *Reader) {
	rest := append([]byte(nil), r.buf[r.pos:r.end]...)
	for a.flying > 0 {
		eof := r.eof
		got := a.take(r)
		if !eof { // what comes behind the end is no part of the file as it was found
			rest = append(rest, a.data(r, a.cur)[:got.n]...)
		}
	}
	if a.file != nil {
		if _, err := a.file.Seek(r.raw.n.Load(), io.SeekStart); err != nil {
			r.note(err)
		}
	}
	r.ahead = nil
	r.base += int64(r.pos)
	r.pos, r.end = 0, copy(r.buf, rest)
}

// wait lets reads come to their end.
func (a *ahead) wait() {
	for a != nil && a.flying > 0 {
		a.flying--
		<-a.pieces[(a.cur+1+a.flying)%aheadPieces]
	}
}
