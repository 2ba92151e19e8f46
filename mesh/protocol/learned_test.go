package protocol

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestLearnedIsOfAKey: that a peer answered in the last run proves the key that it
// had then, and no other one that it claims now.
func TestLearnedIsOfAKey(t *testing.T) {
	a := newAuthority(t)
	then := a.record("b", 2, 7, time.Now(), identity.Record{})
	now := a.record("b", 2, 8, time.Now(), identity.Record{})
	where := netip.MustParseAddrPort("192.0.2.1:51820")
	m := machineWith(identity.Record{})
	m.learned = map[string]learned{"b": {where, then.Record.WireGuardKey}}
	if !m.proved(then) || m.proved(now) {
		t.Errorf("proved: the key of then %v, another one %v; want true, false", m.proved(then), m.proved(now))
	}
	m.book.records["b"] = now
	if got := m.remembered(); got[0].Endpoint.IsValid() {
		t.Errorf("remembered at %s with a key that never answered there", got[0].Endpoint)
	}

	l := newLink(then, t0, t0, where)
	l.update(now, t0, t0)
	if l.proved || l.learned.IsValid() {
		t.Errorf("after another key: proved %v, remembered at %s", l.proved, l.learned)
	}
}
