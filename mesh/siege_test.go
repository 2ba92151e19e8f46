package mesh_test

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/meshtest"
	"github.com/cbnet-io/cbnet/overlay"
)

// siege is a mesh under attack: honest nodes, the first of which introduces,
// a member that lies, and a stranger without a certificate.
type siege struct {
	t        *testing.T
	lab      *lab
	honest   []*node
	liar     *node
	dead     bool // the liar is
	heap     int  // before the attack
	stranger *meshtest.Host
	label    string            // of gossip, as the wire shows it
	names    map[string]string // in gossip, by node, as the wire shows them
	regs     map[*node]*prometheus.Registry

	mu       sync.Mutex // guards the fields below
	newcomer []*node
	pings    int
	lost     []string
	wrong    []string // what should not be on a device
}

// attack is what somebody does, and how the honest nodes count it.
type attack struct {
	name   string
	do     func(*siege)
	metric string // cbnet_mesh_..._total; empty means that of the whole suite
	label  string
	settle time.Duration // until the effects are over; 0 means 20 s
}

// runAttacks runs a suite; with -short its first attack only.
func runAttacks(t *testing.T, metric string, attacks []attack) {
	for i, a := range attacks {
		if a.metric == "" {
			a.metric = metric
		}
		t.Run(a.name, func(t *testing.T) {
			if testing.Short() && i > 0 {
				t.Skip("simulates a minute of five nodes; runs without -short, in make test too")
			}
			a.run(t)
		})
	}
}

// allowed bounds what an attack may leave behind.
const (
	allowedHeap       = 4 << 20
	allowedGoroutines = 12
	allowedLog        = 60 // lines on one node
)

// run does the attack and holds the honest nodes to what is required: nothing
// of it on a device, no packet lost, no memory kept, and counted.
func (a attack) run(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newSiege(t)
		was := s.counted(a.metric, a.label)
		logged := s.logLines()
		heap, goroutines := memory()
		s.heap = heap
		end := s.stream()
		a.do(s)
		settle := a.settle
		if settle == 0 {
			settle = 20 * time.Second
		}
		pause(settle)
		end()
		s.check(heap, goroutines, logged)
		if got := s.counted(a.metric, a.label) - was; got <= 0 {
			t.Errorf("counted %v times as %s{%s}", got, a.metric, a.label)
		} else {
			t.Logf("counted %v times as %s{%s}; %d pings, none lost", got, a.metric, a.label, s.pings)
		}
		s.stop()
	})
}

// newSiege starts the mesh and waits until it is steady.
func newSiege(t *testing.T) *siege {
	t.Helper()
	s := &siege{t: t, lab: newLab(t), names: map[string]string{}, regs: map[*node]*prometheus.Registry{}}
	s.lab.fabric.Watch(s.listen)
	s.honest = []*node{s.lab.introducer(), s.lab.add(2), s.lab.add(3), s.lab.add(4)}
	for _, n := range s.honest {
		s.regs[n] = prometheus.NewRegistry()
		n.cfg.Registerer = s.regs[n]
		n.start()
	}
	s.liar = s.lab.add(9).start()
	s.stranger = s.lab.fabric.Host("stranger", netip.PrefixFrom(publicIP(200), 32))
	eventually(t, 10*time.Second, "all up", func() bool { return allUp(s.everyone()...) })
	pause(40 * time.Second) // a push/pull and more
	for _, reason := range []string{"malformed", "oversize", "flood", "echo", "meta", "name", "summary", "request", "dead"} {
		if got := s.counted("gossip_refused", reason); got != 0 {
			t.Errorf("among honest nodes %v are refused as %s", got, reason)
		}
	}
	s.lab.fabric.Watch(nil)
	if len(s.names) < 4 || s.label == "" {
		t.Fatalf("gossip names %v, label %q", s.names, s.label)
	}
	return s
}

func (s *siege) everyone() []*node { return append(slices.Clone(s.honest), s.liar) }

// listen learns the label and the names of gossip from the wire, as any member
// can.
func (s *siege) listen(m meshtest.Sent) {
	b := m.Data
	if !m.Packet || len(b) < 2 || b[0] != 244 || len(b) < 2+int(b[1]) {
		return
	}
	s.label = string(b[2 : 2+int(b[1])])
	for _, found := range gossipName.FindAllStringSubmatch(string(b), -1) {
		s.names[found[1]] = found[0]
	}
}

var gossipName = regexp.MustCompile(`(node-[0-9]+)\.[0-9a-f]{10}`)

// stream pings between all honest pairs and looks at their devices, until end.
func (s *siege) stream() (end func()) {
	granted := s.grants()
	before := map[*node]overlay.Config{}
	for _, n := range s.honest {
		before[n] = n.host.Config()
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			s.pingAll()
			for _, n := range s.honest {
				s.inspect(n, before[n], granted)
			}
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	end = sync.OnceFunc(func() { close(stop); <-done })
	s.t.Cleanup(end)
	return end
}

func (s *siege) pingAll() {
	for _, a := range s.honest {
		for _, b := range s.honest {
			if a == b {
				continue
			}
			s.mu.Lock()
			s.pings++
			if !a.reaches(b) {
				s.lost = append(s.lost, a.name+" to "+b.name)
			}
			s.mu.Unlock()
		}
	}
}

// grants returns what each member's certificate grants, by its address.
func (s *siege) grants() map[netip.Addr][]netip.Prefix {
	m := map[netip.Addr][]netip.Prefix{}
	for _, n := range s.everyone() {
		g := n.mesh.Grant()
		m[g.IP] = []netip.Prefix{netip.PrefixFrom(g.IP, 32), netip.PrefixFrom(g.IP6, 128)}
	}
	return m
}

// inspect compares a device with what it was: of the honest nothing may change,
// and the liar has what it is granted or nothing.
func (s *siege) inspect(n *node, before overlay.Config, granted map[netip.Addr][]netip.Prefix) {
	c := n.host.Config()
	wrong := func(format string, args ...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.wrong) < 10 {
			s.wrong = append(s.wrong, n.name+": "+fmt.Sprintf(format, args...))
		}
	}
	if !slices.Equal(c.Routes, before.Routes) || !slices.Equal(c.Addresses, before.Addresses) || c.PrivateKey != before.PrivateKey {
		wrong("routes %v, addresses %v", c.Routes, c.Addresses)
	}
	liar := s.liar.mesh.Grant().IP
	own := netip.AddrPortFrom(publicIP(9), 51820)
	was := map[netip.Addr]overlay.Peer{}
	for _, p := range before.Peers {
		was[p.AllowedIPs[0].Addr()] = p
	}
	for _, p := range c.Peers {
		ip := p.AllowedIPs[0].Addr()
		if s.isNewcomer(ip) {
			continue
		}
		if !slices.Equal(p.AllowedIPs, granted[ip]) {
			wrong("peer with %v", p.AllowedIPs)
		}
		if ip != liar && (p.PublicKey != was[ip].PublicKey || p.Endpoint != was[ip].Endpoint || p.Keepalive != was[ip].Keepalive) {
			wrong("peer %s became %v", ip, p)
		}
		if ip == liar && p.Endpoint.IsValid() && p.Endpoint != own {
			wrong("the liar's endpoint became %s", p.Endpoint)
		}
		delete(was, ip)
	}
	delete(was, liar)
	if len(was) > 0 {
		wrong("lacks %v", slices.Collect(maps.Keys(was)))
	}
}

// check reports what the attack has done to the honest nodes.
func (s *siege) check(heap, goroutines int, logged map[*node]int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lost) > 0 {
		s.t.Errorf("%d of %d pings lost, first %s", len(s.lost), s.pings, s.lost[0])
	}
	for _, w := range s.wrong {
		s.t.Errorf("on a device: %s", w)
	}
	if !allUp(s.honest...) {
		s.t.Error("honest nodes do not count each other as up")
	}
	h, g := memory()
	if h-heap > allowedHeap || g-goroutines > allowedGoroutines+20*len(s.newcomer) {
		s.t.Errorf("memory is kept: heap from %d to %d bytes, goroutines from %d to %d", heap, h, goroutines, g)
	}
	for n, lines := range s.logLines() {
		if lines-logged[n] > allowedLog {
			s.t.Errorf("%s logged %d lines", n.name, lines-logged[n])
		}
		if secret := overlay.Key(n.cfg.PrivateKey).String(); strings.Contains(n.log.String(), secret) {
			s.t.Errorf("%s logged its key", n.name)
		}
	}
}

// isNewcomer reports whether an honest node that has joined meanwhile has the
// overlay address.
func (s *siege) isNewcomer(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.newcomer, func(n *node) bool { return n.mesh.Grant().IP == ip })
}

func (s *siege) logLines() map[*node]int {
	m := map[*node]int{}
	for _, n := range s.honest {
		m[n] = strings.Count(n.log.String(), "\n")
	}
	return m
}

// counted sums a metric over the honest nodes.
func (s *siege) counted(metric, label string) (sum float64) {
	s.t.Helper()
	for _, reg := range s.regs {
		sum += counter(s.t, reg, "cbnet_mesh_"+metric+"_total", label)
	}
	return sum
}

func (s *siege) stop() { // nothing runs beside it any more
	for _, n := range append(s.everyone(), s.newcomer...) {
		if n != s.liar || !s.dead {
			n.stop()
		}
	}
}

// memory returns the heap in bytes and the number of goroutines, at rest.
func memory() (heap, goroutines int) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), runtime.NumGoroutine()
}

// die ends the liar's daemon as kill -9 does.
func (s *siege) die() {
	s.liar.crash()
	s.dead = true
}

// push sends a request to every honest node from the liar's address.
func (s *siege) push(q mesh.Request) {
	for _, n := range s.honest {
		push(s.t, s.liar, n, q)
	}
}

// record pushes an envelope of the liar's making to everyone.
func (s *siege) record(env []byte) { s.push(mesh.Request{Records: [][]byte{env}}) }

// version is above all that anybody has made.
func version() uint64 { return uint64(time.Now().UnixMilli()) + 1_000_000 }

// packet sends datagrams from the liar's overlay address to every honest node.
func (s *siege) packet(bs ...[]byte) { s.packetFrom(s.liar.mesh.Grant().IP, bs...) }

// packetFrom sends datagrams from any address, from the liar's host.
func (s *siege) packetFrom(from netip.Addr, bs ...[]byte) {
	s.t.Helper()
	c, err := s.liar.host.ListenPacket(s.t.Context(), netip.AddrPortFrom(from, 9999).String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer closeConn(s.t, c)
	for _, n := range s.honest {
		for _, b := range bs {
			if _, err := c.WriteTo(b, udpAddr(n.mesh.Grant().IP)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// tcp opens a stream to every honest node's gossip port and says something.
func (s *siege) tcp(say []byte) {
	s.t.Helper()
	for _, n := range s.honest {
		s.say(n, say)
	}
}

// say opens one stream, says something and reads until the other closes.
func (s *siege) say(n *node, say []byte) []byte {
	s.t.Helper()
	c, err := s.liar.host.Dial(s.t.Context(), s.liar.mesh.Grant().IP, netip.AddrPortFrom(n.mesh.Grant().IP, mesh.GossipPort).String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer closeConn(s.t, c)
	return talk(s.t, c, say)
}

// labelled puts the label of gossip before a message.
func (s *siege) labelled(b []byte) []byte {
	return append([]byte{244, byte(len(s.label))}, append([]byte(s.label), b...)...)
}

// wgKey returns the WireGuard key of a node.
func wgKey(n *node) identity.Bytes32 { return identity.Bytes32(n.cfg.PrivateKey.Public()) }
