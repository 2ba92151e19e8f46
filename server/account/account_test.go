package account_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
	"github.com/cbnet-io/cbnet/server/account"
)

// newAccount returns an account of a cloud in memory.
func newAccount() (account.Account, *mcistest.Cloud) {
	w := mcistest.New(1, "main")
	return account.Account{Name: "main", Driver: w.Fake("main"), Region: "east-1", Mesh: "meshuid"}, w.Fake("main")
}

func TestChoose(t *testing.T) {
	a, _ := newAccount()
	regions := []cloud.Region{{Name: "ap-northeast-1"}, {Name: "ap-northeast-2"}, {Name: "us-east-1"}}
	for _, tt := range []struct {
		name, own, wish string
		regions         []cloud.Region
		want, fault     string
	}{
		{"asked for", "us-east-1", "ap-northeast-2", regions, "ap-northeast-2", ""},
		{"default", "us-east-1", "", regions, "us-east-1", ""},
		{"the only one", "", "", regions[2:], "us-east-1", ""},
		{"unknown", "", "pa-northeast-2", regions, "", `cloud main has no region "pa-northeast-2"; near: ap-northeast-2, ap-northeast-1, us-east-1; see cbctl cloud regions main`},
		{"unknown default", "mars", "", regions, "", `cloud main has no region "mars", which is its default; near: us-east-1, ap-northeast-1, ap-northeast-2; see cbctl cloud regions main`},
		{"none named", "", "", regions, "", "cloud main has 3 regions and none is its default: name one by --region"},
		{"none at all", "", "x", nil, "", "cloud main has no region"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a.Region = tt.own
			got, err := a.Choose(tt.wish, tt.regions)
			if got != tt.want || tt.fault == "" && err != nil || tt.fault != "" && (!errors.Is(err, account.ErrRegion) || err.Error() != tt.fault) {
				t.Errorf("got %q and %v, want %q and %q", got, err, tt.want, tt.fault)
			}
		})
	}
}

func TestCatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAccount()
		specs, err := a.Specs(t.Context(), "")
		if err != nil || specs.Region != "east-1" || len(specs.Specs) != 3 || specs.Price("tiny") == nil || specs.Price("huge") != nil {
			t.Errorf("specs %+v, %v", specs, err)
		}
		images, err := a.Images(t.Context(), "west-1")
		if err != nil || images.Region != "west-1" || len(images.Images) != 1 || images.Images[0].ID != "img-west-1" {
			t.Errorf("images %+v, %v", images, err)
		}
		if _, err := a.Specs(t.Context(), "west-2"); !errors.Is(err, account.ErrRegion) || !strings.Contains(err.Error(), "near: west-1") {
			t.Errorf("unknown region: %v", err)
		}
		c.Lock(func(f *mcistest.Faults) { f.Broken = map[string]error{"west-1": cloud.ErrUnavailable} })
		var place *mcis.CloudError
		if _, err := a.Images(t.Context(), "west-1"); !errors.As(err, &place) || place.Region != "west-1" || place.Object != "images" {
			t.Errorf("a region that fails: %v", err)
		}
		c.Lock(func(f *mcistest.Faults) { f.Refused = true })
		const want = "cloud main, regions: fake Describe: AuthFailure: the credentials could not be validated (request req-1)"
		if _, err := a.Regions(t.Context()); err == nil || err.Error() != want || !errors.Is(err, cloud.ErrAuth) {
			t.Errorf("wrong credentials: %v", err)
		}
	})
}

// findings returns name, region, detail and fault of what was tried.
func findings(c account.Check) []string {
	var out []string
	for _, f := range c.Findings {
		line := fmt.Sprintf("%s %s: %s", f.Name, f.Region, f.Detail)
		if f.Err != nil {
			line += " !! " + f.Err.Error()
		}
		out = append(out, line)
	}
	return out
}

func TestCheck(t *testing.T) {
	broken := &cloud.APIError{Provider: "fake", Op: "Describe", Code: "OptInRequired", Message: "not subscribed", Class: cloud.ErrAuth}
	for _, tt := range []struct {
		name   string
		wish   string
		change func(a *account.Account, c *mcistest.Cloud)
		ok     bool
		want   []string
	}{
		{"all well", "", nil, true, []string{
			"credentials : accepted; 3 regions", "machine types east-1: 3", "images east-1: 1, with debian-12",
			"inventory east-1: 0 objects of this mesh", "quotas east-1: the cloud tells none",
		}},
		{"another region, quotas", "west-1", func(_ *account.Account, c *mcistest.Cloud) {
			c.Traits.Quotas = []cloud.Quota{{Name: "CPUS", Used: 2, Limit: 8}, {Name: "IPS", Used: 4, Limit: 4}, {Name: "NETS", Used: 9, Limit: -1}}
		}, true, []string{
			"credentials : accepted; 3 regions", "machine types west-1: 3", "images west-1: 1, with debian-12",
			"inventory west-1: 0 objects of this mesh", "quotas west-1: IPS is used up: 4 of 4",
		}},
		{"wrong credentials", "", func(_ *account.Account, c *mcistest.Cloud) { c.Lock(func(f *mcistest.Faults) { f.Refused = true }) }, false, []string{
			"credentials :  !! cloud main, regions: fake Describe: AuthFailure: the credentials could not be validated (request req-1)",
		}},
		{"a region that fails", "", func(_ *account.Account, c *mcistest.Cloud) {
			c.Lock(func(f *mcistest.Faults) { f.Broken = map[string]error{"east-1": broken} })
		}, false, []string{
			"credentials : accepted; 3 regions",
			"machine types east-1: 3 !! cloud main, region east-1, machine types: fake Describe: OptInRequired: not subscribed",
			"images east-1:  !! cloud main, region east-1, images: fake Describe: OptInRequired: not subscribed",
			"inventory east-1: 0 objects of this mesh !! cloud main, region east-1, inventory: fake Describe: OptInRequired: not subscribed",
			"quotas east-1: the cloud tells none",
		}},
		{"no default region", "", func(a *account.Account, _ *mcistest.Cloud) { a.Region = "" }, true, []string{
			"credentials : accepted; 3 regions", "region : no default one; name one by --region to have it checked",
		}},
		{"a default region that is not there", "", func(a *account.Account, _ *mcistest.Cloud) { a.Region = "east-2" }, false, []string{
			"credentials : accepted; 3 regions",
			`region east-2:  !! cloud main has no region "east-2", which is its default; near: east-1, west-1, RegionOne; see cbctl cloud regions main`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, c := newAccount()
				if tt.change != nil {
					tt.change(&a, c)
				}
				got, err := a.Check(t.Context(), tt.wish)
				if err != nil || got.OK() != tt.ok {
					t.Errorf("ok %t, %v", got.OK(), err)
				}
				if d := cmp.Diff(tt.want, findings(got)); d != "" {
					t.Errorf("findings (-want +got):\n%s", d)
				}
			})
		})
	}
	a, c := newAccount()
	if _, err := a.Check(t.Context(), "mars"); !errors.Is(err, account.ErrRegion) {
		t.Errorf("unknown region: %v", err)
	}
	c.Traits.NAT = "Cloud NAT"
	c.Traits.Quotas = []cloud.Quota{}
	got, err := a.Check(t.Context(), "")
	if want := []string{"console", "nat: Cloud NAT", "prices", "quotas"}; err != nil || !slices.Equal(got.Capabilities, want) {
		t.Errorf("capabilities %q, want %q, %v", got.Capabilities, want, err)
	}
}

func TestHint(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.FixedZone("KST", 9*3600))
	const clock = "set the clock of cbserver's host, which says 2026-11-21T23:00:00Z"
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&cloud.APIError{Code: "RequestExpired", Class: cloud.ErrAuth}, clock},
		{&cloud.APIError{Code: "SignatureDoesNotMatch", Message: "Signature expired: 20261122T080000Z is now earlier than 20261122T081500Z", Class: cloud.ErrAuth}, clock},
		{&cloud.APIError{Code: "InvalidTimeStamp.Expired", Message: "Specified time stamp or date value is expired."}, clock},
		{fmt.Errorf("%w: AADSTS700024: Client assertion is not within its valid time range", cloud.ErrAuth), clock},
		{&cloud.APIError{Code: "invalid_grant", Message: "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}, clock},
		{&cloud.APIError{Code: "AuthFailure", Class: cloud.ErrAuth}, "other credentials"},
		{&cloud.APIError{Code: "VcpuLimitExceeded", Class: cloud.ErrQuota}, "limit is reached"},
		{&cloud.APIError{Code: "RequestLimitExceeded", Class: cloud.ErrThrottled}, "try again later"},
		{fmt.Errorf("%w: dial tcp: no route to host", &cloud.APIError{Class: cloud.ErrUnavailable}), "reaches the endpoint"},
		{&cloud.APIError{Status: 503, Class: cloud.ErrUnavailable}, ""},
		{errors.New("x"), ""},
	} {
		if got := account.Hint(tt.err, now); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// counted is a driver that counts the lists under way.
type counted struct {
	*mcistest.Cloud
	now, most atomic.Int64
}

func (c *counted) List(ctx context.Context, region string, owner cloud.Owner) ([]cloud.Resource, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
	return c.Cloud.List(ctx, region, owner)
}

// TestInventoryOfManyRegions: a few at a time, and those that fail beside those
// that answer.
func TestInventoryOfManyRegions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAccount()
		d := &counted{Cloud: c}
		a.Driver = d
		for i := range 40 {
			c.Traits.Regions = append(c.Traits.Regions, fmt.Sprintf("region-%02d", i))
		}
		made := make(map[string]int)
		for i, region := range []string{"region-07", "region-39", "region-21"} {
			for n := range i + 1 {
				orphan(t, c, region, fmt.Sprintf("feed%012d", n), 1)
				made[region] += 4
			}
		}
		c.Lock(func(f *mcistest.Faults) {
			f.Broken = map[string]error{"region-30": cloud.ErrUnavailable, "region-03": cloud.ErrAuth}
		})
		begin := time.Now()
		inv, err := a.Inventory(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]int)
		for _, r := range inv.Resources {
			got[r.Region]++
		}
		if d := cmp.Diff(made, got); d != "" {
			t.Errorf("objects (-want +got):\n%s", d)
		}
		var failed []string
		for _, e := range inv.Failed {
			failed = append(failed, e.Region)
		}
		if !slices.Equal(failed, []string{"region-03", "region-30"}) || len(inv.Regions) != 40 {
			t.Errorf("%d regions asked, failed: %v", len(inv.Regions), inv.Failed)
		}
		if d.most.Load() != 8 || time.Since(begin) != 250*time.Millisecond {
			t.Errorf("%d lists at a time, %s", d.most.Load(), time.Since(begin))
		}
		one, err := a.Inventory(t.Context(), "region-21")
		if err != nil || len(one.Resources) != 12 || len(one.Regions) != 1 {
			t.Errorf("one region: %+v, %v", one, err)
		}
		if _, err := a.Inventory(t.Context(), "region-99"); !errors.Is(err, account.ErrRegion) {
			t.Errorf("unknown region: %v", err)
		}
	})
}

// orphan makes a network and machines of an MCIS.
func orphan(t *testing.T, c *mcistest.Cloud, region, uid string, machines int) {
	t.Helper()
	spec := cloud.NetworkSpec{Owner: cloud.Owner{Mesh: "meshuid", MCIS: uid}, Region: region, Name: "net-" + uid, CIDR: prefix, NAT: c.Traits.NAT != ""}
	if c.Traits.Pairs {
		spec.SSHKey = sshKey
	}
	net, err := c.EnsureNetwork(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for i := range machines {
		ip, _ := cloud.VMAddr(prefix, i)
		_, err := c.CreateVM(t.Context(), cloud.VMSpec{
			Owner: spec.Owner, Region: region, Name: fmt.Sprintf("vm-%s-%d", uid, i), Node: fmt.Sprintf("lost-%d", i), Token: fmt.Sprintf("token-%s-%s-%d", uid, region, i),
			Network: net, PrivateIP: ip, Spec: "tiny", Image: "img", Labels: map[string]string{"팀": "인프라"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
