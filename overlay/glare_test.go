package overlay_test

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"github.com/cbnet-io/cbnet/overlay"
)

// TestGlare lets two devices call each other at the same moment, again and
// again: the wire keeps both initiations until both are under way.
//
//	device a --- wire --- device b
func TestGlare(t *testing.T) {
	tests := []struct {
		name       string
		a, b       func() conn.Bind
		wire       func(from int, kind byte) verdict // of the first packets of a round
		rounds     int
		most, mean time.Duration
	}{
		{"both initiations cross", newBindOffload, newBindOffload, nil, 30, 2 * time.Second, 200 * time.Millisecond},
		{"both cross, without offload", newBindPlain, newBindPlain, nil, 10, 2 * time.Second, 200 * time.Millisecond},
		{"one initiation is lost", newBindOffload, newBindOffload, loseInitiationOf(0), 6, 2 * time.Second, 600 * time.Millisecond},
		{"the other initiation is lost", newBindOffload, newBindOffload, loseInitiationOf(1), 6, 2 * time.Second, 600 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, [2]conn.Bind{tt.a(), tt.b()})
			var total time.Duration
			for round := range tt.rounds {
				took := w.round(t, tt.wire)
				total += took
				if took > tt.most {
					t.Errorf("round %d: a session after %v, want less than %v", round, took.Round(time.Millisecond), tt.most)
				}
			}
			if mean := total / time.Duration(tt.rounds); mean > tt.mean {
				t.Errorf("a session after %v on average, want less than %v", mean.Round(time.Millisecond), tt.mean)
			}
		})
	}
}

// TestGlareWithPlainPeer proves that a peer without the fix is never worse off:
// where our side has the lower key, the session is there at once; where it has
// the higher one, after REKEY_TIMEOUT as ever.
func TestGlareWithPlainPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for REKEY_TIMEOUT of WireGuard")
	}
	w := newWire(t, [2]conn.Bind{newBindOffload(), conn.NewStdNetBind()})
	seen := make(map[bool]bool)
	for round := 0; len(seen) < 2 && round < 20; round++ {
		took := w.round(t, nil)
		w.mu.Lock()
		lower := w.ephemeral[0] < w.ephemeral[1]
		w.mu.Unlock()
		seen[lower] = true
		most := 8 * time.Second
		if lower {
			most = time.Second
		}
		if took > most {
			t.Errorf("round %d, our key lower: %t: a session after %v, want less than %v", round, lower, took.Round(time.Millisecond), most)
		}
	}
	if len(seen) < 2 {
		t.Errorf("keys were never on both sides: %v", seen)
	}
}

func newBindOffload() conn.Bind { return overlay.NewBind(true) }
func newBindPlain() conn.Bind   { return overlay.NewBind(false) }

// verdict is what becomes of a packet on the wire.
type verdict int

const (
	pass verdict = iota
	lose
)

// loseInitiationOf loses the first initiation of one side in each round, as a
// NAT does until its own host has spoken.
func loseInitiationOf(side int) func(int, byte) verdict {
	return func(from int, kind byte) verdict {
		if from == side && kind == 1 {
			return lose
		}
		return pass
	}
}

// wire joins two devices by UDP on loopback.
type wire struct {
	dev  [2]*device.Device
	keys [2]overlay.Key
	conn [2]*net.UDPConn // conn[i] is where device i finds the other
	port [2]uint16       // of the devices
	tun  [2]*tuntest.ChannelTUN

	mu        sync.Mutex // guards the fields below
	rule      func(from int, kind byte) verdict
	first     [2][]byte // initiations of this round that wait for each other
	crossed   bool      // this round's initiations are under way
	released  time.Time // since when
	ephemeral [2]string
}

func newWire(t *testing.T, binds [2]conn.Bind) *wire {
	t.Helper()
	w := &wire{}
	for i := range 2 {
		w.keys[i] = mustKey(t)
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		w.conn[i] = c
		w.tun[i] = tuntest.NewChannelTUN()
		w.dev[i] = device.NewDevice(w.tun[i].TUN(), binds[i], device.NewLogger(device.LogLevelSilent, ""))
		w.ipc(t, i, fmt.Sprintf("private_key=%s\nlisten_port=0\n", hexKey(w.keys[i])))
		if err := w.dev[i].Up(); err != nil {
			t.Fatal(err)
		}
		w.port[i] = w.listenPort(t, i)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := range 2 {
		wg.Go(func() { w.relay(i) })
		wg.Go(func() { w.traffic(i, done) })
	}
	t.Cleanup(func() {
		defer wg.Wait()
		defer close(done)
		for i := range 2 {
			w.dev[i].Close()
			w.conn[i].Close()
		}
	})
	return w
}

// traffic is what a mesh always has: a packet now and then. Without any,
// wireguard-go may give up after a handshake that failed on both sides: its
// timer to try again does nothing within 5 s of a response that it sent.
func (w *wire) traffic(i int, done <-chan struct{}) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	addr := [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	for {
		select {
		case <-done:
			return
		case <-w.tun[i].Inbound:
		case <-tick.C:
			select {
			case w.tun[i].Outbound <- tuntest.Ping(addr[1-i], addr[i]):
			case <-w.tun[i].Inbound:
			case <-done:
				return
			}
		}
	}
}

func (w *wire) ipc(t *testing.T, i int, lines string) {
	t.Helper()
	if err := w.dev[i].IpcSet(lines); err != nil {
		t.Fatal(err)
	}
}

func (w *wire) listenPort(t *testing.T, i int) uint16 {
	t.Helper()
	var port uint16
	for line := range strings.Lines(w.get(t, i)) {
		fmt.Sscanf(line, "listen_port=%d", &port)
	}
	return port
}

func hexKey(k overlay.Key) string { return hex.EncodeToString(k[:]) }

func (w *wire) get(t *testing.T, i int) string {
	t.Helper()
	s, err := w.dev[i].IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// relay passes on what device i sends, seen to come from the other's address.
func (w *wire) relay(i int) {
	buf := make([]byte, 1<<16)
	for {
		n, err := w.conn[i].Read(buf)
		if err != nil {
			return
		}
		w.packet(i, buf[:n])
	}
}

func (w *wire) packet(from int, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b[0] == 1 && !w.crossed {
		if w.first[from] == nil {
			w.first[from] = append([]byte(nil), b...)
			w.ephemeral[from] = hex.EncodeToString(b[8:40])
		}
		if w.first[1-from] == nil {
			return
		}
		w.crossed, w.released = true, time.Now()
		for side, b := range w.first {
			if w.rule == nil || w.rule(side, 1) == pass {
				w.deliver(1-side, b)
			}
		}
		return
	}
	w.deliver(1-from, b)
}

func (w *wire) deliver(to int, b []byte) {
	w.conn[to].WriteToUDPAddrPort(b, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port[to]))
}

// round resets both peers, as mesh does to force a handshake, and returns how
// long after both initiations left both sides have a session.
func (w *wire) round(t *testing.T, rule func(int, byte) verdict) time.Duration {
	t.Helper()
	w.mu.Lock()
	w.rule, w.first, w.crossed = rule, [2][]byte{}, false
	w.mu.Unlock()
	for i := range 2 {
		w.ipc(t, i, fmt.Sprintf("public_key=%s\nremove=true\n", hexKey(w.keys[1-i].Public())))
	}
	for i := range 2 {
		w.ipc(t, i, fmt.Sprintf("public_key=%s\nendpoint=%s\npersistent_keepalive_interval=1\nallowed_ip=10.0.0.%d/32\n",
			hexKey(w.keys[1-i].Public()), w.conn[i].LocalAddr(), 2-i))
	}
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if w.session(t, 0) && w.session(t, 1) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Since(w.released)
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no session after 15 s")
		}
	}
}

// session reports whether device i has had a handshake confirmed.
func (w *wire) session(t *testing.T, i int) bool {
	t.Helper()
	for line := range strings.Lines(w.get(t, i)) {
		if s, ok := strings.CutPrefix(line, "last_handshake_time_sec="); ok && s != "0\n" {
			return true
		}
	}
	return false
}
