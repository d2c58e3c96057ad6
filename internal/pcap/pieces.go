package pcap

import (
	"io"
	"os"
	"slices"
)

// PieceBuffer is how long the buffer of a Piece is.
const PieceBuffer = pieceRoom + pieceSize

const (
	// pieceSize is what is read at a time: what is in it is still in the second-level cache when its packets are looked at.
	pieceSize = 256 << 10
	// pieceRoom lies before it, for the beginning of a record that ends in the piece. No record is longer.
	pieceRoom = 1 << 20
)

// Piece is a part of a capture, with the packets that end in it. Several goroutines may read a capture at once, a Piece each: first Claim, one
// goroutine at a time; then Load, all at once; then Parse, one at a time again, in the order of the claims. Copying a file out of the page cache is
// most of what reading costs, and the packets are looked at by the core that copied them.
//
//	|  room  ........| what was read      |
//	          ^ the unparsed rest of the piece before is copied here
type Piece struct {
	Buf    []byte      // PieceBuffer bytes, where the packets will lie
	Recs   []Record    // the packets; their Off is in Buf
	Ifaces []Interface // what Record.Iface is an index into

	off int64 // in the file
	n   int   // bytes that were read
	err error
}

// OpenPieces opens a capture file as Open does, to be read in pieces.
func OpenPieces(name string) (*Reader, error) {
	r, err := open(name, make([]byte, pieceHead), pieceRoom)
	if err != nil {
		return nil, err
	}
	if f, ok := r.closer.(*os.File); ok && r.size > 0 && r.unpacker == nil {
		r.file, r.claimed = f, r.raw.n.Load()
	}
	return r, nil
}

// pieceHead is what is read of a capture to find out what it is.
const pieceHead = 4 << 10

// NewPieces reads the file header of a capture that is to be read in pieces.
func NewPieces(src io.Reader) (*Reader, error) {
	return newReader(src, make([]byte, pieceHead), pieceRoom)
}

// Claim makes p the next piece of the capture. What is no plain file, or is compressed, is read here.
func (r *Reader) Claim(p *Piece) {
	if r.file != nil {
		p.off = r.claimed
		r.claimed += pieceSize
		return
	}
	if !r.began {
		if r.began = true; r.end > r.pos { // what came with the header does not wait for more
			p.n, p.err = 0, nil
			return
		}
	}
	p.n, p.err = 0, io.EOF
	if r.ended {
		return
	}
	p.n, p.err = readSome(r.src, p.Buf[pieceRoom:PieceBuffer], r.size > 0)
	r.ended = p.err != nil
}

// readSome reads until something came, or until b is full.
func readSome(src io.Reader, b []byte, full bool) (n int, err error) {
	for idle := 0; err == nil && (n == 0 || full && n < len(b)); idle++ {
		var got int
		got, err = readOnce(src, b[n:])
		n += got
		if got > 0 {
			idle = 0
		}
		if idle == maxIdle && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// Load reads a piece that was claimed.
func (r *Reader) Load(p *Piece) {
	if r.file == nil {
		return
	}
	p.n, p.err = r.file.ReadAt(p.Buf[pieceRoom:PieceBuffer], p.off)
	r.raw.n.Add(int64(p.n))
}

// Parse finds the packets of a piece. Its error is what comes behind them: io.EOF at the end of the file, an *Error where it is damaged. The error
// stays.
func (r *Reader) Parse(p *Piece) error {
	p.Recs = p.Recs[:0]
	if r.err != nil {
		return r.err
	}
	r.note(p.err)
	at := pieceRoom - copy(p.Buf[pieceRoom-(r.end-r.pos):], r.buf[r.pos:r.end])
	r.move(p.Buf, at, pieceRoom+p.n)
	r.err = r.records(p)
	r.rest = append(r.rest[:0], r.buf[r.pos:r.end]...)
	r.move(r.rest, 0, len(r.rest))
	p.Ifaces = r.ifaces
	return r.err
}

// move goes on with the unparsed bytes where they have been copied to.
func (r *Reader) move(buf []byte, pos, end int) {
	r.base += int64(r.pos - pos)
	r.buf, r.pos, r.end = buf, pos, end
}

// minRecords is the room for records that a piece begins with: packets of 512 bytes fill a piece.
const minRecords = 512

// records parses what is there.
func (r *Reader) records(p *Piece) error {
	for {
		n := min(r.skip, int64(r.end-r.pos))
		r.pos += int(n)
		if r.skip -= n; r.skip > 0 {
			return r.noMore()
		}
		if len(p.Recs) == cap(p.Recs) {
			p.Recs = slices.Grow(p.Recs, max(minRecords, len(p.Recs)))
		}
		have := len(p.Recs)
		took, err := r.parse(r, p.Recs[have:cap(p.Recs)])
		p.Recs = p.Recs[:have+took]
		switch {
		case err == errMore && r.skip == 0:
			return r.noMore()
		case err != nil && err != errMore:
			return err
		}
	}
}

// noMore says what it means that there are no more whole records in what was read: nothing, before the end of the file.
func (r *Reader) noMore() error {
	switch {
	case r.eof && r.srcErr != nil:
		return &Error{File: r.name, Offset: r.base + int64(r.end), Reason: "read failed", Err: r.srcErr}
	case r.eof && r.pos == r.end && r.skip == 0:
		return io.EOF
	case r.eof && r.skip > 0:
		return r.fail(r.skipFrom, "file ends within a record")
	case r.eof:
		return r.fail(r.offset(), "file ends within a record")
	}
	return nil
}
