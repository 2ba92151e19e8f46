package gcp

import (
	"regexp"
	"strings"
	"testing"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"

	"github.com/cbnet-io/cbnet/cloud"
)

var (
	googleName  = regexp.MustCompile(`^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$`)
	googleLabel = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", cloud.MaxNetworkName)
	seen := map[string]string{}
	for _, name := range []string{"shop", "0shop", "x-shop", "x-0shop", long, "0" + long[1:]} {
		for _, region := range []string{"us-east1", "northamerica-northeast1", "northamerica-northeast2"} {
			got := networkName(name, region)
			if !googleName.MatchString(got) {
				t.Errorf("%s in %s: %q is no name", name, region, got)
			}
			if other := seen[got]; other != "" {
				t.Errorf("%s in %s is called %s as %s is", name, region, got, other)
			}
			seen[got] = name + " in " + region
		}
	}
	if got := networkName("shop", "us-east1"); got != "shop-us-east1" {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{"web-0", "0web", "x-web", "x-0web", strings.Repeat("9", cloud.MaxVMName)} {
		got := encodeName(name)
		if !googleName.MatchString(got) || decodeName(got) != name {
			t.Errorf("%s: %q, and back %q", name, got, decodeName(got))
		}
	}
}

func TestLabels(t *testing.T) {
	spec := cloud.VMSpec{
		Owner: cloud.Owner{Mesh: strings.Repeat("M", 64), MCIS: "i"}, Region: "us-east1", Node: "노드", Token: strings.Repeat("t", 64),
		Labels: map[string]string{"팀": "인프라", "CostCenter": "KR_1/a:b", "tier": "web", "empty": "", "x--a": "x--"},
	}
	got := labels(spec)
	for k, v := range got {
		if !googleLabel.MatchString(k) || !googleLabel.MatchString(v) || k == "" {
			t.Errorf("%q: %q is no label", k, v)
		}
	}
	back := userLabels(got)
	for k, v := range spec.Labels {
		if back[k] != v {
			t.Errorf("%q: %q became %q", k, v, back[k])
		}
	}
	if len(back) != len(spec.Labels) || got[cloud.KeyMCIS] != "i" {
		t.Errorf("got %v", got)
	}
	// The exact mark is in the description.
	tags := cloud.ParseDescription(vmDescription(spec))
	if cloud.OwnerOf(tags) != spec.Owner || tags[cloud.KeyToken] != spec.Token || cloud.DecodeLabel(tags[cloud.KeyNode]) != spec.Node {
		t.Errorf("got %v", tags)
	}
}

func TestRequestID(t *testing.T) {
	a, b := cloud.Owner{Mesh: "m", MCIS: "a"}, cloud.Owner{Mesh: "m", MCIS: "b"}
	id := requestID(a, "t")
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("%s is no UUID of version 5", id)
	}
	if requestID(a, "t") != id || requestID(a, "u") == id || requestID(b, "t") == id {
		t.Error("not one id for each owner and token")
	}
	if !made(id, a) || made(id, b) || made("", a) || made("x", a) {
		t.Error("not known as its owner's")
	}
}

func TestVMID(t *testing.T) {
	zone, instance, err := parseVMID(vmID("us-east1-b", 1<<63))
	if err != nil || zone != "us-east1-b" || instance != "9223372036854775808" {
		t.Errorf("got %s, %s, %v", zone, instance, err)
	}
	for _, bad := range []string{"", "x", "/", "z/", "/1", "z/1/2"} {
		if _, _, err := parseVMID(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestUserData(t *testing.T) {
	get := func(spec cloud.VMSpec) map[string]string {
		m := map[string]string{}
		for _, i := range metadata(spec) {
			m[i.GetKey()] = i.GetValue()
		}
		return m
	}
	m := get(cloud.VMSpec{UserData: []byte("#!/bin/sh\n# 안녕"), Image: "projects/ubuntu-os-cloud/global/images/ubuntu-2404-noble", Network: cloud.Network{Key: "ssh-ed25519 AAAA me"}})
	if m["user-data"] != "#!/bin/sh\n# 안녕" || m["user-data-encoding"] != "" || m["ssh-keys"] != "ubuntu:ssh-ed25519 AAAA me" || m["enable-oslogin"] != "FALSE" || !strings.Contains(m["startup-script"], "cloud-init") {
		t.Errorf("got %v", m)
	}
	if m = get(cloud.VMSpec{UserData: []byte{0x1f, 0x8b, 0xff}}); m["user-data"] != "H4v/" || m["user-data-encoding"] != "base64" {
		t.Errorf("bytes that are no text: %v", m)
	}
	if m = get(cloud.VMSpec{Image: "projects/p/global/images/mine"}); len(m) != 1 || m["block-project-ssh-keys"] != "TRUE" {
		t.Errorf("nothing asked for: %v", m)
	}
	if got := user("projects/p/global/images/mine"); got != "cbnet" {
		t.Errorf("user of another image: %s", got)
	}
	if n := len(get(cloud.VMSpec{UserData: make([]byte, MaxUserData)})["user-data"]); n > 256<<10 {
		t.Errorf("user-data of the full length is %d bytes", n)
	}
}

func TestState(t *testing.T) {
	for status, want := range map[string]cloud.VMState{
		"PROVISIONING": cloud.VMPending, "STAGING": cloud.VMPending, "RUNNING": cloud.VMRunning, "REPAIRING": cloud.VMRunning, "STOPPING": cloud.VMStopped,
		"PENDING_STOP": cloud.VMStopped, "TERMINATED": cloud.VMStopped, "SUSPENDED": cloud.VMStopped, "DEPROVISIONING": cloud.VMDeleting, "SOMETHING_NEW": cloud.VMPending,
	} {
		if got := machine(&computepb.Instance{Status: proto.String(status)}).State; got != want {
			t.Errorf("%s: got %s, want %s", status, got, want)
		}
	}
}

func TestAlias(t *testing.T) {
	for family, want := range map[string]string{
		"debian-12": "debian-12", "debian-12-arm64": "", "ubuntu-2404-lts-amd64": "ubuntu-24.04", "ubuntu-2204-lts": "ubuntu-22.04", "ubuntu-2404-lts-arm64": "", "": "",
	} {
		if got := alias(family); got != want {
			t.Errorf("%s: got %q, want %q", family, got, want)
		}
	}
}

func TestDiskType(t *testing.T) {
	for spec, want := range map[string]string{"e2-medium": "pd-balanced", "n4-standard-2": "hyperdisk-balanced", "c4a-standard-1": "hyperdisk-balanced", "x": "pd-balanced"} {
		if got := diskType(spec); got != want {
			t.Errorf("%s: got %s, want %s", spec, got, want)
		}
	}
}
