package protocol

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

func TestEchoSeen(t *testing.T) {
	for _, tt := range []struct {
		name string
		seen netip.AddrPort
		cut  int // bytes missing at the end
		want netip.AddrPort
	}{
		{"IPv4", public, 0, public},
		{"IPv6", public6, 0, public6},
		{"unknown", netip.AddrPort{}, 0, netip.AddrPort{}},
		{"IPv4 as IPv6", netip.MustParseAddrPort("[::ffff:203.0.113.7]:51820"), 0, public},
		{"an older version", public, seenSize + heldSize, netip.AddrPort{}},
		{"cut off", public, heldSize + 1, netip.AddrPort{}},
		{"no address of a host", netip.MustParseAddrPort("224.0.0.1:51820"), 0, netip.AddrPort{}},
		{"no port", netip.MustParseAddrPort("203.0.113.7:0"), 0, netip.AddrPort{}},
	} {
		b := Echo{Kind: EchoAnswer, Nonce: 7, Seen: tt.seen}.Append(nil)
		got, err := ParseEcho(b[:len(b)-tt.cut])
		if err != nil || got.Seen != tt.want || got.Nonce != 7 {
			t.Errorf("%s: got %+v, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestNatted(t *testing.T) {
	const private, public, observed = identity.KindPrivate, identity.KindPublic, identity.KindObserved
	for _, tt := range []struct {
		name string
		es   []identity.Endpoint
		want bool
	}{
		{"only addresses of a LAN", []identity.Endpoint{at(private, inLAN)}, true},
		{"and seen from outside", []identity.Endpoint{at(private, inLAN), at(observed, seen)}, true},
		{"behind a carrier's NAT", []identity.Endpoint{at(private, netip.MustParseAddrPort("100.64.1.2:51820"))}, true},
		{"a public address on an interface", []identity.Endpoint{at(private, netip.MustParseAddrPort("203.0.113.9:51820"))}, false},
		{"a public address that it was told", []identity.Endpoint{at(private, inLAN), at(public, netip.MustParseAddrPort("203.0.113.9:51820"))}, false},
		{"nothing is known", nil, false},
	} {
		if got := natted(identity.Record{Endpoints: tt.es}); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

// One behind a NAT is let call first if it is new and this node can be called;
// whom a node remembers it calls at once.
func TestWhoCallsFirst(t *testing.T) {
	behind := peerOf("b", "10.66.0.2", at(identity.KindPrivate, inLAN), at(identity.KindObserved, seen))
	reached := identity.Record{Endpoints: []identity.Endpoint{at(identity.KindPublic, public)}}
	for _, tt := range []struct {
		name   string
		self   identity.Record
		opened bool
		want   time.Duration
	}{
		{"it is new", reached, true, callerFor},
		{"it is remembered", reached, false, 0},
		{"we are behind one, too", behind.Record, true, 0},
	} {
		m := machineWith(tt.self)
		m.opened = tt.opened
		if got := m.link(behind, t0).quiet.Sub(t0); got != tt.want {
			t.Errorf("%s: left alone for %s, want %s", tt.name, got, tt.want)
		}
	}
}
