package mesh_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/meshtest"
)

// Ring B: whole nodes with the real memberlist, on a network whose faults a
// seed decides. It fixes the faults only: goroutines run as they like, so that
// a failing seed fails again often, not always. Ring A, in mesh/protocol's
// simulator, replays exactly.
var (
	ringSeeds = flag.Int("ring-seeds", 0, "seeds that TestRingB runs; 0 means a few")
	ringSeed  = flag.Uint64("ring-seed", 0, "the one seed that TestRingB runs, to see it fail again; 0 means many")
)

// ringHeals is how long after the last fault all pairs are to be up again.
const ringHeals = 30 * time.Second

func TestRingB(t *testing.T) {
	if *ringSeed != 0 {
		playRing(t, *ringSeed)
		return
	}
	count := *ringSeeds
	if count == 0 {
		count = 20
		if testing.Short() {
			count = 1
		}
	}
	var all []time.Duration
	for seed := range uint64(count) {
		t.Run(fmt.Sprintf("seed %d", seed+1), func(t *testing.T) { all = append(all, playRing(t, seed+1)) })
	}
	slices.Sort(all)
	if len(all) > 0 {
		t.Logf("FIGURE simulated: ring B: %d seeds, all pairs up again %s after the last fault (median), %s at worst", len(all), all[len(all)/2], all[len(all)-1])
	}
}

// ring is one run of ring B.
type ring struct {
	t     *testing.T
	lab   *lab
	rand  *rand.Rand
	nodes []*node
	off   map[*node]bool
	seen  map[*node]map[string]bool // whom a node has known since its start

	mu    sync.Mutex        // guards the fields below
	names map[string]string // in gossip
	label string
}

func playRing(t *testing.T, seed uint64) (took time.Duration) {
	inBubble(t, func(t *testing.T) {
		r := &ring{
			t: t, lab: newLab(t), rand: rand.New(rand.NewPCG(seed, 1)), off: map[*node]bool{},
			seen: map[*node]map[string]bool{}, names: map[string]string{},
		}
		r.start(seed)
		events := 8 + r.rand.IntN(6)
		for range events {
			r.fault()
			r.wait(time.Second + time.Duration(r.rand.Int64N(int64(8*time.Second))))
		}
		took = r.heal(seed)
		r.wait(5 * time.Second)
		for _, n := range r.nodes {
			n.stop()
		}
	})
	return took
}

// start brings the nodes up on an impaired network.
func (r *ring) start(seed uint64) {
	r.lab.fabric.Watch(r.listen)
	loss := 0.05 * r.rand.Float64()
	delay := time.Duration(r.rand.Int64N(int64(60 * time.Millisecond)))
	r.lab.fabric.Impair(seed, func(_, _ *meshtest.Host) meshtest.Impairment {
		return meshtest.Impairment{Loss: loss, Delay: delay, Jitter: 20 * time.Millisecond}
	})
	r.nodes = append(r.nodes, r.lab.introducer())
	for i := range 7 + r.rand.IntN(5) {
		r.nodes = append(r.nodes, r.lab.add(i+2))
	}
	for _, n := range r.nodes {
		n.start()
		r.wait(time.Duration(r.rand.Int64N(int64(time.Second))))
	}
}

// listen learns the label and the names of gossip, for evictions.
func (r *ring) listen(m meshtest.Sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := m.Data; m.Packet && len(b) > 2 && b[0] == 244 && len(b) > 2+int(b[1]) {
		r.label = string(b[2 : 2+int(b[1])])
		for _, found := range gossipName.FindAllStringSubmatch(string(b), -1) {
			r.names[found[1]] = found[0]
		}
	}
}

// fault does one thing that goes wrong.
func (r *ring) fault() {
	n := r.nodes[r.rand.IntN(len(r.nodes))]
	switch r.rand.IntN(8) {
	case 0, 1: // some are cut off from the others
		side := map[string]bool{}
		for _, n := range r.nodes {
			side[n.name] = r.rand.IntN(2) == 0
		}
		r.lab.fabric.Cut(func(a, b *meshtest.Host) bool { return side[a.Name] != side[b.Name] })
	case 2: // one is cut off
		r.lab.fabric.Cut(func(a, b *meshtest.Host) bool { return a == n.host || b == n.host })
	case 3:
		r.lab.fabric.Cut(nil)
	case 4:
		r.evict(n)
	case 5: // killed
		if !r.off[n] {
			n.crash()
			r.off[n] = true
		}
	case 6: // stopped
		if !r.off[n] {
			n.stop()
			n.host.Crash()
			r.off[n] = true
		}
	case 7:
		for n := range r.off {
			r.boot(n)
		}
	}
}

// boot starts a node that was off, now and then without what it remembered.
func (r *ring) boot(n *node) {
	delete(r.off, n)
	delete(r.seen, n)
	if n != r.nodes[0] && r.rand.IntN(4) == 0 {
		n.cfg.StateDir = r.t.TempDir()
	}
	n.host.Boot()
	n.start()
}

// evict has a member tell all others that a node is dead, in a way that it
// cannot deny.
func (r *ring) evict(victim *node) {
	from := r.nodes[r.rand.IntN(len(r.nodes))]
	r.mu.Lock()
	label, dead := r.label, deadMsg(r.names[victim.name], r.names[from.name], math.MaxUint32)
	r.mu.Unlock()
	if r.off[from] || label == "" {
		return
	}
	c, err := from.host.ListenPacket(r.t.Context(), netip.AddrPortFrom(from.mesh.Grant().IP, 9999).String())
	if err != nil {
		r.t.Fatal(err)
	}
	defer closeConn(r.t, c)
	msg := append(append([]byte{244, byte(len(label))}, label...), dead...)
	for _, n := range r.nodes {
		if _, err := c.WriteTo(msg, udpAddr(n.mesh.Grant().IP)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// wait lets time pass and holds the nodes to what is true at any time.
func (r *ring) wait(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); pause(500 * time.Millisecond) {
		for _, n := range r.nodes {
			if !r.off[n] && n.mesh != nil {
				r.look(n)
			}
		}
	}
}

// look checks that a node has forgotten nobody, and that no peer of its has
// other prefixes than those granted.
func (r *ring) look(n *node) {
	known := r.seen[n]
	if known == nil {
		known = map[string]bool{}
		r.seen[n] = known
	}
	now := map[string]bool{}
	for _, p := range n.mesh.Peers() {
		now[p.Name] = true
	}
	for name := range known {
		if !now[name] {
			r.t.Errorf("%s has removed %s", n.name, name)
		}
	}
	for name := range now {
		known[name] = true
	}
	owner := map[netip.Addr]mesh.Peer{}
	for _, p := range n.mesh.Peers() {
		owner[p.IP] = p
	}
	for _, p := range n.host.Config().Peers {
		o := owner[p.AllowedIPs[0].Addr()]
		if want := []netip.Prefix{netip.PrefixFrom(o.IP, 32), netip.PrefixFrom(o.IP6, 128)}; o.Name != "" && !slices.Equal(p.AllowedIPs, want) {
			r.t.Errorf("%s has %s with %v", n.name, o.Name, p.AllowedIPs)
		}
	}
}

// heal ends all faults and returns how long the nodes take to be one mesh.
func (r *ring) heal(seed uint64) time.Duration {
	r.t.Helper()
	for n := range r.off {
		r.boot(n)
	}
	r.lab.fabric.Cut(nil)
	r.lab.fabric.Impair(seed, func(_, _ *meshtest.Host) meshtest.Impairment {
		return meshtest.Impairment{Delay: 10 * time.Millisecond}
	})
	start := time.Now()
	for !allUp(r.nodes...) {
		if time.Since(start) > ringHeals {
			r.t.Fatalf("seed %d: not all up %s after the last fault: %s", seed, ringHeals, r.missing())
		}
		pause(100 * time.Millisecond)
	}
	took := time.Since(start)
	r.t.Logf("%d nodes all up %s after the last fault", len(r.nodes), took)
	return took
}

// missing says which pairs are not up.
func (r *ring) missing() (s []string) {
	for _, a := range r.nodes {
		for _, b := range r.nodes {
			if p := a.peer(b.name); a != b && p.State != mesh.StateUp {
				s = append(s, fmt.Sprintf("%s has %s %q (%s)", a.name, b.name, p.State, p.Reason))
			}
		}
	}
	return s
}
