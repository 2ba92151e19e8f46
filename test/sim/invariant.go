package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/overlay"
)

// The invariants.
const (
	I1      = "I1 nothing without a valid certificate reaches a device"
	I2      = "I2 connected honest nodes converge"
	I3      = "I3 one owner of an overlay address"
	I4      = "I4 nobody is removed without leave, revocation, expiry or a better claim"
	I6      = "I6 a restart with any state is safe"
	Revoked = "R a revoked node is refused by all"
)

// slack is how long after its end a certificate may still be in a device.
const slack = 2 * time.Second

// check looks at a change of an honest node's device.
func (w *World) check(n *Node, before, after overlay.Config) {
	if n.liar != nil {
		return
	}
	mesh := n.roots.Mesh()
	if !slices.Equal(after.Routes, []netip.Prefix{mesh.CIDR, mesh.CIDR6}) {
		w.fail(I1, n, fmt.Sprintf("routes %v", after.Routes))
	}
	owner := map[netip.Addr]overlay.Key{}
	for _, p := range after.Peers {
		for _, a := range p.AllowedIPs {
			if _, twice := owner[a.Addr()]; twice || a.Addr() == n.ip() {
				w.fail(I3, n, fmt.Sprintf("%s has two owners", a))
			}
			owner[a.Addr()] = p.PublicKey
		}
		if why := w.unfounded(n, p); why != "" {
			w.fail(I1, n, why)
		}
	}
	for _, p := range before.Peers {
		if len(p.AllowedIPs) != 2 {
			continue
		}
		if _, still := owner[p.AllowedIPs[0].Addr()]; !still {
			if why := w.unjust(n, p); why != "" {
				w.fail(I4, n, why)
			}
		}
	}
}

// unfounded returns why a peer must not be in a node's device, "" if it may.
func (w *World) unfounded(n *Node, p overlay.Peer) string {
	if len(p.AllowedIPs) != 2 || p.AllowedIPs[0].Bits() != 32 || p.AllowedIPs[1].Bits() != 128 {
		return fmt.Sprintf("allowed addresses %v", p.AllowedIPs)
	}
	why := fmt.Sprintf("nobody was granted %v", p.AllowedIPs)
	for _, g := range w.grants[p.AllowedIPs[0].Addr()] {
		switch {
		case g.ip6 != p.AllowedIPs[1].Addr():
		case n.now().After(g.cert.NotAfter.Add(slack)):
			why = g.node.name + "'s certificate has expired"
		case n.roots.Revoked(g.cert):
			why = g.node.name + "'s certificate is revoked"
		case g.node.liar == nil && p.PublicKey != g.node.host.device.key && !g.node.changedKey:
			why = "a key that is not " + g.node.name + "'s"
		default:
			return ""
		}
	}
	return why
}

// unjust returns why a peer must not have been taken out, "" if it may. A
// node that was certified anew may be known by its old certificate only.
func (w *World) unjust(n *Node, p overlay.Peer) string {
	ip, removed := p.AllowedIPs[0].Addr(), ""
	if w.contested[ip] {
		return ""
	}
	for _, g := range w.grants[ip] {
		m := g.node
		switch {
		case g.ip6 != p.AllowedIPs[1].Addr():
		case m.liar != nil, m.everLeft, n.machine.Clash(m.name) != "", n.roots.Revoked(g.cert), n.now().After(g.cert.NotAfter), m.cert.SerialNumber.Cmp(g.cert.SerialNumber) != 0:
			return ""
		default:
			removed = m.name + " was removed"
		}
	}
	return removed
}

// sound are the honest nodes that take part.
func (w *World) sound() []*Node {
	var ns []*Node
	for _, n := range w.nodes {
		if n.liar == nil && !n.revoked && !n.usurped && !n.expired() {
			ns = append(ns, n)
		}
	}
	return ns
}

// expired reports whether a certificate is over by anybody's clock.
func (n *Node) expired() bool { return n.w.clock().Add(time.Hour).After(n.cert.NotAfter) }

// unwell returns the first thing that is not as it must be once all is healed.
func (w *World) unwell() (invariant string, n *Node, detail string) {
	sound := w.sound()
	for _, n := range sound {
		if !n.opened {
			return I6, n, "does not run"
		}
	}
	for _, n := range sound {
		if got, want := n.roots.RevocationNumber(), w.ca.list.Number; got != want {
			return Revoked, n, fmt.Sprintf("has revocation list %d, the authority %d", got, want)
		}
		for _, p := range n.host.device.config.Peers {
			if why := w.unfounded(n, p); why != "" {
				return Revoked, n, why
			}
		}
	}
	for _, n := range sound {
		if what, detail := w.unwellNode(n, sound); what != "" {
			return what, n, detail
		}
	}
	for _, n := range sound {
		if detail := w.otherOwner(n, sound[0]); detail != "" {
			return I3, n, detail
		}
	}
	return "", nil, ""
}

// unwellNode looks at one node's way to all others.
func (w *World) unwellNode(n *Node, sound []*Node) (invariant, detail string) {
	states := map[string]protocol.Peer{}
	for _, p := range n.machine.Peers(n.now()) {
		states[p.Name] = p
	}
	have := n.machine.Summary().Records
	for _, m := range sound {
		if m == n {
			continue
		}
		p, ok := states[m.name]
		switch {
		case !ok:
			return I2, "does not know " + m.name
		case p.State != protocol.StateUp:
			return I2, fmt.Sprintf("%s is %s: %s", m.name, p.State, p.Reason)
		case n.host.device.byIP[m.ip()] == nil || n.host.device.byIP[m.ip()].status.PublicKey != m.host.device.key:
			return I2, "has another key of " + m.name
		case have[m.name].Version != m.machine.Record().Record.Version:
			return I6, fmt.Sprintf("has version %d of %s, not %d", have[m.name].Version, m.name, m.machine.Record().Record.Version)
		}
	}
	return "", ""
}

// otherOwner compares the owners of contested addresses: who has one, since
// that follows from certificates; with which key, the owner may say differently.
func (w *World) otherOwner(n, first *Node) string {
	for _, a := range w.contestedAddrs() {
		if n.ip() == a || first.ip() == a || w.split(a, n, first) {
			continue
		}
		if p, q := n.machine.NodeAt(a), first.machine.NodeAt(a); p != q {
			return fmt.Sprintf("%s belongs to %q, at %s to %q", a, p, first.name, q)
		}
	}
	return ""
}

// split reports whether two nodes have different records of a liar that an
// address was granted to. It may say here that it has left and there that it has
// not, in ever newer records, or in two of one version, of which neither replaces
// the other. Liars can do that to the addresses that the authority has granted
// to them, and to no others. Of the same records all must make the same.
func (w *World) split(a netip.Addr, n, first *Node) bool {
	ours, theirs := n.machine.Summary().Records, first.machine.Summary().Records
	return slices.ContainsFunc(w.grants[a], func(g grant) bool {
		return g.node.liar != nil && ours[g.node.name] != theirs[g.node.name]
	})
}

func (w *World) contestedAddrs() []netip.Addr {
	return slices.DeleteFunc(slices.Clone(w.addresses), func(a netip.Addr) bool { return !w.contested[a] })
}
