package mesh_test

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/meshtest"
)

// nodes is how many members TestGossipTraffic simulates beside the 50 whole ones.
var nodes = flag.Int("nodes", 0, "members in TestGossipTraffic, which is skipped without them")

// traffic counts what nodes send in the tunnel.
type traffic struct {
	mu      sync.Mutex // guards the fields below
	packets int
	bytes   int
	echoes  int // bytes of these: ours, not memberlist's
	streams int // bytes of these: push/pulls, records
}

func (c *traffic) add(b []byte, packet bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += len(b)
	switch {
	case !packet:
		c.streams += len(b)
	case b[0] == mesh.Magic:
		c.echoes += len(b)
		fallthrough
	default:
		c.packets++
	}
}

// figure prints what one node sends per second, without headers of IP, UDP and
// WireGuard: those add 28 + 32 bytes and padding to each packet.
func (c *traffic) figure(t *testing.T, what string, count int, over time.Duration) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	per := float64(count) * over.Seconds()
	t.Logf("FIGURE simulated: gossip of %d %s: a node sends %.0f B/s in %.1f packets/s: memberlist's packets %.0f B/s, push/pulls and records %.0f B/s, probes of the paths %.0f B/s",
		count, what, float64(c.bytes)/per, float64(c.packets)/per, float64(c.bytes-c.streams-c.echoes)/per, float64(c.streams)/per, float64(c.echoes)/per)
}

// TestGossipTraffic says what a steady mesh costs: with 50 whole nodes, and with
// as many bare members of memberlist as -nodes says. A thousand whole nodes would
// verify and hold a million records in one process: 5 GB.
func TestGossipTraffic(t *testing.T) {
	if *nodes == 0 {
		t.Skip("a measurement of minutes: -run TestGossipTraffic -nodes 1000 -v")
	}
	t.Run("50 nodes", func(t *testing.T) { inBubble(t, measureMesh) })
	t.Run("bare members", func(t *testing.T) { inBubble(t, func(t *testing.T) { measureMembers(t, *nodes) }) })
}

func measureMesh(t *testing.T) {
	const count = 50
	l := newLab(t)
	all := []*node{l.introducer().start()}
	<-all[0].mesh.Ready()
	for i := 2; i <= count; i++ {
		all = append(all, l.add(i).start())
		pause(100 * time.Millisecond) // the introducer lets in 20 of one host per second
	}
	eventually(t, 30*time.Second, "all up", func() bool { return allUp(all...) })
	pause(time.Minute)
	var c traffic
	l.fabric.Watch(func(m meshtest.Sent) { c.add(m.Data, m.Packet) })
	const over = 2 * time.Minute
	pause(over)
	l.fabric.Watch(nil)
	c.figure(t, "nodes", count, over)
	if perNode := c.bytes / count / int(over.Seconds()); perNode > 10_000 {
		t.Errorf("%d B/s of each node, want at most 10,000", perNode)
	}
	for _, n := range all {
		n.stop()
	}
}

// measureMembers runs memberlist as the mesh does, with metas and summaries of
// the same sizes, and nothing else.
func measureMembers(t *testing.T, count int) {
	n := &inMemory{at: map[string]*member{}, traffic: nil}
	var lists []*memberlist.Memberlist
	for i := range count {
		c := mesh.GossipConfig(1)
		at := netip.AddrPortFrom(overlayIP(i+1), mesh.GossipPort)
		m := &member{net: n, at: at, packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn)}
		n.put(m)
		c.Name, c.Label, c.Transport = fmt.Sprintf("node-%d.19c0a3f4e11", i+1), "test/fd12:3456:789a::", m
		c.BindAddr, c.AdvertiseAddr = at.Addr().String(), at.Addr().String()
		c.Logger = log.New(io.Discard, "", 0)
		c.Delegate = figures{count: count, meta: metaOf(fmt.Sprintf("node-%d", i+1), 1, nil)}
		list, err := memberlist.Create(c)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, list)
		if i > 0 {
			if _, err := list.Join([]string{netip.AddrPortFrom(overlayIP(rand.IntN(i)+1), mesh.GossipPort).String()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, 10*time.Minute, "everyone knows everyone", func() bool {
		for _, l := range lists {
			if l.NumMembers() != count {
				return false
			}
		}
		return true
	})
	pause(2 * time.Minute)
	var c traffic
	n.watch(&c)
	const over = 4 * time.Minute // longer than the interval of push/pulls of 1,000
	pause(over)
	n.watch(nil)
	c.figure(t, "bare members", count, over)
	for _, l := range lists {
		if err := l.Shutdown(); err != nil {
			t.Error(err)
		}
	}
}

// figures is a delegate that says nothing, at the usual length.
type figures struct {
	count int
	meta  []byte
}

// NodeMeta implements memberlist.Delegate.
func (f figures) NodeMeta(int) []byte { return f.meta }

// NotifyMsg implements memberlist.Delegate.
func (figures) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (figures) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate: as long as a summary of the members.
func (f figures) LocalState(bool) []byte {
	one := fmt.Sprintf(`"node-1000":{"v":1763776497123,"h":%q},`, base64.RawURLEncoding.EncodeToString(make([]byte, 16)))
	return []byte(strings.Repeat(one, f.count))
}

// MergeRemoteState implements memberlist.Delegate.
func (figures) MergeRemoteState([]byte, bool) {}

// inMemory is a network of members in memory.
type inMemory struct {
	mu      sync.Mutex // guards the fields below
	at      map[string]*member
	traffic *traffic
}

func (n *inMemory) put(m *member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[m.at.String()] = m
}

func (n *inMemory) watch(c *traffic) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.traffic = c
}

// find returns a member and counts what is sent to it.
func (n *inMemory) find(to string, b []byte, packet bool) *member {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.traffic != nil && len(b) > 0 {
		n.traffic.add(b, packet)
	}
	return n.at[to]
}

// member is one member's transport.
type member struct {
	net     *inMemory
	at      netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
}

var _ memberlist.Transport = (*member)(nil)

// FinalAdvertiseAddr implements memberlist.Transport.
func (m *member) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return m.at.Addr().AsSlice(), int(m.at.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (m *member) WriteTo(b []byte, to string) (time.Time, error) {
	if other := m.net.find(to, b, true); other != nil {
		select {
		case other.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(m.at), Timestamp: time.Now()}:
		default:
		}
	}
	return time.Now(), nil
}

// PacketCh implements memberlist.Transport.
func (m *member) PacketCh() <-chan *memberlist.Packet { return m.packets }

// StreamCh implements memberlist.Transport.
func (m *member) StreamCh() <-chan net.Conn { return m.streams }

// DialTimeout implements memberlist.Transport.
func (m *member) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	other := m.net.find(to, nil, false)
	if other == nil {
		return nil, errors.New("nobody there")
	}
	a, b := net.Pipe()
	select {
	case other.streams <- &counted{b, m.net}:
		return &counted{a, m.net}, nil
	case <-time.After(timeout):
		return nil, errors.Join(errors.New("no answer"), a.Close(), b.Close())
	}
}

// Shutdown implements memberlist.Transport.
func (m *member) Shutdown() error { return nil }

// counted is a connection whose bytes are counted.
type counted struct {
	net.Conn
	net *inMemory
}

// Write implements net.Conn.
func (c *counted) Write(b []byte) (int, error) {
	c.net.find("", b, false)
	return c.Conn.Write(b)
}
