package overlay

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

const (
	maxDatagram = 1<<16 - 1
	maxPayload4 = maxDatagram - 20 - 8
	maxPayload6 = maxDatagram - 8
	maxSegments = 64 // UDP_MAX_SEGMENTS of all kernels

	// groReads is how many coalesced datagrams are read at once: each may hold
	// maxSegments, and all must fit into a batch.
	groReads = batchSize / maxSegments
)

// oobSize is room for the control messages of one datagram.
var oobSize = unix.CmsgSpace(unix.SizeofInet6Pktinfo) + unix.CmsgSpace(4)

// messages is what ipv4.PacketConn and ipv6.PacketConn have in common: both
// Message types are aliases of one.
type messages interface {
	ReadBatch([]ipv4.Message, int) (int, error)
	WriteBatch([]ipv4.Message, int) (int, error)
}

// udpSocket is a UDP socket of one family.
type udpSocket struct {
	conn *net.UDPConn
	pc   messages
	six  bool
	gro  bool        // received datagrams may be coalesced
	gso  atomic.Bool // datagrams may be sent coalesced
	pool sync.Pool   // of *sendBatch

	glare    *glare
	inflight *inflight // of the device; nil: what is received is not bounded
	again    *repeater
}

func newSocket(c *net.UDPConn, six, gso, gro bool) *udpSocket {
	s := &udpSocket{conn: c, six: six, gro: gro, glare: newGlare()}
	s.again = newRepeater(s.repeat)
	s.gso.Store(gso)
	if six {
		s.pc = ipv6.NewPacketConn(c)
	} else {
		s.pc = ipv4.NewPacketConn(c)
	}
	s.pool.New = func() any {
		b := &sendBatch{msgs: make([]ipv4.Message, batchSize)}
		for i := range b.msgs {
			b.msgs[i].OOB = make([]byte, 0, oobSize)
		}
		return b
	}
	return s
}

func (s *udpSocket) port() uint16 { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

// close ends all that the socket does.
func (s *udpSocket) close() error {
	s.again.close()
	return s.conn.Close()
}

// repeat sends a packet again. That it is lost is no error.
func (s *udpSocket) repeat(packet []byte, to netip.AddrPort) {
	bufs := [][]byte{packet}
	if s.glare.sending(bufs, to) {
		_ = s.write(bufs, &endpoint{dst: to}, false)
	}
}

// send sends bufs, in the cheapest way that works. Datagrams that went out
// before an error are sent again; WireGuard drops doubles.
func (s *udpSocket) send(bufs [][]byte, e *endpoint) error {
	repeats := s.again.sending(bufs, e.dst)
	if leaves := s.glare.sending(bufs, e.dst); !leaves && repeats {
		return nil
	}
	gso := s.gso.Load()
	for {
		err := s.write(bufs, e, gso)
		switch {
		case err == nil:
			return nil
		case gso:
			// EIO: the network card cannot checksum, so it never works. Others
			// concern this packet, such as segments above the path's MTU.
			if errors.Is(err, unix.EIO) {
				s.gso.Store(false)
			}
			gso = false
		case e.source().IsValid():
			e.ClearSrc() // the host may have lost the address
		default:
			return err
		}
	}
}

func (s *udpSocket) write(bufs [][]byte, e *endpoint, gso bool) error {
	b := s.pool.Get().(*sendBatch)
	defer func() {
		for i := range b.msgs[:min(len(bufs), batchSize)] {
			b.msgs[i].Buffers = nil // they are the caller's
		}
		s.pool.Put(b)
	}()
	for rest := bufs; len(rest) > 0; {
		part := rest[:min(len(rest), batchSize)]
		rest = rest[len(part):]
		msgs := b.fill(part, e, gso)
		for len(msgs) > 0 {
			n, err := s.pc.WriteBatch(msgs, 0)
			if err != nil {
				return err
			}
			msgs = msgs[n:]
		}
	}
	return nil
}

// sendBatch is reused memory of send.
type sendBatch struct {
	msgs []ipv4.Message
	addr net.UDPAddr
	ip   [16]byte
}

// fill makes messages of bufs. With gso, a run of equally long datagrams, of
// which the last may be shorter, becomes one message that the kernel cuts.
func (b *sendBatch) fill(bufs [][]byte, e *endpoint, gso bool) []ipv4.Message {
	limit := maxPayload4
	b.ip = e.dst.Addr().As16()
	b.addr = net.UDPAddr{IP: b.ip[:], Port: int(e.dst.Port()), Zone: e.dst.Addr().Zone()}
	if e.dst.Addr().Is6() {
		limit = maxPayload6
	}
	n := 0
	for len(bufs) > 0 {
		run := 1
		if gso {
			run = runLength(bufs, limit)
		}
		m := &b.msgs[n]
		m.Buffers, m.Addr = bufs[:run], &b.addr
		m.OOB = appendSource(m.OOB[:0], e.source())
		if run > 1 {
			m.OOB = appendControl(m.OOB, unix.SOL_UDP, unix.UDP_SEGMENT, binary.NativeEndian.AppendUint16(nil, uint16(len(bufs[0]))))
		}
		bufs = bufs[run:]
		n++
	}
	return b.msgs[:n]
}

// runLength returns how many of the first bufs fit into one message of at most
// limit bytes.
func runLength(bufs [][]byte, limit int) int {
	size, total := len(bufs[0]), len(bufs[0])
	n := 1
	for ; n < len(bufs) && n < maxSegments; n++ {
		l := len(bufs[n])
		if l > size || total+l > limit || len(bufs[n-1]) < size {
			break
		}
		total += l
	}
	return n
}

// receiver returns the function that reads up to batch datagrams at once. One
// goroutine calls it.
func (s *udpSocket) receiver(batch int) conn.ReceiveFunc {
	msgs := make([]ipv4.Message, batch)
	if s.gro {
		msgs = msgs[:groReads]
	}
	for i := range msgs {
		msgs[i].Buffers = make([][]byte, 1)
		msgs[i].OOB = make([]byte, oobSize)
		if s.gro {
			msgs[i].Buffers[0] = make([]byte, maxDatagram)
		}
	}
	read := func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		use := msgs
		if !s.gro {
			use = msgs[:min(len(msgs), len(bufs))]
			for i := range use {
				use[i].Buffers[0] = bufs[i]
			}
		}
		n, err := s.pc.ReadBatch(use, 0)
		if err != nil {
			return 0, err
		}
		out := 0
		for i := range use[:n] {
			m := &use[i]
			src, seg := parseControl(m.OOB[:m.NN])
			e := &endpoint{dst: unmap(m.Addr.(*net.UDPAddr).AddrPort()), src: src}
			if s.gro {
				out = split(m.Buffers[0][:m.N], seg, e, batchOut{bufs, sizes, eps, out})
				continue
			}
			sizes[i], eps[i], out = m.N, e, i+1
		}
		return out, nil
	}
	var kept taken
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		if s.inflight != nil {
			s.inflight.add(kept.of(bufs))
			s.inflight.wait()
		}
		n, err := read(bufs, sizes, eps)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			n, due := s.glare.release(bufs, sizes, eps, time.Now())
			return n, s.conn.SetReadDeadline(due)
		}
		if err != nil {
			return n, err
		}
		for i, size := range sizes[:n] {
			if size == responseSize || size == cookieSize {
				s.again.received(bufs[i][:size])
			}
		}
		if due := s.glare.received(bufs[:n], sizes[:n], eps[:n]); !due.IsZero() {
			err = s.conn.SetReadDeadline(due)
		}
		if s.inflight != nil {
			kept.note(bufs, sizes[:n])
		}
		return n, err
	}
}

// batchOut is where received datagrams go: behind the first n.
type batchOut struct {
	bufs  [][]byte
	sizes []int
	eps   []conn.Endpoint
	n     int
}

// split copies the datagrams of seg bytes that data consists of to out, and
// returns how many that then holds. seg 0 means one datagram.
func split(data []byte, seg int, e conn.Endpoint, out batchOut) int {
	if seg == 0 {
		seg = len(data)
	}
	n := out.n
	for ; len(data) > 0 && n < len(out.bufs); n++ {
		l := copy(out.bufs[n], data[:min(seg, len(data))])
		out.sizes[n], out.eps[n] = l, e
		data = data[l:]
	}
	return n
}

// parseControl reads the address that a datagram was sent to, and the length
// of its segments if it is coalesced, 0 otherwise.
func parseControl(oob []byte) (to netip.Addr, seg int) {
	for len(oob) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			to = netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			to = netip.AddrFrom16([16]byte(data[:16])) // ipi6_addr
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 2:
			seg = int(binary.NativeEndian.Uint16(data))
		}
		oob = rest
	}
	return to, seg
}

// appendSource asks the kernel to send from src. The interface is left open,
// so the packet follows the routes as they are now.
func appendSource(oob []byte, src netip.Addr) []byte {
	switch {
	case src.Is4():
		var info [unix.SizeofInet4Pktinfo]byte
		a := src.As4()
		copy(info[4:], a[:]) // ipi_spec_dst
		return appendControl(oob, unix.IPPROTO_IP, unix.IP_PKTINFO, info[:])
	case src.Is6():
		var info [unix.SizeofInet6Pktinfo]byte
		a := src.As16()
		copy(info[:], a[:]) // ipi6_addr
		return appendControl(oob, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info[:])
	}
	return oob
}

// appendControl appends one control message (struct cmsghdr and padding).
func appendControl(oob []byte, level, kind int32, data []byte) []byte {
	at := len(oob)
	oob = append(oob, make([]byte, unix.CmsgSpace(len(data)))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[at]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(len(data)))
	copy(oob[at+unix.CmsgLen(0):], data)
	return oob
}
