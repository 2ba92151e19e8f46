package mesh

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestPrefaces(t *testing.T) {
	now := time.Now()
	hash := [32]byte{1}
	p := newPrefaces([32]byte{3}, hash)
	make1 := func(h [32]byte, at time.Time) []byte {
		b, err := newPreface(h, at)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := make1(hash, now)
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"right", good, nil},
		{"again", good, errReplay},
		{"the mesh's other authority", make1([32]byte{3}, now), nil},
		{"other mesh", make1([32]byte{2}, now), errPreface},
		{"short", good[:10], errPreface},
		{"late clock", make1(hash, now.Add(-maxSkew+time.Second*2)), nil},
		{"too late", make1(hash, now.Add(-maxSkew-2*time.Second)), errSkew},
		{"too early", make1(hash, now.Add(maxSkew+2*time.Second)), errSkew},
	}
	for _, tt := range tests {
		if got := p.check(tt.b, now); !errors.Is(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := p.check(good, now.Add(maxSkew-time.Second)); !errors.Is(got, errReplay) {
		t.Errorf("replay within the window: got %v", got)
	}
}

func TestDoorman(t *testing.T) {
	d := newDoorman()
	now := time.Now()
	one, other := sourceOf(netip.MustParseAddr("198.51.100.1")), sourceOf(netip.MustParseAddr("198.51.100.2"))
	inside := 0
	for range 2 * maxPerSource {
		if d.enter(one, now) {
			inside++
		}
	}
	if inside != maxPerSource {
		t.Errorf("one source inside: got %d, want %d", inside, maxPerSource)
	}
	if !d.enter(other, now) {
		t.Error("one source keeps another out")
	}
	for range inside {
		d.leave(one)
	}
	if d.enter(one, now) { // the attempts were too many
		t.Error("a source over its rate was let in")
	}
	if !d.enter(one, now.Add(time.Second)) {
		t.Error("a source within its rate was kept out")
	}
	for i := range 8 { // no few hosts fill the place
		crowd := sourceOf(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
		for range maxPerSource {
			d.enter(crowd, now)
		}
	}
	if !d.enter(sourceOf(netip.MustParseAddr("192.0.2.1")), now) {
		t.Error("eight sources keep another out")
	}
	if a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"); sourceOf(a) != sourceOf(b) {
		t.Error("two addresses of one IPv6 /64 count as two sources")
	}
}
