package alibaba_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/test/cloudsim/alibaba"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestFaults(t *testing.T) {
	s := open(t, func(o *alibaba.Options) { o.Release = 200 * time.Millisecond })
	l := s.newLand(t)
	s.faults.Set(faults.Config{Throttle: 1})
	s.refused(t, "Throttling.User", "ecs", "DescribeInstances", nil)
	s.refused(t, "Throttling.Api", "vpc", "DescribeVpcs", nil)
	s.faults.Set(faults.Config{NoCapacity: []string{"alibaba/" + zone}})
	s.refused(t, "OperationDenied.NoStock", "ecs", "RunInstances", l.order(nil))
	stock := s.do(t, "ecs", "DescribeAvailableResource", p{"DestinationResource": "InstanceType"})
	if a, b := simtest.Text(stock, "AvailableZones", "AvailableZone", 0, "StatusCategory"), simtest.Text(stock, "AvailableZones", "AvailableZone", 1, "StatusCategory"); a != "WithStock" || b != "WithoutStock" {
		t.Errorf("stock of the zones: %q, %q", a, b)
	}
	s.faults.Set(faults.Config{Quota: map[string]int{"alibaba/vm": 0}})
	s.refused(t, "QuotaExceed.ElasticQuota", "ecs", "RunInstances", l.order(nil))
	s.faults.Set(faults.Config{Quota: map[string]int{"alibaba/vcpu": 1}})
	s.refused(t, "QuotaExceed.ElasticQuota", "ecs", "RunInstances", l.order(nil))

	// An instance that could not be created: an event tells, and then it goes.
	s.faults.Set(faults.Config{AsyncFail: 1})
	id := s.run(t, l.order(p{"ClientToken": "doomed"}))
	s.faults.Set(faults.Config{})
	event := func(cycle string) string {
		return simtest.Text(s.do(t, "ecs", "DescribeInstanceHistoryEvents", p{"ResourceId.1": id, "InstanceEventType.1": "SystemFailure.Delete", "InstanceEventCycleStatus.1": cycle}),
			"InstanceSystemEventSet", "InstanceSystemEventType", 0, "EventType", "Name")
	}
	simtest.Within(t, 5*time.Second, func() (bool, string) {
		return event("Executing") == "SystemFailure.Delete", simtest.Text(s.instance(t, id), "Status")
	})
	s.becomes(t, id, "")
	if event("Executed") == "" {
		t.Error("no event of the past")
	}
	if again := s.run(t, l.order(p{"ClientToken": "doomed"})); again != id {
		t.Errorf("the token of the failed %s gave %s", id, again)
	}
}

func TestDropped(t *testing.T) {
	s := open(t)
	s.faults.Set(faults.Config{DropNext: map[string]int{"CreateVpc": 1}})
	params := p{"CidrBlock": "10.0.0.0/16", "ClientToken": "lost"}
	if resp, err := s.send(s.client, "vpc", "CreateVpc", params); err == nil || len(s.cloud.Inventory()) != 1 {
		t.Fatalf("a lost answer: got %v, inventory %v", resp, s.cloud.Inventory())
	}
	id := simtest.Text(s.do(t, "vpc", "CreateVpc", params), "VpcId")
	if inv := s.cloud.Inventory(); len(inv) != 1 || inv[0].ID != id {
		t.Errorf("the token gave %s, and there is %v", id, inv)
	}
}

func TestHidden(t *testing.T) {
	now := time.Now()
	s := open(t, func(o *alibaba.Options) {
		o.Hidden = time.Minute
		o.Settle = time.Millisecond
		o.Now = func() time.Time { return now }
	})
	vpc := simtest.Text(s.do(t, "vpc", "CreateVpc", p{"CidrBlock": "10.0.0.0/16"}), "VpcId")
	now = now.Add(time.Second)
	vswitch := simtest.Text(s.do(t, "vpc", "CreateVSwitch", p{"VpcId": vpc, "ZoneId": zone, "CidrBlock": "10.0.1.0/24"}), "VSwitchId")
	group := simtest.Text(s.do(t, "ecs", "CreateSecurityGroup", p{"VpcId": vpc, "SecurityGroupName": "gg"}), "SecurityGroupId")
	s.do(t, "ecs", "ImportKeyPair", p{"KeyPairName": "key", "PublicKeyBody": cloudtest.NewKey(t, ssh.KeyAlgoRSA)})
	now = now.Add(time.Second)
	id := s.run(t, land{vpc, vswitch, group}.order(nil))
	look := func() (n int) {
		for _, c := range [][4]string{
			{"vpc", "DescribeVpcs", "Vpcs", "Vpc"}, {"vpc", "DescribeVSwitches", "VSwitches", "VSwitch"}, {"ecs", "DescribeSecurityGroups", "SecurityGroups", "SecurityGroup"},
			{"ecs", "DescribeKeyPairs", "KeyPairs", "KeyPair"}, {"ecs", "DescribeInstances", "Instances", "Instance"},
		} {
			list, _ := simtest.Dig(s.do(t, c[0], c[1], nil), c[2], c[3]).([]any)
			n += len(list)
		}
		return n
	}
	if n := look(); n != 0 {
		t.Errorf("%d objects are seen at once", n)
	}
	s.refused(t, "InvalidInstanceId.NotFound", "ecs", "StopInstance", p{"InstanceId": id})
	s.refused(t, "InvalidSecurityGroupId.NotFound", "ecs", "DescribeSecurityGroupAttribute", p{"SecurityGroupId": group})
	s.refused(t, "KeyPair.AlreadyExist", "ecs", "ImportKeyPair", p{"KeyPairName": "key", "PublicKeyBody": cloudtest.NewKey(t, ssh.KeyAlgoRSA)})
	now = now.Add(time.Minute)
	if n := look(); n != 5 {
		t.Errorf("%d objects are seen after a minute, want 5", n)
	}
}

// TestMetadata asks the metadata service as a machine would, with and without
// tokens.
func TestMetadata(t *testing.T) {
	now := time.Now()
	s := open(t, func(o *alibaba.Options) { o.Now = func() time.Time { return now } })
	now = now.Add(time.Second)
	vpc := simtest.Text(s.do(t, "vpc", "CreateVpc", p{"CidrBlock": "10.0.0.0/16"}), "VpcId")
	now = now.Add(time.Second)
	vswitch := simtest.Text(s.do(t, "vpc", "CreateVSwitch", p{"VpcId": vpc, "ZoneId": zone, "CidrBlock": "10.0.1.0/24"}), "VSwitchId")
	now = now.Add(time.Second)
	l := land{vpc, vswitch, simtest.Text(s.do(t, "ecs", "CreateSecurityGroup", p{"VpcId": vpc}), "SecurityGroupId")}
	key := cloudtest.NewKey(t, ssh.KeyAlgoRSA)
	s.do(t, "ecs", "ImportKeyPair", p{"KeyPairName": "key", "PublicKeyBody": key})
	free := s.cloud.Metadata(region, s.run(t, l.order(p{"HostName": "h1", "PrivateIpAddress": "10.0.1.10", "KeyPairName": "key", "UserData": "aGVsbG8="})))
	strict := s.cloud.Metadata(region, s.run(t, l.order(p{"HttpTokens": "required"})))
	off := s.cloud.Metadata(region, s.run(t, l.order(p{"HttpEndpoint": "disabled"})))
	ask := func(h http.Handler, method, path string, header ...string) (int, string) {
		req := httptest.NewRequest(method, "http://100.100.100.200"+path, nil)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		body, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(body)
	}
	for path, want := range map[string]string{
		"/latest/meta-data/hostname": "h1", "/2016-01-01/meta-data/private-ipv4": "10.0.1.10", "/latest/meta-data/zone-id": zone,
		"/latest/meta-data/region-id": region, "/latest/user-data": "hello", "/latest/meta-data/public-keys/0/openssh-key": key,
		"/latest/meta-data/public-keys/": "0/", "/latest/meta-data/mac": "00:16:3e:00:01:0a", "/": "latest\n2016-01-01",
		"/latest/meta-data/network/interfaces/macs/00:16:3e:00:01:0a/netmask": "255.255.255.0",
	} {
		if code, got := ask(free, "GET", path); code != 200 || got != want {
			t.Errorf("%s: got %d %q, want %q", path, code, got, want)
		}
	}
	if _, doc := ask(free, "GET", "/latest/dynamic/instance-identity/document"); !strings.Contains(doc, `"zone-id":"`+zone+`"`) {
		t.Errorf("identity: %s", doc)
	}
	const ttl, header = "X-aliyun-ecs-metadata-token-ttl-seconds", "X-aliyun-ecs-metadata-token"
	_, token := ask(strict, "PUT", "/latest/api/token", ttl, "60")
	for _, c := range []struct {
		what string
		h    http.Handler
		call []string
		want int
	}{
		{"no such path", free, []string{"GET", "/latest/meta-data/nothing"}, 404},
		{"no such version", free, []string{"GET", "/1999-01-01/meta-data/hostname"}, 404},
		{"a POST", free, []string{"POST", "/latest/meta-data/hostname"}, 405},
		{"without a token", strict, []string{"GET", "/latest/meta-data/hostname"}, 403},
		{"with a token", strict, []string{"GET", "/latest/meta-data/hostname", header, token}, 200},
		{"with another's token", free, []string{"GET", "/latest/meta-data/hostname", header, token}, 403},
		{"no lifetime", strict, []string{"PUT", "/latest/api/token"}, 400},
		{"through a proxy", strict, []string{"PUT", "/latest/api/token", ttl, "60", "X-Forwarded-For", "1.2.3.4"}, 403},
		{"switched off", off, []string{"GET", "/latest/meta-data/hostname"}, 403},
	} {
		if code, body := ask(c.h, c.call[0], c.call[1], c.call[2:]...); code != c.want {
			t.Errorf("%s: got %d %s, want %d", c.what, code, body, c.want)
		}
	}
	now = now.Add(time.Minute)
	if code, _ := ask(strict, "GET", "/latest/meta-data/hostname", header, token); code != 403 {
		t.Errorf("with a token that has ended: %d", code)
	}
}
