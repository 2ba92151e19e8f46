package mesh

import (
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// receive hands packets on until Shutdown.
func (w *wire) receive() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := w.packets.ReadFrom(buf)
		at := time.Now()
		if err != nil {
			if !w.pause(err) {
				return
			}
			continue
		}
		src := addrOf(from)
		if n == 0 || !w.passes(src, buf[:n], at) {
			continue
		}
		if buf[0] == protocol.Magic {
			w.take(src, buf[:n])
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: at}
		select {
		case w.packetCh <- p:
		default: // memberlist is behind: gossip is repeated anyway
		}
	}
}

// passes reports whether a packet is worth reading, and counts it if not.
func (w *wire) passes(src netip.Addr, b []byte, at time.Time) bool {
	if !w.handler.isMember(src) {
		w.handler.refused("stranger")
		return false
	}
	if !w.rateOf(src).AllowN(at, 1) {
		w.handler.refused("flood")
		return false
	}
	if b[0] == protocol.Magic {
		return true
	}
	if err := checkPacket(b); err != nil {
		w.handler.refused(protocol.Fault(err))
		return false
	}
	return true
}

// rateOf returns the limiter of one member's packets.
func (w *wire) rateOf(src netip.Addr) *rate.Limiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.rates[src]
	if l == nil {
		if len(w.rates) >= 4*protocol.MaxMembers {
			clear(w.rates) // of members that are gone
		}
		l = rate.NewLimiter(packetRate, packetBurst)
		w.rates[src] = l
	}
	return l
}

// send sends a packet of ours. Errors do not matter: it is asked again.
func (w *wire) send(to netip.Addr, b []byte) {
	if _, err := w.packets.WriteTo(b, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, GossipPort))); err != nil {
		w.log.Debug("packet", "to", to, "err", err)
	}
}

// take hands on a packet of ours.
func (w *wire) take(src netip.Addr, b []byte) {
	if protocol.IsNotice(b) {
		n, err := protocol.ParseNotice(b)
		if err != nil {
			w.handler.refused("notice")
			return
		}
		w.handler.takeNotice(src, n)
		return
	}
	e, err := protocol.ParseEcho(b)
	if err != nil {
		w.handler.refused("echo")
		return
	}
	w.handler.takeEcho(src, e)
}
