package helpers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/skepvm/skep/internal/jsonpos"
)

// SocketError is text that ParseSockets cannot use.
type SocketError struct {
	Offset int64 // bytes from the start of the text, -1 when Index says where
	Index  int   // of the socket, -1 when the text as a whole is wrong
	Field  string
	Reason string
}

func (e *SocketError) Error() string {
	switch {
	case e.Index < 0:
		return fmt.Sprintf("offset %d: %s", e.Offset, e.Reason)
	case e.Field == "":
		return fmt.Sprintf("socket %d: %s", e.Index, e.Reason)
	}
	return fmt.Sprintf("socket %d: %s: %s", e.Index, e.Field, e.Reason)
}

// jsonSocket is a socket in ParseSockets' text.
type jsonSocket struct {
	Proto    string   `json:"proto"`
	Local    string   `json:"local"`
	Remote   string   `json:"remote"`
	State    string   `json:"state"`
	V6Only   bool     `json:"v6only"`
	BoundIf  uint32   `json:"bound_if"`
	Mark     uint32   `json:"mark"`
	Priority uint32   `json:"priority"`
	RxQueue  *int32   `json:"rx_queue"`
	Cookie   uint64   `json:"cookie"`
	UID      uint32   `json:"uid"`
	Cgroup   uint64   `json:"cgroup_id"`
	Above    []uint64 `json:"cgroup_ancestors"`
	TCP      TCPInfo  `json:"tcp"`
	Netns    uint64   `json:"netns_cookie"`
}

var protoNames = map[string]uint8{"tcp": ProtoTCP, "udp": ProtoUDP}

// stateNames are those of ss(8).
var stateNames = map[string]uint8{"": 0, "ESTAB": StateEstablished, "SYN-SENT": 2, "SYN-RECV": StateSynReceived, "FIN-WAIT-1": 4,
	"FIN-WAIT-2": 5, "TIME-WAIT": StateTimeWait, "UNCONN": StateClose, "CLOSE-WAIT": 8, "LAST-ACK": 9, "LISTEN": StateListen, "CLOSING": 11}

// ParseSockets reads a socket table:
//
//	[{"proto": "tcp", "local": "0.0.0.0:80"},
//	 {"proto": "tcp", "local": "10.0.0.1:80", "remote": "10.0.0.9:5000", "mark": 7, "tcp": {"SndCwnd": 10}}]
//
// States are named as ss(8) names them. The error is a *SocketError.
func ParseSockets(text []byte) ([]Socket, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var in []jsonSocket
	if err := jsonpos.Decode(d, &in); err != nil {
		offset, reason := jsonpos.Of(err, d, text)
		return nil, &SocketError{Offset: offset, Index: -1, Reason: reason}
	}
	out := make([]Socket, 0, len(in))
	for i := range in {
		s, err := in[i].socket()
		if err != nil {
			err.Index = i
			return nil, err
		}
		if err := s.complete(i); err != nil {
			return nil, &SocketError{Index: i, Reason: strings.TrimPrefix(err.Error(), fmt.Sprintf("socket %d: ", i))}
		}
		out = append(out, s)
	}
	return out, nil
}

func (j *jsonSocket) socket() (Socket, *SocketError) {
	s := Socket{V6Only: j.V6Only, BoundIf: j.BoundIf, Mark: j.Mark, Priority: j.Priority, RxQueue: -1, Cookie: j.Cookie, UID: j.UID,
		TCP: j.TCP, NetnsCookie: j.Netns}
	if j.Cgroup != 0 || j.Above != nil {
		s.Cgroup = &Group{j.Cgroup, j.Above}
	}
	if j.RxQueue != nil {
		s.RxQueue = *j.RxQueue
	}
	var ok bool
	if s.Proto, ok = protoNames[strings.ToLower(j.Proto)]; !ok {
		return s, &SocketError{Field: "proto", Reason: fmt.Sprintf("%q: want tcp or udp", j.Proto)}
	}
	if s.State, ok = stateNames[strings.ToUpper(j.State)]; !ok {
		return s, &SocketError{Field: "state", Reason: fmt.Sprintf("unknown state %q: want LISTEN, ESTAB, UNCONN, TIME-WAIT …", j.State)}
	}
	var err error
	if s.Local, err = netip.ParseAddrPort(j.Local); err != nil {
		return s, &SocketError{Field: "local", Reason: fmt.Sprintf("%q is no address with a port", j.Local)}
	}
	if j.Remote == "" {
		return s, nil
	}
	if s.Remote, err = netip.ParseAddrPort(j.Remote); err != nil {
		return s, &SocketError{Field: "remote", Reason: fmt.Sprintf("%q is no address with a port", j.Remote)}
	}
	return s, nil
}
