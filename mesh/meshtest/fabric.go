// Package meshtest is an underlay, and WireGuard across it, in memory: whole
// meshes run in one process, without root, and in testing/synctest's time.
//
// A [Fabric] connects [Host]s. A host is both the [mesh.Net] and the
// [mesh.Device] of one node. As with WireGuard, a packet to an overlay address
// passes only if the sender's device has a peer with that address, the
// receiver's device has the sender's key with the source address, and one of
// them knew an endpoint that reaches the other. What is simulated is
// simulated: a handshake that is dropped here is tried again with the next
// packet, not after 5 s, and nothing is encrypted.
package meshtest

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cbnet-io/cbnet/overlay"
)

// Errors of connections across the fabric.
var (
	ErrUnreachable = errors.New("no route to host")
	ErrRefused     = error(syscall.ECONNREFUSED)
)

// Fabric is the simulated network. It is safe for concurrent use.
type Fabric struct {
	mu    sync.Mutex // guards everything of the fabric and its hosts
	hosts []*Host
	byKey map[overlay.Key][]*Host // by the key that others know the device by
	cut   func(a, b *Host) bool   // nil: nothing is cut
	watch func(Sent)              // nil: nobody watches

	impair func(a, b *Host) Impairment // nil: nothing is impaired
	rand   *rand.Rand                  // for impairments
}

// NewFabric returns a network without hosts.
func NewFabric() *Fabric { return &Fabric{byKey: map[overlay.Key][]*Host{}} }

// Sent is what a host has sent to another one.
type Sent struct {
	From, To *Host
	Packet   bool   // a datagram, else a piece of a stream
	Inside   bool   // the tunnel, else across the underlay
	Data     []byte // valid during the call
}

// Watch has every datagram and piece of a stream shown to a function before it
// is sent; nil ends that. The function must not call the fabric.
func (f *Fabric) Watch(see func(Sent)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = see
}

// Host adds a host with the given underlay addresses. It can be called from
// everywhere.
func (f *Fabric) Host(name string, addrs ...netip.Prefix) *Host {
	h := &Host{Name: name, fabric: f, addrs: addrs, tcp: map[string]*listener{}, udp: map[netip.AddrPort]*packetConn{}, peers: map[overlay.Key]*peer{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hosts = append(f.hosts, h)
	return h
}

// Behind adds a host behind a NAT: it is seen at the outside address, and
// reached only by those it has called first.
func (f *Fabric) Behind(name string, outside netip.Addr, addrs ...netip.Prefix) *Host {
	h := f.Host(name, addrs...)
	h.outside = outside
	return h
}

// Mapped adds a host behind a one-to-one NAT, as clouds give public addresses:
// it knows nothing of the outside address, and all can reach it there.
func (f *Fabric) Mapped(name string, outside netip.Addr, addrs ...netip.Prefix) *Host {
	h := f.Behind(name, outside, addrs...)
	h.mapped = true
	return h
}

// Cut takes away the network between all pairs for which the function is true,
// until the next call; nil heals everything.
func (f *Fabric) Cut(between func(a, b *Host) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = between
}

func (f *Fabric) seenLocked(s Sent) {
	if f.watch != nil {
		f.watch(s)
	}
}

func (f *Fabric) cutLocked(a, b *Host) bool {
	return a.down || b.down || f.cut != nil && (f.cut(a, b) || f.cut(b, a))
}

// Host is one machine.
type Host struct {
	Name    string
	fabric  *Fabric
	addrs   []netip.Prefix
	outside netip.Addr // of the NAT it is behind, invalid if none
	mapped  bool       // that NAT lets everyone in

	// Guarded by fabric.mu.
	down   bool
	tcp    map[string]*listener
	udp    map[netip.AddrPort]*packetConn
	config overlay.Config
	public overlay.Key                // of the device, zero if it is empty
	owners map[netip.Addr]overlay.Key // of the peers' single addresses
	peers  map[overlay.Key]*peer
	sets   int
	refuse netip.AddrPort // an endpoint that the device takes for no peer
}

// peer is one of a device's peers at this moment.
type peer struct {
	status  overlay.PeerStatus
	session *Host // with whom there is one, nil if none
}

// Crash cuts the host's power: its sockets are gone, nobody is told, and its
// device is empty.
func (h *Host) Crash() {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	h.down = true
	for _, l := range h.tcp {
		l.shut()
	}
	for _, p := range h.udp {
		p.shut()
	}
	h.clearLocked()
}

// Boot gives a crashed host its power back.
func (h *Host) Boot() {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	h.down = false
	h.clearLocked()
}

func (h *Host) clearLocked() {
	h.tcp, h.udp = map[string]*listener{}, map[netip.AddrPort]*packetConn{}
	h.configureLocked(overlay.Config{}, map[overlay.Key]*peer{})
}

// configureLocked gives the device its peers and keeps the indexes.
func (h *Host) configureLocked(c overlay.Config, peers map[overlay.Key]*peer) {
	if c.PrivateKey != h.config.PrivateKey {
		if hs := h.fabric.byKey[h.public]; !h.public.IsZero() {
			h.fabric.byKey[h.public] = slices.DeleteFunc(hs, func(o *Host) bool { return o == h })
		}
		h.public = overlay.Key{}
		if !c.PrivateKey.IsZero() {
			h.public = publicOf(c.PrivateKey)
			h.fabric.byKey[h.public] = append(h.fabric.byKey[h.public], h)
		}
	}
	h.config, h.peers = c, peers
	h.owners = make(map[netip.Addr]overlay.Key, 2*len(c.Peers))
	for _, p := range c.Peers {
		for _, a := range p.AllowedIPs {
			if a.IsSingleIP() {
				h.owners[a.Addr()] = p.PublicKey
			}
		}
	}
}

// ownerLocked returns the peer that packets to an overlay address go to.
func (h *Host) ownerLocked(to netip.Addr) (overlay.Key, bool) {
	if k, ok := h.owners[to]; ok {
		return k, true
	}
	i := slices.IndexFunc(h.config.Peers, func(p overlay.Peer) bool { return contains(p.AllowedIPs, to) })
	if i < 0 {
		return overlay.Key{}, false
	}
	return h.config.Peers[i].PublicKey, true
}

// Move gives the host other underlay addresses.
func (h *Host) Move(addrs ...netip.Prefix) {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	h.addrs = addrs
}

// Config returns what was last set on the host's device.
func (h *Host) Config() overlay.Config {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	return h.config
}

// Refuse has the device refuse configurations with an endpoint.
func (h *Host) Refuse(e netip.AddrPort) {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	h.refuse = e
}

// Roam has the device believe that a peer called from an endpoint.
func (h *Host) Roam(key overlay.Key, e netip.AddrPort) {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	if p := h.peers[key]; p != nil {
		p.status.Endpoint = e
		p.status.RxBytes += 148
	}
}

// Sets returns how often the device was set.
func (h *Host) Sets() int {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	return h.sets
}

// publicOf returns the key others know a device by.
func publicOf(private overlay.Key) overlay.Key {
	k, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		return overlay.Key{}
	}
	return overlay.Key(k.PublicKey().Bytes())
}

// seenAs returns the address the other host sees this one at.
func (h *Host) seenAs() netip.Addr {
	if h.outside.IsValid() {
		return h.outside
	}
	if len(h.addrs) == 0 {
		return netip.Addr{}
	}
	return h.addrs[0].Addr()
}

// tunnelLocked takes a packet from one overlay address to another and returns
// the receiving host, or why it did not pass.
func (f *Fabric) tunnelLocked(h *Host, from, to netip.Addr, n int) (*Host, error) {
	if slices.ContainsFunc(h.config.Addresses, func(p netip.Prefix) bool { return p.Addr() == to }) {
		return h, nil
	}
	key, ok := h.ownerLocked(to)
	if !ok || h.down {
		return nil, fmt.Errorf("%s: no peer: %w", to, ErrUnreachable)
	}
	out := h.peers[key]
	out.status.TxBytes += int64(n)
	other := out.session
	if other == nil || f.cutLocked(h, other) || other.peers[h.public] == nil || other.peers[h.public].session != h {
		if other = f.handshakeLocked(h, key); other == nil {
			return nil, fmt.Errorf("%s: no handshake: %w", to, ErrUnreachable)
		}
	}
	in := other.peers[h.public]
	if !contains(in.status.AllowedIPs, from) {
		return nil, fmt.Errorf("%s: source %s not allowed: %w", to, from, ErrUnreachable)
	}
	in.status.RxBytes += int64(n)
	in.status.Endpoint = netip.AddrPortFrom(h.seenAs(), uint16(h.config.Port))
	return other, nil
}

// handshakeLocked tries the endpoint of a peer.
func (f *Fabric) handshakeLocked(h *Host, key overlay.Key) *Host {
	p := h.peers[key]
	for _, other := range f.byKey[key] {
		back := other.peers[h.public]
		switch {
		case other == h || f.cutLocked(h, other) || back == nil:
			continue
		case !other.answersAt(p.status.Endpoint, back.session == h):
			continue
		}
		now := time.Now()
		p.session, back.session = other, h
		p.status.LastHandshake, back.status.LastHandshake = now, now
		p.status.RxBytes += 92
		back.status.RxBytes += 148
		back.status.Endpoint = netip.AddrPortFrom(h.seenAs(), uint16(h.config.Port))
		return other
	}
	return nil
}

// answersAt reports whether a packet to the endpoint arrives at the host.
func (h *Host) answersAt(e netip.AddrPort, called bool) bool {
	if int(e.Port()) != h.config.Port {
		return false
	}
	if h.outside.IsValid() {
		return (called || h.mapped) && e.Addr() == h.outside
	}
	return slices.ContainsFunc(h.addrs, func(p netip.Prefix) bool { return p.Addr() == e.Addr() })
}

func contains(ps []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

func tcpAddr(a netip.Addr, port uint16) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, port))
}

// Ping reports whether a packet passes from one of the host's overlay
// addresses to another host's.
func (h *Host) Ping(from, to netip.Addr) bool {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	other, err := h.fabric.tunnelLocked(h, from, to, 84)
	return err == nil && other != h
}
