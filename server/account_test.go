package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
	"github.com/cbnet-io/cbnet/server"
	"github.com/cbnet-io/cbnet/server/servertest"
)

// withAccount starts a control plane with the account main, whose default
// region is east-1, and returns its client and cloud.
func withAccount(t *testing.T) (*servertest.System, *api.Client, *mcistest.Cloud) {
	t.Helper()
	disk := servertest.NewDisk(t)
	s := servertest.Start(t, disk)
	c := s.Client(api.WithRetry(0))
	if _, err := c.AddCloud(t.Context(), "main", api.CloudSpec{Provider: "aws", Region: "east-1"}); err != nil {
		t.Fatal(err)
	}
	return s, c, disk.Cloud("main")
}

func TestCheckCloud(t *testing.T) {
	_, c, fake := withAccount(t)
	fake.Be(mcistest.Traits{Quotas: []cloud.Quota{{Name: "CPUS", Used: 2, Limit: 8}}})
	got, err := c.CheckCloud(t.Context(), "main", "")
	if err != nil {
		t.Fatal(err)
	}
	want := api.CloudCheck{
		Cloud: "main", Provider: "aws", OK: true, Region: "east-1", Regions: []string{"RegionOne", "east-1", "west-1"},
		Capabilities: []string{"console", "prices", "quotas"}, Quotas: []api.CloudQuota{{Name: "CPUS", Used: 2, Limit: 8}},
		Findings: []api.CloudFinding{
			{Check: "credentials", OK: true, Detail: "accepted; 3 regions"},
			{Check: "machine types", Region: "east-1", OK: true, Detail: "3"},
			{Check: "images", Region: "east-1", OK: true, Detail: "1, with debian-12"},
			{Check: "inventory", Region: "east-1", OK: true, Detail: "0 objects of this mesh"},
			{Check: "quotas", Region: "east-1", OK: true, Detail: "1 told"},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("check (-want +got):\n%s", d)
	}
	fake.Lock(func(f *mcistest.Faults) { f.Refused = true })
	got, err = c.CheckCloud(t.Context(), "main", "")
	if err != nil || got.OK || len(got.Findings) != 1 {
		t.Fatalf("wrong credentials: %+v, %v", got, err)
	}
	fault := got.Findings[0].Fault
	wantFault := &api.CloudFault{
		Cloud: "main", Object: "regions", Call: "fake Describe", Code: "AuthFailure", Message: "the credentials could not be validated", RequestID: "req-1",
		Hint: "give it other credentials: cbctl cloud add with the same name and --credentials FILE",
	}
	if d := cmp.Diff(wantFault, fault); d != "" {
		t.Errorf("fault (-want +got):\n%s", d)
	}
}

func TestCloudCatalog(t *testing.T) {
	_, c, _ := withAccount(t)
	regions, err := c.CloudRegions(t.Context(), "main")
	want := []api.CloudRegion{{Name: "RegionOne", Zones: []string{}}, {Name: "east-1", Zones: []string{"east-1a", "east-1b"}, Default: true}, {Name: "west-1", Zones: []string{}}}
	if d := cmp.Diff(want, regions.Regions); d != "" || err != nil {
		t.Errorf("regions (-want +got):\n%s%v", d, err)
	}
	price := 0.005
	specs, err := c.CloudSpecs(t.Context(), "main", "")
	if err != nil || specs.Region != "east-1" || len(specs.Specs) != 3 ||
		cmp.Diff(api.CloudMachine{Name: "tiny", VCPU: 1, MemoryMiB: 512, CostPerHour: &price}, specs.Specs[0]) != "" {
		t.Errorf("specs %+v, %v", specs, err)
	}
	images, err := c.CloudImages(t.Context(), "main", "west-1")
	if d := cmp.Diff([]api.CloudImage{{ID: "img-west-1", Name: "debian-12-amd64", Alias: "debian-12"}}, images.Images); d != "" || err != nil {
		t.Errorf("images (-want +got):\n%s%v", d, err)
	}
}

// TestCloudBadInput: every verb names what is near, and says what the cloud
// said.
func TestCloudBadInput(t *testing.T) {
	s, c, fake := withAccount(t)
	ctx := t.Context()
	verbs := map[string]func(name, region string) error{
		"check":     func(name, region string) error { _, err := c.CheckCloud(ctx, name, region); return err },
		"regions":   func(name, _ string) error { _, err := c.CloudRegions(ctx, name); return err },
		"specs":     func(name, region string) error { _, err := c.CloudSpecs(ctx, name, region); return err },
		"images":    func(name, region string) error { _, err := c.CloudImages(ctx, name, region); return err },
		"inventory": func(name, region string) error { _, err := c.CloudInventory(ctx, name, region); return err },
		"sweep": func(name, region string) error {
			_, err := c.SweepCloud(ctx, name, api.SweepRequest{Region: region, Delete: true}, func(api.SweepEvent) error { return nil })
			return err
		},
	}
	for verb, do := range verbs {
		if err := do("mian", ""); status(err) != http.StatusNotFound || err.Error() != `cloud "mian": not found; near: main; see cbctl cloud list` {
			t.Errorf("%s of an unknown account: %v", verb, err)
		}
		if verb == "regions" {
			continue
		}
		if err := do("main", "est-1"); status(err) != http.StatusUnprocessableEntity ||
			err.Error() != `cloud main has no region "est-1"; near: east-1, west-1, RegionOne; see cbctl cloud regions main` {
			t.Errorf("%s in an unknown region: %v", verb, err)
		}
	}
	fake.Lock(func(f *mcistest.Faults) { f.Refused = true })
	const refused = "cloud main, regions: fake Describe: AuthFailure: the credentials could not be validated (request req-1); " +
		"give it other credentials: cbctl cloud add with the same name and --credentials FILE"
	for verb, do := range verbs {
		if verb == "check" {
			continue // that is its answer
		}
		err := do("main", "")
		if verb == "sweep" {
			if err == nil || err.Error() != refused {
				t.Errorf("sweep with wrong credentials: %v", err)
			}
		} else if status(err) != http.StatusBadGateway || err.Error() != refused {
			t.Errorf("%s with wrong credentials: %v", verb, err)
		}
	}
	_, err := c.Plan(ctx, api.SpecFile{YAML: "{kind: MCIS, name: refused, groups: [{name: a, cloud: main}]}"})
	if status(err) != http.StatusBadGateway || err.Error() != refused {
		t.Errorf("plan with wrong credentials: %v", err)
	}
	if strings.Contains(s.Log.String(), "level=ERROR") {
		t.Errorf("a cloud's refusal is logged as a fault of the server:\n%s", s.Log)
	}
}

func TestCloudInventory(t *testing.T) {
	s, c, fake := withAccount(t)
	if _, err := c.Apply(t.Context(), api.SpecFile{YAML: "{kind: MCIS, name: shop, groups: [{name: web, cloud: main, region: east-1}]}"}); err != nil {
		t.Fatal(err)
	}
	s.Make(t, fake, "east-1", "uid-shop")
	s.Make(t, fake, "west-1", "feedface")
	auth := &cloud.APIError{Provider: "fake", Op: "List", Code: "OptInRequired", Message: "not subscribed", Class: cloud.ErrAuth}
	fake.Lock(func(f *mcistest.Faults) { f.Broken = map[string]error{"RegionOne": auth} })
	inv, err := c.CloudInventory(t.Context(), "main", "")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, o := range inv.Objects {
		got[o.Region+" "+o.Kind+" "+o.MCIS+" "+o.MCISUID]++
	}
	want := make(map[string]int)
	for _, kind := range []string{"vm", "network", "subnet", "securityGroup"} {
		want["east-1 "+kind+" shop uid-shop"], want["west-1 "+kind+" orphan feedface"] = 1, 1
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("objects (-want +got):\n%s", d)
	}
	vm := inv.Objects[0]
	if vm.Kind != "vm" || vm.Node != "uid-shop-web-1" || vm.State != "running" || vm.PrivateIP != "10.7.0.4" || vm.PublicIP == "" || vm.Created == nil || vm.Labels["팀"] != "인프라" {
		t.Errorf("machine %+v", vm)
	}
	if len(inv.Failed) != 1 || inv.Failed[0].Region != "RegionOne" || inv.Failed[0].Code != "OptInRequired" || len(inv.Regions) != 3 {
		t.Errorf("failed %+v of %v", inv.Failed, inv.Regions)
	}
	one, err := c.CloudInventory(t.Context(), "main", "west-1")
	if err != nil || len(one.Objects) != 4 || len(one.Failed) != 0 {
		t.Errorf("one region: %+v, %v", one, err)
	}
}

func TestSweepCloud(t *testing.T) {
	s, c, fake := withAccount(t)
	if _, err := c.Apply(t.Context(), api.SpecFile{YAML: "{kind: MCIS, name: shop, groups: [{name: web, cloud: main, region: east-1}]}"}); err != nil {
		t.Fatal(err)
	}
	s.Make(t, fake, "east-1", "uid-shop")
	s.Make(t, fake, "west-1", "feedface")
	sweep := func(req api.SweepRequest) (api.CloudSweep, map[string]int) {
		t.Helper()
		steps := make(map[string]int)
		got, err := c.SweepCloud(t.Context(), "main", req, func(e api.SweepEvent) error {
			steps[e.Step]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got, steps
	}
	dry, steps := sweep(api.SweepRequest{})
	if dry.Deleted || len(dry.Objects) != 4 || steps["delete"] != 0 || len(fake.Inventory()) != 8 {
		t.Errorf("dry run: %+v, %v", dry, steps)
	}
	for _, o := range dry.Objects {
		if o.MCIS != api.Orphan || o.MCISUID != "feedface" || o.Outcome != "found" || !strings.HasPrefix(o.Why, "younger than 1m0s") {
			t.Errorf("object %+v", o)
		}
	}
	zero := 0
	got, steps := sweep(api.SweepRequest{Delete: true, GraceSeconds: &zero})
	if !got.Deleted || len(got.Objects) != 4 || len(got.Failed) != 0 || steps["found"] != 4 || steps["delete"] != 4 || steps["gone"] != 4 {
		t.Errorf("sweep: %+v, %v", got, steps)
	}
	for _, o := range got.Objects {
		if o.Outcome != "gone" {
			t.Errorf("object %+v", o)
		}
	}
	if left := fake.Inventory(); len(left) != 4 || slices.ContainsFunc(left, func(l string) bool { return strings.Contains(l, "feedface") }) {
		t.Errorf("left: %v", left)
	}
	audit, err := os.ReadFile(filepath.Join(s.Dir(), "audit.log"))
	if err != nil || strings.Count(string(audit), `"cloud sweep"`) != 2 || !strings.Contains(string(audit), "4 gone, 0 left, 0 regions did not answer") {
		t.Errorf("audit %s, %v", audit, err)
	}
}

// TestSweepEndsWithItsClient: who stops listening stops the sweep.
func TestSweepEndsWithItsClient(t *testing.T) {
	s, c, fake := withAccount(t)
	s.Make(t, fake, "west-1", "feedface")
	fake.Lock(func(f *mcistest.Faults) { f.Shutdown = 1 << 60 })
	zero := 0
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.SweepCloud(ctx, "main", api.SweepRequest{Delete: true, GraceSeconds: &zero}, func(e api.SweepEvent) error {
		if e.Step == "delete" {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	eventually(t, "the sweep ends", func() bool {
		audit, err := os.ReadFile(filepath.Join(s.Dir(), "audit.log"))
		return err == nil && strings.Contains(string(audit), "0 gone, 4 left, 0 regions did not answer")
	})
}

// TestSweepOfMany: a result that is larger than one event arrives whole.
func TestSweepOfMany(t *testing.T) {
	s, c, fake := withAccount(t)
	for i := range 300 {
		s.Make(t, fake, "west-1", "feedface"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	got, err := c.SweepCloud(t.Context(), "main", api.SweepRequest{}, func(api.SweepEvent) error { return nil })
	if err != nil || len(got.Objects) != 1200 {
		t.Errorf("%d objects, %v", len(got.Objects), err)
	}
}

// TestDriverThatCannotBeMade: what was there when the account was added may be
// gone when it is used.
func TestDriverThatCannotBeMade(t *testing.T) {
	made := 0
	clouds := server.NewClouds(&servertest.Store{}, func(context.Context, server.Account) (cloud.Driver, error) {
		if made++; made > 1 {
			return nil, fmt.Errorf("aws credentials: %w: no profile", cloud.ErrAuth)
		}
		return servertest.NewDisk(t).Cloud("x"), nil
	})
	if _, err := clouds.Add(t.Context(), server.Account{Name: "main", Provider: "aws"}); err != nil {
		t.Fatal(err)
	}
	_, err := clouds.Cloud(t.Context(), "main")
	if place, ok := errors.AsType[*mcis.CloudError](err); !ok || err.Error() != "cloud main, credentials: aws credentials: not authorized: no profile" || !errors.Is(place, cloud.ErrAuth) {
		t.Errorf("err = %v", err)
	}
}
