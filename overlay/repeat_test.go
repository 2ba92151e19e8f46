package overlay_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/overlay"
)

// message is a handshake message of WireGuard with an index at an offset.
func message(kind byte, size, offset int, index uint32) []byte {
	b := make([]byte, size)
	b[0] = kind
	binary.LittleEndian.PutUint32(b[offset:], index)
	return b
}

func callWith(index uint32) []byte { return message(1, 148, 4, index) }

// TestRepeat: an initiation is sent again until something answers it, and not
// for longer than WireGuard takes to make a new one.
func TestRepeat(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("192.0.2.2:51820")
	all := []time.Duration{250 * time.Millisecond, 750 * time.Millisecond, 1750 * time.Millisecond, 3750 * time.Millisecond}
	for _, tt := range []struct {
		name string
		then func(r overlay.Repeater) // 500 ms after the initiation
		want []time.Duration
	}{
		{"nothing", func(overlay.Repeater) {}, all},
		{"its response", func(r overlay.Repeater) { r.Receive(message(2, 92, 8, 7)) }, all[:1]},
		{"a cookie", func(r overlay.Repeater) { r.Receive(message(3, 64, 4, 7)) }, all[:1]},
		{"another's response", func(r overlay.Repeater) { r.Receive(message(2, 92, 8, 8)) }, all},
		{"data", func(r overlay.Repeater) { r.Receive(message(4, 92, 8, 7)) }, all},
		{"this side answers a call from there", func(r overlay.Repeater) { r.Send(message(2, 92, 4, 9), a) }, all[:1]},
		{"this side answers another", func(r overlay.Repeater) { r.Send(message(2, 92, 4, 9), b) }, all},
		{"a new initiation, answered", func(r overlay.Repeater) { r.Send(callWith(9), a); r.Receive(message(2, 92, 8, 9)) }, all[:1]},
		{"close", func(r overlay.Repeater) { r.Close(); r.Send(callWith(9), a) }, all[:1]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var mu sync.Mutex // guards got
				var got []time.Duration
				r := overlay.NewRepeater(func(packet []byte, to netip.AddrPort) {
					if to != a || !slices.Equal(packet, callWith(7)) {
						t.Errorf("sent %x to %s", packet, to)
					}
					mu.Lock()
					defer mu.Unlock()
					got = append(got, time.Since(start))
				})
				packet := callWith(7)
				r.Send(packet, a)
				clear(packet) // it is the sender's again
				<-time.After(500 * time.Millisecond)
				tt.then(r)
				<-time.After(10 * time.Second)
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(got, tt.want) {
					t.Errorf("repeated after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestRepeatIsBounded: initiations to ever more addresses, of which a member may
// name many, cost no more than so many.
func TestRepeatIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64 // timers call at the same time
		r := overlay.NewRepeater(func([]byte, netip.AddrPort) { sent.Add(1) })
		defer r.Close()
		for i := range uint32(overlay.MaxRepeated + 100) {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			r.Send(callWith(i), netip.AddrPortFrom(addr, 1))
		}
		<-time.After(300 * time.Millisecond)
		synctest.Wait()
		if n := sent.Load(); n != overlay.MaxRepeated {
			t.Errorf("%d are repeated, want %d", n, overlay.MaxRepeated)
		}
	})
}
