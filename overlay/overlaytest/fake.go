// Package overlaytest helps to test what drives an overlay device: [Fake] is
// one without a machine below, and [Conformance] checks that it behaves as
// the real one.
package overlaytest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/overlay"
)

// Device is what both [overlay.Device] and [Fake] offer.
type Device interface {
	Set(context.Context, overlay.Config) error
	Peers() ([]overlay.PeerStatus, error)
	Close() error
}

var (
	_ Device = (*Fake)(nil)
	_ Device = (*overlay.Device)(nil)
)

// Fake keeps in memory what a device would be told, with the same rules for
// endpoints and the same validation. It knows no host networks, so a route
// collides with endpoints and reserved networks only. Roam, Handshake and
// Traffic play the remote side. It is safe for concurrent use. The zero value
// is ready.
type Fake struct {
	mu      sync.Mutex // guards the fields below
	config  overlay.Config
	peers   map[overlay.Key]*overlay.PeerStatus
	sets    int
	changes int
	fail    error
	closed  bool
}

// Set implements Device.
func (f *Fake) Set(ctx context.Context, c overlay.Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("config of fake: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sets++
	switch {
	case f.closed:
		return fmt.Errorf("set fake: %w", net.ErrClosed)
	case f.fail != nil:
		return f.fail
	case ctx.Err() != nil:
		return fmt.Errorf("set fake: %w", ctx.Err())
	}
	before := f.stringLocked()
	f.applyLocked(c)
	if f.stringLocked() != before {
		f.changes++
	}
	return nil
}

func (f *Fake) applyLocked(c overlay.Config) {
	old := make(map[overlay.Key]overlay.Peer)
	for _, p := range f.config.Peers {
		old[p.PublicKey] = p
	}
	next := make(map[overlay.Key]*overlay.PeerStatus, len(c.Peers))
	c.Peers = slices.Clone(c.Peers)
	for i, p := range c.Peers {
		s, ok := f.peers[p.PublicKey]
		if !ok {
			s = &overlay.PeerStatus{PublicKey: p.PublicKey}
		}
		want := unmap(p.Endpoint)
		if want.IsValid() && (!ok || want != unmap(old[p.PublicKey].Endpoint)) {
			s.Endpoint = want
		}
		s.AllowedIPs = slices.Clone(p.AllowedIPs)
		next[p.PublicKey] = s
		c.Peers[i].AllowedIPs = slices.Clone(p.AllowedIPs)
	}
	c.Addresses, c.Routes = slices.Clone(c.Addresses), slices.Clone(c.Routes)
	f.config, f.peers = c, next
}

// Peers implements Device.
func (f *Fake) Peers() ([]overlay.PeerStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, fmt.Errorf("peers of fake: %w", net.ErrClosed)
	}
	out := make([]overlay.PeerStatus, 0, len(f.peers))
	for _, p := range f.peers {
		s := *p
		s.AllowedIPs = slices.Clone(p.AllowedIPs)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b overlay.PeerStatus) int { return slices.Compare(a.PublicKey[:], b.PublicKey[:]) })
	return out, nil
}

// Close implements Device.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.peers = true, nil
	return nil
}

// Fail makes every later Set return err, until Fail(nil).
func (f *Fake) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// Config returns what the last successful Set was given.
func (f *Fake) Config() overlay.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.config
}

// Sets returns how often Set was called, and how many of these calls changed
// something.
func (f *Fake) Sets() (calls, changes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sets, f.changes
}

// Roam plays a packet of peer pub from another address: the device sends there
// from now on. It reports whether there is such a peer.
func (f *Fake) Roam(pub overlay.Key, from netip.AddrPort) bool {
	return f.play(pub, func(p *overlay.PeerStatus) { p.Endpoint = unmap(from) })
}

// Handshake plays a completed handshake with peer pub.
func (f *Fake) Handshake(pub overlay.Key, at time.Time) bool {
	return f.play(pub, func(p *overlay.PeerStatus) { p.LastHandshake = at })
}

// Traffic plays bytes received from and sent to peer pub.
func (f *Fake) Traffic(pub overlay.Key, rx, tx int64) bool {
	return f.play(pub, func(p *overlay.PeerStatus) { p.RxBytes, p.TxBytes = p.RxBytes+rx, p.TxBytes+tx })
}

func (f *Fake) play(pub overlay.Key, with func(*overlay.PeerStatus)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.peers[pub]
	if ok {
		with(p)
	}
	return ok
}

// String prints the state as lines in the manner of `ip` and `wg`, sorted,
// without the private key.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stringLocked()
}

func (f *Fake) stringLocked() string {
	c := f.config
	if c.PrivateKey.IsZero() {
		return "link down\n"
	}
	mtu := c.MTU
	if mtu == 0 {
		mtu = overlay.DefaultMTU
	}
	lines := []string{fmt.Sprintf("link up mtu %d", mtu), fmt.Sprintf("wg public-key %s listen-port %d", c.PrivateKey.Public(), c.Port)}
	for _, a := range sorted(c.Addresses) {
		lines = append(lines, "addr "+a)
	}
	for _, r := range sorted(c.Routes) {
		lines = append(lines, "route "+r)
	}
	keepalive := make(map[overlay.Key]time.Duration)
	for _, p := range c.Peers {
		keepalive[p.PublicKey] = p.Keepalive
	}
	var peers []string
	for k, p := range f.peers {
		s := "peer " + k.String()
		if p.Endpoint.IsValid() {
			s += " endpoint " + p.Endpoint.String()
		}
		s += " allowed-ips " + strings.Join(sorted(p.AllowedIPs), ",")
		if keepalive[k] > 0 {
			s += " keepalive " + keepalive[k].String()
		}
		peers = append(peers, s)
	}
	slices.Sort(peers)
	return strings.Join(append(lines, peers...), "\n") + "\n"
}

func sorted(ps []netip.Prefix) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.String()
	}
	slices.Sort(out)
	return out
}

func unmap(e netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(e.Addr().Unmap(), e.Port()) }
