package mcis

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
)

var (
	meshPrefix = netip.MustParsePrefix("10.66.0.0/16")
	awsEast    = place{"aws", "east-1"}
)

func planOf(t *testing.T, text string, change func(in *planInput)) (planned, []string) {
	t.Helper()
	specs, err := ParseSpec("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o := offer{
		specs:  []cloud.Spec{{Name: "tiny", VCPU: 1, MemoryMiB: 512}, {Name: "small", VCPU: 1, MemoryMiB: 1024}, {Name: "large", VCPU: 4, MemoryMiB: 8192}},
		images: []cloud.Image{{ID: "img-1", Alias: "debian-12"}},
	}
	in := planInput{
		record: &record{Name: specs[0].Name, UID: "0123456789abcdef", Spec: specs[0]}, nodes: map[string]*nodeRecord{}, mesh: meshPrefix,
		offers: map[place]offer{awsEast: o, {"gcp", "west-1"}: o, {"private", "RegionOne"}: o},
		joined: func(string) bool { return false },
	}
	if change != nil {
		change(&in)
	}
	out, faults := in.plan()
	var lines []string
	for _, f := range faults {
		lines = append(lines, f.String())
	}
	for _, s := range out.plan.Steps {
		at := s.CIDR.String()
		if s.Kind == "vm" {
			at = s.PrivateIP.String()
		}
		lines = append(lines, strings.Join(strings.Fields(fmt.Sprintln(s.Action, s.Kind, s.Cloud, s.Region, s.Name, s.Machine, s.ImageID, at, s.Reason)), " "))
	}
	return out, lines
}

const planSpec = `{kind: MCIS, name: shop, groups: [{name: web, cloud: aws, region: east-1, count: 2}, {name: db, cloud: private, region: RegionOne, spec: {vcpu: 2}}]}`

func TestPlan(t *testing.T) {
	first, lines := planOf(t, planSpec, nil)
	want := []string{
		"create network aws east-1 shop-f81a1360 172.19.132.0/22",
		"create vm aws east-1 shop-web-1 small img-1 172.19.132.4",
		"create vm aws east-1 shop-web-2 small img-1 172.19.132.5",
		"create network private RegionOne shop-1c82a1ff 172.19.24.0/22",
		"create vm private RegionOne shop-db-1 large img-1 172.19.24.4",
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
	if _, again := planOf(t, planSpec, nil); cmp.Diff(lines, again) != "" {
		t.Errorf("two plans of one input differ:\n%s", cmp.Diff(lines, again))
	}
	keep := func(in *planInput) {
		in.record.Regions = first.regions
		for _, n := range first.nodes {
			n.Phase = NodeReady
			in.nodes[n.Want.Name] = n
		}
	}
	for _, tt := range []struct {
		name, text string
		change     func(in *planInput)
		want       []string // action and name of steps other than keep
	}{
		{"the same", planSpec, nil, nil},
		{"labels only", strings.Replace(planSpec, "count: 2", "count: 2, labels: {a: b}", 1), nil, nil},
		{"one more", strings.Replace(planSpec, "count: 2", "count: 3", 1), nil, []string{"create shop-web-3 "}},
		{"one less", strings.Replace(planSpec, "count: 2", "count: 1", 1), nil, []string{"delete shop-web-2 no longer wanted"}},
		{"larger", strings.Replace(planSpec, "vcpu: 2", "vcpu: 4", 1), nil, []string{"replace shop-db-1 spec changed"}},
		{"moved", strings.Replace(planSpec, "cloud: private, region: RegionOne", "cloud: gcp, region: west-1", 1), nil,
			[]string{"create NETWORK ", "replace shop-db-1 cloud changed", "delete NETWORK "}},
		{"failed", planSpec, func(in *planInput) {
			in.nodes["shop-web-2"].Phase, in.nodes["shop-web-2"].Reason = NodeFailed, "no host"
		}, []string{"replace shop-web-2 it failed: no host"}},
		{"failed and here", planSpec, func(in *planInput) {
			in.nodes["shop-web-2"].Phase = NodeFailed
			in.joined = func(string) bool { return true }
		}, nil},
		{"was going", planSpec, func(in *planInput) { in.nodes["shop-web-1"].Phase = NodeDeleting }, []string{"replace shop-web-1 it was being removed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, _ := planOf(t, tt.text, func(in *planInput) {
				first, _ = planOf(t, planSpec, nil)
				keep(in)
				if tt.change != nil {
					tt.change(in)
				}
			})
			var got []string
			for _, s := range out.plan.Steps {
				name := s.Name
				if s.Kind == "network" {
					name = "NETWORK"
				}
				if s.Action != ActionKeep {
					got = append(got, fmt.Sprintf("%s %s %s", s.Action, name, s.Reason))
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
			for _, n := range out.nodes {
				if old := first.node(n.Want.Name); old != nil && n.Generation > old.Generation && n.Want.PrivateIP == old.Want.PrivateIP {
					t.Errorf("%s is replaced under the address of its predecessor", n.Want.Name)
				}
			}
		})
	}
}

func (p planned) node(name string) *nodeRecord {
	for _, n := range p.nodes {
		if n.Want.Name == name {
			return n
		}
	}
	return nil
}

func TestSubnets(t *testing.T) {
	avoid := []netip.Prefix{meshPrefix, netip.MustParsePrefix("172.16.0.0/13")}
	count := 600
	if testing.Short() {
		count = 100
	}
	for i := range count {
		p, ok := subnetFor(fmt.Sprintf("shop/aws/region-%d", i), avoid)
		if !ok || p.Bits() != subnetBits || p != p.Masked() || overlaps(p, avoid) || p.Overlaps(dockerBridge) {
			t.Fatalf("subnet %d: %s, %t", i, p, ok)
		}
		if again, _ := subnetFor(fmt.Sprintf("shop/aws/region-%d", i), avoid); again != p {
			t.Fatalf("subnet %d is %s, then %s", i, p, again)
		}
		avoid = append(avoid, p)
	}
	if p, ok := subnetFor("x", []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("10.0.0.0/8")}); ok {
		t.Errorf("a subnet where none is free: %s", p)
	}
	taken := make(map[netip.Addr]bool)
	for n := 0; ; n++ {
		a, ok := freeAddr(netip.MustParsePrefix("172.16.4.0/22"), taken)
		if !ok {
			if n < MaxNodes {
				t.Errorf("room for %d machines, want %d", n, MaxNodes)
			}
			return
		}
		if taken[a] {
			t.Fatalf("%s twice", a)
		}
		taken[a] = true
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("n", maxNodeName)
	if n := vmName("uid", long, 1); len(n) > cloud.MaxVMName {
		t.Errorf("vm name %s has %d characters", n, len(n))
	}
	if n := networkName("uid", strings.Repeat("m", maxMCISName), awsEast); len(n) > cloud.MaxNetworkName {
		t.Errorf("network name %s has %d characters", n, len(n))
	}
	seen := make(map[string]string)
	for _, uid := range []string{"a", "b"} {
		for _, node := range []string{"shop-web-1", "shop-web-11", long} {
			for generation := 1; generation <= 12; generation++ {
				token := vmToken(uid, node, generation)
				if len(token) > cloud.MaxToken || seen[token] != "" || token != vmToken(uid, node, generation) {
					t.Errorf("token %s of %s is also of %s", token, node, seen[token])
				}
				seen[token] = node
			}
		}
	}
	if got := nodeName("shop", "edge", "RegionOne", 2); got != "shop-edge-regionone-2" {
		t.Errorf("node name %s", got)
	}
}

func TestLastLines(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "line %d\x1b[0m\r\n", i)
	}
	got := strings.Split(lastLines(b.String()+"\n\n"), "\n")
	if len(got) != consoleLines || got[len(got)-1] != "line 99[0m" {
		t.Errorf("%d lines, last %q", len(got), got[len(got)-1])
	}
	if got := lastLines(strings.Repeat("x", 100_000)); len(got) != consoleBytes {
		t.Errorf("%d bytes", len(got))
	}
}
