package aws_test

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// ownNetns marks a test process that has a network namespace of its own.
const ownNetns = "CLOUDSIM_TEST_NETNS"

// TestMain is PID 1 of machines too: they are started from this executable.
func TestMain(m *testing.M) {
	if fabric.IsInit(os.Args) {
		os.Exit(fabric.Init())
	}
	os.Exit(m.Run())
}

// inNetns runs the calling test again in a network namespace of its own, since
// there is one fabric with machines in each; it returns true in there.
func inNetns(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownNetns) != "" {
		if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return true
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("machines need root")
		}
		t.Skip("machines need root")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), ownNetns+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	// A signal to end lets the test clean up; the fabric of a killed one goes
	// with its namespace.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in a network namespace of its own: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// TestBoot boots an instance whose metadata service requires tokens: the real
// cloud-init runs its user data, and its security group decides who reaches it.
func TestBoot(t *testing.T) {
	if !inNetns(t) {
		return
	}
	f, err := fabric.Open(t.Context(), fabric.Options{StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{fabric: f, faults: faults.New(faults.Config{})}
	s.cloud = aws.New(aws.Options{Fabric: f, Faults: s.faults})
	srv := httptest.NewServer(s.cloud.Handler())
	s.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	c := s.client("us-east-1")
	l := newLand(t, c)
	g, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: sdk.String("g"), Description: sdk.String("d"), VpcId: &l.vpc})
	if err != nil {
		t.Fatal(err)
	}
	in := l.order(t, "boot")
	in.SubnetId = nil
	in.UserData = sdk.String(base64.StdEncoding.EncodeToString([]byte(
		"#!/bin/sh\necho \"$(hostname) in $(cat /run/cloud-init/cloud-id) has $(hostname -I)\" > /dev/console\n")))
	in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex: sdk.Int32(0), SubnetId: &l.subnet, Groups: []string{*g.GroupId}, AssociatePublicIpAddress: sdk.Bool(true), PrivateIpAddress: sdk.String("10.0.1.10"),
	}}
	made, err := c.RunInstances(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	id := *made.Instances[0].InstanceId
	console := func() string {
		out, err := c.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &id})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(sdk.ToString(out.Output))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	within(t, 90*time.Second, func() (bool, string) {
		text := console()
		return strings.Contains(text, "ip-10-0-1-10 in aws has 10.0.1.10"), text
	})
	public := *state(t, c, id).PublicIpAddress
	pings := func() bool { return exec.CommandContext(ctx, "ping", "-c1", "-W1", public).Run() == nil }
	if pings() {
		t.Errorf("%s answers without a rule", public)
	}
	_, err = c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: []types.IpPermission{{
		IpProtocol: sdk.String("icmp"), FromPort: sdk.Int32(-1), ToPort: sdk.Int32(-1), IpRanges: []types.IpRange{{CidrIp: sdk.String("198.18.0.0/15")}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if !pings() {
		t.Errorf("%s does not answer although a rule lets it", public)
	}
	if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	until(t, "terminated", func() bool { return state(t, c, id).State.Name == types.InstanceStateNameTerminated })
}

// within polls cond for longer than until does, and says what it saw last.
func within(t *testing.T, d time.Duration, cond func() (bool, string)) {
	t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, last := cond()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", d, last)
		}
	}
}
