package pcap

import (
	"bytes"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that a zstd file can ask for: the format's own recommendation for decoders (RFC 8878 §3.1.1.1.2).
const maxWindow = 8 << 20

// compression is a format that a capture may be packed in, known by the bytes that it begins with.
type compression struct {
	name  string
	magic []byte
	open  func(src io.Reader) (io.ReadCloser, error)
}

var compressions = []compression{
	{"gzip", []byte{0x1f, 0x8b}, func(src io.Reader) (io.ReadCloser, error) { return gzip.NewReader(src) }},
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, openZstd},
}

// openZstd decompresses in the caller's goroutine: a reader that is dropped leaves nothing behind.
func openZstd(src io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// unpack puts a decompressor between source and buffer when the file is a compressed one, and refills the buffer.
func (r *Reader) unpack() error {
	for i := range compressions {
		c := &compressions[i]
		if !bytes.HasPrefix(r.buf[:r.end], c.magic) {
			continue
		}
		head, src := bytes.Clone(r.buf[:r.end]), r.src
		if r.eof {
			src = bytes.NewReader(nil)
		}
		z, err := c.open(io.MultiReader(bytes.NewReader(head), src))
		if err != nil {
			return &Error{File: r.name, Reason: "bad " + c.name + " header", Err: err}
		}
		r.src, r.unpacker, r.pos, r.end, r.eof = z, z, 0, 0, false
		if err := r.need(4); err != nil {
			return r.shortHeader(err)
		}
		return nil
	}
	return nil
}
