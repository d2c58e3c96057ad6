package main

import (
	"bytes"
	"errors"
	"io"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/traffic"
)

// openCapture opens a capture file, standard input for "-", or the sample when named is false.
func (a *app) openCapture(file string, named bool) (*pcap.Reader, error) {
	switch {
	case !named:
		return pcap.NewReader(bytes.NewReader(traffic.Sample()), nil)
	case file == "-":
		return pcap.NewReader(a.in, nil)
	}
	return pcap.Open(file, nil)
}

// readPackets returns copies of the first packets of a capture, at most limit.
func (a *app) readPackets(file string, named bool, limit int) ([][]byte, error) {
	r, err := a.openCapture(file, named)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all [][]byte
	recs := make([]pcap.Record, 256)
	for {
		n, err := r.ReadBatch(recs)
		for i := range recs[:n] {
			if len(all) == limit {
				return all, nil
			}
			all = append(all, bytes.Clone(r.Data(&recs[i])))
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
