package cloud_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
)

func TestDescription(t *testing.T) {
	owner := cloud.Owner{Mesh: "m-1", MCIS: "i-2"}
	for _, tc := range []struct {
		name string
		text string
		want cloud.Owner
	}{
		{"own", owner.Description(), owner},
		{"among others' words", "web tier " + owner.Description() + " team=a", owner},
		{"none", "web tier", cloud.Owner{}},
		{"half", "cbnet-mesh=m-1", cloud.Owner{Mesh: "m-1"}},
		{"the first counts", owner.Description() + " cbnet-mesh=other", owner},
		{"empty", "", cloud.Owner{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := cloud.OwnerOf(cloud.ParseDescription(tc.text)); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func FuzzParseDescription(f *testing.F) {
	f.Add("cbnet-mesh=a cbnet-mcis=b")
	f.Add("= cbnet-== \x00")
	f.Fuzz(func(t *testing.T, s string) {
		for k, v := range cloud.ParseDescription(s) {
			if !strings.HasPrefix(k, "cbnet-") || !strings.Contains(s, k+"="+v) {
				t.Errorf("%q=%q from %q", k, v, s)
			}
		}
	})
}

func TestMatches(t *testing.T) {
	own := cloud.Owner{Mesh: "m", MCIS: "i"}
	for _, tc := range []struct {
		name string
		o    cloud.Owner
		want cloud.Owner
		ok   bool
	}{
		{"same", own, own, true},
		{"any MCIS", own, cloud.Owner{Mesh: "m"}, true},
		{"other MCIS", own, cloud.Owner{Mesh: "m", MCIS: "j"}, false},
		{"other mesh", own, cloud.Owner{Mesh: "n", MCIS: "i"}, false},
		{"nobody asks", own, cloud.Owner{}, false},
		{"no mark", cloud.Owner{}, cloud.Owner{}, false},
		{"half a mark", cloud.Owner{Mesh: "m"}, cloud.Owner{Mesh: "m"}, false},
	} {
		if got := tc.o.Matches(tc.want); got != tc.ok {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
}

func TestDeleteOrder(t *testing.T) {
	want := []cloud.Resource{
		{Kind: cloud.KindVM, Region: "a", ID: "1"}, {Kind: cloud.KindVM, Region: "a", ID: "2"}, {Kind: cloud.KindVM, Region: "b", ID: "0"},
		{Kind: cloud.KindPublicIP}, {Kind: cloud.KindPort}, {Kind: cloud.KindRouter},
		{Kind: cloud.KindSecurityGroup}, {Kind: cloud.KindSubnet}, {Kind: cloud.KindNetwork}, {Kind: "unknown"},
	}
	in := append([]cloud.Resource(nil), want...)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		rng.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
		if diff := cmp.Diff(want, cloud.DeleteOrder(in)); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}
}

func TestResolveSpec(t *testing.T) {
	specs := []cloud.Spec{
		{Name: "t3.medium", VCPU: 2, MemoryMiB: 4096}, {Name: "t3.micro", VCPU: 2, MemoryMiB: 1024},
		{Name: "c5.large", VCPU: 2, MemoryMiB: 4096}, {Name: "m5.xlarge", VCPU: 4, MemoryMiB: 16384},
		{Name: "t2.micro", VCPU: 1, MemoryMiB: 1024},
	}
	for _, tc := range []struct {
		name         string
		wish         string
		vcpu, memory int
		want         string
		fault        string
	}{
		{"nothing asked", "", 0, 0, "t2.micro", ""},
		{"both", "", 2, 4096, "t3.medium", ""},
		{"memory decides", "", 1, 5000, "m5.xlarge", ""},
		{"by name", "c5.large", 0, 0, "c5.large", ""},
		{"by name, too small", "t2.micro", 2, 0, "", "has 1 vCPU"},
		{"unknown name", "t3.mega", 0, 0, "", "near: t3.me"},
		{"too large", "", 64, 0, "", "largest: m5.xlarge"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := cloud.ResolveSpec(specs, tc.wish, tc.vcpu, tc.memory)
			if got.Name != tc.want {
				t.Errorf("got %q, want %q", got.Name, tc.want)
			}
			if tc.fault == "" != (err == nil) || err != nil && (!errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), tc.fault)) {
				t.Errorf("error %v, want %q", err, tc.fault)
			}
		})
	}
}

func TestResolveImage(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	images := []cloud.Image{
		{ID: "1", Name: "debian-12-a", Alias: "debian-12", Created: day(1)},
		{ID: "3", Name: "debian-12-c", Alias: "debian-12", Created: day(3)},
		{ID: "2", Name: "debian-12-b", Alias: "debian-12", Created: day(2)},
		{ID: "4", Name: "dummy"}, {ID: "5", Name: "dummy"},
	}
	for _, tc := range []struct{ wish, want string }{
		{"debian-12", "3"}, {"debian-12-a", "1"}, {"2", "2"}, {"dummy", "5"}, {"debian-13", ""}, {"", ""},
	} {
		got, err := cloud.ResolveImage(images, tc.wish)
		if got.ID != tc.want || (err == nil) != (tc.want != "") || err != nil && !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%q: got %q and %v, want %q", tc.wish, got.ID, err, tc.want)
		}
	}
}

func TestImageAlias(t *testing.T) {
	for name, want := range map[string]string{
		"debian-12-amd64-20250101-1": "debian-12",
		"debian-12":                  "debian-12",
		"Debian-13-generic":          "debian-13",
		"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250101": "ubuntu-24.04",
		"ubuntu-22.04":          "ubuntu-22.04",
		"ubuntu-22.04.1":        "",
		"my-debian-12":          "",
		"debian-sid":            "",
		"x/debian-12-amd64":     "",
		"evil/ubuntu-24.04-foo": "",
	} {
		if got := cloud.ImageAlias(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestVMAddr(t *testing.T) {
	for _, tc := range []struct {
		subnet      string
		count       int
		first, last string
	}{
		{"10.0.0.0/24", 235, "10.0.0.4", "10.0.0.238"},
		{"10.0.0.0/28", 8, "10.0.0.4", "10.0.0.11"},
		{"10.0.0.0/16", 65515, "10.0.0.4", "10.0.255.238"},
	} {
		p := netip.MustParsePrefix(tc.subnet)
		n := 0
		var last netip.Addr
		for {
			a, ok := cloud.VMAddr(p, n)
			if !ok {
				break
			}
			if n == 0 && a.String() != tc.first || !p.Contains(a) {
				t.Fatalf("%s: address %d is %s", tc.subnet, n, a)
			}
			n, last = n+1, a
		}
		if n != tc.count || last.String() != tc.last {
			t.Errorf("%s: %d addresses to %s, want %d to %s", tc.subnet, n, last, tc.count, tc.last)
		}
	}
	if _, ok := cloud.VMAddr(netip.MustParsePrefix("10.0.0.0/24"), -1); ok {
		t.Error("an address before the first")
	}
}

func TestValidateNamesAllFaults(t *testing.T) {
	err := cloud.VMSpec{Name: "Web", Token: "a b", UserData: make([]byte, 11)}.Validate(10)
	for _, want := range []string{"owner", "name", "token", "user-data: 11 bytes", "machine type", "image", "network", "private address"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	if !errors.Is(err, cloud.ErrInvalid) {
		t.Errorf("%v does not wrap ErrInvalid", err)
	}
}

func TestAPIError(t *testing.T) {
	err := fmt.Errorf("create: %w", &cloud.APIError{Provider: "aws", Op: "RunInstances", Code: "VcpuLimitExceeded", Message: "no more", RequestID: "r-1", Class: cloud.ErrQuota})
	if !errors.Is(err, cloud.ErrQuota) || cloud.Retryable(err) {
		t.Error("a quota error is permanent")
	}
	if want := "create: aws RunInstances: VcpuLimitExceeded: no more (request r-1)"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestResolveRegion(t *testing.T) {
	regions := []cloud.Region{{Name: "us-east-1"}, {Name: "ap-northeast-1"}, {Name: "ap-northeast-2"}}
	if r, err := cloud.ResolveRegion(regions, "us-east-1"); err != nil || r.Name != "us-east-1" {
		t.Errorf("got %+v and %v", r, err)
	}
	_, err := cloud.ResolveRegion(regions, "ap-northeast-9")
	if !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), "near: ap-northeast-1, ap-northeast-2, us-east-1") {
		t.Errorf("got %v, want the near ones first", err)
	}
}
