package suite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
)

// capture is the frames of a capture that were read so far.
type capture struct {
	r      *pcap.Reader
	frames [][]byte
	recs   [64]pcap.Record
	err    error // why there are no more; io.EOF at the end
}

// frame is a frame of a capture: FILE#NUMBER, the file beside the table, the number from 1 as Wireshark counts.
func (p *parser) frame(n *yaml.Node) ([]byte, error) {
	file, number, ok := cutLast(n.Value, "#")
	at, err := strconv.ParseUint(number, 10, 31)
	if n.Kind != yaml.ScalarNode || !ok || file == "" || err != nil || at == 0 {
		return nil, errorAt(n, "%q: want the path of a capture and a frame's number from 1: file.pcap#3", n.Value)
	}
	c := p.captures[file]
	if c == nil {
		if c, err = openCapture(p.path(file)); err != nil {
			return nil, errorAt(n, "%v", err)
		}
		if p.captures == nil {
			p.captures = map[string]*capture{}
		}
		p.captures[file] = c
	}
	for uint64(len(c.frames)) < at && c.err == nil {
		c.read()
	}
	if uint64(len(c.frames)) >= at {
		return c.frames[at-1], nil
	}
	if !errors.Is(c.err, io.EOF) {
		return nil, errorAt(n, "%s: %v", file, c.err)
	}
	return nil, errorAt(n, "%s has %d frames, not %d", file, len(c.frames), at)
}

// cutLast is strings.Cut at the last sep.
func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// maxCapture is the largest capture that frames are taken from, in bytes: all of it is read.
const maxCapture = 1 << 28

func openCapture(file string) (*capture, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxCapture {
		return nil, fmt.Errorf("%s: want a file of at most %d bytes", file, maxCapture)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxCapture))
	if err != nil {
		return nil, err
	}
	r, err := pcap.NewReader(bytes.NewReader(text), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &capture{r: r}, nil
}

// read takes the next frames.
func (c *capture) read() {
	n, err := c.r.ReadBatch(c.recs[:])
	for i := range c.recs[:n] {
		rec := &c.recs[i]
		if rec.Link != linktype.Ethernet {
			c.err = fmt.Errorf("frame %d has link type %v: only frames of Ethernet can be taken", len(c.frames)+1, rec.Link)
			return
		}
		c.frames = append(c.frames, bytes.Clone(c.r.Data(rec)))
	}
	switch {
	case err != nil:
		c.err = err
	case n == 0:
		c.err = io.EOF
	}
}
