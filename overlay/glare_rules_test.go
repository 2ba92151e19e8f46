package overlay_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/cbnet-io/cbnet/overlay"
)

// initiation is a message with an ephemeral key that begins with key.
func initiation(index uint32, key byte) []byte {
	b := make([]byte, 148)
	b[0], b[8] = 1, key
	binary.LittleEndian.PutUint32(b[4:], index)
	return b
}

func response(to uint32) []byte {
	b := make([]byte, 92)
	b[0] = 2
	binary.LittleEndian.PutUint32(b[8:], to)
	return b
}

func TestGlareRules(t *testing.T) {
	here, there := ep("192.0.2.1:1"), ep("[2001:db8::1]:1")
	tests := []struct {
		name string
		do   func(overlay.Glare)
		in   []byte
		want bool // held
	}{
		{"nothing sent", func(overlay.Glare) {}, initiation(9, 5), false},
		{"we have the lower key", func(g overlay.Glare) { g.Send(initiation(1, 4), here) }, initiation(9, 5), true},
		{"we have the higher key", func(g overlay.Glare) { g.Send(initiation(1, 6), here) }, initiation(9, 5), false},
		{"our own comes back", func(g overlay.Glare) { g.Send(initiation(1, 5), here) }, initiation(1, 5), false},
		{"sent to another", func(g overlay.Glare) { g.Send(initiation(1, 4), there) }, initiation(9, 5), false},
		{"sent long ago", func(g overlay.Glare) {
			g.Send(initiation(1, 4), here)
			time.Sleep(overlay.ResponseTime)
		}, initiation(9, 5), false},
		{"we answered meanwhile", func(g overlay.Glare) {
			g.Send(initiation(1, 4), here)
			g.Send(response(7), here)
		}, initiation(9, 5), false},
		{"the response came", func(g overlay.Glare) {
			g.Send(initiation(1, 4), here)
			g.Receive(response(1), here)
		}, initiation(9, 5), false},
		{"the response to another came", func(g overlay.Glare) {
			g.Send(initiation(1, 4), here)
			g.Receive(response(2), here)
		}, initiation(9, 5), true},
		{"only the last one sent counts", func(g overlay.Glare) {
			g.Send(initiation(1, 4), here)
			g.Send(initiation(2, 6), here)
		}, initiation(9, 5), false},
		{"other type", func(g overlay.Glare) { g.Send(initiation(1, 4), here) }, make([]byte, 148), false},
		{"other size", func(g overlay.Glare) { g.Send(initiation(1, 4), here) }, append(initiation(9, 5), 0), false},
		{"empty", func(g overlay.Glare) { g.Send(initiation(1, 4), here) }, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := overlay.NewGlare()
				tt.do(g)
				if got := g.Receive(tt.in, here); got != tt.want {
					t.Errorf("held %t, want %t", got, tt.want)
				}
			})
		})
	}
}

// An own initiation does not leave while one that came before it waits to be
// consumed.
func TestGlareWaits(t *testing.T) {
	here, there := ep("192.0.2.1:1"), ep("[2001:db8::1]:1")
	tests := []struct {
		name string
		do   func(overlay.Glare)
		want bool // it leaves
	}{
		{"nothing came", func(overlay.Glare) {}, true},
		{"one came", func(g overlay.Glare) { g.Receive(initiation(9, 5), here) }, false},
		{"one of another", func(g overlay.Glare) { g.Receive(initiation(9, 5), there) }, true},
		{"and was answered", func(g overlay.Glare) {
			g.Receive(initiation(9, 5), here)
			g.Send(response(9), here)
		}, true},
		{"long ago", func(g overlay.Glare) {
			g.Receive(initiation(9, 5), here)
			time.Sleep(overlay.ConsumeTime)
		}, true},
		{"another and another, as one who forges them would send", func(g overlay.Glare) {
			for range 2 * overlay.ConsumeTime / (100 * time.Millisecond) {
				g.Receive(initiation(9, 5), here)
				g.Send(initiation(1, 4), here) // repeated
				time.Sleep(100 * time.Millisecond)
			}
		}, true},
		{"it was held", func(g overlay.Glare) {
			g.Send(initiation(1, 4), here)
			g.Receive(initiation(9, 5), here)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := overlay.NewGlare()
				tt.do(g)
				if got := g.Send(initiation(1, 4), here); got != tt.want {
					t.Errorf("leaves %t, want %t", got, tt.want)
				}
			})
		})
	}
}

func TestGlareReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := ep("192.0.2.1:1")
		g := overlay.NewGlare()
		g.Send(initiation(1, 0), here)
		for i := range byte(overlay.MaxHeldPerEndpoint) {
			if !g.Receive(initiation(9, 10+i), here) {
				t.Fatalf("initiation %d was not held", i)
			}
		}
		if g.Receive(initiation(9, 99), here) {
			t.Error("one more than the bound was held")
		}
		time.Sleep(overlay.ResponseTime / 2)
		g.Send(initiation(2, 200), here) // the peer was reset: what is held waits for the new one
		got, next := g.Release(time.Now(), 128)
		if len(got) != 0 || time.Until(next) != overlay.ResponseTime/2 {
			t.Errorf("%d released, the next in %v; want none, and %v: it does not wait for ever", len(got), time.Until(next), overlay.ResponseTime/2)
		}
		time.Sleep(overlay.ResponseTime / 2)
		for i := byte(overlay.MaxHeldPerEndpoint); i > 0; i-- { // newest first, in any portions
			got, next = g.Release(time.Now(), 1)
			if len(got) != 1 || got[0][8] != 10+i-1 || next.IsZero() != (i == 1) {
				t.Fatalf("released %d, next %v, with %d left", len(got), next, i)
			}
		}
		if own, held := g.Counts(); own != 0 || held != 0 {
			t.Errorf("%d own and %d held are left", own, held)
		}
	})
}

func TestGlareMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := overlay.NewGlare()
		const peers = 3000
		from := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i+1)) }
		for i := range peers {
			g.Send(initiation(uint32(i), 1), from(i))
			g.Receive(initiation(9, 5), from(i))
		}
		if _, held := g.Counts(); held != overlay.MaxHeld {
			t.Errorf("%d held, want %d", held, overlay.MaxHeld)
		}
		time.Sleep(overlay.ResponseTime)
		for n := 0; n < overlay.MaxHeld; n += 128 {
			if got, _ := g.Release(time.Now(), 128); len(got) != 128 {
				t.Fatalf("%d released, want 128", len(got))
			}
		}
		g.Send(initiation(1, 1), ep("192.0.2.2:2"))
		if own, held := g.Counts(); own != 1 || held != 0 {
			t.Errorf("%d own and %d held are left, want 1 and 0", own, held)
		}
	})
}

func FuzzGlare(f *testing.F) {
	f.Add(initiation(9, 5))
	f.Add(response(1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		g, here := overlay.NewGlare(), ep("192.0.2.1:1")
		g.Send(initiation(1, 4), here)
		g.Send(b, here)
		held := g.Receive(b, here)
		if held && (len(b) != 148 || b[0] != 1) {
			t.Errorf("held %x", b)
		}
		got, _ := g.Release(time.Now().Add(time.Hour), 4)
		if held != (len(got) == 1) || held && string(got[0]) != string(b) {
			t.Errorf("held %t, released %x", held, got)
		}
	})
}

// BenchmarkGlareData is what glare costs a batch of 128 data packets.
func BenchmarkGlareData(b *testing.B) {
	g := overlay.NewGlare()
	bufs, sizes, eps := make([][]byte, 128), make([]int, 128), make([]conn.Endpoint, 128)
	for i := range bufs {
		bufs[i], sizes[i] = make([]byte, 1<<16), 1452
		eps[i] = overlay.EndpointFrom(ep("192.0.2.1:1"), netip.Addr{})
	}
	for b.Loop() {
		g.ReceiveBatch(bufs, sizes, eps)
	}
}
