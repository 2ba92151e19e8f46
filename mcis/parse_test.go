package mcis_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cbnet-io/cbnet/mcis"
)

func TestParseSpec(t *testing.T) {
	const text = `# a comment
kind: MCIS
name: shop
network: {cidr: 10.66.8.0/24}
groups:
  - {name: web,  cloud: aws, region: ap-northeast-2, count: 2, spec: {vcpu: 2, memory: 4GiB}, image: debian-12, labels: {tier: web}}
  - {name: edge, cloud: gcp, regions: [asia-northeast1, europe-west1, us-east1], count: 1}
  - {name: db,   cloud: private, count: 1, spec: {name: m1.small}, publicIp: false}
  - {name: gw,   cloud: private, count: 2, role: [gateway, relay], routes: [192.168.10.0/24]}
onFailure: replace
---
kind: MCIS
name: other
groups: [{name: "1", cloud: aws, region: RegionOne}]
`
	got, err := mcis.ParseSpec("shop.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []mcis.Spec{{
		Name: "shop", Network: mcis.Network{CIDR: netip.MustParsePrefix("10.66.8.0/24")}, OnFailure: mcis.OnFailureReplace, File: "shop.yaml",
		Groups: []mcis.Group{
			{Name: "web", Cloud: "aws", Region: "ap-northeast-2", Count: 2, Machine: mcis.Machine{VCPU: 2, MemoryMiB: 4096}, Image: "debian-12", Labels: map[string]string{"tier": "web"}, PublicIP: true},
			{Name: "edge", Cloud: "gcp", Regions: []string{"asia-northeast1", "europe-west1", "us-east1"}, Count: 1, PublicIP: true},
			{Name: "db", Cloud: "private", Count: 1, Machine: mcis.Machine{Name: "m1.small"}},
			{Name: "gw", Cloud: "private", Count: 2, PublicIP: true, Roles: []string{"gateway", "relay"}, Routes: []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24")}},
		},
	}, {
		Name: "other", OnFailure: mcis.OnFailureContinue, File: "shop.yaml",
		Groups: []mcis.Group{{Name: "1", Cloud: "aws", Region: "RegionOne", Count: 1, PublicIP: true}},
	}}
	opts := cmp.Options{cmpopts.IgnoreFields(mcis.Spec{}, "Lines"), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	if d := cmp.Diff(want, got, opts); d != "" {
		t.Errorf("specs (-want +got):\n%s", d)
	}
	for path, line := range map[string]int{"name": 3, "network.cidr": 4, "groups[1].regions[2]": 7, "groups[2].publicIp": 8, "groups[3].image": 9, "nothing": 2} {
		if n := got[0].Line(path); n != line {
			t.Errorf("line of %s is %d, want %d", path, n, line)
		}
	}
	if n := got[1].Line("groups[0].name"); n != 14 {
		t.Errorf("line in the second document is %d", n)
	}
}

func TestParseFaults(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"all at once", `kind: MCIS
name: Shop!
colour: blue
network: {cidr: 10.66.8.0/33}
groups:
  - {name: web, cloud: aws, region: a, regions: [b, c], count: -1, sped: {}}
  - {name: web, count: two}
  - name: db
    cloud: private
    spec: {vcpu: 0, memory: 4 gigs}
    image:
    publicIp: maybe
    role: gateway
    routes: [192.168.10.7/24]
onFailure: panic
`, []string{
			`f.yaml:2: name: "Shop!" is no name; use 1 to 40 characters of a-z, 0-9 and, inside, -`,
			`f.yaml:3: colour: unknown key; use one of groups, kind, name, network, onFailure, sshKey`,
			`f.yaml:4: network.cidr: "10.66.8.0/33" is no prefix; write it as 10.66.8.0/24`,
			`f.yaml:6: groups[0].count: -1 is out of range; use 0 to 1000`,
			`f.yaml:6: groups[0].regions: both region and regions are given; keep one of them`,
			`f.yaml:6: groups[0].sped: unknown key; use one of cloud, count, egress, image, labels, name, publicIp, region, regions, role, routes, spec`,
			`f.yaml:7: groups[1].cloud: is missing; add it`,
			`f.yaml:7: groups[1].count: "two" is a text, not a whole number; use 0 to 1000`,
			`f.yaml:7: groups[1].name: group web is already on line 6; rename one of them`,
			`f.yaml:10: groups[2].spec.memory: "4 gigs" is no size of memory; write it as 512MiB or 4GiB`,
			`f.yaml:10: groups[2].spec.vcpu: 0 is out of range; use 1 to 1024`,
			`f.yaml:11: groups[2].image: has no value; give it one, or remove the key`,
			`f.yaml:12: groups[2].publicIp: "maybe" is a text, not true or false; write true or false`,
			`f.yaml:13: groups[2].role: is a text, not a list; write it as [..]`,
			`f.yaml:14: groups[2].routes: only gateways have routes; add "role: [gateway]"`,
			`f.yaml:14: groups[2].routes[0]: 192.168.10.7/24 has bits set after its first 24; write it as 192.168.10.0/24`,
			`f.yaml:15: onFailure: "panic" is not possible here; use one of continue, rollback, replace`,
		}},
		{"syntax", "kind: MCIS\nname: shop\ngroups: [{name: web\n", []string{
			`f.yaml:3: not valid YAML: did not find expected ',' or '}'; check indentation, quotes and brackets near here`,
		}},
		{"syntax, indentation", "kind: MCIS\nname: shop\ngroups:\n  - {name: web}\n bad: x\n", []string{
			`f.yaml:5: not valid YAML: did not find expected key; check indentation, quotes and brackets near here`,
		}},
		{"syntax, tab", "kind: MCIS\nname: shop\n\tgroups: []\n", []string{
			`f.yaml:2: not valid YAML: found a tab character that violates indentation; check indentation, quotes and brackets near here`,
		}},
		{"syntax, colon", "kind: MCIS\nname: a: b\n", []string{
			`f.yaml:2: not valid YAML: mapping values are not allowed in this context; check indentation, quotes and brackets near here`,
		}},
		{"nothing", "", []string{`f.yaml: no document of kind MCIS; begin with "kind: MCIS"`}},
		{"only separators", "---\n---\n", []string{`f.yaml: no document of kind MCIS; begin with "kind: MCIS"`}},
		{"app", "kind: MCIS\nname: a\ngroups: [{name: w, cloud: aws}]\n---\nkind: App\nname: hello\n", []string{
			`f.yaml:5: kind: App documents are not supported yet by this release; remove the document, and start the application with: cbctl mcis exec`,
		}},
		{"other kind", "kind: Pod\n", []string{`f.yaml:1: kind: "Pod" is no kind of document; write "kind: MCIS"`}},
		{"no kind", "\nname: a\n", []string{`f.yaml:2: kind: is missing; add "kind: MCIS"`}},
		{"not a mapping", "- a\n", []string{`f.yaml:1: a document is a list, not a mapping; begin with "kind: MCIS"`}},
		{"twice", "kind: MCIS\nname: a\nname: b\ngroups: [{name: w, cloud: aws}]\n", []string{`f.yaml:3: name: is there twice; keep one of them`}},
		{"same mcis twice", "kind: MCIS\nname: a\ngroups: [{name: w, cloud: aws}]\n---\nkind: MCIS\nname: a\ngroups: [{name: w, cloud: aws}]\n", []string{
			`f.yaml:6: name: a second document for mcis a; merge them, or rename one`,
		}},
		{"no groups", "kind: MCIS\nname: a\ngroups: []\n", []string{`f.yaml:3: groups: is an empty list; add an item, or remove the key`}},
		{"too many", "kind: MCIS\nname: a\ngroups:\n  - {name: w, cloud: aws, count: 600}\n  - {name: x, cloud: aws, count: 600}\n", []string{
			`f.yaml:4: groups: 1200 nodes in all, more than 1000; split the MCIS`,
		}},
		{"long names", "kind: MCIS\nname: " + strings.Repeat("a", 40) + "\ngroups: [{name: " + strings.Repeat("b", 30) + ", cloud: aws}]\n", []string{
			`f.yaml:3: groups[0].name: node name ` + strings.Repeat("a", 40) + "-" + strings.Repeat("b", 30) + `-1 has 73 characters, more than 63; shorten the name of the MCIS or of the group`,
		}},
		{"same node names", "kind: MCIS\nname: a\ngroups:\n  - {name: w, cloud: aws, regions: [b]}\n  - {name: w-b, cloud: aws}\n", []string{
			`f.yaml:5: groups[1].name: node a-w-b-1 would also be one of group w; rename one of the groups`,
		}},
		{"ipv6 slice", "kind: MCIS\nname: a\nnetwork: {cidr: 'fd00::/64'}\ngroups: [{name: w, cloud: aws}]\n", []string{
			`f.yaml:3: network.cidr: fd00::/64 is not IPv4; take a slice of the mesh's IPv4 prefix`,
		}},
		{"same region twice", "kind: MCIS\nname: a\ngroups: [{name: w, cloud: aws, regions: [b, B]}]\n", []string{
			`f.yaml:3: groups[0].regions[1]: region B is there twice; list each region once; count is per region`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := mcis.ParseSpec("f.yaml", []byte(tt.text))
			var faults mcis.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("error %v", err)
			}
			if d := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
		})
	}
}

func TestParseAgainstTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid)
		l.settled()
		const text = `kind: MCIS
name: new
network: {cidr: 10.66.0.0/20}
groups:
  - {name: web, cloud: gpc, count: 3}
  - {name: any, cloud: gcp}
  - {name: gw, cloud: private, role: [gateway], routes: [10.64.0.0/10], kount: 1}
---
kind: MCIS
name: far
network: {cidr: 192.168.0.0/24}
groups: [{name: a, cloud: private, count: 300}]
---
kind: MCIS
name: tight
network: {cidr: 10.66.20.0/29}
groups: [{name: a, cloud: private, count: 7}]
`
		_, err := l.svc.Parse(t.Context(), "f.yaml", []byte(text))
		want := []string{
			`f.yaml:3: network.cidr: 10.66.0.0/20 overlaps 10.66.8.0/24 of mcis shop; take a free slice of 10.66.0.0/16`,
			`f.yaml:5: groups[0].cloud: there is no cloud "gpc"; use one of gcp, aws, private, or add it with: cbctl cloud add gpc --provider PROVIDER`,
			`f.yaml:6: groups[1].region: is missing, and cloud gcp has 3 regions; use one of RegionOne, east-1, west-1`,
			`f.yaml:7: groups[2].kount: unknown key; use one of cloud, count, egress, image, labels, name, publicIp, region, regions, role, routes, spec`,
			`f.yaml:7: groups[2].role: gateways and relays are not supported yet by this release; remove role and routes`,
			`f.yaml:7: groups[2].routes[0]: 10.64.0.0/10 overlaps the mesh's prefix 10.66.0.0/16; a site behind a gateway needs other addresses than the mesh`,
			`f.yaml:11: network.cidr: 192.168.0.0/24 is not a part of the mesh's prefix 10.66.0.0/16; take a slice of it, or leave it out`,
			`f.yaml:16: network.cidr: 10.66.20.0/29 has room for 6 nodes, and 7 are wanted; take a larger slice`,
		}
		if err == nil {
			t.Fatal("no faults")
		}
		if d := cmp.Diff(want, strings.Split(err.Error(), "\n")); d != "" {
			t.Errorf("faults (-want +got):\n%s", d)
		}
		_, err = l.svc.Parse(t.Context(), "f.yaml", []byte("{kind: MCIS, name: shop-web, groups: [{name: x, cloud: aws, region: east-1}]}\n"))
		if err != nil {
			t.Errorf("another name: %v", err)
		}
		_, err = l.svc.Parse(t.Context(), "f.yaml", []byte("{kind: MCIS, name: sho, groups: [{name: p-web, cloud: aws, region: east-1}]}\n"))
		if err != nil {
			t.Errorf("another name: %v", err)
		}
		l.apply(strings.NewReplacer("name: shop", "name: a", "10.66.8", "10.66.9", "name: web", "name: b-c").Replace(hybrid))
		_, err = l.svc.Parse(t.Context(), "f.yaml", []byte("{kind: MCIS, name: a-b, groups: [{name: c, cloud: aws, region: east-1}]}\n"))
		if err == nil || !strings.Contains(err.Error(), "f.yaml:1: groups[0].name: node a-b-c-1 is already one of mcis a; rename the group") {
			t.Errorf("a node's name of another mcis: %v", err)
		}
	})
}

// TestExamples parses the specs that users copy.
func TestExamples(t *testing.T) {
	files, err := os.ReadDir("../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".yaml") {
			continue
		}
		data, err := os.ReadFile("../examples/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mcis.ParseSpec(f.Name(), data); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(hybrid))
	f.Add([]byte("kind: MCIS\nname: a\ngroups: &g [{name: w, cloud: aws, regions: [a, b], count: 3, role: [gateway], routes: [10.0.0.0/8]}]\nnetwork: *g\n"))
	f.Add([]byte("a: &a [*a, *a]\nkind: MCIS\ngroups: *a\n---\nkind: App\n---\n- \n"))
	f.Add([]byte("kind: MCIS\n<<: {name: x}\ngroups: {? [] : 1}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		specs, err := mcis.ParseSpec("f", data)
		if err == nil {
			if len(specs) == 0 {
				t.Error("neither specs nor an error")
			}
			for _, s := range specs {
				if s.Name == "" || len(s.Groups) == 0 || s.Line("name") == 0 {
					t.Errorf("accepted %+v", s)
				}
			}
			return
		}
		var faults mcis.Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Errorf("error %v", err)
		}
	})
}
