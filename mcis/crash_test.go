package mcis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
	"github.com/cbnet-io/cbnet/store/kv"
	"github.com/cbnet-io/cbnet/store/storetest"
)

var errCrash = errors.New("the process is dead")

// crash ends a service at one of the points at which it touches the world:
// before or after each write, each call that changes a cloud and each token.
// From then on nothing that the service does has an effect.
type crash struct {
	mu   sync.Mutex
	n    int           // points passed
	at   int           // the one to die at; 0: never
	late time.Duration // a cloud call that is cut before its effect has it so much later
	last string        // what the last point was
	dead bool
	kill func()
}

// point passes a point and reports whether the service is dead there.
func (c *crash) point(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return true
	}
	c.n++
	c.last = what
	if c.n == c.at {
		c.dead = true
		c.kill()
	}
	return c.dead
}

func (c *crash) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// onCall decides about a call that changes a cloud.
func (c *crash) onCall(op string, done bool) (time.Duration, error) {
	was := c.isDead()
	if !c.point(fmt.Sprintf("%s done=%t", op, done)) {
		return 0, nil
	}
	if was || done {
		return 0, errCrash
	}
	return c.late, errCrash
}

// crashStore is a store seen by a service that may die.
type crashStore struct {
	*storetest.Memory
	c *crash
}

func (s crashStore) Get(ctx context.Context, key string) (kv.Item, error) {
	if s.c.isDead() {
		return kv.Item{}, errCrash
	}
	return s.Memory.Get(ctx, key)
}

func (s crashStore) List(ctx context.Context, prefix string) ([]kv.Item, error) {
	if s.c.isDead() {
		return nil, errCrash
	}
	return s.Memory.List(ctx, prefix)
}

func (s crashStore) Txn(ctx context.Context, ops ...kv.Op) error {
	if s.c.point("before write of " + ops[0].Key) {
		return errCrash
	}
	if err := s.Memory.Txn(ctx, ops...); err != nil {
		return err
	}
	if s.c.point("after write of " + ops[0].Key) {
		return errCrash
	}
	return nil
}

// crashEnroller is an enroller seen by a service that may die.
type crashEnroller struct {
	*mcistest.World
	c *crash
}

func (e crashEnroller) Token(ctx context.Context, req mcis.NodeRequest) (mcis.Enrollment, error) {
	if e.c.point("before token") {
		return mcis.Enrollment{}, errCrash
	}
	en, err := e.World.Token(ctx, req)
	if e.c.point("after token") {
		return mcis.Enrollment{}, errCrash
	}
	return en, err
}

func (e crashEnroller) Close(ctx context.Context, node string) error {
	if e.c.point("before close") {
		return errCrash
	}
	err := e.World.Close(ctx, node)
	if e.c.point("after close") {
		return errCrash
	}
	return err
}

// ruin is a world with a store that outlives its services.
type ruin struct {
	t     *testing.T
	world *mcistest.World
	store *storetest.Memory
}

// live runs a service with a plan of its death, gives it work, and returns when
// the work is done (true) or the service is dead (false).
func (r *ruin) live(c *crash, work func(svc *mcis.Service), done func(svc *mcis.Service) bool) bool {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	c.kill = cancel
	for _, name := range []string{"aws", "private"} {
		r.world.Fake(name).Lock(func(f *mcistest.Faults) { f.OnCall = c.onCall })
	}
	d := deps(crashStore{r.store, c}, r.world, mcis.Options{})
	d.Enroller = crashEnroller{r.world, c}
	svc, err := mcis.New(d)
	if err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }()
	work(svc)
	ok := false
	for end := time.Now().Add(30 * time.Minute); !ok && !c.isDead(); {
		if time.Now().After(end) {
			st, _ := svc.Status(context.Background(), "shop")
			r.t.Fatalf("not done: %+v\n%s\n%s", st, strings.Join(r.world.Inventory(), "\n"), strings.Join(r.store.Keys(), "\n"))
		}
		time.Sleep(500 * time.Millisecond) // virtual time
		ok = done(svc) && !c.isDead()
	}
	cancel()
	if err := <-ended; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	return ok
}

// must runs a service that does not die.
func (r *ruin) must(work func(svc *mcis.Service), done func(svc *mcis.Service) bool) {
	r.t.Helper()
	if !r.live(&crash{}, work, done) {
		r.t.Fatal("an immortal service died")
	}
}

func idle(*mcis.Service) {}

// doApply applies hybrid until that is accepted: as a client does that has lost
// the answer.
func (r *ruin) doApply(svc *mcis.Service) {
	spec := (&lab{t: r.t, svc: svc}).specQuiet(hybrid)
	if spec.Name == "" {
		return // dead already
	}
	_, _ = svc.Apply(r.t.Context(), spec) // dead, or accepted
}

func (l *lab) specQuiet(text string) mcis.Spec {
	specs, err := l.svc.Parse(l.t.Context(), "spec.yaml", []byte(text))
	if err != nil || len(specs) == 0 {
		return mcis.Spec{}
	}
	return specs[0]
}

func doDelete(svc *mcis.Service) { _, _ = svc.Delete(context.Background(), "shop") }

func isReady(svc *mcis.Service) bool {
	st, err := svc.Status(context.Background(), "shop")
	return err == nil && st.Phase == mcis.PhaseReady
}

func isGone(svc *mcis.Service) bool {
	_, err := svc.Status(context.Background(), "shop")
	return errors.Is(err, mcis.ErrNotFound)
}

// checkReady asserts that exactly what was asked for exists.
func (r *ruin) checkReady() {
	r.t.Helper()
	vms, rest := 0, 0
	for _, line := range r.world.Inventory() {
		if strings.Contains(line, " vm ") {
			vms++
		} else {
			rest++
		}
	}
	if vms != 4 || rest != 6 {
		r.t.Errorf("%d machines and %d parts of networks, want 4 and 6:\n%s", vms, rest, strings.Join(r.world.Inventory(), "\n"))
	}
	if wrong := r.world.Wrong(); len(wrong) > 0 {
		r.t.Errorf("breaches: %v", wrong)
	}
}

func (r *ruin) checkEmpty() {
	r.t.Helper()
	(&lab{t: r.t, world: r.world, store: r.store}).empty()
}

func newRuin(t *testing.T, seed uint64) *ruin {
	return &ruin{t: t, world: mcistest.New(seed, "aws", "private"), store: &storetest.Memory{}}
}

// TestCrashAtEveryPoint ends the service at every point of an apply and of a
// delete in turn, before and after its effect and with cloud calls that take
// effect seconds after the death, starts another one over what is left, and
// asserts that it finishes the work with nothing twice and nothing left over.
func TestCrashAtEveryPoint(t *testing.T) {
	lates := []time.Duration{0, 4 * time.Second}
	if testing.Short() {
		lates = lates[1:] // the harder one
	}
	for _, late := range lates {
		t.Run(fmt.Sprintf("late=%s", late), func(t *testing.T) {
			everyPoint(t, "apply, then apply goes on", late, func(r *ruin, c *crash) bool {
				done := r.live(c, r.doApply, isReady)
				if !done {
					r.must(r.doApply, isReady)
				}
				r.checkReady()
				r.must(doDelete, isGone)
				r.checkEmpty()
				return done
			})
			everyPoint(t, "apply, then nobody asks again", late, func(r *ruin, c *crash) bool {
				done := r.live(c, r.doApply, isReady)
				if !done && len(r.store.Keys()) > 0 {
					r.must(idle, isReady)
					r.checkReady()
				}
				r.must(doDelete, isGone)
				r.checkEmpty()
				return done
			})
			everyPoint(t, "apply, then delete", late, func(r *ruin, c *crash) bool {
				done := r.live(c, r.doApply, isReady)
				r.must(doDelete, isGone)
				time.Sleep(time.Minute) // virtual: whatever is late has come
				r.checkEmpty()
				return done
			})
			everyPoint(t, "delete, then delete goes on", late, func(r *ruin, c *crash) bool {
				r.must(r.doApply, isReady)
				done := r.live(c, doDelete, isGone)
				if !done {
					r.must(doDelete, isGone)
				}
				r.checkEmpty()
				return done
			})
		})
	}
}

// stride is from one crash to the next. Short tests are those that the race
// detector slows.
func stride() int {
	if testing.Short() {
		return 5
	}
	return 1
}

// everyPoint runs story with a crash at the first point, the second, and so on
// until the story ends without one; in short tests at every fifth.
func everyPoint(t *testing.T, name string, late time.Duration, story func(r *ruin, c *crash) bool) {
	t.Run(name, func(t *testing.T) {
		for at := 1; ; at += stride() {
			over := false
			c := &crash{at: at, late: late}
			synctest.Test(t, func(t *testing.T) { over = story(newRuin(t, uint64(at)), c) })
			if t.Failed() {
				t.Fatalf("at point %d: %s", at, c.last)
			}
			if over {
				t.Logf("%d points", at-1)
				if at < 20 {
					t.Errorf("only %d points: the story is not under test", at-1)
				}
				return
			}
		}
	})
}

// TestCrashAtRandom ends services again and again at random points of create
// and delete, over clouds that throttle, lose answers and show things late.
func TestCrashAtRandom(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { randomStory(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomStory(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	r := newRuin(t, seed)
	for _, name := range []string{"aws", "private"} {
		r.world.Fake(name).Lock(func(f *mcistest.Faults) {
			f.Throttle, f.Drop = 0.1, 0.1
			f.ListLag = time.Duration(rnd.IntN(5)) * time.Second
			f.Latency = time.Duration(rnd.IntN(800)) * time.Millisecond
		})
	}
	deaths := func(work func(*mcis.Service), done func(*mcis.Service) bool) {
		for range 6 {
			c := &crash{at: 1 + rnd.IntN(40), late: time.Duration(rnd.IntN(6)) * time.Second}
			if r.live(c, work, done) {
				return
			}
		}
		r.must(work, done)
	}
	if rnd.IntN(4) > 0 {
		deaths(r.doApply, isReady)
		r.checkReady()
	} else {
		r.live(&crash{at: 1 + rnd.IntN(60), late: 5 * time.Second}, r.doApply, isReady)
	}
	deaths(doDelete, isGone)
	time.Sleep(time.Minute) // virtual: whatever is late has come
	r.checkEmpty()
}
