package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxPacket is the largest MTU, in bytes.
const maxPacket = 9216

// Internet carries packets between sites. Links and cuts may change at any time.
type Internet struct {
	seed   uint64
	start  time.Time
	line   *delayLine
	cancel context.CancelFunc
	wg     sync.WaitGroup
	routes atomic.Pointer[routes] // replaced as a whole, under mu

	unroutable, overflowed atomic.Uint64

	mu    sync.Mutex // guards the fields below
	sites []*Site
	base  Link
	cuts  []func(from, to *Site) bool
}

// Counters say what became of packets.
type Counters struct {
	Packets, Bytes uint64 // let through, copies not counted
	Lost           uint64 // by Link.Loss
	Duplicated     uint64
	Reordered      uint64
	Overflowed     uint64 // queue full
	TooBig         uint64 // beyond Link.MTU
	Cut            uint64 // by Cut or Split
	Unroutable     uint64 // nobody has the destination; only in [Internet.Counters]
}

// routes is who has which addresses. It never changes.
type routes struct {
	v4    map[[4]byte]*uplink
	v6    map[[8]byte]*uplink // by /64
	paths [][]*path           // [from][to], by index of uplink
}

func newInternet(seed uint64) *Internet {
	n := &Internet{seed: seed, start: time.Now()}
	n.line = newDelayLine(n.now)
	n.routes.Store(&routes{})
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.wg.Go(func() { n.line.run(ctx) })
	return n
}

func (n *Internet) now() time.Duration { return time.Since(n.start) }

// Link sets the links between two sites, both ways.
func (n *Internet) Link(a, b *Site, l Link) {
	a.lab.t.Helper()
	n.LinkOneWay(a, b, l)
	n.LinkOneWay(b, a, l)
}

// LinkOneWay sets the link from one site to another.
func (n *Internet) LinkOneWay(from, to *Site, l Link) {
	from.lab.t.Helper()
	if err := l.validate(); err != nil {
		from.lab.t.Fatalf("netlab: link from %s to %s: %v", from.Name, to.Name, err)
	}
	n.routes.Load().paths[from.up.index][to.up.index].set(l)
}

// LinkAll sets every link, those of sites to come as well.
func (n *Internet) LinkAll(l Link) error {
	if err := l.validate(); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.base = l
	for _, row := range n.routes.Load().paths {
		for _, p := range row {
			p.set(l)
		}
	}
	return nil
}

// Cut drops what goes from one site to another wherever pred says so, for sites
// to come as well, until [Internet.Heal]. Several cuts add up. Packets on the way
// arrive.
func (n *Internet) Cut(pred func(from, to *Site) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts = append(n.cuts, pred)
	n.applyCutsLocked()
}

// Split cuts some sites off all others, both ways. They still reach each other.
func (n *Internet) Split(sites ...*Site) {
	inside := slices.Clone(sites)
	n.Cut(func(from, to *Site) bool { return slices.Contains(inside, from) != slices.Contains(inside, to) })
}

// Heal ends all cuts.
func (n *Internet) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts = nil
	n.applyCutsLocked()
}

func (n *Internet) applyCutsLocked() {
	paths := n.routes.Load().paths
	for i, from := range n.sites {
		for j, to := range n.sites {
			paths[i][j].setCut(slices.ContainsFunc(n.cuts, func(pred func(from, to *Site) bool) bool { return pred(from, to) }))
		}
	}
}

// Counters are the sums over all links.
func (n *Internet) Counters() Counters {
	sum := Counters{Unroutable: n.unroutable.Load(), Overflowed: n.overflowed.Load()}
	for _, row := range n.routes.Load().paths {
		for _, p := range row {
			c := p.count()
			sum.Packets += c.Packets
			sum.Bytes += c.Bytes
			sum.Lost += c.Lost
			sum.Duplicated += c.Duplicated
			sum.Reordered += c.Reordered
			sum.Overflowed += c.Overflowed
			sum.TooBig += c.TooBig
			sum.Cut += c.Cut
		}
	}
	return sum
}

// CountersOf are those of the link from one site to another.
func (n *Internet) CountersOf(from, to *Site) Counters {
	return n.routes.Load().paths[from.up.index][to.up.index].count()
}

// attach connects a site.
func (n *Internet) attach(s *Site) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	u, err := openUplink(s)
	if err != nil {
		return err
	}
	u.index, s.up = len(n.sites), u
	n.sites = append(n.sites, s)
	old := n.routes.Load()
	next := &routes{v4: old.v4, v6: old.v6}
	for i := range n.sites {
		row := make([]*path, len(n.sites))
		if i < len(old.paths) {
			copy(row, old.paths[i])
		}
		for j := range row {
			if row[j] == nil {
				row[j] = newPath(n.base, n.seed, uint64(i)<<32|uint64(j))
			}
		}
		next.paths = append(next.paths, row)
	}
	n.routes.Store(next)
	n.applyCutsLocked()
	n.wg.Go(func() { n.serve(u) })
	return nil
}

// route sends what goes to a prefix, a /32 or a /64, to a site; nil takes the
// route away.
func (n *Internet) route(p netip.Prefix, s *Site) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.routes.Load()
	next := &routes{v4: map[[4]byte]*uplink{}, v6: map[[8]byte]*uplink{}, paths: old.paths}
	for k, v := range old.v4 {
		next.v4[k] = v
	}
	for k, v := range old.v6 {
		next.v6[k] = v
	}
	var to *uplink
	if s != nil {
		to = s.up
	}
	if p.Addr().Is4() {
		next.v4[p.Addr().As4()] = to
	} else {
		b := p.Addr().As16()
		next.v6[[8]byte(b[:8])] = to
	}
	n.routes.Store(next)
}

// forget takes the route to an address away, if there is one.
func (n *Internet) forget(a netip.Addr) {
	if a.IsValid() {
		n.route(netip.PrefixFrom(a, a.BitLen()), nil)
	}
}

// serve forwards what a site sends, until its uplink closes.
func (n *Internet) serve(from *uplink) {
	buf := make([]byte, maxPacket)
	for {
		size, err := from.tun.Read(buf)
		if err != nil {
			return
		}
		n.forward(from, buf[:size])
	}
}

// forward carries one packet of a site. It does not keep the packet.
func (n *Internet) forward(from *uplink, packet []byte) {
	r := n.routes.Load()
	to, known := r.lookup(packet)
	if !known {
		return
	}
	if to == nil || to == from {
		n.unroutable.Add(1)
		return
	}
	f := r.paths[from.index][to.index].admit(n.now(), len(packet))
	if !f.forward {
		if f.tooBig > 0 {
			if answer := tooBig(packet, f.tooBig); answer != nil {
				from.write(answer)
			}
		}
		return
	}
	n.send(to, packet, f.due)
	if f.twice {
		n.send(to, packet, f.due)
	}
}

func (n *Internet) send(to *uplink, packet []byte, due time.Duration) {
	if due == 0 {
		to.write(packet)
	} else if !n.line.add(due, to, packet) {
		n.overflowed.Add(1)
	}
}

// lookup is whom a packet is for; false if it is none for the internet, such as
// the multicasts of a router's own kernel.
func (r *routes) lookup(packet []byte) (*uplink, bool) {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		dst := [4]byte(packet[16:20])
		if binary.BigEndian.Uint32(dst[:]) >= 0xe0000000 {
			return nil, false
		}
		return r.v4[dst], true
	case len(packet) >= 40 && packet[0]>>4 == 6:
		if packet[24] == 0xff || packet[8] == 0xfe { // multicast; from a link-local address
			return nil, false
		}
		return r.v6[[8]byte(packet[24:32])], true
	}
	return nil, false
}

func (n *Internet) close() error {
	n.cancel()
	n.mu.Lock()
	var err error
	for _, s := range n.sites {
		err = errors.Join(err, s.up.tun.Close())
	}
	n.mu.Unlock()
	n.wg.Wait()
	return err
}
