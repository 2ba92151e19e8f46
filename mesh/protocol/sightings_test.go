package protocol

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSightings(t *testing.T) {
	outside := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), uint16(port))
	}
	other := netip.MustParseAddrPort("203.0.113.1:51820")
	v6 := netip.MustParseAddrPort("[2001:db8::7]:51820")
	for _, tt := range []struct {
		name string
		said map[string][]netip.AddrPort // by peer, a minute after each other
		want []netip.AddrPort
		hard bool
	}{
		{"nobody", nil, nil, false},
		{"one peer", map[string][]netip.AddrPort{"a": {outside(1)}}, []netip.AddrPort{outside(1)}, false},
		{"all agree", map[string][]netip.AddrPort{"a": {outside(1)}, "b": {outside(1)}, "c": {outside(1)}}, []netip.AddrPort{outside(1)}, false},
		{"IPv4 and IPv6", map[string][]netip.AddrPort{"a": {outside(1)}, "b": {v6}}, []netip.AddrPort{outside(1), v6}, false},
		{"a port for each", map[string][]netip.AddrPort{"a": {outside(1)}, "b": {outside(2)}, "c": {outside(3)}}, nil, true},
		{"one liar among three", map[string][]netip.AddrPort{"a": {outside(1)}, "b": {outside(1)}, "liar": {other}}, []netip.AddrPort{outside(1)}, false},
		{"a liar who changes", map[string][]netip.AddrPort{"a": {outside(1)}, "liar": {outside(2), outside(3), outside(4), outside(5), outside(6)}},
			[]netip.AddrPort{outside(1)}, false},
		{"three of two each: two", map[string][]netip.AddrPort{
			"a": {outside(1)}, "b": {outside(1)}, "c": {other}, "d": {other}, "e": {v6}, "f": {v6}},
			[]netip.AddrPort{outside(1), other}, false},
		{"said long ago", map[string][]netip.AddrPort{"a": {outside(1), {}, {}, {}, {}}}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sightings{}
			now := t0
			for i := range 5 {
				now = now.Add(time.Minute)
				for peer, said := range tt.said {
					if at := said[min(i, len(said)-1)]; at.IsValid() {
						s.take(peer, at, now)
					}
				}
			}
			if d := cmp.Diff(tt.want, s.want(now), sameAddr); d != "" {
				t.Errorf("want (-want +got):\n%s", d)
			}
			if got := hardNAT(s.votes(now)); got != tt.hard {
				t.Errorf("hard: got %v, want %v", got, tt.hard)
			}
		})
	}
}

// However the world lies or changes, records are rare.
func TestSightingsPublishRarely(t *testing.T) {
	for _, tt := range []struct {
		name string
		say  func(s *sightings, i int, now time.Time)
		most int // publications in an hour
	}{
		{"a hard NAT", func(s *sightings, i int, now time.Time) {
			for p := range 5 {
				s.take(fmt.Sprint(p), netip.AddrPortFrom(public.Addr(), uint16(1000+p)), now)
			}
		}, 0},
		{"nothing new", func(s *sightings, _ int, now time.Time) { s.take("a", public, now) }, 1},
		{"one liar, alone", func(s *sightings, i int, now time.Time) {
			s.take("a", netip.AddrPortFrom(public.Addr(), uint16(1+i)), now)
		}, 4},
		{"liars by turns", func(s *sightings, i int, now time.Time) {
			s.take("a", public, now)
			s.take("b", public, now)
			s.take(fmt.Sprint("liar", i%50), netip.AddrPortFrom(seen.Addr(), uint16(1+i)), now)
		}, 1},
		{"a NAT that forgets each quarter of an hour", func(s *sightings, i int, now time.Time) {
			for p := range 5 {
				s.take(fmt.Sprint(p), netip.AddrPortFrom(public.Addr(), uint16(1+i/900)), now)
			}
		}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, published := &sightings{}, 0
			var last time.Time
			for i := range 3600 {
				now := t0.Add(time.Duration(i) * time.Second)
				tt.say(s, i, now)
				if s.due(now) {
					if published++; !last.IsZero() && now.Sub(last) < observedEvery {
						t.Fatalf("published %s after the last time", now.Sub(last))
					}
					last = now
				}
			}
			if published > tt.most {
				t.Errorf("published %d times in an hour, want at most %d", published, tt.most)
			}
		})
	}
}

// What is published stays when all peers are gone.
func TestSightingsStay(t *testing.T) {
	s := &sightings{}
	s.take("a", public, t0)
	if !s.due(t0) {
		t.Fatal("the first sighting is not published")
	}
	s.drop("a")
	if later := t0.Add(time.Hour); s.due(later) || len(s.want(later)) != 1 {
		t.Errorf("after everyone is gone: %v", s.want(later))
	}
}
