package gcp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// TestCLI drives a whole life cycle with Google's own command line.
func TestCLI(t *testing.T) {
	simtest.NeedTool(t, "gcloud")
	s := open(t)
	must := func(args ...string) any {
		t.Helper()
		out, complaint := s.gcloud(t, nil, append([]string{"compute"}, args...)...)
		if complaint != "" {
			t.Fatalf("gcloud compute %s: %s", strings.Join(args, " "), complaint)
		}
		return out
	}
	refused := func(words string, args ...string) {
		t.Helper()
		_, complaint := s.gcloud(t, nil, append([]string{"compute"}, args...)...)
		if !strings.Contains(complaint, words) {
			t.Errorf("gcloud compute %s: got %q, want %q", strings.Join(args, " "), complaint, words)
		}
	}
	const region, zone = "asia-northeast3", "asia-northeast3-a"
	must("networks", "create", "shop", "--subnet-mode=custom", "--description=cbnet-mcis=shop")
	refused("already exists", "networks", "create", "shop", "--subnet-mode=custom")
	must("networks", "subnets", "create", "shop", "--network=shop", "--region="+region, "--range=10.0.0.0/24")
	must("firewall-rules", "create", "shop", "--network=shop", "--allow=udp:51820,tcp:22,icmp", "--source-ranges=0.0.0.0/0")
	must("instances", "create", "web-0", "--zone="+zone, "--machine-type=e2-small", "--image-family=debian-12", "--image-project=debian-cloud",
		"--subnet=shop", "--private-network-ip=10.0.0.10", "--labels=cbnet-node=web", "--metadata=user-data=#!/bin/sh", "--can-ip-forward",
		"--no-service-account", "--no-scopes")

	// Several at once are a batch.
	must("instances", "create", "web-1", "web-2", "--zone="+zone, "--machine-type=e2-small", "--image-family=ubuntu-2404-lts-amd64",
		"--image-project=ubuntu-os-cloud", "--subnet=shop", "--no-address", "--no-service-account", "--no-scopes")

	found := must("instances", "list", "--filter=labels.cbnet-node=web")
	if name, ip, public := simtest.Text(found, 0, "name"), simtest.Text(found, 0, "networkInterfaces", 0, "networkIP"), simtest.Text(found, 0, "networkInterfaces", 0, "accessConfigs", 0, "natIP"); name != "web-0" || ip != "10.0.0.10" || !strings.HasPrefix(public, "198.1") {
		t.Errorf("listed %q with %q and %q", name, ip, public)
	}
	sameMachines(t, s, must("instances", "list"), 3)
	if got := simtest.Text(must("networks", "list"), 0, "name"); got != "shop" {
		t.Errorf("networks: %q", got)
	}
	rule := must("firewall-rules", "list")
	if got := simtest.Text(rule, 0, "name"); got != "shop" || simtest.Text(rule, 0, "allowed", 2, "IPProtocol") == "" {
		t.Errorf("firewall rules: %v", rule)
	}
	if got := simtest.Text(must("networks", "subnets", "list", "--network=shop"), 0, "ipCidrRange"); got != "10.0.0.0/24" {
		t.Errorf("subnets: %q", got)
	}
	refused("is already being used by", "networks", "delete", "shop")
	must("instances", "delete", "web-0", "web-1", "web-2", "--zone="+zone)
	refused("was not found", "instances", "delete", "web-0", "--zone="+zone)
	must("firewall-rules", "delete", "shop")
	must("networks", "subnets", "delete", "shop", "--region="+region)
	must("networks", "delete", "shop")
	if left := s.cloud.Inventory(); len(left) > 0 {
		t.Errorf("left over: %+v", left)
	}
}

// sameMachines checks that gcloud lists what the inventory has.
func sameMachines(t *testing.T, s *site, list any, want int) {
	t.Helper()
	shown := map[string]string{}
	rows, _ := list.([]any)
	for i := range rows {
		zone := simtest.Text(list, i, "zone")
		shown[zone[strings.LastIndexByte(zone, '/')+1:]+"/"+simtest.Text(list, i, "id")] = simtest.Text(list, i, "status")
	}
	have := map[string]string{}
	for _, o := range s.cloud.Inventory() {
		if o.Kind == "vm" {
			have[o.ID] = o.State
		}
	}
	if diff := cmp.Diff(have, shown); diff != "" || len(have) != want {
		t.Errorf("%d machines, want %d (-inventory +gcloud):\n%s", len(have), want, diff)
	}
}

// TestCLICredentials has gcloud prove who it is by the service account's key.
func TestCLICredentials(t *testing.T) {
	simtest.NeedTool(t, "gcloud")
	s := open(t)
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, s.cloud.Credentials(), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(s *site) []string {
		return []string{"CLOUDSDK_AUTH_DISABLE_CREDENTIALS=false", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=" + file, "CLOUDSDK_AUTH_TOKEN_HOST=" + s.url + "/token"}
	}
	if out, complaint := s.gcloud(t, env(s), "compute", "networks", "list"); complaint != "" {
		t.Errorf("gcloud with a key: %v, %s", out, complaint)
	}
	other := open(t) // has another key
	if _, complaint := other.gcloud(t, env(other), "compute", "networks", "list"); !strings.Contains(complaint, "invalid_grant") {
		t.Errorf("gcloud with another's key: %q", complaint)
	}
}
