package openstack_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/openstack"
)

// TestRealQuota uses up a project's quota of instances. Nova refuses what is
// too much when it is asked (403), but counts only what its conductor has taken
// over: what is asked for before that is accepted (202) and turned into an error
// when the conductor counts again. Here the conductor is halted meanwhile, so
// that it happens every time. Both must be told with Nova's reason, and none may
// leave a port behind.
//
//	CBNET_OPENSTACK_CONDUCTOR  process group of nova-conductor; the project of
//	                           CBNET_OPENSTACK_CLOUDS is filled
func TestRealQuota(t *testing.T) {
	conductor, err := strconv.Atoi(os.Getenv("CBNET_OPENSTACK_CONDUCTOR"))
	if err != nil {
		t.Skip("CBNET_OPENSTACK_CONDUCTOR names no process: no OpenStack of our own to fill")
	}
	file, err := os.ReadFile(os.Getenv("CBNET_OPENSTACK_CLOUDS"))
	if err != nil {
		t.Fatal(err)
	}
	d := newDriver(t, openstack.Config{Credentials: file, Cloud: os.Getenv("CBNET_OPENSTACK_CLOUD")})
	f := filling{t: t, d: d, owner: cloud.Owner{Mesh: "quota", MCIS: "quota"}}
	f.prepare()
	t.Cleanup(f.clear)
	room := f.room()
	f.create(0, room-1)
	f.settle()

	f.fatal(syscall.Kill(-conductor, syscall.SIGSTOP))
	goOn := sync.OnceFunc(func() { f.fatal(syscall.Kill(-conductor, syscall.SIGCONT)) })
	t.Cleanup(goOn)
	refused := f.create(room-1, room+2)
	goOn()
	failed, running := f.settle()
	refusedLater := f.create(room+2, room+3)
	t.Logf("room for %d, asked for %d: %d run, %d accepted and failed, %d refused at once", room, room+3, running, failed, refused+refusedLater)
	if running != room || failed != 2 || refused != 0 || refusedLater != 1 {
		t.Errorf("want %d that run, 2 that fail late and 1 that is refused", room)
	}
}

// filling fills a project's quota.
type filling struct {
	t      *testing.T
	d      *openstack.Driver
	owner  cloud.Owner
	region string
	spec   cloud.VMSpec
}

var fillCIDR = netip.MustParsePrefix("10.0.0.0/24")

func (f *filling) fatal(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// prepare makes the network and the description of a machine.
func (f *filling) prepare() {
	ctx := f.t.Context()
	regions, err := f.d.Regions(ctx)
	f.fatal(err)
	f.region = regions[0].Name
	specs, err := f.d.Specs(ctx, f.region)
	f.fatal(err)
	images, err := f.d.Images(ctx, f.region)
	f.fatal(err)
	f.spec = cloud.VMSpec{Owner: f.owner, Region: f.region, Spec: specs[0].Name, Image: images[0].ID}
	f.spec.Network, err = f.d.EnsureNetwork(ctx, cloud.NetworkSpec{Owner: f.owner, Region: f.region, Name: "cbnet-quota", CIDR: fillCIDR})
	f.fatal(err)
}

// room returns how many instances the quota still allows.
func (f *filling) room() int {
	quotas, err := f.d.Quotas(f.t.Context(), f.region)
	f.fatal(err)
	for _, q := range quotas {
		if q.Name == "instances" {
			f.t.Logf("quota of instances: %d used of %d", q.Used, q.Limit)
			if n := q.Limit - q.Used; q.Limit >= 0 && n <= 30 {
				return n
			}
			f.t.Fatalf("%d instances are too many to fill", q.Limit)
		}
	}
	f.t.Fatalf("no quota of instances in %+v", quotas)
	return 0
}

// create asks for machines from number i to before n, at once, and returns how
// many were refused.
func (f *filling) create(i, n int) int {
	var mu sync.Mutex
	refused := 0
	var g errgroup.Group
	for ; i < n; i++ {
		spec := f.spec
		spec.Name, spec.Token = fmt.Sprintf("quota-%d", i), fmt.Sprintf("quota-%d", i)
		spec.PrivateIP, _ = cloud.VMAddr(fillCIDR, i)
		g.Go(func() error {
			_, err := f.d.CreateVM(f.t.Context(), spec)
			if !errors.Is(err, cloud.ErrQuota) {
				return err
			}
			f.t.Logf("refused at once: %v", err)
			mu.Lock()
			defer mu.Unlock()
			refused++
			return nil
		})
	}
	f.fatal(g.Wait())
	return refused
}

// settle waits until no machine is pending and returns how many failed and run.
func (f *filling) settle() (failed, running int) {
	for {
		pending := 0
		failed, running = 0, 0
		res, err := f.d.List(f.t.Context(), f.region, f.owner)
		f.fatal(err)
		for _, r := range res {
			switch {
			case r.Kind == cloud.KindPort:
				f.t.Errorf("left behind: %+v", r)
			case r.Kind != cloud.KindVM:
			case r.VM.State == cloud.VMRunning:
				running++
			case r.VM.State == cloud.VMFailed:
				failed++
				f.t.Logf("%s was accepted and failed: %s", r.Name, r.VM.Reason)
				if !strings.Contains(r.VM.Reason, "uota") {
					f.t.Errorf("the reason is not Nova's: %s", r.VM.Reason)
				}
			default:
				pending++
			}
		}
		if pending == 0 {
			return failed, running
		}
		f.pause()
	}
}

// clear deletes everything.
func (f *filling) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for {
		res, err := f.d.List(ctx, f.region, f.owner)
		if err != nil {
			f.t.Error(err)
			return
		}
		if len(res) == 0 {
			return
		}
		for _, r := range cloud.DeleteOrder(res) {
			if err := f.d.Delete(ctx, r); err != nil && !errors.Is(err, cloud.ErrInUse) {
				f.t.Error(err)
			}
		}
		f.pause()
	}
}

// pause lets the cloud work between two listings.
func (f *filling) pause() {
	tick := time.NewTimer(time.Second)
	defer tick.Stop()
	<-tick.C
}
