package mesh

import (
	"net/netip"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Route is a prefix in the device, and whose it is.
type Route = protocol.Route

// Way returns how a peer is reached, and false if there is no such peer.
func (m *Mesh) Way(name string) (protocol.Way, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machine.Way(name, m.now())
}

// Why returns all that is known of why a node is reached, or is not.
func (m *Mesh) Why(name string) protocol.Case {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machine.Why(name, m.now())
}

// Routes returns what the device is to have: this node's own addresses, the
// networks sent into the interface, and the prefixes of all peers, sorted.
func (m *Mesh) Routes() (own, networks []netip.Prefix, routes []Route) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machine.Routes(m.now())
}
