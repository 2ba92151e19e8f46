package alibaba_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"

	"github.com/cbnet-io/cbnet/test/cloudsim/alibaba"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

const (
	region    = "ap-northeast-2"
	zone      = "ap-northeast-2b" // sells all types
	debian    = "debian_12_9_x64_20G_alibase_20250117.vhd"
	smallType = "ecs.u1-c1m2.large"
)

// site is a cloud behind a server.
type site struct {
	cloud  *alibaba.Cloud
	fabric *fabric.Fabric
	faults *faults.Injector
	url    string
	client *sdk.Client
}

// serve starts a cloud on a fabric; change may alter its options.
func serve(t testing.TB, f *fabric.Fabric, change ...func(*alibaba.Options)) *site {
	t.Helper()
	s := &site{fabric: f, faults: faults.New(faults.Config{})}
	o := alibaba.Options{Fabric: f, Faults: s.faults, Settle: 10 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	s.cloud = alibaba.New(o)
	srv := httptest.NewServer(s.cloud.Handler())
	s.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		s.cloud.Close()
	})
	s.client = s.with(t, "LTAIEXAMPLE", "secret", "")
	return s
}

// open starts a cloud whose machines have states only.
func open(t testing.TB, change ...func(*alibaba.Options)) *site {
	t.Helper()
	f := simtest.Paper(t, 200*time.Millisecond)
	return serve(t, f, change...)
}

// with returns the vendor's client with other credentials.
func (s *site) with(t testing.TB, id, secret, token string) *sdk.Client {
	t.Helper()
	var key any = credentials.NewStaticAKCredentialsProvider(id, secret)
	if token != "" {
		key = credentials.NewStaticSTSCredentialsProvider(id, secret, token)
	}
	c, err := sdk.NewClientWithOptions(region, sdk.NewConfig().WithAutoRetry(false), key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// p are parameters of a call.
type p map[string]string

// send makes a call through the vendor's SDK.
func (s *site) send(c *sdk.Client, product, action string, params p) (*responses.CommonResponse, error) {
	req := requests.NewCommonRequest()
	req.Method, req.Scheme, req.Domain, req.Product, req.ApiName = "POST", "http", strings.TrimPrefix(s.url, "http://"), product, action
	req.Version = map[string]string{"ecs": "2014-05-26", "vpc": "2016-04-28"}[product]
	maps.Copy(req.QueryParams, params)
	return c.ProcessCommonRequest(req)
}

// call makes a call. It returns the answer, decoded, and the vendor's code of a
// refusal.
func (s *site) call(t testing.TB, c *sdk.Client, product, action string, params p) (map[string]any, string) {
	t.Helper()
	resp, err := s.send(c, product, action, params)
	if err != nil {
		var e *sdkerrors.ServerError
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", action, err)
		}
		if e.RequestId() == "" || e.HostId() == "" || e.Message() == "" {
			t.Errorf("%s: a refusal lacks something: %v", action, e)
		}
		return nil, e.ErrorCode()
	}
	out := map[string]any{}
	if err := json.Unmarshal(resp.GetHttpContentBytes(), &out); err != nil || out["RequestId"] == "" {
		t.Fatalf("%s: answer %s: %v", action, resp.GetHttpContentString(), err)
	}
	return out, ""
}

// do makes a call that must succeed.
func (s *site) do(t testing.TB, product, action string, params p) map[string]any {
	t.Helper()
	out, code := s.call(t, s.client, product, action, params)
	if code != "" {
		t.Fatalf("%s: %s", action, code)
	}
	return out
}

// refused makes a call that must be refused with a code.
func (s *site) refused(t testing.TB, want, product, action string, params p) {
	t.Helper()
	if _, code := s.call(t, s.client, product, action, params); code != want {
		t.Errorf("%s %v: got %q, want %q", action, params, code, want)
	}
}

// land is a VPC with a VSwitch and a security group.
type land struct{ vpc, vswitch, group string }

// newLand makes a network of 10.0.0.0/16 with the VSwitch 10.0.1.0/24.
func (s *site) newLand(t testing.TB) land {
	t.Helper()
	var l land
	l.vpc = simtest.Text(s.do(t, "vpc", "CreateVpc", p{"CidrBlock": "10.0.0.0/16", "VpcName": "land"}), "VpcId")
	s.settled(t, "DescribeVpcs", p{"VpcId": l.vpc}, "Vpcs", "Vpc")
	l.vswitch = simtest.Text(s.do(t, "vpc", "CreateVSwitch", p{"VpcId": l.vpc, "ZoneId": zone, "CidrBlock": "10.0.1.0/24"}), "VSwitchId")
	s.settled(t, "DescribeVSwitches", p{"VSwitchId": l.vswitch}, "VSwitches", "VSwitch")
	l.group = simtest.Text(s.do(t, "ecs", "CreateSecurityGroup", p{"VpcId": l.vpc, "SecurityGroupName": "land"}), "SecurityGroupId")
	return l
}

// settled waits until an object of a network is available.
func (s *site) settled(t testing.TB, action string, params p, list, item string) {
	t.Helper()
	simtest.Within(t, 5*time.Second, func() (bool, string) {
		status := simtest.Text(s.do(t, "vpc", action, params), list, item, 0, "Status")
		return status == "Available", status
	})
}

// order are the parameters of one machine.
func (l land) order(more p) p {
	o := p{"ImageId": debian, "InstanceType": smallType, "VSwitchId": l.vswitch, "SecurityGroupId": l.group}
	maps.Copy(o, more)
	return o
}

// run starts one machine and returns its id.
func (s *site) run(t testing.TB, params p) string {
	t.Helper()
	return simtest.Text(s.do(t, "ecs", "RunInstances", params), "InstanceIdSets", "InstanceIdSet", 0)
}

// instance returns what is said about a machine, nil if nothing is.
func (s *site) instance(t testing.TB, id string) any {
	t.Helper()
	return simtest.Dig(s.do(t, "ecs", "DescribeInstances", p{"InstanceIds": `["` + id + `"]`}), "Instances", "Instance", 0)
}

// becomes waits for a machine's state, "" for gone.
func (s *site) becomes(t testing.TB, id, want string) {
	t.Helper()
	simtest.Within(t, 30*time.Second, func() (bool, string) {
		got := simtest.Text(s.instance(t, id), "Status")
		return got == want, got
	})
}
