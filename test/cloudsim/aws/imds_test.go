package aws_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
)

func TestMetadata(t *testing.T) {
	now := time.Now()
	s := open(t, func(o *aws.Options) { o.Now = func() time.Time { return now } })
	c := s.client("us-east-1")
	l := newLand(t, c)
	in := l.order(t, "one")
	in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}
	in.UserData = sdk.String("IyEvYmluL3NoCg==")
	made, err := c.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *made.Instances[0].InstanceId
	h := s.cloud.Metadata("us-east-1", id)
	ask := func(method, path string, header ...string) (int, string) {
		t.Helper()
		req := httptest.NewRequest(method, "http://169.254.169.254"+path, nil)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		body, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Code, string(body)
	}
	if code, _ := ask("GET", "/latest/meta-data/instance-id"); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d, want 401", code)
	}
	if code, _ := ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "0"); code != http.StatusBadRequest {
		t.Errorf("a token for no time: %d, want 400", code)
	}
	if code, _ := ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60", "X-Forwarded-For", "1.2.3.4"); code != http.StatusForbidden {
		t.Errorf("a token through a proxy: %d, want 403", code)
	}
	_, token := ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	for path, want := range map[string]string{
		"/latest/meta-data/instance-id": id, "/2016-09-02/meta-data/local-ipv4": "10.0.1.4", "/latest/user-data": "#!/bin/sh\n",
		"/latest/meta-data/placement/region": "us-east-1",
	} {
		if code, got := ask("GET", path, "X-aws-ec2-metadata-token", token); code != 200 || got != want {
			t.Errorf("%s: %d %q, want %q", path, code, got, want)
		}
	}
	if _, got := ask("GET", "/latest/meta-data/", "X-aws-ec2-metadata-token", token); !strings.Contains(got, "placement/") || !strings.Contains(got, "\ninstance-id\n") {
		t.Errorf("list: %q", got)
	}
	if _, got := ask("GET", "/latest/dynamic/instance-identity/document", "X-aws-ec2-metadata-token", token); !strings.Contains(got, `"instanceId": "`+id+`"`) {
		t.Errorf("identity document: %s", got)
	}
	if code, _ := ask("GET", "/latest/meta-data/nothing", "X-aws-ec2-metadata-token", token); code != http.StatusNotFound {
		t.Errorf("what is not there: %d, want 404", code)
	}
	now = now.Add(61 * time.Second)
	if code, _ := ask("GET", "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token", token); code != http.StatusUnauthorized {
		t.Errorf("with an old token: %d, want 401", code)
	}
	if _, err := c.ModifyInstanceMetadataOptions(t.Context(), &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: &id, HttpTokens: types.HttpTokensStateOptional}); err != nil {
		t.Fatal(err)
	}
	if code, got := ask("GET", "/latest/meta-data/instance-id"); code != 200 || got != id {
		t.Errorf("where no token is required: %d %q", code, got)
	}
}
