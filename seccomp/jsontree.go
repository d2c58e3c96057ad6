package seccomp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/skepvm/skep/internal/jsonpos"
)

// node is a JSON value with the place where it begins, so that what is wrong with its meaning has a place too.
type node struct {
	off    int64
	value  any // nil, bool, string, json.Number; nil also for the two below
	list   []*node
	keys   []string // of an object, in the text's order
	fields map[string]*node
	isList bool
}

// maxDepth is how deep values may nest: profiles need 6.
const maxDepth = 32

// tree reads a text into nodes.
type tree struct {
	text []byte
	dec  *json.Decoder
}

// parseJSON reads the one value of a text. The error is an *Error.
func parseJSON(text []byte) (*node, error) {
	t := &tree{text: text, dec: json.NewDecoder(bytes.NewReader(text))}
	t.dec.UseNumber()
	n, err := t.value(0)
	if err != nil {
		return nil, err
	}
	if rest := bytes.TrimLeft(text[t.dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, errorAt(text, int64(len(text)-len(rest)), "more than one JSON value")
	}
	return n, nil
}

// begin is where the next token begins.
func (t *tree) begin() int64 {
	off := t.dec.InputOffset()
	for off < int64(len(t.text)) && bytes.IndexByte([]byte(" \t\r\n,:"), t.text[off]) >= 0 {
		off++
	}
	return off
}

func (t *tree) token() (json.Token, error) {
	tok, err := t.dec.Token()
	if err != nil {
		off, reason := jsonpos.Of(err, t.dec, t.text)
		if off < int64(len(t.text)) {
			off = max(off-1, 0) // what was read up to and with the byte that is wrong
		}
		return nil, errorAt(t.text, off, "%s", reason)
	}
	return tok, nil
}

func (t *tree) value(depth int) (*node, error) {
	n := &node{off: t.begin()}
	tok, err := t.token()
	if err != nil {
		return nil, err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		n.value = tok
		return n, nil
	}
	if depth == maxDepth {
		return nil, errorAt(t.text, n.off, "values nest deeper than %d", maxDepth)
	}
	if n.isList = delim == '['; n.isList {
		err = t.items(n, depth)
	} else {
		err = t.object(n, depth)
	}
	if err != nil {
		return nil, err
	}
	_, err = t.token() // the closing delimiter
	return n, err
}

func (t *tree) items(n *node, depth int) error {
	for t.dec.More() {
		item, err := t.value(depth + 1)
		if err != nil {
			return err
		}
		n.list = append(n.list, item)
	}
	return nil
}

func (t *tree) object(n *node, depth int) error {
	n.fields = map[string]*node{}
	for t.dec.More() {
		at := t.begin()
		key, err := t.token()
		if err != nil {
			return err
		}
		name := key.(string) // the decoder lets nothing else be a key
		if n.fields[name] != nil {
			return errorAt(t.text, at, "%q is there twice", name)
		}
		if n.fields[name], err = t.value(depth + 1); err != nil {
			return err
		}
		n.keys = append(n.keys, name)
	}
	return nil
}

// kind names what a node is, for messages.
func (n *node) kind() string {
	switch n.value.(type) {
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	}
	switch {
	case n.isList:
		return "an array"
	case n.fields != nil:
		return "an object"
	}
	return "null"
}

// null reports whether a field is missing or says null, which mean the same.
func (n *node) null() bool { return n == nil || n.kind() == "null" }

// uint reads a number from 0 to max.
func (n *node) uint(max uint64) (uint64, error) {
	num, ok := n.value.(json.Number)
	if !ok {
		return 0, fmt.Errorf("want a number, found %s", n.kind())
	}
	v, err := strconv.ParseUint(num.String(), 10, 64)
	if err != nil || v > max {
		return 0, fmt.Errorf("%s is no whole number from 0 to %d", num, max)
	}
	return v, nil
}
