package mcis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
)

// TestBadInputIsOneError: what a cloud does not have is one error of a plan and
// of an apply, with cloud, region, object and what is near, and nothing is made.
func TestBadInputIsOneError(t *testing.T) {
	const group = "kind: MCIS\nname: shop\ngroups:\n  - {name: web, cloud: aws, region: east-1, count: 3}\n"
	with := func(old, new string) string { return strings.Replace(group, old, new, 1) }
	const refused = "cloud aws, regions: fake Describe: AuthFailure: the credentials could not be validated (request req-1)"
	for _, tt := range []struct {
		name, text string
		world      func(w *mcistest.World)
		want       string
	}{
		{"region", with("east-1", "esat-1"), nil,
			`spec.yaml:4: groups[0].region: cloud aws has no region "esat-1"; use one of east-1, west-1, RegionOne`},
		{"one region of several", with("region: east-1", "regions: [west-1, west-2]"), nil,
			`spec.yaml:4: groups[0].regions[1]: cloud aws has no region "west-2"; use one of west-1, east-1, RegionOne`},
		{"region among many", with("east-1", "ap-northeast-9"), func(w *mcistest.World) {
			w.Fake("aws").Traits.Regions = []string{"us-east-1", "us-east-2", "us-west-1", "eu-west-1", "ap-northeast-1", "ap-northeast-2", "ap-south-1"}
		}, `spec.yaml:4: groups[0].region: cloud aws has no region "ap-northeast-9"; use one of ap-northeast-1, ap-northeast-2, ap-south-1, us-east-1, us-east-2 (all: cbctl cloud regions aws)`},
		{"machine type", with("count: 3", "count: 3, spec: {name: smal}"), nil,
			`spec.yaml:4: groups[0].spec: cloud aws, region east-1: machine type "smal": invalid request: no such type; near: small, tiny, medium; see: cbctl cloud specs aws --region east-1`},
		{"machine too large", with("count: 3", "count: 3, spec: {vcpu: 64}"), nil,
			`spec.yaml:4: groups[0].spec: cloud aws, region east-1: machine type with 64 vCPU and 0 MiB: invalid request: none is that large; largest: medium (2 vCPU, 4096 MiB); see: cbctl cloud specs aws --region east-1`},
		{"image", with("count: 3", "count: 3, image: debain-12"), nil,
			`spec.yaml:4: groups[0].image: cloud aws, region east-1: image "debain-12": invalid request: no such image; near: debian-12; see: cbctl cloud images aws --region east-1`},
		{"image in one of two regions", with("region: east-1", "regions: [east-1, west-1], image: img-west-1"), nil,
			`spec.yaml:4: groups[0].image: cloud aws, region east-1: image "img-west-1": invalid request: no such image; near: debian-12; see: cbctl cloud images aws --region east-1`},
		{"credentials", group, func(w *mcistest.World) {
			w.Fake("aws").Lock(func(f *mcistest.Faults) { f.Refused = true })
		}, refused},
		{"credentials, two regions", with("region: east-1", "regions: [east-1, west-1]"), func(w *mcistest.World) {
			w.Fake("aws").Lock(func(f *mcistest.Faults) { f.Refused = true })
		}, refused},
		{"a region that fails", group, func(w *mcistest.World) {
			broken := &cloud.APIError{Provider: "fake", Op: "Describe", Code: "OptInRequired", Message: "not subscribed", Class: cloud.ErrAuth}
			w.Fake("aws").Lock(func(f *mcistest.Faults) { f.Broken = map[string]error{"east-1": broken} })
		}, "cloud aws, region east-1, machine types: fake Describe: OptInRequired: not subscribed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 1)
				if tt.world != nil {
					tt.world(l.world)
				}
				_, err := l.svc.Plan(t.Context(), l.spec(tt.text))
				if got := fmt.Sprint(err); got != tt.want {
					t.Errorf("plan:\ngot  %s\nwant %s", got, tt.want)
				}
				l.apply(tt.text)
				st := l.settled()
				if st.Phase != mcis.PhaseFailed || st.Reason != "plan: "+tt.want {
					t.Errorf("apply: %s: %s", st.Phase, st.Reason)
				}
				if inv := l.world.Inventory(); len(inv) > 0 {
					t.Errorf("made: %v", inv)
				}
				l.delete()
			})
		})
	}
}

// TestBadInputOfAFile: what is wrong before any cloud is asked.
func TestBadInputOfAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.world.Fake("gcp").Traits.NAT = "Cloud NAT"
		l.world.Fake("gcp").Traits.Keys = []string{"ssh-rsa", "ssh-dss"}
		l.world.Fake("aws").Traits.Keys = []string{"ssh-rsa", "ssh-ed25519"}
		const text = `kind: MCIS
name: shop
sshKey: ` + sshKey + `
groups:
  - {name: a, cloud: awss, region: east-1}
  - {name: b, cloud: aws, region: east-1, publicIp: false, egress: nat}
  - {name: c, cloud: gcp, region: east-1, publicIp: false, egress: nat}
`
		_, err := l.svc.Parse(t.Context(), "f.yaml", []byte(text))
		want := []string{
			`f.yaml:3: sshKey: cloud gcp takes no key of type ssh-ed25519; give one of type ssh-rsa, ssh-dss`,
			`f.yaml:5: groups[0].cloud: there is no cloud "awss"; use one of aws, gcp, private, or add it with: cbctl cloud add awss --provider PROVIDER`,
			`f.yaml:6: groups[1].egress: on cloud aws cbnet makes no NAT; remove egress; a machine that needs the internet has a public address there (publicIp: true)`,
		}
		if d := cmp.Diff(want, strings.Split(fmt.Sprint(err), "\n")); d != "" {
			t.Errorf("faults (-want +got):\n%s", d)
		}
	})
}

// TestCloudErrorKeepsItsClass: what is told in one line is found by errors.Is.
func TestCloudErrorKeepsItsClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.world.Fake("aws").Lock(func(f *mcistest.Faults) { f.Refused = true })
		_, err := l.svc.Plan(t.Context(), l.spec(hybrid))
		var place *mcis.CloudError
		var api *cloud.APIError
		if !errors.Is(err, cloud.ErrAuth) || !errors.As(err, &place) || place.Cloud != "aws" || !errors.As(err, &api) || api.Code != "AuthFailure" {
			t.Errorf("error %v", err)
		}
		// A group without a region asks for those of an account that has none.
		_, err = l.svc.Parse(t.Context(), "f.yaml", []byte("{kind: MCIS, name: a, groups: [{name: w, cloud: aws}]}"))
		if !errors.As(err, &place) || place.Object != "regions" {
			t.Errorf("parse: %v", err)
		}
	})
}
