package mcis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
)

// grown is hybrid with all that a network may have: two machines of aws, where
// keys are objects, two of private with a way out, in a group.
var grown = strings.NewReplacer("publicIp: false", "publicIp: false, egress: nat", "name: shop", "name: shop\nsshKey: "+sshKey).Replace(hybrid)

// furnish gives the clouds the traits that grown needs.
func furnish(w *mcistest.World) {
	w.Fake("aws").Traits.Pairs = true
	w.Fake("private").Traits = mcistest.Traits{NAT: "Router SNAT", Groups: true}
}

// parts returns the kinds of what is there beside machines, by cloud.
func parts(w *mcistest.World) map[string][]string {
	out := make(map[string][]string)
	for _, line := range w.Inventory() {
		if f := strings.Fields(line); f[1] != string(cloud.KindVM) {
			out[f[0]] = append(out[f[0]], f[1])
		}
	}
	return out
}

var grownParts = map[string][]string{
	"aws":     {"key", "network", "securityGroup", "subnet"},
	"private": {"group", "network", "router", "securityGroup", "subnet"},
}

func TestWhatAMachineIsAskedWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		furnish(l.world)
		labels := `{팀: "인프라 개발팀", 地域: 東京, 数据中心: 北京}`
		text := strings.Replace(grown, "{tier: web}", labels, 1)
		plan, err := l.svc.Plan(t.Context(), l.spec(text))
		if err != nil {
			t.Fatal(err)
		}
		var egress []string
		for _, s := range plan.Steps {
			if s.Kind == "network" {
				egress = append(egress, s.Cloud+" "+s.Egress)
			}
		}
		if want := []string{"aws ", "private Router SNAT"}; !slices.Equal(egress, want) {
			t.Errorf("ways out %q, want %q", egress, want)
		}
		l.apply(text)
		st := l.settled()
		if st.Phase != mcis.PhaseReady {
			t.Fatalf("%s: %s", st.Phase, st.Reason)
		}
		if d := cmp.Diff(grownParts, parts(l.world)); d != "" {
			t.Errorf("parts of networks (-want +got):\n%s", d)
		}
		web, _ := l.world.Fake("aws").Machine("shop-web-1")
		want := map[string]string{"팀": "인프라 개발팀", "地域": "東京", "数据中心": "北京"}
		if d := cmp.Diff(want, web.Labels); d != "" {
			t.Errorf("labels (-want +got):\n%s", d)
		}
		if web.Network.Key == "" || web.Network.Key == sshKey {
			t.Errorf("key of a cloud with key pairs: %q", web.Network.Key)
		}
		db, _ := l.world.Fake("private").Machine("shop-db-1")
		if db.Network.Key != sshKey || db.Labels != nil {
			t.Errorf("key %q, labels %v", db.Network.Key, db.Labels)
		}
		// Nothing of it is made twice, and another label makes nothing anew.
		text = strings.Replace(text, "東京", "大阪", 1)
		plan, err = l.svc.Plan(t.Context(), l.spec(text))
		if err != nil || plan.Changes() || !slices.ContainsFunc(plan.Steps, func(s mcis.Step) bool {
			return s.Name == "shop-web-1" && s.Reason == "new labels are cbnet's alone until the machine is made anew"
		}) {
			t.Errorf("plan %+v, %v", plan.Steps, err)
		}
		l.apply(text)
		st = l.settled()
		if web, _ := l.world.Fake("aws").Machine("shop-web-1"); web.Labels["地域"] != "東京" || node(st, "shop-web-1").Labels["地域"] != "大阪" {
			t.Errorf("labels %v in the cloud, %v in the status", web.Labels, node(st, "shop-web-1").Labels)
		}
		l.delete()
	})
}

// TestNetworkGrows: a way out and a key that are wanted later are asked for,
// though no machine is made.
func TestNetworkGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		furnish(l.world)
		l.apply(hybrid)
		before := l.settled()
		if st := l.networkChange(grown); !slices.Equal(st, []string{
			"change aws machines made from now on have the SSH key",
			"change private the way out is added; machines made from now on have the SSH key",
		}) {
			t.Errorf("plan %q", st)
		}
		l.apply(grown)
		st := l.settled()
		if st.Phase != mcis.PhaseReady || node(st, "shop-db-1").ID != node(before, "shop-db-1").ID {
			t.Errorf("%s: %s", st.Phase, st.Reason)
		}
		if d := cmp.Diff(grownParts, parts(l.world)); d != "" {
			t.Errorf("parts (-want +got):\n%s", d)
		}
		l.apply(strings.Replace(grown, "count: 2, publicIp", "count: 3, publicIp", 1))
		l.settled()
		old, _ := l.world.Fake("private").Machine("shop-db-1")
		if fresh, _ := l.world.Fake("private").Machine("shop-db-3"); fresh.Network.Key != sshKey || old.Network.Key != "" {
			t.Errorf("keys %q and, of the old one, %q", fresh.Network.Key, old.Network.Key)
		}
		// What a network has it keeps, and the plan says so.
		without := strings.Replace(grown, ", egress: nat", "", 1)
		if st := l.networkChange(without); !slices.Equal(st, []string{"keep aws ", "keep private its way out stays until the network goes"}) {
			t.Errorf("plan %q", st)
		}
		l.apply(without)
		if st := l.settled(); st.Phase != mcis.PhaseReady || len(parts(l.world)["private"]) != 5 {
			t.Errorf("%s: %s, %v", st.Phase, st.Reason, parts(l.world))
		}
		l.delete()
	})
}

// networkChange returns action, cloud and reason of a plan's networks.
func (l *lab) networkChange(text string) []string {
	l.t.Helper()
	plan, err := l.svc.Plan(l.t.Context(), l.spec(text))
	if err != nil {
		l.t.Fatal(err)
	}
	var out []string
	for _, s := range plan.Steps {
		if s.Kind == "network" {
			out = append(out, fmt.Sprintf("%s %s %s", s.Action, s.Cloud, s.Reason))
		}
	}
	return out
}

func TestAnotherSSHKeyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		furnish(l.world)
		l.apply(grown)
		l.settled()
		const want = `spec.yaml:3: sshKey: the machines of mcis shop in aws/east-1 were made with another key; leave it as it was, or delete the mcis first; more keys are put on machines by cbctl mcis exec`
		other := strings.Replace(grown, "HR4f", "HR4e", 1)
		if _, err := l.svc.Plan(t.Context(), l.spec(other)); err == nil || err.Error() != want {
			t.Errorf("another key: %v", err)
		}
		if _, err := l.svc.Plan(t.Context(), l.spec(hybrid)); err == nil || !strings.Contains(err.Error(), "made with another key") {
			t.Errorf("no key any more: %v", err)
		}
		l.delete()
	})
}

// TestNetworkCannotGrow: what cannot be added degrades the MCIS with the cloud's
// words, costs no machine, and is tried again by the next apply, or withdrawn.
func TestNetworkCannotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		furnish(l.world)
		l.apply(hybrid)
		l.settled()
		l.refuse("private", "ensure router", true)
		l.apply(grown)
		st := l.settled()
		if st.Phase != mcis.PhaseDegraded || st.Ready != 4 || !strings.Contains(st.Reason, "private/RegionOne stays as it was: network of private/RegionOne: private ensure router: quota exceeded") {
			t.Errorf("%s: %s", st.Phase, st.Reason)
		}
		without := strings.Replace(grown, ", egress: nat", "", 1)
		l.apply(without)
		if st := l.settled(); st.Phase != mcis.PhaseReady || len(parts(l.world)["private"]) != 4 {
			t.Errorf("withdrawn: %s: %s", st.Phase, st.Reason)
		}
		l.apply(grown)
		if st := l.settled(); st.Phase != mcis.PhaseDegraded {
			t.Errorf("again: %s: %s", st.Phase, st.Reason)
		}
		l.refuse("private", "ensure router", false)
		l.apply(grown)
		if st := l.settled(); st.Phase != mcis.PhaseReady {
			t.Errorf("raised: %s: %s", st.Phase, st.Reason)
		}
		if d := cmp.Diff(grownParts, parts(l.world)); d != "" {
			t.Errorf("parts (-want +got):\n%s", d)
		}
		l.delete()
	})
}

// refuse makes a kind of call fail for good.
func (l *lab) refuse(name, op string, yes bool) {
	l.faults(name, func(f *mcistest.Faults) {
		f.OnCall = nil
		if yes {
			f.OnCall = func(did string, _ bool) (time.Duration, error) {
				if did == op {
					return 0, &cloud.APIError{Provider: name, Op: op, Code: "quota exceeded", Class: cloud.ErrQuota}
				}
				return 0, nil
			}
		}
	})
}

// TestCrashWhileANetworkGrows ends the service at every point of an apply that
// adds a way out, a key and a group's labels to what stands.
func TestCrashWhileANetworkGrows(t *testing.T) {
	apply := func(text string) func(r *ruin) func(*mcis.Service) {
		return func(r *ruin) func(*mcis.Service) {
			return func(svc *mcis.Service) {
				if spec := (&lab{t: r.t, svc: svc}).specQuiet(text); spec.Name != "" {
					_, _ = svc.Apply(r.t.Context(), spec) // dead, or accepted
				}
			}
		}
	}
	everyPoint(t, "grow", 4*time.Second, func(r *ruin, c *crash) bool {
		furnish(r.world)
		r.must(apply(hybrid)(r), isReady)
		done := r.live(c, apply(grown)(r), isReady)
		if !done {
			r.must(apply(grown)(r), isReady)
		}
		if d := cmp.Diff(grownParts, parts(r.world)); d != "" {
			r.t.Errorf("parts (-want +got):\n%s", d)
		}
		if wrong := r.world.Wrong(); len(wrong) > 0 {
			r.t.Errorf("breaches: %v", wrong)
		}
		r.must(doDelete, isGone)
		r.checkEmpty()
		return done
	})
}

// TestDriverWithoutKeys: a key that a driver passes over is an error, not a
// machine that nobody can log in to.
func TestDriverWithoutKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		furnish(l.world)
		l.world.Fake("private").Traits.NoKeys = true
		l.apply(grown)
		st := l.settled()
		if st.Ready != 2 || l.vms() != 2 || !strings.Contains(node(st, "shop-db-1").Reason, "the driver made no SSH key") {
			t.Errorf("%s: %s, %d machines", st.Phase, st.Reason, l.vms())
		}
		l.delete()
	})
}

// TestOwners: what bears the mark of a known MCIS, or is in its journal, is its.
func TestOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		furnish(l.world)
		l.apply(grown)
		l.settled()
		owners, err := l.svc.Owners(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := cloud.Owner{Mesh: "meshuid"}
		for name, region := range map[string]string{"aws": "east-1", "private": "RegionOne"} {
			list, err := l.world.Fake(name).List(t.Context(), region, all)
			if err != nil || len(list) < 6 {
				t.Fatalf("%s: %d objects, %v", name, len(list), err)
			}
			for _, res := range list {
				if mcis, ok := owners.Of(res); mcis != "shop" || !ok {
					t.Errorf("%s %s belongs to %q, %t", res.Kind, res.ID, mcis, ok)
				}
				res.Owner.MCIS = "feedfacefeedface"
				journaled := res.Kind != cloud.KindKey && res.Kind != cloud.KindGroup && res.Kind != cloud.KindRouter
				if _, ok := owners.Of(res); ok != journaled {
					t.Errorf("%s %s under another's mark: journaled %t, want %t", res.Kind, res.ID, ok, journaled)
				}
				if res.VM != nil {
					res.ID = "another"
					if _, ok := owners.Of(res); !ok {
						t.Errorf("%s with the token of a journaled one belongs to nobody", res.VM.Node)
					}
				}
			}
		}
		l.delete()
		if owners, err = l.svc.Owners(t.Context()); err != nil {
			t.Fatal(err)
		}
		if name, ok := owners.Of(cloud.Resource{Owner: cloud.Owner{Mesh: "meshuid", MCIS: "feedfacefeedface"}}); ok {
			t.Errorf("nobody's belongs to %q", name)
		}
	})
}
