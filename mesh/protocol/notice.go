package protocol

import "fmt"

// KindNotice is the kind of a notice, beside those of echoes.
const KindNotice = 3

// maxNotice bounds a notice: an IPv4 packet with it fits the tunnel's least MTU
// of 1280 bytes.
const maxNotice = 1280 - 20 - 8

// Notices of one peer that are opened, so many a second and at once: to verify one
// costs two signatures, and a record changes when its node's place does.
const (
	noticeRate  = 1
	noticeBurst = 8
)

// Notice is a packet with a node's newest record, which it sends to everyone it
// reaches: by far cheaper than that each of them hears of it and asks. It is not
// acknowledged. Whoever misses it learns from the next echo that there is one,
// and fetches it.
//
//	byte  Magic
//	byte  format number
//	byte  KindNotice
//	      envelope of the record
type Notice struct{ Envelope []byte }

// Append encodes the notice behind b.
func (n Notice) Append(b []byte) []byte {
	return append(append(b, Magic, Format, KindNotice), n.Envelope...)
}

// size is how long the packet is.
func (n Notice) size() int { return 3 + len(n.Envelope) }

// IsNotice reports whether a packet that begins with Magic is to be read as a
// notice.
func IsNotice(b []byte) bool { return len(b) > 2 && b[2] == KindNotice }

// ParseNotice reads a notice. What it returns shares no memory with b.
func ParseNotice(b []byte) (Notice, error) {
	if len(b) <= 3 || len(b) > maxNotice || b[0] != Magic || b[1] != Format || b[2] != KindNotice {
		return Notice{}, fmt.Errorf("notice of %d bytes: %w", len(b), ErrMalformed)
	}
	return Notice{append([]byte(nil), b[3:]...)}, nil
}

// notify sends this node's record to everyone it reaches. To whom it cannot be
// sent so, an echo tells at once that there is something new.
func (m *Machine) notify() {
	n := Notice{m.self.Envelope}
	fits := n.size() <= maxNotice
	for _, name := range m.names {
		l := m.links[name]
		switch {
		case !l.up():
		case fits:
			m.do(SendNotice{l.signed.Grant.IP, n})
		default:
			l.nextAsk = m.now
		}
	}
}

// apply implements Event. Whoever sends a record, its own node has signed it.
func (e NoticeReceived) apply(m *Machine) {
	name := m.byIP[e.From]
	l := m.links[name]
	if l == nil || !m.opened {
		return
	}
	l.notices.fill(m.now, noticeRate, noticeBurst)
	if !l.notices.take() {
		m.count(MetricRefused, "flood")
		return
	}
	if got := m.admit([][]byte{e.Notice.Envelope}, name, m.yield); len(got.fresh) > 0 {
		m.setDevice()
	}
}
