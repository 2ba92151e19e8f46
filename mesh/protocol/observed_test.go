package protocol

import (
	"net/netip"
	"testing"
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
