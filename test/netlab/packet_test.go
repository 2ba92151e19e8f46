package netlab

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// udp4 and udp6 are packets of some size, whole headers included.
func udp4(size int) []byte {
	b := make([]byte, size)
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	copy(b[12:], []byte{198, 18, 1, 2})
	copy(b[16:], []byte{198, 18, 2, 2})
	return b
}

func udp6(size int) []byte {
	b := make([]byte, size)
	b[0], b[6], b[7] = 0x60, 17, 64
	binary.BigEndian.PutUint16(b[4:], uint16(size-40))
	copy(b[8:], netip.MustParseAddr("2001:db8:1::2").AsSlice())
	copy(b[24:], netip.MustParseAddr("2001:db8:2::2").AsSlice())
	return b
}

func TestTooBig(t *testing.T) {
	icmpError4 := udp4(1400)
	icmpError4[9], icmpError4[20] = 1, 3
	echo4 := udp4(1400)
	echo4[9], echo4[20] = 1, 8
	fragment := udp4(1400)
	fragment[7] = 100
	icmpError6 := udp6(1400)
	icmpError6[6], icmpError6[40] = 58, 2
	tests := []struct {
		name   string
		packet []byte
		want   bool
	}{
		{"IPv4", udp4(1400), true},
		{"IPv4 echo", echo4, true},
		{"IPv4 ICMP error", icmpError4, false},
		{"IPv4 later fragment", fragment, false},
		{"IPv6", udp6(1400), true},
		{"IPv6 ICMP error", icmpError6, false},
		{"short", []byte{0x45}, false},
		{"neither", make([]byte, 100), false},
		{"empty", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tooBig(tt.packet, 1300)
			if (got != nil) != tt.want {
				t.Fatalf("answer %x, want one: %t", got, tt.want)
			}
			if got != nil {
				checkTooBig(t, got, tt.packet)
			}
		})
	}
}

// checkTooBig reads an answer as its receiver does.
func checkTooBig(t *testing.T, got, about []byte) {
	t.Helper()
	if got[0]>>4 == 6 {
		pseudo := icmp.IPv6PseudoHeader(got[8:24], got[24:40])
		binary.BigEndian.PutUint32(pseudo[32:], uint32(len(got)-40))
		m, err := icmp.ParseMessage(58, got[40:])
		if err != nil {
			t.Fatal(err)
		}
		body, ok := m.Body.(*icmp.PacketTooBig)
		if !ok || body.MTU != 1300 || !bytes.HasPrefix(about, body.Data) || len(got) > 1280 {
			t.Errorf("%d bytes of %v with %+v", len(got), m.Type, m.Body)
		}
		if c := checksum(got[40:], sum(pseudo, 0)); c != 0 {
			t.Errorf("checksum is off by %x", c)
		}
		if !bytes.Equal(got[24:40], about[8:24]) {
			t.Error("does not go to the sender")
		}
		return
	}
	m, err := icmp.ParseMessage(1, got[20:])
	if err != nil {
		t.Fatal(err)
	}
	body, ok := m.Body.(*icmp.DstUnreach)
	if !ok || m.Type != ipv4.ICMPTypeDestinationUnreachable || m.Code != 4 || binary.BigEndian.Uint16(got[26:]) != 1300 ||
		!bytes.HasPrefix(about, body.Data) || len(got) > 576 {
		t.Errorf("%d bytes of %v %d with %+v", len(got), m.Type, m.Code, m.Body)
	}
	if a, b := checksum(got[:20], 0), checksum(got[20:], 0); a != 0 || b != 0 {
		t.Errorf("checksums are off by %x and %x", a, b)
	}
	if !bytes.Equal(got[16:20], about[12:16]) {
		t.Error("does not go to the sender")
	}
}

// paper is an internet of two sites whose devices take everything.
func paper(t testing.TB, l Link) (n *Internet, from *uplink) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	n = &Internet{start: time.Now()}
	n.line = newDelayLine(n.now)
	a, b := &uplink{index: 0, tun: null}, &uplink{index: 1, tun: null}
	n.routes.Store(&routes{
		v4:    map[[4]byte]*uplink{{198, 18, 1, 2}: a, {198, 18, 2, 2}: b},
		v6:    map[[8]byte]*uplink{{0x20, 1, 0xd, 0xb8, 0, 2}: b},
		paths: [][]*path{{newPath(l, 1, 0), newPath(l, 1, 1)}, {newPath(l, 1, 2), newPath(l, 1, 3)}},
	})
	return n, a
}

func TestForward(t *testing.T) {
	multicast4, multicast6, linkLocal, own, unknown := udp4(100), udp6(100), udp6(100), udp4(100), udp6(100)
	multicast4[16] = 224
	multicast6[24] = 0xff
	copy(linkLocal[8:], []byte{0xfe, 0x80})
	own[18] = 1
	unknown[29] = 9
	tests := []struct {
		name               string
		packet             []byte
		passed, unroutable uint64
	}{
		{"IPv4", udp4(100), 1, 0},
		{"IPv6", udp6(100), 1, 0},
		{"multicast", multicast4, 0, 0},
		{"IPv6 multicast", multicast6, 0, 0},
		{"link-local", linkLocal, 0, 0},
		{"back to the same site", own, 0, 1},
		{"unknown", unknown, 0, 1},
		{"short", []byte{0x60, 0}, 0, 0},
		{"empty", nil, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, from := paper(t, Link{})
			n.forward(from, tt.packet)
			if c := n.Counters(); c.Packets != tt.passed || c.Unroutable != tt.unroutable {
				t.Errorf("counters %+v, want %d passed and %d unroutable", c, tt.passed, tt.unroutable)
			}
		})
	}
}

// BenchmarkForward is the work of this package for one packet, without that of
// the kernel; [BenchmarkInternet] has both.
func BenchmarkForward(b *testing.B) {
	for name, l := range map[string]Link{"perfect": {}, "delay": {Delay: ms, Jitter: ms, Loss: 0.01, Rate: 1e12}} {
		b.Run(name, func(b *testing.B) {
			n, from := paper(b, l)
			packet := udp4(1400)
			b.ReportAllocs()
			for b.Loop() {
				n.forward(from, packet)
				n.line.deliver()
			}
		})
	}
}

// FuzzForward: no bytes from a site disturb the internet.
func FuzzForward(f *testing.F) {
	f.Add(udp4(100))
	f.Add(udp6(100))
	f.Add([]byte{0x4f, 1})
	n, from := paper(f, Link{MTU: 64, Delay: time.Hour, Duplicate: 0.5})
	f.Fuzz(func(t *testing.T, packet []byte) {
		before := slices.Clone(packet)
		n.forward(from, packet)
		if got := tooBig(packet, 1300); got != nil && (len(got) > 1280 || len(got) < 36) {
			t.Errorf("answer of %d bytes", len(got))
		}
		if !bytes.Equal(before, packet) {
			t.Error("the packet was changed")
		}
	})
}

// TestDelayLine: packets leave in the order of their time and, where that is the
// same, of their coming; not before, and not later than the timer.
func TestDelayLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		defer out.Close()
		start := time.Now()
		d := newDelayLine(func() time.Duration { return time.Since(start) })
		to := &uplink{tun: out}
		for _, p := range []struct {
			due  time.Duration
			text string
		}{{30 * ms, "c"}, {10 * ms, "a"}, {30 * ms, "d"}, {20 * ms, "b"}} {
			if !d.add(p.due, to, []byte(p.text)) {
				t.Fatal("not taken")
			}
		}
		go d.run(t.Context())
		buf := make([]byte, 10)
		for _, step := range []struct {
			at   time.Duration
			want string
		}{{10 * ms, "a"}, {20 * ms, "b"}, {30 * ms, "cd"}} {
			<-time.After(step.at - time.Since(start))
			synctest.Wait()
			n, err := in.Read(buf)
			if err != nil || string(buf[:n]) != step.want {
				t.Errorf("at %s: %q, %v, want %q", step.at, buf[:n], err, step.want)
			}
		}
		for i := range maxDelayed + 1 {
			if ok := d.add(time.Hour, to, nil); ok != (i < maxDelayed) {
				t.Fatalf("packet %d taken: %t", i, ok)
			}
		}
	})
}

// TestDelayHeap: packets leave a heap in order, whatever the order of coming.
func TestDelayHeap(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	var h delayHeap
	var want []delayed
	for i := range uint64(1000) {
		p := delayed{due: time.Duration(dice.IntN(100)), seq: i}
		h.push(p)
		want = append(want, p)
	}
	slices.SortStableFunc(want, func(a, b delayed) int { return cmp.Compare(a.due, b.due) })
	for i, w := range want {
		if got := h.pop(); got != w {
			t.Fatalf("packet %d: due %d, number %d; want %d, %d", i, got.due, got.seq, w.due, w.seq)
		}
	}
	if len(h) != 0 {
		t.Errorf("%d packets are left", len(h))
	}
}

func TestStatsOf(t *testing.T) {
	ok := func(sent int) probe {
		return probe{sent: time.Duration(sent) * ms, answered: time.Duration(sent)*ms + time.Duration(sent+1)}
	}
	lost := func(sent int) probe { return probe{sent: time.Duration(sent) * ms} }
	tests := []struct {
		name   string
		probes []probe
		want   StreamStats
	}{
		{"none", nil, StreamStats{}},
		{"all answered", []probe{ok(0), ok(10)}, StreamStats{Sent: 2, Received: 2, MinRTT: 1, MaxRTT: 11}},
		{"one lost", []probe{ok(0), lost(10), ok(20)}, StreamStats{Sent: 3, Received: 2, Lost: 1, LongestGap: 20 * ms, MinRTT: 1, MaxRTT: 21}},
		{"lost at first", []probe{lost(0), lost(10), ok(20)}, StreamStats{Sent: 3, Received: 1, Lost: 2, LongestGap: 20 * ms, MinRTT: 21, MaxRTT: 21}},
		{"lost at last", []probe{ok(0), lost(10), lost(20)}, StreamStats{Sent: 3, Received: 1, Lost: 2, LongestGap: 50 * ms, MinRTT: 1, MaxRTT: 1}},
		{"all lost", []probe{lost(0)}, StreamStats{Sent: 1, Lost: 1, LongestGap: 50 * ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := statsOf(tt.probes, 50*ms); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
