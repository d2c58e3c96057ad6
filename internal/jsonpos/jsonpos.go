// Package jsonpos says where in a text decoding failed, and why, for errors with positions.
package jsonpos

import (
	"encoding/json"
	"errors"
	"io"
)

// Of returns the offset in text, in bytes, at which d failed with err, and the reason in words.
func Of(err error, d *json.Decoder, text []byte) (offset int64, reason string) {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return int64(len(text)), "the text ends too early"
	case errors.As(err, &syntax):
		return syntax.Offset, err.Error()
	case errors.As(err, &typ):
		return typ.Offset, err.Error()
	}
	return d.InputOffset(), err.Error()
}

// Decode reads the one value that text consists of into v.
func Decode(d *json.Decoder, v any) error {
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one JSON value")
	}
	return err
}
