package fabric

import (
	"fmt"
	"net/netip"
)

// pool hands out the public addresses of the internet. An address that was given
// back is handed out again only after all others, so that a late packet to an
// old VM does not reach a new one.
type pool struct {
	next  netip.Addr
	taken map[netip.Addr]bool
}

// The internet of a fabric: the range that RFC 2544 keeps for benchmarks.
const (
	internetCIDR = "198.18.0.0/15"
	hostAddr     = "198.18.0.1"
	firstPublic  = "198.18.1.1" // the addresses below are for hosts that tests add by hand
)

// Internet is the prefix of all public addresses.
func Internet() netip.Prefix { return netip.MustParsePrefix(internetCIDR) }

// HostIP is the address of this host on the internet of a fabric.
func HostIP() netip.Addr { return netip.MustParseAddr(hostAddr) }

func newPool() *pool {
	return &pool{next: netip.MustParseAddr(firstPublic), taken: map[netip.Addr]bool{}}
}

func (p *pool) allocate() (netip.Addr, error) {
	first := netip.MustParseAddr(firstPublic)
	for range 1 << 17 { // the size of a /15
		a := p.next
		p.next = a.Next()
		if last := netip.MustParseAddr("198.19.255.254"); a == last {
			p.next = first
		}
		if !p.taken[a] {
			p.taken[a] = true
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("public addresses of %s: %w", internetCIDR, ErrExhausted)
}

func (p *pool) release(a netip.Addr) error {
	if !p.taken[a] {
		return fmt.Errorf("public address %s: %w", a, ErrNotFound)
	}
	delete(p.taken, a)
	return nil
}

// swap undoes the exchange of one address for another; invalid ones do not count.
func (p *pool) swap(now, before netip.Addr) {
	if now == before {
		return
	}
	if now.IsValid() {
		delete(p.taken, now)
	}
	if before.IsValid() {
		p.taken[before] = true
	}
}
