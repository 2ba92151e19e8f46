package guard

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestIdentify(t *testing.T) {
	const (
		form  = "application/x-www-form-urlencoded"
		uuid  = "01234567-89ab-4def-8123-456789abcdef"
		azure = "/subscriptions/" + uuid + "/resourceGroups/cbnet-a/providers/Microsoft.Compute/virtualMachines"
	)
	for _, tc := range []struct {
		method, url, form string
		name              string
		kind              apiKind
	}{
		{"POST", "https://ec2.us-east-1.amazonaws.com/", "Action=RunInstances&UserData=x", "RunInstances", apiWrite},
		{"POST", "https://ec2.us-east-1.amazonaws.com/", "Version=2016-11-15&Action=DescribeVpcs", "DescribeVpcs", apiRead},
		{"POST", "https://ec2.us-east-1.amazonaws.com/", "Action=TerminateInstances", "TerminateInstances", apiDelete},
		{"POST", "https://ecs.aliyuncs.com/?Action=DeleteInstance&Signature=x", "", "DeleteInstance", apiDelete},
		{"POST", "https://ecs.aliyuncs.com/?Action=CreateVpc", "a=b", "CreateVpc", apiWrite},
		{"GET", "https://nova/v2.1/servers/detail?name=x", "", "GET /v2.1/servers/detail", apiRead},
		{"POST", "https://nova/v2.1/servers/" + uuid + "/action", "", "POST /v2.1/servers/{id}/action", apiWrite},
		{"DELETE", "https://nova/v2.1/os-keypairs/cbnet_a_b_c", "", "DELETE /v2.1/os-keypairs/{id}", apiDelete},
		{"PUT", "https://neutron/v2.0/routers/" + uuid + "/add_router_interface", "", "PUT /v2.0/routers/{id}/add_router_interface", apiWrite},
		{"GET", "https://neutron/v2.0/quotas/" + uuid + "/details.json", "", "GET /v2.0/quotas/{id}/details.json", apiRead},
		{"POST", "https://keystone/v3/auth/tokens", "", "POST /v3/auth/tokens", apiRead},
		{"POST", "https://oauth2.googleapis.com/token", "grant_type=x", "POST /token", apiRead},
		{"POST", "https://compute.googleapis.com/compute/v1/projects/p-1/zones/z-a/instances", "", "POST /compute/v1/projects/{id}/zones/{id}/instances", apiWrite},
		{"DELETE", "https://compute.googleapis.com/compute/v1/projects/p-1/global/networks/n", "", "DELETE /compute/v1/projects/{id}/global/networks/{id}", apiDelete},
		{"GET", "https://compute.googleapis.com/compute/v1/projects/p/aggregated/instances", "", "GET /compute/v1/projects/{id}/aggregated/instances", apiRead},
		{"POST", "https://compute.googleapis.com/compute/v1/projects/p/zones/z/operations/op-1/wait", "", "POST /compute/v1/projects/{id}/zones/{id}/operations/{id}/wait", apiRead},
		{"PUT", "https://management.azure.com" + azure + "/vm-1?api-version=x", "", "PUT /subscriptions/{id}/resourceGroups/{id}/providers/Microsoft.Compute/virtualMachines/{id}", apiWrite},
		{"GET", "https://management.azure.com/subscriptions/" + uuid + "/providers/Microsoft.Compute/locations/koreacentral/usages", "", "GET /subscriptions/{id}/providers/Microsoft.Compute/locations/{id}/usages", apiRead},
		{"GET", "https://host/", "", "GET /", apiRead},
	} {
		var body io.Reader
		if tc.form != "" {
			body = strings.NewReader(tc.form)
		}
		req, err := http.NewRequest(tc.method, tc.url, body)
		if err != nil {
			t.Fatal(err)
		}
		if tc.form != "" {
			req.Header.Set("Content-Type", form)
		}
		c, send, err := identify(req)
		if err != nil || c.name != tc.name || c.kind != tc.kind {
			t.Errorf("%s %s: got %+v and %v, want %s, %s", tc.method, tc.url, c, err, tc.name, tc.kind)
		}
		if tc.form != "" {
			if sent, err := io.ReadAll(send.Body); err != nil || string(sent) != tc.form {
				t.Errorf("%s: sends %q, want %q", tc.url, sent, tc.form)
			}
		}
	}
}

func TestRedact(t *testing.T) {
	long := strings.Repeat("QUJD", 30)
	for in, want := range map[string]string{
		`Post "https://ecs.aliyuncs.com/?AccessKeyId=a&Signature=b": EOF`: `Post "https://ecs.aliyuncs.com/?REDACTED": EOF`,
		"Get https://u:secret@host/v3?x=y failed":                         "Get https://REDACTED@host/v3?REDACTED failed",
		"Value: " + long + "== is not a 'base64'":                         "Value: REDACTED is not a 'base64'",
		"aws RunInstances: InvalidAMIID.NotFound (request 01234567-89ab)": "aws RunInstances: InvalidAMIID.NotFound (request 01234567-89ab)",
		"is this ok? yes": "is this ok? yes",
		"/subscriptions/01234567-89ab-4def-8123-456789abcdef/resourceGroups/cbnet-abc/providers/Microsoft.Compute/virtualMachines/vm": "/subscriptions/01234567-89ab-4def-8123-456789abcdef/resourceGroups/cbnet-abc/providers/Microsoft.Compute/virtualMachines/vm",
	} {
		if got := redact(in); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
