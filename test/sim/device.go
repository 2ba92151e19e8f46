package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/overlay"
)

// Times of WireGuard.
const (
	rekeyAfter   = 5 * time.Second   // a handshake without an answer is tried again
	silentAfter  = 15 * time.Second  // a session that nothing comes from is given up
	sessionLasts = 120 * time.Second // before another handshake
)

// device is one host's WireGuard.
type device struct {
	key    overlay.Key // its public one
	config overlay.Config
	peers  map[overlay.Key]*peer
	byIP   map[netip.Addr]*peer
	fine   map[netip.AddrPort]bool // endpoints that config's routes allow
}

// peer is one of a device's peers at this moment.
type peer struct {
	status  overlay.PeerStatus
	session uint64        // the same on both sides; 0 if there is none
	tried   time.Duration // the last handshake was
	heard   time.Duration // from the peer, in this session
	sent    time.Duration // unanswered since; 0 if nothing is
}

func (d *device) clear() {
	d.config, d.peers, d.byIP = overlay.Config{}, map[overlay.Key]*peer{}, map[netip.Addr]*peer{}
	d.fine = map[netip.AddrPort]bool{}
}

// valid reports whether overlay.Config.Validate finds no fault. It asks only if
// more than endpoints differs from the configuration in force, or if one of
// them is new.
func (d *device) valid(c overlay.Config) bool {
	same := slices.EqualFunc(c.Peers, d.config.Peers, func(p, q overlay.Peer) bool {
		return p.PublicKey == q.PublicKey && p.Keepalive == q.Keepalive && slices.Equal(p.AllowedIPs, q.AllowedIPs) && d.fine[p.Endpoint]
	})
	if same && c.PrivateKey == d.config.PrivateKey && c.Port == d.config.Port && c.MTU == d.config.MTU &&
		slices.Equal(c.Addresses, d.config.Addresses) && slices.Equal(c.Routes, d.config.Routes) {
		return true
	}
	if c.Validate() != nil {
		return false
	}
	if len(d.fine) > 1000 {
		clear(d.fine)
	}
	for _, p := range c.Peers {
		d.fine[p.Endpoint] = true
	}
	return true
}

// poison is an endpoint that devices take for no peer, though it looks well.
var poison = netip.MustParseAddrPort("203.0.113.66:51820")

// set does what overlay.Device does: peers that stay keep their sessions, an
// endpoint is applied when it changes in the configuration, and one bad endpoint
// spoils the whole.
func (d *device) set(a protocol.SetDevice) protocol.DeviceSet {
	valid := d.valid(a.Config) // and so is each part of it
	if due := protocol.Due(a.Reset, d.statuses()); len(due) > 0 {
		without := a.Config
		without.Peers = slices.DeleteFunc(slices.Clone(a.Config.Peers), func(p overlay.Peer) bool { return slices.Contains(due, p.PublicKey) })
		if r := d.apply(without, valid); r.Err != nil {
			return r
		}
	}
	return d.apply(a.Config, valid)
}

func (d *device) apply(c overlay.Config, valid bool) protocol.DeviceSet {
	if !valid {
		if err := c.Validate(); err != nil {
			return protocol.DeviceSet{Err: err}
		}
	}
	for _, p := range c.Peers {
		if p.Endpoint == poison {
			return protocol.DeviceSet{Err: errors.New("endpoint refused"), Refused: []protocol.Refusal{{Peer: p.PublicKey, Endpoint: p.Endpoint, Reason: "poison"}}}
		}
		if slices.ContainsFunc(c.Routes, func(r netip.Prefix) bool { return r.Contains(p.Endpoint.Addr()) }) {
			return protocol.DeviceSet{Err: fmt.Errorf("endpoint %s inside the tunnel", p.Endpoint)}
		}
	}
	before := map[overlay.Key]overlay.Peer{}
	for _, p := range d.config.Peers {
		before[p.PublicKey] = p
	}
	peers, byIP := map[overlay.Key]*peer{}, map[netip.Addr]*peer{}
	for _, p := range c.Peers {
		q := d.peers[p.PublicKey]
		if q == nil {
			q = &peer{status: overlay.PeerStatus{PublicKey: p.PublicKey}, tried: -rekeyAfter}
		}
		if p.Endpoint.IsValid() && p.Endpoint != before[p.PublicKey].Endpoint {
			q.status.Endpoint = p.Endpoint
		}
		q.status.AllowedIPs = p.AllowedIPs
		peers[p.PublicKey] = q
		for _, ip := range p.AllowedIPs {
			byIP[ip.Addr()] = q
		}
	}
	d.config, d.peers, d.byIP = c, peers, byIP
	return protocol.DeviceSet{}
}

// statuses returns what the device says, sorted as the configuration is.
func (d *device) statuses() []overlay.PeerStatus {
	ps := make([]overlay.PeerStatus, 0, len(d.peers))
	for _, p := range d.config.Peers {
		ps = append(ps, d.peers[p.PublicKey].status)
	}
	return ps
}

// has reports whether a peer may send from an address.
func (p *peer) has(a netip.Addr) bool {
	return slices.ContainsFunc(p.status.AllowedIPs, func(q netip.Prefix) bool { return q.Addr() == a })
}

// packet takes a packet into the tunnel, and returns the host at the other end
// if it may arrive there. It does what WireGuard does: it shakes hands when it
// must, and drops what it cannot send.
func (w *World) packet(from *host, src, dst netip.Addr, size int) *host {
	p := from.device.byIP[dst]
	if p == nil || !from.on {
		return nil
	}
	p.status.TxBytes += int64(size)
	now := w.now
	gone := p.session != 0 && p.sent != 0 && now-p.sent > silentAfter || p.session != 0 && now-p.heard > sessionLasts
	if p.session == 0 || gone {
		if now-p.tried < rekeyAfter {
			return nil
		}
		p.tried = now
		if !w.handshake(from, p) {
			return nil
		}
	}
	if p.sent == 0 {
		p.sent = now
	}
	to := w.route(from, p.status.Endpoint)
	if to == nil || w.lost() {
		return nil
	}
	q := to.device.peers[from.device.key]
	if q == nil || q.session != p.session || !q.has(src) {
		return nil
	}
	q.status.RxBytes += int64(size)
	q.heard, q.sent = now, 0
	q.status.Endpoint = w.seenAt(from)
	return to
}

// handshake reports whether a session has come about.
func (w *World) handshake(from *host, p *peer) bool {
	to := w.route(from, p.status.Endpoint)
	if to == nil || to.device.key != p.status.PublicKey || w.lost() || w.lost() {
		return false
	}
	q := to.device.peers[from.device.key]
	if q == nil {
		return false
	}
	w.sessions++
	now := w.clock()
	for _, x := range []*peer{p, q} {
		x.session, x.heard, x.sent = w.sessions, w.now, 0
		x.status.LastHandshake = now
	}
	p.status.RxBytes += 92
	q.status.RxBytes += 148
	q.status.Endpoint = w.seenAt(from)
	w.opens(from, to)
	w.opens(to, from)
	return true
}
