package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/cloud/providers"
)

// accounts are the clouds that the verbs about accounts are tried on: each with
// its default region, and one in which an orphan is made by hand.
var accounts = []struct{ name, provider, region, far, spec string }{
	{"ali", "alibaba", "ap-northeast-2", "cn-hangzhou", "ecs.t6-c1m1.large"},
	{"aws", "aws", "ap-northeast-2", "us-west-2", "t3.small"},
	{"azure", "azure", "koreacentral", "westeurope", "Standard_B1ms"},
	{"gcp", "gcp", "asia-northeast3", "europe-west1", "e2-small"},
	{"private", "openstack", "RegionOne", "RegionOne", "m1.small"},
}

// lost is the uid of an MCIS that the server does not know.
const lost = "feedfacefeedface"

// TestAccounts runs every verb about an account, from the built programs against
// simulated clouds whose machines exist on paper only, and compares with what
// the clouds themselves say.
func TestAccounts(t *testing.T) {
	s := newPaperSystem(t)
	for _, a := range accounts {
		s.mustCtl(t, "cloud", "add", a.name, "--provider", a.provider, "--region", a.region, "--endpoint", s.urls[a.provider], "--credentials", s.credentials(a.provider))
	}
	for _, a := range accounts {
		t.Run(a.name, func(t *testing.T) {
			s.checks(t, a.name, a.region)
			s.offers(t, a.name, a.region, a.spec)
			s.misspelt(t, a.name, a.region, a.spec)
		})
	}
	s.wrongCredentials(t)
	s.sweeps(t)
}

// newPaperSystem starts clouds without machines and a control plane.
func newPaperSystem(t *testing.T) *system {
	t.Helper()
	s := &system{dir: t.TempDir()}
	t.Cleanup(func() {
		if t.Failed() {
			tail(t, filepath.Join(s.dir, "cbserver.log"))
			tail(t, filepath.Join(s.dir, "cloudsim.log"))
		}
	})
	s.clouds = launch(t, "cloudsim", s.dir, "--listen", "127.0.0.1:0", "--state", filepath.Join(s.dir, "cloudsim"), "--boot-time", "10ms", "--no-machines")
	eventually(t, time.Minute, "cloudsim ready", s.readURLs)
	s.args = []string{"--data", filepath.Join(s.dir, "server"), "--mesh", "test", "--public", "127.0.0.1"}
	s.startServer(t)
	return s
}

// ctlJSON runs cbctl -o json, which must succeed, and reads what it printed.
func ctlJSON[T any](t *testing.T, s *system, args ...string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.mustCtl(t, append(args, "-o", "json")...)), &v); err != nil {
		t.Fatalf("cbctl %s: %v", strings.Join(args, " "), err)
	}
	return v
}

func (s *system) checks(t *testing.T, name, region string) {
	t.Helper()
	check := ctlJSON[struct {
		OK       bool
		Region   string
		Regions  []string
		Findings []struct {
			Check string
			OK    bool
		}
	}](t, s, "cloud", "check", name)
	if !check.OK || check.Region != region || !slices.Contains(check.Regions, region) || len(check.Findings) != 5 {
		t.Errorf("check: %+v", check)
	}
	if out := s.mustCtl(t, "cloud", "check", name); !strings.Contains(out, "credentials") || !strings.Contains(out, ") works; it can do: console") {
		t.Errorf("check prints\n%s", out)
	}
}

// offer is a row of `cloud regions`, `cloud specs` or `cloud images`.
type offer struct {
	Name, ID, Alias string
	Default         bool
	VCPU, MemoryMiB int
}

func (s *system) offers(t *testing.T, name, region, spec string) {
	t.Helper()
	regions := ctlJSON[[]offer](t, s, "cloud", "regions", name)
	if own := slices.IndexFunc(regions, func(r offer) bool { return r.Default }); own < 0 || regions[own].Name != region {
		t.Errorf("regions: %+v", regions)
	}
	for _, flag := range [][]string{nil, {"--region", region}} {
		specs := ctlJSON[[]offer](t, s, append([]string{"cloud", "specs", name}, flag...)...)
		if i := slices.IndexFunc(specs, func(m offer) bool { return m.Name == spec }); i < 0 || specs[i].VCPU == 0 || specs[i].MemoryMiB != 2048 {
			t.Errorf("specs %q: %+v", flag, specs)
		}
		images := ctlJSON[[]offer](t, s, append([]string{"cloud", "images", name}, flag...)...)
		if !slices.ContainsFunc(images, func(m offer) bool { return m.Alias == "debian-12" && m.ID != "" }) {
			t.Errorf("images %q: %+v", flag, images)
		}
	}
}

// misspelt: one error with what is near, and nothing on standard output.
func (s *system) misspelt(t *testing.T, name, region, spec string) {
	t.Helper()
	wrong, small := region[1:], spec[:len(spec)-1]
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"cloud", "check", name + "x"}, 1, []string{`cloud "` + name + `x": not found; near: ` + name}},
		{[]string{"cloud", "specs", name, "--region", wrong}, 2, []string{"cloud " + name + " has no region", wrong, "near: " + region}},
		{[]string{"cloud", "inventory", name, "--region", wrong}, 2, []string{"near: " + region}},
		{[]string{"cloud", "sweep", name, "--region", wrong, "--yes"}, 2, []string{"near: " + region}},
		{[]string{"mcis", "plan", "-f", s.spec(t, "kind: MCIS\nname: bad\ngroups:\n  - {name: a, cloud: "+name+", region: "+wrong+"}\n")}, 2,
			[]string{":4: groups[0].region: cloud " + name + ` has no region "` + wrong + `"`, "use one of " + region}},
		{[]string{"mcis", "plan", "-f", s.spec(t, "kind: MCIS\nname: bad\ngroups:\n  - {name: a, cloud: "+name+", spec: {name: "+small+"}}\n")}, 2,
			[]string{":4: groups[0].spec: cloud " + name + ", region " + region + `: machine type "` + small + `"`, "near: " + spec}},
		{[]string{"mcis", "plan", "-f", s.spec(t, "kind: MCIS\nname: bad\ngroups:\n  - {name: a, cloud: "+name+", image: debain-12}\n")}, 2,
			[]string{":4: groups[0].image: cloud " + name + ", region " + region + `: image "debain-12"`, "near: debian-12"}},
	} {
		r := s.ctl(t, tt.args...)
		if r.code != tt.code || r.stdout != "" {
			t.Errorf("cbctl %q: exit %d, want %d\n%s%s", tt.args, r.code, tt.code, r.stdout, r.stderr)
		}
		for _, w := range tt.want {
			if !strings.Contains(r.stderr, w) {
				t.Errorf("cbctl %q does not say %q:\n%s", tt.args, w, r.stderr)
			}
		}
	}
	s.empty(t)
}

// wrongCredentials: the vendor's code and message, and what to do.
func (s *system) wrongCredentials(t *testing.T) {
	t.Helper()
	for _, a := range accounts {
		good, err := os.ReadFile(s.credentials(a.provider))
		if err != nil {
			t.Fatal(err)
		}
		bad := filepath.Join(s.dir, "bad-"+a.provider)
		text := strings.NewReplacer("= secret", "= wrong", `password: "`, `password: "wrong`, "password: ", "password: wrong",
			`"clientSecret": "`, `"clientSecret": "wrong`, `"access_key_secret": "`, `"access_key_secret": "wrong`, ".iam.gserviceaccount.com", ".iam.gserviceaccount.net").Replace(string(good))
		if text == string(good) {
			t.Fatalf("the credentials of %s are in another form:\n%s", a.provider, good)
		}
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		name := "wrong-" + a.name
		s.mustCtl(t, "cloud", "add", name, "--provider", a.provider, "--region", a.region, "--endpoint", s.urls[a.provider], "--credentials", bad)
		r := s.ctl(t, "cloud", "check", name)
		if r.code != 1 || !strings.Contains(r.stdout, "failed") || !strings.Contains(r.stderr, "cbctl: cloud "+name+", regions: "+a.provider+" ") || !strings.Contains(r.stderr, "give it other credentials") {
			t.Errorf("check of %s: exit %d\n%s%s", name, r.code, r.stdout, r.stderr)
		}
		r = s.ctl(t, "mcis", "plan", "-f", s.spec(t, "kind: MCIS\nname: bad\ngroups:\n  - {name: a, cloud: "+name+"}\n"))
		if r.code != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "cloud "+name+", regions: ") {
			t.Errorf("plan on %s: exit %d\n%s%s", name, r.code, r.stdout, r.stderr)
		}
		t.Logf("%s", strings.TrimSpace(r.stderr))
	}
	s.empty(t)
}

// listed is a row of `cloud inventory` or `cloud sweep`.
type listed struct {
	Region, Kind, ID, MCIS, MCISUID, Node, State, Outcome string
	Labels                                                map[string]string
}

// labels are what the machines of shop bear in their clouds.
var labels = map[string]string{"팀": "인프라", "地域": "東京", "部门": "研发"}

// sweeps: an MCIS and, by hand, orphans of the same mesh in every account. The
// orphans are told apart, listed, and swept, and the MCIS stays.
func (s *system) sweeps(t *testing.T) {
	t.Helper()
	groups := ""
	for _, a := range accounts {
		egress := ""
		if strings.Contains(s.mustCtl(t, "cloud", "check", a.name), "nat: ") {
			egress = ", publicIp: false, egress: nat"
		}
		groups += fmt.Sprintf("  - {name: %s, cloud: %s, labels: {팀: 인프라, 地域: 東京, 部门: 研发}%s}\n", a.name, a.name, egress)
	}
	key := cloudtest.NewKey(t, ssh.KeyAlgoRSA) // every cloud takes that type
	s.mustCtl(t, "mcis", "apply", "-f", s.spec(t, "kind: MCIS\nname: shop\nsshKey: "+key+"\ngroups:\n"+groups), "--yes", "--no-wait")
	eventually(t, time.Minute, "the machines of shop", func() error {
		if n := len(s.vms(t)); n != len(accounts) {
			return fmt.Errorf("%d machines", n)
		}
		return nil
	})
	mesh, shop := s.mark(t)
	for _, a := range accounts {
		s.orphan(t, a.provider, a.far, mesh)
	}
	before := s.inventory(t)
	for _, a := range accounts {
		rows := ctlJSON[[]listed](t, s, "cloud", "inventory", a.name)
		s.same(t, a.provider, rows, before)
		for _, r := range rows {
			want := "shop"
			if r.MCISUID == lost {
				want = "orphan"
			}
			if r.MCIS != want || r.MCISUID != shop && r.MCISUID != lost {
				t.Errorf("%s: %+v belongs to %q, want %q", a.name, r, r.MCIS, want)
			}
			if d := cmp.Diff(labels, r.Labels); r.Kind == "vm" && want == "shop" && d != "" {
				t.Errorf("%s: labels of %s (-want +got):\n%s", a.name, r.Node, d)
			}
		}
		dry := ctlJSON[[]listed](t, s, "cloud", "sweep", a.name)
		if len(dry) < 4 || slices.ContainsFunc(dry, func(r listed) bool { return r.MCISUID != lost || r.Outcome != "found" }) {
			t.Errorf("%s: dry run %+v", a.name, dry)
		}
	}
	if d := cmp.Diff(ids(before), ids(s.inventory(t))); d != "" {
		t.Fatalf("a dry run changed the clouds (-before +after):\n%s", d)
	}
	slow := map[string]string{}
	for _, a := range accounts {
		slow[a.provider] = "2s"
	}
	s.faults(t, map[string]any{"throttle": 0.02, "dropAfterCommit": 0.1, "deleteTime": slow})
	t.Run("sweep", func(t *testing.T) {
		for _, a := range accounts {
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				r := s.ctl(t, "cloud", "sweep", a.name, "--yes", "--grace", "1s")
				if r.code != 0 || !strings.Contains(r.stdout, " gone, 0 left") || !strings.Contains(r.stderr, "delete") {
					t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
				}
				t.Logf("took %s (simulated)\n%s%s", time.Since(start).Round(100*time.Millisecond), r.stderr, r.stdout)
			})
		}
	})
	s.faults(t, map[string]any{})
	want := slices.DeleteFunc(slices.Clone(before), orphaned)
	if d := cmp.Diff(ids(want), ids(s.inventory(t))); d != "" {
		t.Errorf("after the sweep (-want +got):\n%s", d)
	}
	for _, a := range accounts {
		if out := s.mustCtl(t, "cloud", "sweep", a.name); !strings.Contains(out, "nothing belongs to no MCIS") {
			t.Errorf("%s: a second sweep finds\n%s", a.name, out)
		}
	}
	s.mustCtl(t, "mcis", "delete", "shop", "--yes")
	s.empty(t)
}

// mark returns the uids of the mesh and of its MCIS, as a machine bears them.
func (s *system) mark(t *testing.T) (mesh, mcis string) {
	t.Helper()
	for _, o := range s.inventory(t) {
		if o.Kind == "vm" {
			return o.Tags[cloud.KeyMesh], o.Tags[cloud.KeyMCIS]
		}
	}
	t.Fatal("no machine")
	return "", ""
}

// orphan makes a network and a machine that bear the mesh's mark by calls that
// the server knows nothing of.
func (s *system) orphan(t *testing.T, provider, region, mesh string) {
	t.Helper()
	credentials, err := os.ReadFile(s.credentials(provider))
	if err != nil {
		t.Fatal(err)
	}
	d, err := providers.New(t.Context(), providers.Config{Provider: provider, Region: region, Endpoint: s.urls[provider], Credentials: credentials})
	if err != nil {
		t.Fatal(err)
	}
	catalog, _ := cloud.As[cloud.Catalog](d)
	specs, err := catalog.Specs(t.Context(), region)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := cloud.ResolveSpec(specs, "", 1, 1024)
	if err != nil {
		t.Fatal(err)
	}
	images, err := catalog.Images(t.Context(), region)
	if err != nil {
		t.Fatal(err)
	}
	image, err := cloud.ResolveImage(images, "debian-12")
	if err != nil {
		t.Fatal(err)
	}
	prefix := netip.MustParsePrefix("10.7.0.0/24")
	owner := cloud.Owner{Mesh: mesh, MCIS: lost}
	net, err := d.EnsureNetwork(t.Context(), cloud.NetworkSpec{
		Owner: owner, Region: region, Name: "lost-" + provider, CIDR: prefix, Open: []cloud.Port{{Protocol: "udp", Number: 51820}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ip, _ := cloud.VMAddr(prefix, 0)
	_, err = d.CreateVM(t.Context(), cloud.VMSpec{
		Owner: owner, Region: region, Name: "lost-" + provider + "-1", Node: "lost-" + provider + "-1", Token: "lost-" + provider,
		Network: net, PrivateIP: ip, Spec: spec.Name, Image: image.ID, PublicIP: true,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// same fails the test unless an account's inventory is what the cloud itself
// says, but for what a machine or a network holds of its own, and for the region
// of what the cloud has no region for.
func (s *system) same(t *testing.T, provider string, rows []listed, all []object) {
	t.Helper()
	var got, want []string
	global := make(map[string]bool)
	for _, o := range all {
		ofMachine := o.Kind == "port" || o.Kind == "publicIp" || o.Kind == "networkInterface" || o.Kind == "volume"
		kind := map[string]string{"vpc": "network", "internetGateway": "router"}[o.Kind]
		if kind == "" {
			kind = o.Kind
		}
		ofNetwork := provider == "azure" && o.Kind == "subnet"
		if o.Cloud == provider && !ofMachine && !ofNetwork {
			want = append(want, o.Region+" "+kind+" "+o.ID)
			global[kind+" "+o.ID] = o.Region == "global"
		}
	}
	for _, r := range rows {
		region := r.Region
		if global[r.Kind+" "+r.ID] {
			region = "global"
		}
		got = append(got, region+" "+r.Kind+" "+r.ID)
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: inventory (-the cloud's +cbctl's):\n%s", provider, d)
	}
}

// orphaned reports whether an object bears the mark of the lost MCIS.
func orphaned(o object) bool {
	return o.Tags[cloud.KeyMCIS] == lost || strings.Contains(o.Tags["description"], lost)
}

// ids returns kinds and ids of objects, sorted.
func ids(objects []object) []string {
	var out []string
	for _, o := range objects {
		out = append(out, o.Cloud+" "+o.Region+" "+o.Kind+" "+o.ID)
	}
	slices.Sort(out)
	return out
}
