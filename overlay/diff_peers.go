package overlay

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// peerChanges returns the entries that lead from the peers a device has to the
// wanted ones. Entries take effect one by one while packets flow, so their
// order matters: at every moment, each address leads to its old owner, to its
// new one or to nobody, never to a third.
//
//  1. Attributes of peers that stay.
//  2. Allowed IPs are added or moved, longest prefix first. Adding a prefix
//     that another peer has moves it in one step, in the kernel and in
//     wireguard-go alike.
//  3. Allowed IPs that nobody shall have go to the spare peer, which has no
//     endpoint. wgctrl cannot take a single one away, and replacing a peer's
//     list would leave the peer without any for a moment.
//  4. Peers that nobody wants go, the spare one last.
func peerChanges(want []Peer, prev *Config, have map[Key]actualPeer, spare Key) []wgtypes.PeerConfig {
	wanted := make(map[Key]bool, len(want))
	for _, p := range want {
		wanted[p.PublicKey] = true
	}
	attrs, fresh := peerAttributes(want, prev, have)
	out := append(attrs, movedIPs(want, have, fresh)...)
	orphans := orphanIPs(want, have, wanted)
	if len(orphans) > 0 {
		out = append(out, wgtypes.PeerConfig{PublicKey: wgtypes.Key(spare), AllowedIPs: ipNets(orphans)})
	}
	for _, k := range sortedKeys(have) {
		if !wanted[k] {
			out = append(out, removal(k))
		}
	}
	if len(orphans) > 0 {
		out = append(out, removal(spare))
	}
	return out
}

// peerAttributes returns entries for peers that stay and differ in endpoint or
// keepalive, and the creating entries of new peers, to be completed with their
// allowed IPs.
func peerAttributes(want []Peer, prev *Config, have map[Key]actualPeer) ([]wgtypes.PeerConfig, map[Key]wgtypes.PeerConfig) {
	before := make(map[Key]Peer)
	if prev != nil {
		for _, p := range prev.Peers {
			before[p.PublicKey] = p
		}
	}
	var out []wgtypes.PeerConfig
	fresh := make(map[Key]wgtypes.PeerConfig)
	for _, p := range want {
		old, exists := have[p.PublicKey]
		prevPeer, known := before[p.PublicKey]
		pc := wgtypes.PeerConfig{PublicKey: wgtypes.Key(p.PublicKey), UpdateOnly: exists}
		if !exists || endpointWins(p, prevPeer, known, old) {
			pc.Endpoint = udpAddr(p.Endpoint)
		}
		if p.Keepalive != old.keepalive {
			pc.PersistentKeepaliveInterval = &p.Keepalive
		}
		switch {
		case !exists:
			fresh[p.PublicKey] = pc
		case pc.Endpoint != nil || pc.PersistentKeepaliveInterval != nil:
			out = append(out, pc)
		}
	}
	return out, fresh
}

// endpointWins reports whether the wanted endpoint replaces the one that an
// existing peer uses. It does when it changed since the previous Set. Without
// a previous Set, as after adopting an interface, it does unless the peer has a
// live session: that one was proven to work.
func endpointWins(p, prev Peer, known bool, have actualPeer) bool {
	w := unmap(p.Endpoint)
	switch {
	case !w.IsValid() || w == have.endpoint:
		return false
	case known:
		return w != unmap(prev.Endpoint)
	default:
		return !have.endpoint.IsValid() || !have.fresh
	}
}

type ownedIP struct {
	prefix netip.Prefix
	peer   Key
	order  int // of the peer in the config
}

// movedIPs returns entries that add each wanted allowed IP its peer lacks,
// longest first, and complete the new peers' entries with them.
func movedIPs(want []Peer, have map[Key]actualPeer, fresh map[Key]wgtypes.PeerConfig) []wgtypes.PeerConfig {
	var moves []ownedIP
	var out []wgtypes.PeerConfig
	for i, p := range want {
		has := prefixSet(have[p.PublicKey].allowedIPs)
		for _, a := range p.AllowedIPs {
			if !has[a] {
				moves = append(moves, ownedIP{a, p.PublicKey, i})
			}
		}
		if pc, ok := fresh[p.PublicKey]; ok && len(p.AllowedIPs) == 0 {
			out = append(out, pc)
		}
	}
	slices.SortStableFunc(moves, func(a, b ownedIP) int {
		return cmp.Or(cmp.Compare(hostBits(a.prefix), hostBits(b.prefix)), cmp.Compare(a.order, b.order))
	})
	for i, m := range moves {
		if i == 0 || moves[i-1].peer != m.peer {
			pc, ok := fresh[m.peer]
			if !ok {
				pc = wgtypes.PeerConfig{PublicKey: wgtypes.Key(m.peer), UpdateOnly: true}
			}
			delete(fresh, m.peer)
			out = append(out, pc)
		}
		last := &out[len(out)-1]
		last.AllowedIPs = append(last.AllowedIPs, ipNet(m.prefix))
	}
	return out
}

// orphanIPs returns the prefixes that must be taken off the device before any
// peer is removed, shortest first: those that a staying peer loses to nobody,
// and those of a leaving peer that lie inside another orphan, since without
// them the shorter one would attract their packets.
func orphanIPs(want []Peer, have map[Key]actualPeer, wanted map[Key]bool) []netip.Prefix {
	claimed := make(map[netip.Prefix]bool)
	for _, p := range want {
		for _, a := range p.AllowedIPs {
			claimed[a] = true
		}
	}
	lost := make(map[netip.Prefix]Key)
	for k, p := range have {
		for _, a := range p.allowedIPs {
			if !claimed[a] {
				lost[a] = k
			}
		}
	}
	var out []netip.Prefix
	for p, k := range lost {
		if wanted[k] || insideOther(p, k, lost) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(hostBits(b), hostBits(a)), a.Addr().Compare(b.Addr()))
	})
	return out
}

// insideOther reports whether a shorter prefix in lost, owned by another peer
// than owner, contains p.
func insideOther(p netip.Prefix, owner Key, lost map[netip.Prefix]Key) bool {
	for bits := p.Bits() - 1; bits >= 0; bits-- {
		if k, ok := lost[netip.PrefixFrom(p.Addr(), bits).Masked()]; ok && k != owner {
			return true
		}
	}
	return false
}

func hostBits(p netip.Prefix) int { return p.Addr().BitLen() - p.Bits() }

func prefixSet(ps []netip.Prefix) map[netip.Prefix]bool {
	m := make(map[netip.Prefix]bool, len(ps))
	for _, p := range ps {
		m[p] = true
	}
	return m
}

func removal(k Key) wgtypes.PeerConfig {
	return wgtypes.PeerConfig{PublicKey: wgtypes.Key(k), Remove: true, UpdateOnly: true}
}

func sortedKeys(m map[Key]actualPeer) []Key {
	keys := make([]Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int { return slices.Compare(a[:], b[:]) })
	return keys
}

func unmap(e netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(e.Addr().Unmap(), e.Port())
}

func udpAddr(e netip.AddrPort) *net.UDPAddr {
	if !e.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(unmap(e))
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func ipNets(ps []netip.Prefix) []net.IPNet {
	out := make([]net.IPNet, len(ps))
	for i, p := range ps {
		out[i] = ipNet(p)
	}
	return out
}

func peerString(p wgtypes.PeerConfig) string {
	s := []string{"peer", p.PublicKey.String()[:8]}
	if p.Remove {
		return strings.Join(append(s, "remove"), " ")
	}
	if !p.UpdateOnly {
		s = append(s, "create")
	}
	if p.Endpoint != nil {
		s = append(s, "endpoint", p.Endpoint.String())
	}
	if p.PersistentKeepaliveInterval != nil {
		s = append(s, "keepalive", p.PersistentKeepaliveInterval.String())
	}
	if p.ReplaceAllowedIPs {
		s = append(s, "replace-allowed-ips")
	}
	for _, a := range p.AllowedIPs {
		s = append(s, fmt.Sprintf("+%s", a.String()))
	}
	return strings.Join(s, " ")
}
