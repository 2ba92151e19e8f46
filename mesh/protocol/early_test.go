package protocol

import (
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestOrdersBeforeTheStart: an order that comes before this node has a record of
// its own, which waits for the disk, is carried out or waits, too.
func TestOrdersBeforeTheStart(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	peer := a.record("b", 2, 2, now, identity.Record{})
	list, err := a.ca.SignRevocations(identity.RevocationList{
		Number: 1, Issued: now, Entries: []identity.Revoked{{Node: "b", Serial: identity.SerialOf(peer.Certificate), Expires: now.Add(48 * time.Hour)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		order Event
		early bool // before Start, too
	}{
		"revoke":              {Revoke{ID: 1, List: list}, false},
		"revoke before Start": {Revoke{ID: 1, List: list}, true},
		"stop":                {Stop{ID: 1}, false},
		"stop before Start":   {Stop{ID: 1}, true},
		"leave":               {Leave{ID: 1}, false},
		"leave before Start":  {Leave{ID: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := a.machine(t, now)
			if tt.early {
				m.Step(now, tt.order)
			}
			m.Step(now, Start{Saved: Saved{Peers: []Remembered{{Envelope: peer.Envelope}}}})
			if !tt.early {
				m.Step(now, tt.order)
			}
			m.Step(now, RecordSaved{})
			m.Step(now, Opened{})
			if _, revoke := tt.order.(Revoke); revoke && (m.links["b"] != nil || m.roots.RevocationNumber() == 0) {
				t.Errorf("the revoked node is known, list %d", m.roots.RevocationNumber())
			}
		})
	}
}
