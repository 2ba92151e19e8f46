package bench_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/meshtest"
	"github.com/cbnet-io/cbnet/overlay"
	"github.com/cbnet-io/cbnet/test/bench"
)

// measureSimulated runs real mesh code over a simulated network in simulated
// time: thousands of members, one process.
func measureSimulated(t *testing.T, to *bench.Report) {
	real := time.Now()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, *flagSim)
		took := s.converge(t, 10*time.Minute)
		t.Logf("%d members know each other after %v, simulated", *flagSim, took)
		note := fmt.Sprintf("SIMULATED: %d members in one process, synctest's time", *flagSim)
		pause(*flagSettle)
		var packets, streams atomic.Int64
		s.fabric.Watch(func(m meshtest.Sent) {
			switch {
			case m.Inside && m.Packet:
				packets.Add(int64(len(m.Data)))
			case m.Inside:
				streams.Add(int64(len(m.Data)))
			}
		})
		pause(*flagSettle)
		s.fabric.Watch(nil)
		rate := func(n int64) []float64 {
			return []float64{float64(n) / flagSettle.Seconds() / float64(*flagSim)}
		}
		section := "simulated mesh"
		to.Rows = append(to.Rows,
			bench.Row{Section: section, Subject: "all know all, after the last start", Unit: "s", Samples: []float64{took.Seconds()}, Note: note},
			bench.Row{Section: section, Subject: "gossip sent per node: datagrams", Unit: "B/s", Samples: rate(packets.Load()), Note: note + "; payloads"},
			bench.Row{Section: section, Subject: "gossip sent per node: streams", Unit: "B/s", Samples: rate(streams.Load()), Note: note + "; payloads"})
	})
	t.Logf("%d members took %v of real time", *flagSim, time.Since(real).Round(time.Second))
}

// simulation is a mesh in one process.
type simulation struct {
	fabric  *meshtest.Fabric
	members []*mesh.Mesh
	stop    context.CancelFunc
	running sync.WaitGroup // of members
}

const simIntroducer = "198.18.0.1:7950"

func newSimulation(t *testing.T, n int) *simulation {
	t.Helper()
	m, err := identity.NewMesh("bench", netip.MustParsePrefix("10.66.0.0/16"))
	must(t, err)
	ca, err := identity.NewCA(m, time.Now())
	must(t, err)
	s := &simulation{fabric: meshtest.NewFabric()}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	dir := t.TempDir() // goes after all have ended
	t.Cleanup(s.end)
	for i := range n {
		s.start(ctx, t, ca, dir, i+1)
	}
	return s
}

// end stops all members, of whom none hears the others say so: they would do
// more than in all the time before.
func (s *simulation) end() {
	s.fabric.Cut(func(_, _ *meshtest.Host) bool { return true })
	s.stop()
	s.running.Wait()
	pause(30 * time.Second) // memberlist's last probes
}

// start adds the n-th member and runs it. The first one introduces.
func (s *simulation) start(ctx context.Context, t *testing.T, ca *identity.CA, dir string, n int) {
	t.Helper()
	name, host := fmt.Sprint("n", n), byte(n>>8)
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	g := identity.Grant{Node: name, IP: netip.AddrFrom4([4]byte{10, 66, host, byte(n)})}
	if n == 1 {
		g.Roles = []identity.Role{identity.RoleIntroducer}
	}
	cert, err := ca.Issue(pub, g, time.Now(), 24*time.Hour)
	must(t, err)
	h := s.fabric.Host(name, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, host, byte(n)}), 32))
	private, err := overlay.GenerateKey()
	must(t, err)
	state := filepath.Join(dir, name)
	must(t, os.Mkdir(state, 0o700))
	c := mesh.Config{
		Bundle: &identity.Bundle{Certificate: cert, Key: key, CAs: []*x509.Certificate{ca.Certificate}, Introducers: []string{simIntroducer}},
		Device: h, Net: h, StateDir: state, PrivateKey: private, Port: 51820, Log: slog.New(slog.DiscardHandler),
	}
	if n == 1 {
		c.Introduce = simIntroducer
	}
	member, err := mesh.New(c)
	must(t, err)
	s.running.Go(func() {
		if err := member.Run(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	s.members = append(s.members, member)
}

// converge waits until every member has every other one up.
func (s *simulation) converge(t *testing.T, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for i := 0; i < len(s.members); {
		up := 0
		for _, p := range s.members[i].Peers() {
			if p.State == mesh.StateUp {
				up++
			}
		}
		if up == len(s.members)-1 {
			i++
			continue
		}
		if time.Since(began) > limit {
			t.Fatalf("member %d has %d of %d peers up after %v", i, up, len(s.members)-1, limit)
		}
		pause(100 * time.Millisecond)
	}
	return time.Since(began)
}

// pause lets time pass in a synctest bubble.
func pause(d time.Duration) { <-time.After(d) }
