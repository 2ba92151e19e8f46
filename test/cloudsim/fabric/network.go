package fabric

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
)

// network is one network and the wanted state of its router.
type network struct {
	Network
	index int

	apply sync.Mutex // held while the router is changed; taken before Fabric.mu

	// guarded by Fabric.mu
	wanted
	gone bool
}

// wanted is what owners said about a network, or its machines by being on.
type wanted struct {
	gateway   Gateway
	gatewayIP netip.Addr                // of SNAT; invalid without
	public    map[netip.Addr]netip.Addr // public -> private
	firewall  map[netip.Addr][]Rule     // by private address
	ports     map[netip.Addr]*machine   // VMs that are on, by private address
}

func (w wanted) clone() wanted {
	w.public, w.firewall, w.ports = maps.Clone(w.public), maps.Clone(w.firewall), maps.Clone(w.ports)
	return w
}

// routerConfig is the whole wanted state of a router.
type routerConfig struct {
	Index    int
	CIDR     netip.Prefix
	Attached bool
	SNAT     netip.Addr // invalid: no SNAT
	Public   []mapping  // sorted by public address
	Ports    []port     // sorted by private address

	MetadataIP netip.Addr
	Metadata   http.Handler
}

// mapping is a 1:1 NAT.
type mapping struct{ Public, Private netip.Addr }

// port is where a VM meets its router.
type port struct {
	VM    int // index
	IP    netip.Addr
	Rules []Rule
}

// AddNetwork makes a network with its router; nothing gets in or out before
// [Fabric.SetGateway].
func (f *Fabric) AddNetwork(ctx context.Context, n Network) error {
	if !n.CIDR.IsValid() || !n.CIDR.Addr().Is4() || n.CIDR.Bits() > 30 {
		return fmt.Errorf("network %s: cidr %s: want an IPv4 prefix of at most 30 bits", n.ID, n.CIDR)
	}
	if n.MTU == 0 {
		n.MTU = 1500
	}
	if !n.MetadataIP.IsValid() {
		n.MetadataIP = netip.MustParseAddr(metadataIP)
	}
	if !n.MetadataIP.Is4() || n.CIDR.Contains(n.MetadataIP) || Internet().Contains(n.MetadataIP) {
		return fmt.Errorf("network %s: metadata address %s: want an IPv4 address outside of the network and the internet", n.ID, n.MetadataIP)
	}
	n.CIDR = n.CIDR.Masked()
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return ErrClosed
	}
	if _, ok := f.networks[n.ID]; ok {
		f.mu.Unlock()
		return fmt.Errorf("network %s: %w", n.ID, ErrExists)
	}
	f.nextNet++
	nw := &network{
		Network: n,
		index:   f.nextNet,
		wanted: wanted{
			public:   map[netip.Addr]netip.Addr{},
			firewall: map[netip.Addr][]Rule{},
			ports:    map[netip.Addr]*machine{},
		},
	}
	f.networks[n.ID] = nw
	nw.apply.Lock() // nobody else has seen it
	defer nw.apply.Unlock()
	c := f.routerConfigLocked(nw)
	f.mu.Unlock()
	if err := f.host.addRouter(ctx, c); err != nil {
		f.mu.Lock()
		nw.gone = true
		delete(f.networks, n.ID)
		f.mu.Unlock()
		return fmt.Errorf("router of network %s: %w", n.ID, err)
	}
	return nil
}

// RemoveNetwork removes a network, its router and its mappings. It returns
// ErrInUse while a VM that is not terminated belongs to it.
func (f *Fabric) RemoveNetwork(ctx context.Context, id string) error {
	n, err := f.network(id)
	if err != nil {
		return err
	}
	n.apply.Lock()
	defer n.apply.Unlock()
	if err := f.forgetNetwork(n); err != nil {
		return err
	}
	if err := f.host.removeRouter(ctx, n.index); err != nil {
		return fmt.Errorf("router of network %s: %w", id, err)
	}
	return nil
}

func (f *Fabric) forgetNetwork(n *network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n.gone {
		return fmt.Errorf("network %s: %w", n.ID, ErrNotFound)
	}
	for id, m := range f.vms {
		if m.NetworkID == n.ID && m.state != StateTerminated {
			return fmt.Errorf("network %s by machine %s: %w", n.ID, id, ErrInUse)
		}
	}
	n.gone = true
	delete(f.networks, n.ID)
	if n.gatewayIP.IsValid() {
		return f.pool.release(n.gatewayIP)
	}
	return nil
}

// SetGateway attaches a network to the internet or detaches it. Flows that are
// no longer allowed are cut.
func (f *Fabric) SetGateway(ctx context.Context, networkID string, g Gateway) error {
	return f.change(ctx, networkID, func(n *network) error {
		wantIP := g.Attached && g.SNAT
		switch {
		case wantIP && !n.gatewayIP.IsValid():
			a, err := f.pool.allocate()
			if err != nil {
				return err
			}
			n.gatewayIP = a
		case !wantIP && n.gatewayIP.IsValid():
			if err := f.pool.release(n.gatewayIP); err != nil {
				return err
			}
			n.gatewayIP = netip.Addr{}
		}
		n.gateway = g
		return nil
	})
}

// GatewayIP is the public address that VMs without one of their own leave a
// network with; invalid if the network has no SNAT.
func (f *Fabric) GatewayIP(networkID string) netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.networks[networkID]; n != nil {
		return n.gatewayIP
	}
	return netip.Addr{}
}

// MapPublic makes a 1:1 NAT between an allocated public address and a private
// one, whether or not a VM has it yet. The public address must not be mapped, nor
// the private one have another mapping: ErrInUse.
func (f *Fabric) MapPublic(ctx context.Context, public netip.Addr, networkID string, private netip.Addr) error {
	return f.change(ctx, networkID, func(n *network) error {
		if !f.pool.taken[public] {
			return fmt.Errorf("public address %s: %w", public, ErrNotFound)
		}
		if !n.CIDR.Contains(private) {
			return fmt.Errorf("private address %s: not in %s of network %s", private, n.CIDR, n.ID)
		}
		for _, o := range f.networks {
			if p, ok := o.public[public]; ok || o.gatewayIP == public {
				return fmt.Errorf("public address %s for %s in network %s: %w", public, p, o.ID, ErrInUse)
			}
		}
		for pub, priv := range n.public {
			if priv == private {
				return fmt.Errorf("private address %s by %s: %w", private, pub, ErrInUse)
			}
		}
		n.public[public] = private
		return nil
	})
}

// UnmapPublic ends the 1:1 NAT of a public address, which stays allocated.
func (f *Fabric) UnmapPublic(ctx context.Context, public netip.Addr) error {
	f.mu.Lock()
	id := ""
	for _, n := range f.networks {
		if _, ok := n.public[public]; ok {
			id = n.ID
		}
	}
	f.mu.Unlock()
	if id == "" {
		return fmt.Errorf("mapping of public address %s: %w", public, ErrNotFound)
	}
	return f.change(ctx, id, func(n *network) error {
		delete(n.public, public)
		return nil
	})
}

// SetFirewall replaces the rules of one VM port, given by its private address,
// whether or not a VM has it yet. What no rule lets pass is dropped, in both
// directions: a cloud that allows all egress says so with a rule. The metadata
// service is always reachable.
func (f *Fabric) SetFirewall(ctx context.Context, networkID string, private netip.Addr, rules []Rule) error {
	for _, r := range rules {
		if err := r.validate(); err != nil {
			return err
		}
	}
	return f.change(ctx, networkID, func(n *network) error {
		if len(rules) == 0 {
			delete(n.firewall, private)
		} else {
			n.firewall[private] = slices.Clone(rules)
		}
		return nil
	})
}

// change edits a network under the lock and brings its router to the new state.
// If the router cannot follow, the edit is undone.
func (f *Fabric) change(ctx context.Context, networkID string, edit func(*network) error) error {
	n, err := f.network(networkID)
	if err != nil {
		return err
	}
	n.apply.Lock()
	defer n.apply.Unlock()
	f.mu.Lock()
	if n.gone {
		f.mu.Unlock()
		return fmt.Errorf("network %s: %w", networkID, ErrNotFound)
	}
	before := n.wanted.clone()
	if err := edit(n); err != nil {
		f.mu.Unlock()
		return err
	}
	c := f.routerConfigLocked(n)
	f.mu.Unlock()
	if err := f.host.setRouter(ctx, c); err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.pool.swap(n.gatewayIP, before.gatewayIP)
		n.wanted = before
		return fmt.Errorf("router of network %s: %w", networkID, err)
	}
	return nil
}

func (f *Fabric) network(id string) (*network, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	n := f.networks[id]
	if n == nil {
		return nil, fmt.Errorf("network %s: %w", id, ErrNotFound)
	}
	return n, nil
}

func (f *Fabric) routerConfigLocked(n *network) routerConfig {
	c := routerConfig{
		Index:    n.index,
		CIDR:     n.CIDR,
		Attached: n.gateway.Attached,
		SNAT:     n.gatewayIP,

		MetadataIP: n.MetadataIP,
		Metadata:   f.metadata(n),
	}
	for _, public := range slices.SortedFunc(maps.Keys(n.public), netip.Addr.Compare) {
		c.Public = append(c.Public, mapping{Public: public, Private: n.public[public]})
	}
	for _, ip := range slices.SortedFunc(maps.Keys(n.ports), netip.Addr.Compare) {
		c.Ports = append(c.Ports, port{VM: n.ports[ip].index, IP: ip, Rules: n.firewall[ip]})
	}
	return c
}

// metadata answers requests of the VMs of one network, told apart by the
// address they come from, which they cannot forge.
func (f *Fabric) metadata(n *network) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "no address", http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		var h http.Handler
		if m := n.ports[from.Addr().Unmap()]; m != nil {
			h = m.Metadata
		}
		f.mu.Unlock()
		if h == nil {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (r Rule) validate() error {
	switch r.Protocol {
	case "tcp", "udp":
		if r.FromPort < 0 || r.ToPort > 65535 || r.FromPort > r.ToPort {
			return fmt.Errorf("firewall rule: ports %d-%d: want 0 <= from <= to <= 65535", r.FromPort, r.ToPort)
		}
	case "icmp":
		if r.FromPort < -1 || r.FromPort > 255 || r.ToPort < -1 || r.ToPort > 255 {
			return fmt.Errorf("firewall rule: icmp type %d code %d: want -1 to 255", r.FromPort, r.ToPort)
		}
	case "":
	default:
		return r.validateNumber()
	}
	return nil
}

func (r Rule) validateNumber() error {
	n := 0
	for _, c := range r.Protocol {
		if c < '0' || c > '9' || n > 255 {
			return errors.New("firewall rule: protocol " + r.Protocol + ": want tcp, udp, icmp, nothing or a number")
		}
		n = n*10 + int(c-'0')
	}
	if n > 255 {
		return errors.New("firewall rule: protocol " + r.Protocol + ": want at most 255")
	}
	return nil
}
