package helpers

import (
	"encoding/binary"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Offsets in struct sk_msg_md.
const (
	offMsgData = 0
	offMsgEnd  = 8
	offMsgSize = 68

	msgMaxElems = 17 // MAX_MSG_FRAGS
)

// msg is the message of an sk_msg program: bytes [begin, end) of guest memory, which its elements divide. Deviation: no element is a
// page that is shared with the sender, so data is always there.
type msg struct {
	ctx        uint32
	begin, end uint32
	limit      uint32 // end may grow to it
	elems      [prog.MsgSGMax]uint32
	used       int
}

// msgOf reads the message of a ctx.
func (e *Env) msgOf(ctx uint64) (msg, error) {
	s, c := e.Space, uint32(ctx)
	m := msg{ctx: c, begin: s.Load32(c + prog.MsgBegin), end: s.Load32(c + prog.MsgEnd), limit: s.Load32(c + fieldLimit)}
	sum := uint64(0)
	for m.used < len(m.elems) {
		n := s.Load32(c + prog.MsgSG + 4*uint32(m.used))
		if n == 0 {
			break
		}
		m.elems[m.used] = n
		m.used++
		sum += uint64(n)
	}
	if m.begin == 0 || m.begin > m.end || m.end > m.limit || uint64(m.limit) > s.Size() || sum != uint64(m.end-m.begin) || m.used > msgMaxElems+1 {
		return m, &ArgError{1, ctx, "is no ctx with a message: the lengths in sg must add up to it"}
	}
	return m, nil
}

// find returns the element that a byte is in and where that begins. Of one behind the last it is the number of elements; of those
// beyond the message false. An empty message has one empty element.
func (m *msg) find(at uint32) (i int, offset uint32, ok bool) {
	for i = range m.used {
		if at < offset+m.elems[i] {
			return i, offset, true
		}
		offset += m.elems[i]
	}
	return m.used, offset, at == offset
}

// insert puts an element before element i.
func (m *msg) insert(i int, n uint32) {
	copy(m.elems[i+1:], m.elems[i:m.used])
	m.elems[i] = n
	m.used++
}

func (m *msg) remove(i int) {
	copy(m.elems[i:], m.elems[i+1:m.used])
	m.used--
	m.elems[m.used] = 0
}

// storeMsg writes a message back; data is its first element (Linux: sk_msg_compute_data_pointers).
func (e *Env) storeMsg(m *msg) {
	for i, n := range m.elems {
		e.Space.Store32(m.ctx+prog.MsgSG+4*uint32(i), n)
	}
	e.Space.Store32(m.ctx+prog.MsgEnd, m.end)
	e.Space.Store32(m.ctx+offMsgSize, m.end-m.begin)
	e.setMsgData(m, 0, m.elems[0])
}

func (e *Env) setMsgData(m *msg, from, n uint32) {
	e.Space.Store64(m.ctx+offMsgData, uint64(m.begin+from))
	e.Space.Store64(m.ctx+offMsgEnd, uint64(m.begin+from+n))
}

func msgApplyBytes(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	e.Space.Store32(uint32(r1)+prog.MsgApply, uint32(r2))
	return 0, nil
}

func msgCorkBytes(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	e.Space.Store32(uint32(r1)+prog.MsgCork, uint32(r2))
	return 0, nil
}

// msgPullData makes [start, end) the data: it joins the elements that it lies in (Linux: bpf_msg_pull_data).
func msgPullData(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	m, err := e.msgOf(r1)
	if err != nil {
		return 0, err
	}
	start, end := uint32(r2), uint32(r3)
	if r4 != 0 || end <= start {
		return maps.EINVAL.Ret(), nil
	}
	first, offset, _ := m.find(start)
	if first == m.used {
		return maps.EINVAL.Ret(), nil
	}
	need := uint64(end) - uint64(offset)
	have, last := uint64(m.elems[first]), first
	for ; have < need; last++ {
		if last+1 == m.used {
			return maps.EINVAL.Ret(), nil
		}
		have += uint64(m.elems[last+1])
	}
	for ; last > first; last-- {
		m.elems[first] += m.elems[first+1]
		m.remove(first + 1)
	}
	e.storeMsg(&m)
	e.setMsgData(&m, start, end-start)
	return 0, nil
}

// msgPushData makes room of n bytes at start, an element of its own (Linux: bpf_msg_push_data). Unlike the kernel's, they are zero.
func msgPushData(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	m, err := e.msgOf(r1)
	if err != nil {
		return 0, err
	}
	start, n := uint32(r2), uint32(r3)
	if r4 != 0 {
		return maps.EINVAL.Ret(), nil
	}
	if n == 0 {
		return 0, nil
	}
	i, offset, ok := m.find(start)
	switch space := msgMaxElems - m.used; {
	case !ok:
		return maps.EINVAL.Ret(), nil
	case uint64(n) > uint64(m.limit-m.end):
		return maps.ENOMEM.Ret(), nil
	case space <= 0, space == 1 && start != offset: // the element grows instead
		m.elems[min(i, m.used-1)] += n
	case start != offset:
		rest := offset + m.elems[i] - start
		m.elems[i] = start - offset
		m.insert(i+1, n)
		m.insert(i+2, rest)
	default:
		m.insert(i, n)
	}
	at := m.begin + start
	tail := e.bytes(at, m.end+n-at)
	copy(tail[n:], tail[:m.end-at])
	clear(tail[:n])
	m.end += n
	e.storeMsg(&m)
	return 0, nil
}

// msgPopData takes n bytes out from start on (Linux: bpf_msg_pop_data).
func msgPopData(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	m, err := e.msgOf(r1)
	if err != nil {
		return 0, err
	}
	start, n := uint32(r2), uint32(r3)
	if r4 != 0 {
		return maps.EINVAL.Ret(), nil
	}
	if n == 0 {
		return 0, nil
	}
	i, offset, _ := m.find(start)
	if i == m.used || uint64(start)+uint64(n) > uint64(m.end-m.begin) {
		return maps.EINVAL.Ret(), nil
	}
	pop := n
	if a := start - offset; a != 0 {
		length := m.elems[i]
		switch {
		case length > a+pop && m.used < msgMaxElems:
			m.elems[i] = a
			m.insert(i+1, length-a-pop)
			pop = 0
		case length > a+pop:
			m.elems[i] = length - pop
			pop = 0
		default:
			m.elems[i] = a
			pop -= length - a
		}
		i++
	}
	for pop > 0 {
		if pop < m.elems[i] {
			m.elems[i] -= pop
			break
		}
		pop -= m.elems[i]
		m.remove(i)
	}
	at := m.begin + start
	rest := e.bytes(at, m.end-at)
	copy(rest, rest[n:])
	m.end -= n
	e.storeMsg(&m)
	return 0, nil
}

// msgRedirectMap: see Linux bpf_msg_redirect_map. The frame says which socket the message goes to.
func msgRedirectMap(e *Env, _, r2, r3, r4, _ uint64) (uint64, error) {
	binary.LittleEndian.PutUint32(e.scratch[:4], uint32(r3))
	return e.redirectToSocket(r2, e.scratch[:4], uint32(r3), r4)
}

// msgRedirectHash: see Linux bpf_msg_redirect_hash.
func msgRedirectHash(e *Env, _, r2, r3, r4, _ uint64) (uint64, error) {
	_, key, err := e.mapAndKey(r2, r3)
	if err != nil {
		return 0, err
	}
	return e.redirectToSocket(r2, key, 0, r4)
}
