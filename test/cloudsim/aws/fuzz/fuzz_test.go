// Package fuzz_test is apart from the tests with the vendor's SDK, which takes
// minutes to compile for fuzzing.
package fuzz_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// FuzzActions sends signed requests of any content: none may break the service,
// which says so by an answer of 500.
func FuzzActions(f *testing.F) {
	for _, seed := range []string{
		"Action=CreateVpc&CidrBlock=10.0.0.0%2F16", "Action=CreateSecurityGroup&GroupName=a&GroupDescription=b",
		"Action=RunInstances&ImageId=ami-1&MinCount=1&MaxCount=1&NetworkInterface.1.DeviceIndex=0",
		"Action=AuthorizeSecurityGroupIngress&GroupName=default&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=-1&IpPermissions.1.ToPort=70000&IpPermissions.1.IpRanges.1.CidrIp=::/0",
		"Action=DescribeInstances&Filter.1.Name=tag:x&Filter.1.Value.1=*&MaxResults=5&NextToken=YXQ6LTE",
		"Action=ImportKeyPair&KeyName=x&PublicKeyMaterial=c3NoLXJzYQ==", "Action=CreateTags&ResourceId.1=vpc-1&Tag.1.Key=a",
		"Action=ModifyInstanceAttribute&InstanceId=i-1&GroupId.1=x", "Action=DescribeImages&Owner.1=amazon",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, params string) {
		fab, err := fabric.Open(t.Context(), fabric.Options{NoMachines: true})
		if err != nil {
			t.Fatal(err)
		}
		body := params + "&Version=2016-11-15"
		req := httptest.NewRequest("POST", "http://127.0.0.1/", strings.NewReader(body))
		sum := sha256.Sum256([]byte(body))
		creds := sdk.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret"}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, hex.EncodeToString(sum[:]), "ec2", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		req.RequestURI = "/"
		w := httptest.NewRecorder()
		aws.New(aws.Options{Fabric: fab}).Handler().ServeHTTP(w, req)
		if w.Code == 500 || w.Code == 401 || w.Code == 403 {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
		if err := fab.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
