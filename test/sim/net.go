package sim

import (
	"net/netip"
	"time"
)

// wgPort is WireGuard's port everywhere.
const wgPort = 51820

// host is one machine: what it has in the underlay.
type host struct {
	node    *Node
	on      bool
	addr    netip.Addr // its own
	outside netip.Addr // of the NAT it is behind; invalid if none
	called  map[*host]bool
	side    int // of the present partition
	device  device
}

// opens lets the NAT of a host take packets of another.
func (w *World) opens(h, other *host) {
	if h.outside.IsValid() {
		h.called[other] = true
	}
}

// seenAt is where others see a host's WireGuard.
func (w *World) seenAt(h *host) netip.AddrPort {
	a := h.addr
	if h.outside.IsValid() {
		a = h.outside
	}
	return netip.AddrPortFrom(a, wgPort)
}

// route returns the host that a packet to an endpoint arrives at, nil if none.
func (w *World) route(from *host, e netip.AddrPort) *host {
	if e.Port() != wgPort {
		return nil
	}
	to := w.byAddr[e.Addr()]
	if to == nil || to == from || !to.on || w.cutBetween(from, to) {
		return nil
	}
	w.opens(from, to)
	if to.outside.IsValid() && !to.called[from] {
		return nil
	}
	return to
}

// cutBetween reports whether there is no network between two hosts.
func (w *World) cutBetween(a, b *host) bool {
	return a.side != b.side || w.oneWay[[2]*host{a, b}]
}

// lost decides on one packet.
func (w *World) lost() bool { return w.loss > 0 && w.rand.Float64() < w.loss }

// delay is how long one packet takes: later ones may overtake it.
func (w *World) delay() time.Duration {
	return w.latency + time.Duration(w.rand.Int64N(int64(w.jitter)+1))
}
