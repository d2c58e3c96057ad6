package pcap

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

const (
	laneBuffer  = 512 << 10 // above any record; a block with long options may need more, up to what a single file's may have
	laneRecords = 64
)

// Merger reads several captures as one, in the order of their packets' times; packets of one time come in the order of
// the files. A file is open only between the time of its first packet and its end: a directory of a thousand files
// that followed each other costs the memory of one. Within a file the order is the file's, whatever its times say.
//
// A damaged file ends there, and the others go on: its error is what ReadBatch gives at the end. So is that of a file which is no capture.
type Merger struct {
	buf    []byte
	lanes  []*lane // those that have packets to come, by the time of the next one, then by number
	ifaces []Interface
	errs   []error
	spare  [][]byte // buffers of files that are closed
	read   int64    // of files that are closed
	total  int64

	formats [Mixed]bool // those that files with packets have
}

// lane is one of the files.
type lane struct {
	name   string
	number int
	first  int64 // time of the next packet
	r      *Reader
	recs   []Record // from the reader, those from at on not given yet
	at     int
	ifaces []uint32 // the merger's number of each of the reader's interfaces
}

// OpenAll opens several captures to be read as one. A directory stands for the regular files in it. buf is as in NewReader, but for its
// minimum, which is the largest record. A file that cannot be opened is an error here.
func OpenAll(names []string, buf []byte) (*Merger, error) {
	if buf == nil {
		buf = make([]byte, defaultBufferSize)
	}
	if len(buf) < maxCaptureLen {
		return nil, &Error{Reason: fmt.Sprintf("buffer of %d bytes is below the minimum of %d", len(buf), maxCaptureLen)}
	}
	m := &Merger{buf: buf}
	files, err := expand(names)
	if err != nil {
		return nil, err
	}
	for i, name := range files {
		l := &lane{name: name, number: i}
		if info, err := os.Stat(name); err == nil {
			m.total += info.Size()
		}
		switch err := m.peek(l); {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
			return nil, err
		case err == io.EOF: // a capture without packets
		case err != nil:
			m.errs = append(m.errs, err)
		default:
			m.lanes = append(m.lanes, l)
		}
	}
	slices.SortStableFunc(m.lanes, func(a, b *lane) int { return a.compare(b) })
	return m, nil
}

// expand puts the files of directories in their place, by name.
func expand(names []string) ([]string, error) {
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, &Error{File: name, Reason: "cannot open", Err: errors.Unwrap(err)}
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, &Error{File: name, Reason: "cannot read the directory", Err: errors.Unwrap(err)}
		}
		for _, e := range entries {
			if info, err := os.Stat(filepath.Join(name, e.Name())); err == nil && info.Mode().IsRegular() {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
	}
	return files, nil
}

// buffer gives a file that is opened its buffer.
func (m *Merger) buffer() []byte {
	n := len(m.spare)
	if n == 0 {
		return make([]byte, laneBuffer)
	}
	b := m.spare[n-1]
	m.spare = m.spare[:n-1]
	return b
}

func (l *lane) compare(o *lane) int {
	switch {
	case l.first != o.first && l.first < o.first, l.first == o.first && l.number < o.number:
		return -1
	}
	return 1
}

// peek finds the time of a file's first packet.
func (m *Merger) peek(l *lane) error {
	buf := m.buffer()
	defer func() { m.spare = append(m.spare, buf) }()
	r, err := open(l.name, buf, pieceRoom)
	if err != nil {
		return err
	}
	defer r.Close()
	var rec [1]Record
	if _, err := r.ReadBatch(rec[:]); err != nil {
		return err
	}
	l.first = rec[0].TS
	m.formats[r.Format()] = true
	return nil
}

// ReadBatch is as Reader.ReadBatch.
func (m *Merger) ReadBatch(recs []Record) (int, error) {
	n, used := 0, 0
	for n < len(recs) && len(m.lanes) > 0 {
		l := m.lanes[0]
		if l.at == len(l.recs) {
			if err := m.more(l); err != nil {
				m.end(l, err)
			} else {
				m.sink()
			}
			continue
		}
		took, bytes := m.take(l, recs[n:], used)
		if took == 0 {
			return n, nil // the buffer is full
		}
		n, used = n+took, used+bytes
		m.sink()
	}
	if n > 0 || len(recs) == 0 {
		return n, nil
	}
	return 0, cmp.Or(errors.Join(m.errs...), io.EOF)
}

// more gets the next records of a file, which it opens when it has to.
func (m *Merger) more(l *lane) (err error) {
	if l.r == nil {
		if l.r, err = open(l.name, m.buffer(), pieceRoom); err != nil {
			return err
		}
		l.recs = make([]Record, laneRecords)
	}
	n, err := l.r.ReadBatch(l.recs[:cap(l.recs)])
	l.recs, l.at = l.recs[:n], 0
	if n > 0 {
		l.first = l.recs[0].TS
	}
	return err
}

// take gives packets of the first file up to the time when another one has its turn, or the buffer is full.
func (m *Merger) take(l *lane, recs []Record, used int) (n, bytes int) {
	for n < len(recs) && l.at < len(l.recs) {
		rec := l.recs[l.at]
		l.first = rec.TS
		if len(m.lanes) > 1 && l.compare(m.lanes[1]) > 0 || used+bytes+int(rec.CapLen) > len(m.buf) {
			break
		}
		rec.Iface = m.iface(l, rec.Iface)
		copy(m.buf[used+bytes:], l.r.Data(&rec))
		rec.Off = uint32(used + bytes)
		bytes += int(rec.CapLen)
		recs[n] = rec
		n++
		l.at++
	}
	if l.at < len(l.recs) {
		l.first = l.recs[l.at].TS
	}
	return n, bytes
}

// Claim and Load do nothing: all files are read by Parse.
func (m *Merger) Claim(*Piece) {}

// Load is nothing: see Claim.
func (m *Merger) Load(*Piece) {}

// Parse fills a piece with the next packets. Its error is as Reader.Parse's.
func (m *Merger) Parse(p *Piece) error {
	if cap(p.Recs) < minRecords {
		p.Recs = make([]Record, minRecords)
	}
	m.buf = p.Buf[:max(pieceSize, maxCaptureLen)]
	n, err := m.ReadBatch(p.Recs[:cap(p.Recs)])
	p.Recs, p.Ifaces = p.Recs[:n], m.ifaces
	return err
}

// Data returns the captured bytes of a record of the last batch: a view, not a copy.
func (m *Merger) Data(rec *Record) []byte {
	end := rec.Off + rec.CapLen
	return m.buf[rec.Off:end:end]
}

// Format returns the files' format.
func (m *Merger) Format() Format {
	switch {
	case m.formats[PCAP] && m.formats[PCAPNG]:
		return Mixed
	case m.formats[PCAPNG]:
		return PCAPNG
	}
	return PCAP
}

// Interfaces returns the interfaces met so far. Record.Iface is an index into it.
func (m *Merger) Interfaces() []Interface { return m.ifaces }

// Consumed returns how many bytes of the files have been taken, and how many they are.
func (m *Merger) Consumed() (n, of int64) {
	n = m.read
	for _, l := range m.lanes {
		if l.r != nil {
			taken, _ := l.r.Consumed()
			n += taken
		}
	}
	return n, m.total
}

// Close closes the files that are open.
func (m *Merger) Close() error {
	var err error
	for _, l := range m.lanes {
		if l.r != nil {
			err = errors.Join(err, l.r.Close())
		}
	}
	m.lanes = nil
	return err
}

// sink brings the first file to its place after its time has changed.
func (m *Merger) sink() {
	l := m.lanes[0]
	at := sort.Search(len(m.lanes)-1, func(i int) bool { return l.compare(m.lanes[i+1]) < 0 })
	copy(m.lanes, m.lanes[1:at+1])
	m.lanes[at] = l
}

// end closes the first file.
func (m *Merger) end(l *lane, err error) {
	if err != io.EOF {
		m.errs = append(m.errs, err)
	}
	if l.r != nil {
		n, _ := l.r.Consumed()
		m.read += n
		m.spare = append(m.spare, l.r.Buffer())
		_ = l.r.Close() // it was read to its end or to an error
	}
	m.lanes = slices.Delete(m.lanes, 0, 1)
}

// iface gives a file's interface its number among all. Files that were captured on one interface share it.
func (m *Merger) iface(l *lane, n uint32) uint32 {
	for len(l.ifaces) <= int(n) {
		i := l.r.Interfaces()[len(l.ifaces)]
		at := -1
		for j, o := range m.ifaces {
			if o.Name == i.Name && o.Link == i.Link && o.BigEndian == i.BigEndian && !slices.Contains(l.ifaces, uint32(j)) { // two of one file stay two
				at = j
				break
			}
		}
		if at < 0 {
			at = len(m.ifaces)
			m.ifaces = append(m.ifaces, Interface{Name: i.Name, Link: i.Link, SnapLen: i.SnapLen, BigEndian: i.BigEndian})
		}
		if i.Nano && !m.ifaces[at].Nano {
			m.ifaces = slices.Clone(m.ifaces) // others may look at the old ones
			m.ifaces[at].Nano = true
		}
		l.ifaces = append(l.ifaces, uint32(at))
	}
	return l.ifaces[n]
}
