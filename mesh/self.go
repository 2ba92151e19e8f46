package mesh

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// standing is how far a node takes part.
type standing int

const (
	standingHere standing = iota
	standingAway
	standingLeft
)

// whereabouts is what a node knows of its own place.
type whereabouts struct {
	port      int
	prefixes  []netip.Prefix // of its interfaces
	overlay   []netip.Prefix // the mesh's
	advertise []netip.Addr
	observed  netip.Addr // as an introducer saw it, invalid if never
	mapped    bool       // the observed address leads back here
	network   string
	introduce string // listen address, empty if it introduces nobody
}

// endpoints returns where this node's WireGuard may answer, best known first,
// at most identity.MaxEndpoints.
func (w whereabouts) endpoints() []identity.Endpoint {
	var es []identity.Endpoint
	add := func(a netip.Addr, k identity.EndpointKind) {
		a = a.Unmap()
		known := slices.ContainsFunc(es, func(e identity.Endpoint) bool { return e.Addr.Addr() == a })
		if usableAddr(a) && !known && !contains(w.overlay, a) && len(es) < identity.MaxEndpoints {
			es = append(es, identity.Endpoint{Addr: netip.AddrPortFrom(a, uint16(w.port)), Kind: k})
		}
	}
	for _, a := range w.advertise {
		add(a, identity.KindPublic)
	}
	for _, p := range w.prefixes {
		add(p.Addr(), identity.KindPrivate)
	}
	kind := identity.KindObserved
	if w.mapped {
		kind = identity.KindPublic
	}
	add(w.observed, kind)
	return es
}

// introduceAddr returns HOST:PORT where others reach this node's introducer,
// empty if nowhere.
func (w whereabouts) introduceAddr() string {
	if w.introduce == "" {
		return ""
	}
	listen, err := netip.ParseAddrPort(expandListen(w.introduce))
	if err != nil {
		return ""
	}
	host := listen.Addr().Unmap()
	if !usableAddr(host) {
		es := w.endpoints()
		if len(es) == 0 {
			return ""
		}
		host = es[0].Addr.Addr()
	}
	return net.JoinHostPort(host.String(), strconv.Itoa(int(listen.Port())))
}

// publish makes, signs and announces a new record of this node. The version is
// on disk before anyone sees it. It is at least the time in milliseconds, so
// that versions rise even where the state was lost, and above atLeast.
func (m *Mesh) publish(st standing, atLeast uint64) error {
	m.publishMu.Lock()
	defer m.publishMu.Unlock()
	prefixes, err := m.net.Addresses(m.cfg.Interface)
	if err != nil {
		m.log.Warn("own addresses unknown", "err", err)
	}
	m.mu.Lock()
	m.where.prefixes = prefixes
	w, old, version := m.where, m.self, max(m.version+1, atLeast+1, uint64(max(0, m.now().UnixMilli())))
	m.mu.Unlock()
	if old != nil && old.Record.Left && st != standingLeft {
		return nil // whoever left stays so until the next start
	}
	if err := m.store.saveRecord(recordState{Version: version, Observed: w.observed}); err != nil {
		// The clock keeps versions rising; a full disk must not cut the node off.
		m.log.Error("own record's version not saved", "err", err)
	}
	env, err := identity.SignRecord(identity.Record{
		Node: m.grant.Node, Version: version, Issued: m.now().UTC().Truncate(time.Millisecond),
		WireGuardKey: m.publicKey, Endpoints: w.endpoints(), Network: w.network,
		Introduce: w.introduceAddr(), Away: st == standingAway, Left: st == standingLeft,
	}, m.cfg.Bundle.Key, m.cfg.Bundle.Certificate)
	if err != nil {
		return fmt.Errorf("own record: %w", err)
	}
	s, err := m.roots.OpenRecord(env, m.now())
	if err != nil {
		return fmt.Errorf("own record: %w", err)
	}
	m.mu.Lock()
	m.self, m.version = s, version
	for _, l := range m.links {
		if l.up() { // an echo tells it that there is something new
			l.nextAsk = m.now()
		}
	}
	m.refreshLocked(nil)
	m.mu.Unlock()
	notify(m.announce)
	notify(m.wake)
	return nil
}

// moved reports whether this node's addresses are others than its record says.
func (m *Mesh) moved() bool {
	prefixes, err := m.net.Addresses(m.cfg.Interface)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.where
	w.prefixes = prefixes
	return !slices.Equal(w.endpoints(), m.self.Record.Endpoints)
}

// setObserved takes this node's address as another saw it, and publishes it if
// it is news.
func (m *Mesh) setObserved(a netip.Addr) {
	a = a.Unmap()
	m.mu.Lock()
	news := usableAddr(a) && a != m.where.observed && !contains(m.where.overlay, a)
	if news {
		m.where.observed = a
	}
	news = news && !slices.Equal(m.where.endpoints(), m.self.Record.Endpoints)
	m.mu.Unlock()
	if !news {
		return
	}
	if err := m.publish(standingHere, 0); err != nil {
		m.log.Warn("own record not renewed", "err", err)
	}
}

// isSelf reports whether an introducer's address is this node's own.
func (m *Mesh) isSelf(addr string) bool {
	if m.cfg.Introduce == "" || portOf(addr) != portOf(m.cfg.Introduce) {
		return false
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return a.IsLoopback() || slices.Contains(m.cfg.Advertise, a) ||
		slices.ContainsFunc(m.where.prefixes, func(p netip.Prefix) bool { return p.Addr() == a.Unmap() })
}
