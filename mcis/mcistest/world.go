// Package mcistest is a small world for tests of package mcis and of what
// stands on it: clouds, an enroller and a mesh in memory. Machines boot, join
// and vanish by the clock alone, so that tests run in virtual time
// (testing/synctest) or with short times.
package mcistest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/mcis"
)

// World is everything that a service needs besides its store. It implements
// mcis.Clouds, mcis.Enroller and mcis.Members.
type World struct {
	mu      sync.Mutex
	clouds  map[string]*Cloud
	regions map[string]string
	tokens  map[string]string // by node: the token that is worth something
	serial  int
	wrong   []string
	rnd     *rand.Rand
	changed chan struct{}
}

// New returns a world with a cloud of each name; "private" has the one region
// RegionOne by default, the others none.
func New(seed uint64, names ...string) *World {
	w := &World{
		clouds: make(map[string]*Cloud), regions: make(map[string]string), tokens: make(map[string]string),
		rnd: rand.New(rand.NewPCG(seed, seed)), changed: make(chan struct{}, 1),
	}
	for _, name := range names {
		w.Add(name, Faults{Boot: 3 * time.Second, Shutdown: 4 * time.Second, Latency: 50 * time.Millisecond})
		if name == "private" {
			w.regions[name] = "RegionOne"
		}
	}
	return w
}

// Add returns the cloud of a name, and makes it, with the faults, if there is
// none.
func (w *World) Add(name string, f Faults) *Cloud {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clouds[name] == nil {
		w.clouds[name] = &Cloud{name: name, world: w, calls: make(map[string]int), open: make(map[string]bool), Faults: f}
	}
	return w.clouds[name]
}

// Alias adds a second account of the same cloud.
func (w *World) Alias(name, of string) { w.clouds[name] = w.clouds[of] }

// Fake returns a cloud of the world.
func (w *World) Fake(name string) *Cloud { return w.clouds[name] }

// Cloud implements mcis.Clouds.
func (w *World) Cloud(_ context.Context, name string) (mcis.Cloud, error) {
	c, ok := w.clouds[name]
	if !ok {
		return mcis.Cloud{}, fmt.Errorf("cloud %s: %w", name, mcis.ErrNoCloud)
	}
	return mcis.Cloud{Driver: c, Region: w.regions[name]}, nil
}

// Names implements mcis.Clouds.
func (w *World) Names(context.Context) ([]string, error) {
	var out []string
	for name := range w.clouds {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}

// Token implements mcis.Enroller.
func (w *World) Token(ctx context.Context, req mcis.NodeRequest) (mcis.Enrollment, error) {
	if err := ctx.Err(); err != nil {
		return mcis.Enrollment{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serial++
	token := fmt.Sprintf("cb1.%s.%d", req.Node, w.serial)
	w.tokens[req.Node] = token
	return mcis.Enrollment{Token: token, IP: netip.AddrFrom4([4]byte{10, 66, byte(w.serial >> 8), byte(w.serial)})}, nil
}

// Extend implements mcis.Enroller.
func (w *World) Extend(ctx context.Context, _ string) error { return ctx.Err() }

// Close implements mcis.Enroller.
func (w *World) Close(ctx context.Context, node string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tokens, node)
	return nil
}

// Joined implements mcis.Members: a machine of the node has booted with the
// token that is worth something.
func (w *World) Joined(node string) (netip.Addr, bool) {
	w.mu.Lock()
	token := w.tokens[node]
	w.mu.Unlock()
	if token == "" {
		return netip.Addr{}, false
	}
	for _, c := range w.clouds {
		if c.joined(node, token) {
			return netip.AddrFrom4([4]byte{10, 66, 0, 1}), true
		}
	}
	return netip.Addr{}, false
}

// Changed implements mcis.Members. The world never wakes anyone: joins are
// noticed at the next tick.
func (w *World) Changed() <-chan struct{} { return w.changed }

// Doubles returns the nodes that have more than one machine now.
func (w *World) Doubles(nodes []string) []string {
	var out []string
	for _, node := range nodes {
		n := 0
		for _, c := range w.clouds {
			n += c.machines(node)
		}
		if n > 1 {
			out = append(out, node)
		}
	}
	return out
}

// Inventory returns what exists in all clouds.
func (w *World) Inventory() []string {
	var out []string
	for name, c := range w.clouds {
		for _, line := range c.Inventory() {
			out = append(out, name+" "+line)
		}
	}
	slices.Sort(out)
	return out
}

// Members returns the nodes that hold a token or certificate of worth.
func (w *World) Members() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for node := range w.tokens {
		out = append(out, node)
	}
	slices.Sort(out)
	return out
}

// Wrong returns the breaches of the drivers' contract that were seen.
func (w *World) Wrong() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.wrong)
}

func (w *World) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// chance draws true with probability p.
func (w *World) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rnd.Float64() < p
}
