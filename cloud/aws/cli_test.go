package aws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// listings are the CLI's ways to see what the driver lists, by kind: a command
// and, in JMESPath, where the ids are in its answer.
var listings = map[cloud.Kind][2]string{
	cloud.KindVM:            {"describe-instances", "Reservations[].Instances[?State.Name!='terminated'][].InstanceId"},
	cloud.KindNetwork:       {"describe-vpcs", "Vpcs[].VpcId"},
	cloud.KindSubnet:        {"describe-subnets", "Subnets[].SubnetId"},
	cloud.KindRouter:        {"describe-internet-gateways", "InternetGateways[].InternetGatewayId"},
	cloud.KindSecurityGroup: {"describe-security-groups", "SecurityGroups[].GroupId"},
	cloud.KindKey:           {"describe-key-pairs", "KeyPairs[].KeyPairId"},
}

// TestCLISeesTheSame compares what the driver lists with what Amazon's own
// command line does, at both endpoints, with machines and after they are gone.
func TestCLISeesTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("two dozen starts of the CLI: make e2e-aws")
	}
	path := simtest.NeedTool(t, "aws")
	for name, start := range map[string]func(*testing.T) (endpoint, image string){
		"moto": func(t *testing.T) (string, string) { return startMoto(t), "ubuntu-16.04" },
		"cloudsim": func(t *testing.T) (string, string) {
			url, _, _ := startSim(t)
			return url, "debian-12"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint, image := start(t)
			d := newDriver(t, aws.Config{Endpoint: endpoint, Credentials: []byte(credentialsFile)})
			owner := cloud.Owner{Mesh: "mesh-cli", MCIS: "mcis-cli"}
			create(t, d, owner, image)
			for _, when := range []string{"created", "deleted"} {
				if when == "deleted" {
					clearAll(t, d, owner)
				}
				want := map[cloud.Kind][]string{}
				for _, r := range list(t, d, owner) {
					want[r.Kind] = append(want[r.Kind], r.ID)
				}
				got := map[cloud.Kind][]string{}
				for kind, l := range listings {
					ids := cli(t, path, endpoint, l[0], l[1], owner)
					if len(ids) > 0 {
						got[kind] = ids
					}
				}
				for _, m := range []map[cloud.Kind][]string{want, got} {
					for _, ids := range m {
						slices.Sort(ids)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: the driver and the CLI differ (-driver +CLI):\n%s", when, diff)
				}
				t.Logf("%s: %d kinds, %d machines", when, len(got), len(got[cloud.KindVM]))
			}
		})
	}
}

const cliRegion = "ap-northeast-2"

// create makes a network with a key and two machines.
func create(t *testing.T, d *aws.Driver, owner cloud.Owner, image string) {
	t.Helper()
	cidr := netip.MustParsePrefix("10.9.0.0/24")
	images, err := d.Images(t.Context(), cliRegion)
	if err != nil {
		t.Fatal(err)
	}
	img, err := cloud.ResolveImage(images, image)
	if err != nil {
		t.Fatal(err)
	}
	net, err := d.EnsureNetwork(t.Context(), cloud.NetworkSpec{
		Owner: owner, Region: cliRegion, Name: "cbnet-cli", CIDR: cidr, Open: []cloud.Port{{Protocol: "udp", Number: 51820}},
		SSHKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g cli",
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		ip, _ := cloud.VMAddr(cidr, i)
		_, err := d.CreateVM(t.Context(), cloud.VMSpec{
			Owner: owner, Region: cliRegion, Name: fmt.Sprintf("cli-%d", i), Node: fmt.Sprintf("cli-%d", i), Token: fmt.Sprintf("cli-token-%d", i),
			Network: net, PrivateIP: ip, Spec: "t3.medium", Image: img.ID, UserData: []byte("#!/bin/sh\n"), Labels: map[string]string{"팀": "인프라"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func list(t *testing.T, d *aws.Driver, owner cloud.Owner) []cloud.Resource {
	t.Helper()
	res, err := d.List(t.Context(), cliRegion, owner)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// clearAll deletes everything of the owner.
func clearAll(t *testing.T, d *aws.Driver, owner cloud.Owner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		res := list(t, d, owner)
		if len(res) == 0 {
			return
		}
		for _, r := range cloud.DeleteOrder(res) {
			_ = d.Delete(ctx, r) // what is in use goes at a later turn
		}
		select {
		case <-ctx.Done():
			t.Fatalf("left: %+v", res)
		case <-tick.C:
		}
	}
}

// cli returns the ids that a listing of the CLI shows of the owner's.
func cli(t *testing.T, path, endpoint, command, query string, owner cloud.Owner) []string {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), path, "--endpoint-url", endpoint, "--region", cliRegion, "--output", "json", "ec2", command,
		"--filters", "Name=tag:"+cloud.KeyMesh+",Values="+owner.Mesh, "--query", query)
	cmd.Env = append(os.Environ(), "AWS_CONFIG_FILE="+home+"/none", "AWS_SHARED_CREDENTIALS_FILE="+home+"/none",
		"AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("aws ec2 %s: %v: %s", command, err, out)
	}
	var ids []string
	if err := json.Unmarshal(out, &ids); err != nil {
		t.Fatalf("aws ec2 %s: %v in %s", command, err, out)
	}
	return ids
}
