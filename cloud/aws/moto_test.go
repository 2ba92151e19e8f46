package aws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/aws"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

const credentialsFile = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\n"

// TestMoto runs the suite against moto_server, a simulation of EC2 by others,
// with its validations switched on.
func TestMoto(t *testing.T) {
	t.Parallel()
	endpoint := startMoto(t)
	cloudtest.Run(t, cloudtest.Target{
		New: func(t testing.TB, transport http.RoundTripper) cloud.Driver {
			return newDriver(t, aws.Config{Endpoint: endpoint, Credentials: []byte(credentialsFile), Transport: transport})
		},
		Region:       "ap-northeast-2",
		Image:        "ubuntu-16.04", // moto has images of its time,
		VCPU:         2,
		MemoryMiB:    4096,
		MaxUserData:  aws.MaxUserData,
		UnknownID:    unknownID,
		UnknownImage: "ami-0123456789abcdef0",
		Tick:         20 * time.Millisecond,
		Inventory:    func(t testing.TB, mesh string) []string { return tagged(t, endpoint, mesh) },
		VMKey:        func(t testing.TB, id string) string { return keyOf(t, endpoint, []byte(credentialsFile), id) },
		Quirks: cloudtest.Quirks{
			DeletesInUse:  "moto deletes subnets, security groups and gateways that are in use",
			IgnoresToken:  "moto ignores ClientToken",
			NoCredentials: "moto accepts any credentials",
			AnyRegion:     "moto breaks down (HTTP 500) over a region that it does not know",
		},
	})
}

// tagged lists what bears the mesh's tag, also of kinds that the driver does not
// list because they come and go with a machine.
func tagged(t testing.TB, endpoint, mesh string) []string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	c := ec2.New(ec2.Options{
		Region: "ap-northeast-2", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
	var left []string
	note := func(id *string, tags []types.Tag) {
		for _, tag := range tags {
			if *tag.Key == cloud.KeyMesh && *tag.Value == mesh {
				left = append(left, *id)
			}
		}
	}
	vpcs, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vpcs.Vpcs {
		note(v.VpcId, v.Tags)
	}
	volumes, err := c.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range volumes.Volumes {
		note(v.VolumeId, v.Tags)
	}
	cards, err := c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range cards.NetworkInterfaces {
		note(v.NetworkInterfaceId, v.TagSet)
	}
	return left
}

// keyOf returns the name of the key pair that an instance was started with.
func keyOf(t testing.TB, endpoint string, file []byte, id string) string {
	t.Helper()
	p := strings.Fields(string(file)) // [default] aws_access_key_id = ID aws_secret_access_key = SECRET
	c := ec2.New(ec2.Options{
		Region: "ap-northeast-2", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider(p[3], p[6], ""),
	})
	out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "InvalidInstanceID.NotFound" {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return awssdk.ToString(out.Reservations[0].Instances[0].KeyName)
}

func newDriver(t testing.TB, cfg aws.Config) *aws.Driver {
	t.Helper()
	d, err := aws.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// unknownID returns an id of the form that EC2 gives to a kind of thing.
func unknownID(kind cloud.Kind) string {
	prefix := map[cloud.Kind]string{
		cloud.KindVM: "i", cloud.KindRouter: "igw", cloud.KindSecurityGroup: "sg",
		cloud.KindSubnet: "subnet", cloud.KindNetwork: "vpc", cloud.KindKey: "key",
	}[kind]
	return prefix + "-0123456789abcdef0"
}

// startMoto starts moto_server on a free port for the length of the test.
func startMoto(t *testing.T) string {
	t.Helper()
	path := simtest.NeedTool(t, "moto_server")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command(path, "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	cmd.Env = append(os.Environ(),
		"MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=1", "MOTO_ENABLE_AMI_VALIDATION=1", "MOTO_ENABLE_KEYPAIR_VALIDATION=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", port)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(endpoint + "/moto-api/data.json"); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return endpoint
		}
		select {
		case <-ctx.Done():
			t.Fatalf("moto_server does not answer: %s", log.String())
		case <-tick.C:
		}
	}
}
