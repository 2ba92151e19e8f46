package overlay

import (
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"
)

// Actual mirrors actual for tests.
type Actual struct {
	Key       Key
	Port      int
	Peers     map[Key]ActualPeer
	MTU       int
	Up        bool
	NoIPv6    bool
	Addresses []netip.Prefix
	Routes    []netip.Prefix // ours
	Foreign   []netip.Prefix // routes through the interface that others made
}

// ActualPeer mirrors actualPeer for tests.
type ActualPeer struct {
	Endpoint   netip.AddrPort
	Fresh      bool
	Keepalive  time.Duration
	AllowedIPs []netip.Prefix
}

func (a Actual) internal() actual {
	out := actual{key: a.Key, port: a.Port, mtu: a.MTU, up: a.Up, ipv6: !a.NoIPv6, addresses: a.Addresses, peers: internalPeers(a.Peers)}
	for _, r := range a.Routes {
		out.routes = append(out.routes, actualRoute{r, true})
	}
	for _, r := range a.Foreign {
		out.routes = append(out.routes, actualRoute{r, false})
	}
	return out
}

func internalPeers(ps map[Key]ActualPeer) map[Key]actualPeer {
	out := make(map[Key]actualPeer)
	for k, p := range ps {
		out[k] = actualPeer{p.Endpoint, p.Fresh, p.Keepalive, p.AllowedIPs}
	}
	return out
}

// Diff is diff with its changes printed.
func Diff(want Config, prev *Config, a Actual, spare Key) []string {
	out := []string{}
	for _, c := range diff(want, prev, a.internal(), spare) {
		out = append(out, strings.Split(c.String(), "\n")...)
	}
	return out
}

// PeerStep is one allowed IP added to a peer, or with an invalid prefix, a
// peer removed.
type PeerStep struct {
	Peer   Key
	Prefix netip.Prefix
}

// PeerSteps takes the entries of peerChanges apart, in their order.
func PeerSteps(want []Peer, have map[Key]ActualPeer, spare Key) []PeerStep {
	var out []PeerStep
	for _, pc := range peerChanges(want, nil, internalPeers(have), spare) {
		if pc.Remove {
			out = append(out, PeerStep{Peer: Key(pc.PublicKey)})
		}
		for _, p := range prefixesOf(pc.AllowedIPs) {
			out = append(out, PeerStep{Key(pc.PublicKey), p})
		}
	}
	return out
}

// Network is a network of the host.
type Network struct {
	Prefix    string
	Link      string
	Connected bool
}

// Collision checks one route.
func Collision(route netip.Prefix, others []Network) error {
	var ns []network
	for _, o := range others {
		ns = append(ns, network{netip.MustParsePrefix(o.Prefix), o.Link, o.Connected})
	}
	return collision([]change{{op: opRouteAdd, prefix: route}}, ns)
}

// Record reports each change that d makes from now on.
func (d *Device) Record(report func(string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.m = recorder{d.m, report}
}

type recorder struct {
	machine
	report func(string)
}

func (r recorder) apply(c change) error {
	r.report(c.String())
	return r.machine.apply(c)
}

// Redact is redact.
var Redact = redact

// Adoption tells what Open does with an interface of the wanted name.
func Adoption(exists, ours bool, kind string, want Datapath) string {
	e := existing{kind: kind, ours: ours}
	if exists {
		e.link = &netlink.Dummy{}
	}
	return map[fate]string{create: "create", adopt: "adopt", replace: "replace", refuse: "refuse"}[adoption(e, want)]
}

// NewBind is newBind.
func NewBind(offload bool) conn.Bind { return newBind(offload, nil) }

// EndpointFrom makes an endpoint with a source address.
func EndpointFrom(dst netip.AddrPort, src netip.Addr) conn.Endpoint {
	return &endpoint{dst: dst, src: src}
}

// MarkGroup is markGroup.
const MarkGroup = markGroup

// Glare drives a glare as one receiver does, and counts.
type Glare struct{ g *glare }

// NewGlare is newGlare.
func NewGlare() Glare { return Glare{newGlare()} }

// Constants of glare.
const (
	ResponseTime       = responseTime
	MaxHeldPerEndpoint = maxHeldPerEndpoint
	MaxHeld            = maxHeld
)

// ConsumeTime is consumeTime.
const ConsumeTime = consumeTime

// Send notes that b is about to leave for to, and reports whether it may.
func (g Glare) Send(b []byte, to netip.AddrPort) bool { return g.g.sending([][]byte{b}, to) }

// Receive takes one datagram, and reports whether it is held.
func (g Glare) Receive(b []byte, from netip.AddrPort) bool {
	sizes := []int{len(b)}
	g.g.received([][]byte{b}, sizes, []conn.Endpoint{&endpoint{dst: from}})
	return len(b) > 0 && sizes[0] == 0
}

// ReceiveBatch is received.
func (g Glare) ReceiveBatch(bufs [][]byte, sizes []int, eps []conn.Endpoint) {
	g.g.received(bufs, sizes, eps)
}

// Release returns what is due at now, n packets at a time, and when the next is.
func (g Glare) Release(now time.Time, n int) ([][]byte, time.Time) {
	bufs, sizes, eps := make([][]byte, n), make([]int, n), make([]conn.Endpoint, n)
	for i := range bufs {
		bufs[i] = make([]byte, initiationSize)
	}
	k, next := g.g.release(bufs, sizes, eps, now)
	for i := range k {
		bufs[i] = bufs[i][:sizes[i]]
	}
	return bufs[:k], next
}

// Counts returns the own initiations remembered and the packets held.
func (g Glare) Counts() (own, held int) { return len(g.g.own), g.g.held }

// Repeater drives a repeater.
type Repeater struct{ r *repeater }

// MaxRepeated is maxRepeated.
const MaxRepeated = maxRepeated

// NewRepeater is newRepeater.
func NewRepeater(send func(packet []byte, to netip.AddrPort)) Repeater {
	return Repeater{newRepeater(send)}
}

// Send notes that b leaves for to.
func (r Repeater) Send(b []byte, to netip.AddrPort) { r.r.sending([][]byte{b}, to) }

// Receive takes one datagram.
func (r Repeater) Receive(b []byte) { r.r.received(b) }

// Close ends all repetitions.
func (r Repeater) Close() { r.r.close() }

// Stuck is stuck.
const Stuck = stuck

// Inflight drives an inflight.
type Inflight struct{ f *inflight }

// NewInflight is newInflight.
func NewInflight(limit int) Inflight { return Inflight{newInflight(limit)} }

// Add is add.
func (f Inflight) Add(n int) { f.f.add(n) }

// Done is done.
func (f Inflight) Done(n int) { f.f.done(n) }

// Wait is wait.
func (f Inflight) Wait() { f.f.wait() }

// Kept drives a taken.
type Kept struct{ t taken }

// Of is of.
func (k *Kept) Of(bufs [][]byte) int { return k.t.of(bufs) }

// Note is note.
func (k *Kept) Note(bufs [][]byte, sizes []int) { k.t.note(bufs, sizes) }
