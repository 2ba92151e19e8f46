// Package fuzz_test is apart from the tests with the vendor's SDK, which takes
// long to compile for fuzzing.
package fuzz_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/alibaba"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// FuzzActions sends signed requests of any content: none may break the service,
// which says so by an answer of 500.
func FuzzActions(f *testing.F) {
	for _, seed := range []string{
		"Action=CreateVpc&Version=2016-04-28&CidrBlock=10.0.0.0%2F16&Tag.1.Key=a&Tag.1.Value=b&ClientToken=x",
		"Action=CreateVSwitch&Version=2016-04-28&VpcId=vpc-1&ZoneId=cn-hangzhou-b&CidrBlock=::%2F0",
		"Action=CreateSecurityGroup&Version=2014-05-26&VpcId=vpc-1&SecurityGroupName=a&Description=b",
		"Action=AuthorizeSecurityGroup&Version=2014-05-26&SecurityGroupId=sg-1&Permissions.1.IpProtocol=tcp&Permissions.1.PortRange=-1%2F70000&Permissions.1.SourceCidrIp=::%2F0",
		"Action=RunInstances&Version=2014-05-26&ImageId=x&InstanceType=ecs.g7.large&VSwitchId=v&SecurityGroupId=s&Amount=-1&UserData=%25",
		"Action=DescribeInstances&Version=2014-05-26&InstanceIds=%5B%22i-1%22%5D&MaxResults=5&NextToken=x&Tag.1.Key=a&Tag.200.Key=b",
		"Action=DescribeVpcs&Version=2016-04-28&PageNumber=99999999999&PageSize=50",
		"Action=ImportKeyPair&Version=2014-05-26&KeyPairName=ab&PublicKeyBody=ssh-rsa+AAAA",
		"Action=DescribeInstanceHistoryEvents&Version=2014-05-26&ResourceId.1=i-1&InstanceEventCycleStatus.1=Executed",
		"Action=DeleteKeyPairs&Version=2014-05-26&KeyPairNames=%5B%5D",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, params string) {
		v, err := url.ParseQuery(params)
		if err != nil {
			t.Skip("not a query")
		}
		for k, value := range map[string]string{
			"AccessKeyId": "LTAIEXAMPLE", "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "SignatureNonce": "n",
			"Timestamp": time.Now().UTC().Format(time.RFC3339),
		} {
			v.Set(k, value)
		}
		v.Del("Signature")
		v.Del("SecurityToken")
		var pairs []string
		for k := range v {
			pairs = append(pairs, percent(k)+"="+percent(v.Get(k)))
		}
		slices.Sort(pairs)
		mac := hmac.New(sha1.New, []byte("secret&"))
		mac.Write([]byte("GET&%2F&" + percent(strings.Join(pairs, "&"))))
		v.Set("Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		fab, err := fabric.Open(t.Context(), fabric.Options{NoMachines: true})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "http://127.0.0.1/?"+v.Encode(), nil)
		alibaba.New(alibaba.Options{Fabric: fab}).Handler().ServeHTTP(w, req)
		// A key that sorts otherwise when encoded is signed otherwise here than
		// there; everything else must be understood.
		if w.Code >= 500 && w.Code != 503 {
			t.Errorf("%s: %d %s", params, w.Code, w.Body)
		}
		if err := fab.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
