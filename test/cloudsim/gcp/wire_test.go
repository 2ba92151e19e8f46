package gcp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/gcp"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

const vms = "zones/us-central1-a/instances"

// TestRefusals: what Compute Engine refuses, with its reasons.
func TestRefusals(t *testing.T) {
	s := open(t)
	c := s.client(t)
	c.land(t, "shop")
	good := order("web", "10.0.1.10", false, "")
	c.done(t, http.MethodPost, vms, good)
	change := func(old, with string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the order", old)
		}
		return strings.Replace(strings.Replace(good, `"web"`, `"other"`, 1), old, with, 1)
	}
	for _, tc := range []struct{ name, reason, method, path, body string }{
		{"unknown field", "badRequest", "POST", "global/networks", `{"name": "n", "autoCreateSubnetworks": false, "nam": 1}`},
		{"wrong type", "badRequest", "POST", "global/networks", `{"name": 1}`},
		{"no body", "badRequest", "POST", "global/networks", ""},
		{"two values", "badRequest", "POST", "global/networks", `{} {}`},
		{"unknown parameter", "badRequest", "GET", "global/networks?max=1", ""},
		{"bad filter", "invalid", "GET", "global/networks?filter=name", ""},
		{"bad page", "invalid", "GET", "global/networks?pageToken=x", ""},
		{"bad page size", "invalid", "GET", "global/networks?maxResults=501", ""},
		{"name", "invalid", "POST", "global/networks", `{"name": "Shop", "autoCreateSubnetworks": false}`},
		{"no name", "required", "POST", "global/networks", `{"autoCreateSubnetworks": false}`},
		{"name taken", "alreadyExists", "POST", "global/networks", `{"name": "shop", "autoCreateSubnetworks": false}`},
		{"MTU", "invalid", "POST", "global/networks", `{"name": "n", "autoCreateSubnetworks": false, "mtu": 9000}`},
		{"request id", "invalid", "POST", "global/networks?requestId=1", `{"name": "n", "autoCreateSubnetworks": false}`},
		{"zero request id", "invalid", "POST", "global/networks?requestId=00000000-0000-0000-0000-000000000000", `{"name": "n", "autoCreateSubnetworks": false}`},
		{"network in use", "resourceInUseByAnotherResource", "DELETE", "global/networks/shop", ""},
		{"unknown network", "notFound", "DELETE", "global/networks/none", ""},
		{"unknown region", "invalid", "GET", "regions/us-central9/subnetworks", ""},
		{"unknown zone", "invalid", "GET", "zones/us-central1-z/instances", ""},
		{"region", "notFound", "GET", "regions/us-central9", ""},
		{"subnet of an unknown network", "notFound", "POST", "regions/us-central1/subnetworks", `{"name": "s", "network": "global/networks/none", "ipCidrRange": "10.0.2.0/24"}`},
		{"overlap", "invalid", "POST", "regions/us-east1/subnetworks", `{"name": "s", "network": "global/networks/shop", "ipCidrRange": "10.0.0.0/16"}`},
		{"host bits", "invalid", "POST", "regions/us-east1/subnetworks", `{"name": "s", "network": "global/networks/shop", "ipCidrRange": "10.0.2.1/24"}`},
		{"reserved range", "invalid", "POST", "regions/us-east1/subnetworks", `{"name": "s", "network": "global/networks/shop", "ipCidrRange": "169.254.0.0/24"}`},
		{"subnet in use", "resourceInUseByAnotherResource", "DELETE", "regions/us-central1/subnetworks/shop", ""},
		{"rule without what it allows", "required", "POST", "global/firewalls", `{"name": "f", "network": "global/networks/shop"}`},
		{"ports of ICMP", "invalid", "POST", "global/firewalls", `{"name": "f", "network": "global/networks/shop", "allowed": [{"IPProtocol": "icmp", "ports": ["1"]}]}`},
		{"port", "invalid", "POST", "global/firewalls", `{"name": "f", "network": "global/networks/shop", "allowed": [{"IPProtocol": "tcp", "ports": ["70000"]}]}`},
		{"denial", "invalid", "POST", "global/firewalls", `{"name": "f", "network": "global/networks/shop", "denied": [{"IPProtocol": "all"}]}`},
		{"NAT", "invalid", "POST", "regions/us-central1/routers", `{"name": "r", "network": "global/networks/shop", "nats": [{"name": "n", "natIpAllocateOption": "AUTO_ONLY", "sourceSubnetworkIpRangesToNat": "ALL"}]}`},
		{"VM's name taken", "alreadyExists", "POST", vms, good},
		{"machine type", "invalid", "POST", vms, change("e2-small", "x9-colossal")},
		{"machine type of another zone", "invalid", "POST", vms, change("us-central1-a", "us-central1-b")},
		{"image", "notFound", "POST", vms, change("ubuntu-2404-lts-amd64", "none")},
		{"Arm", "invalid", "POST", vms, change("e2-small", "t2a-standard-1")},
		{"disk of a new family", "invalid", "POST", vms, change("e2-small", "n4-standard-2")},
		{"subnet", "notFound", "POST", vms, change("subnetworks/shop", "subnetworks/none")},
		{"address outside", "invalid", "POST", vms, change("10.0.1.10", "10.9.1.10")},
		{"address of the gateway", "invalid", "POST", vms, change("10.0.1.10", "10.0.1.1")},
		{"label", "invalid", "POST", vms, change(`"networkInterfaces"`, `"labels": {"Web": "x"}, "networkInterfaces"`)},
		{"label's value", "invalid", "POST", vms, change(`"networkInterfaces"`, `"labels": {"web": "X"}, "networkInterfaces"`)},
		{"metadata's key", "invalid", "POST", vms, change(`"user-data"`, `"user data"`)},
		{"metadata's length", "invalid", "POST", vms, change(`"value": ""`, `"value": "`+strings.Repeat("x", 256<<10+1)+`"`)},
		{"stop of what is not there", "notFound", "POST", vms + "/none/stop", ""},
		{"operation", "notFound", "GET", "global/operations/none", ""},
	} {
		t.Run(tc.name, func(t *testing.T) { c.refused(t, tc.reason, tc.method, tc.path, tc.body) })
	}
	if n := len(s.cloud.Inventory()); n != 3 {
		t.Errorf("%d objects after refusals, want network, subnet and VM", n)
	}
}

// TestNotReady: until its operation has ended a resource is there and cannot be
// used.
func TestNotReady(t *testing.T) {
	s := open(t, func(o *gcp.Options) { o.OpTime = time.Hour })
	c := s.client(t)
	status, op := c.call(t, http.MethodPost, "global/networks", `{"name": "shop", "autoCreateSubnetworks": false}`)
	if status != http.StatusOK || simtest.Text(op, "status") != "RUNNING" || simtest.Text(op, "operationType") != "insert" {
		t.Fatalf("insert: %d %v", status, op)
	}
	if got := simtest.Text(c.get(t, "global/networks/shop"), "name"); got != "shop" {
		t.Errorf("got %q", got)
	}
	c.refused(t, "resourceNotReady", http.MethodPost, "regions/us-central1/subnetworks", `{"name": "s", "network": "global/networks/shop", "ipCidrRange": "10.0.2.0/24"}`)
	c.refused(t, "resourceNotReady", http.MethodDelete, "global/networks/shop", "")
	c.refused(t, "resourceNotReady", http.MethodDelete, "global/operations/"+simtest.Text(op, "name"), "")
	list := c.get(t, "aggregated/operations?filter="+url.QueryEscape(`status != "DONE"`))
	if got := simtest.Text(list, "items", "global", "operations", 0, "name"); got != simtest.Text(op, "name") {
		t.Errorf("operations: %v", list)
	}
}

// TestRequestID: the same request id is the same request, for as long as it is
// remembered.
func TestRequestID(t *testing.T) {
	now := time.Now()
	s := open(t, func(o *gcp.Options) { o.Now = func() time.Time { return now }; o.OpTime = time.Nanosecond })
	c := s.client(t)
	const at = "global/networks?requestId=11111111-1111-5111-8111-111111111111"
	const body = `{"name": "shop", "autoCreateSubnetworks": false}`
	_, first := c.call(t, http.MethodPost, at, body)
	now = now.Add(time.Minute)
	_, again := c.call(t, http.MethodPost, at, body)
	if simtest.Text(first, "name") != simtest.Text(again, "name") || simtest.Text(again, "clientOperationId") == "" || simtest.Text(again, "status") != "DONE" {
		t.Errorf("the repeat was answered with %v", again)
	}
	c.refused(t, "invalid", http.MethodPost, strings.Replace(at, "networks", "firewalls", 1), body)
	now = now.Add(time.Hour)
	c.refused(t, "alreadyExists", http.MethodPost, at, body)
}

// TestVanished: a machine that cannot be started vanishes, and its operation
// tells why.
func TestVanished(t *testing.T) {
	s := open(t)
	c := s.client(t)
	c.land(t, "shop")
	insert := func(name, ip string) any {
		t.Helper()
		status, op := c.call(t, http.MethodPost, vms, order(name, ip, true, ""))
		if status != http.StatusOK {
			t.Fatalf("insert: %d %v", status, op)
		}
		_, op = c.call(t, http.MethodPost, "zones/us-central1-a/operations/"+simtest.Text(op, "name")+"/wait", "")
		return op
	}
	insert("first", "10.0.1.10")
	for _, tc := range []struct {
		name, ip, code string
		faults         faults.Config
	}{
		{"full", "10.0.1.11", "ZONE_RESOURCE_POOL_EXHAUSTED", faults.Config{NoCapacity: []string{"gcp/us-central1-a"}}},
		{"broken", "10.0.1.12", "INTERNAL_ERROR", faults.Config{AsyncFail: 1}},
		{"address", "10.0.1.10", "IP_IN_USE_BY_ANOTHER_RESOURCE", faults.Config{}},
	} {
		s.faults.Set(tc.faults)
		op := insert(tc.name, tc.ip)
		if got := simtest.Text(op, "error", "errors", 0, "code"); got != tc.code || simtest.Text(op, "targetId") == "" {
			t.Errorf("%s: got %v, want %s", tc.name, op, tc.code)
		}
		c.refused(t, "notFound", http.MethodGet, vms+"/"+tc.name, "")
		status, _ := c.call(t, http.MethodDelete, "zones/us-central1-a/operations/"+simtest.Text(op, "name"), "")
		if status != http.StatusNoContent {
			t.Errorf("%s: deleting the operation: %d", tc.name, status)
		}
	}
	s.faults.Set(faults.Config{Quota: map[string]int{"gcp/vm": 1}})
	c.refused(t, "quotaExceeded", http.MethodPost, vms, order("more", "10.0.1.13", false, ""))
	s.faults.Set(faults.Config{Throttle: 1})
	c.refused(t, "rateLimitExceeded", http.MethodGet, vms, "")
	s.faults.Set(faults.Config{DropNext: map[string]int{"networks.insert": 1}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"global/networks", strings.NewReader(`{"name": "n", "autoCreateSubnetworks": false}`))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("a lost answer: status %d", resp.StatusCode)
	}
	c.get(t, "global/networks/n")
}

// TestPower takes an instance through its states.
func TestPower(t *testing.T) {
	s := open(t)
	c := s.client(t)
	c.land(t, "shop")
	c.done(t, http.MethodPost, vms, order("web", "10.0.1.10", true, ""))
	state := func() (string, string) {
		i := c.get(t, vms+"/web")
		return simtest.Text(i, "status"), simtest.Text(i, "networkInterfaces", 0, "accessConfigs", 0, "natIP")
	}
	first, address := state()
	if first != "RUNNING" || address == "" {
		t.Errorf("after insertion: %s with %q", first, address)
	}
	c.done(t, http.MethodPost, vms+"/web/stop", "")
	if got, public := state(); got != "TERMINATED" || public != "" {
		t.Errorf("after a stop: %s with %q", got, public)
	}
	c.refused(t, "resourceNotReady", http.MethodPost, vms+"/web/reset", "")
	c.done(t, http.MethodPost, vms+"/web/start", "")
	c.done(t, http.MethodPost, vms+"/web/start", "") // does nothing
	if got, public := state(); got != "RUNNING" || public == "" {
		t.Errorf("after a start: %s with %q", got, public)
	}
	c.done(t, http.MethodPost, vms+"/web/reset", "")
	id := simtest.Text(c.get(t, vms+"/web"), "id")
	c.done(t, http.MethodDelete, vms+"/"+id, "") // by id
	c.refused(t, "notFound", http.MethodGet, vms+"/web", "")
	c.done(t, http.MethodPost, vms, order("web", "10.0.1.10", true, "")) // name and address are free again
	s.faults.Set(faults.Config{Hidden: faults.Duration(time.Minute)})
	c.refused(t, "notFound", http.MethodGet, vms+"/web", "")
	if got := simtest.Text(c.get(t, vms), "items", 0, "name"); got != "web" {
		t.Errorf("what is not shown yet is listed as %q", got)
	}
	c.done(t, http.MethodPost, vms, strings.Replace(order("kept", "10.0.1.11", false, ""), `"disks"`, `"deletionProtection": true, "disks"`, 1))
	c.refused(t, "invalidResourceUsage", http.MethodDelete, vms+"/kept", "")
}

// TestPages walks through a list by pages.
func TestPages(t *testing.T) {
	c := open(t).client(t)
	seen := map[string]bool{}
	pages := 0
	for token := ""; ; {
		page := c.get(t, "zones?maxResults=50&pageToken="+token)
		items, _ := simtest.Dig(page, "items").([]any)
		for i := range items {
			seen[simtest.Text(page, "items", i, "name")] = true
		}
		pages++
		if token = simtest.Text(page, "nextPageToken"); token == "" {
			break
		}
	}
	if len(seen) != 127 || pages != 3 {
		t.Errorf("%d zones on %d pages, want 127 on 3", len(seen), pages)
	}
}

// TestTokens: no token is accepted, a good one too, a bad one is not.
func TestTokens(t *testing.T) {
	now := time.Now()
	s := open(t, func(o *gcp.Options) { o.Now = func() time.Time { return now } })
	grant := func(form url.Values) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	good := url.Values{"grant_type": {"refresh_token"}, "client_id": {"cloudsim.apps.googleusercontent.com"}, "client_secret": {"secret"}, "refresh_token": {"1//cloudsim"}}
	status, body := grant(good)
	_, rest, _ := strings.Cut(body, `"access_token":"`)
	token, _, ok := strings.Cut(rest, `"`)
	if status != http.StatusOK || !ok {
		t.Fatalf("a good refresh token: %d %s", status, body)
	}
	for field, code := range map[string]string{"grant_type": "unsupported_grant_type", "client_id": "invalid_client", "client_secret": "invalid_client", "refresh_token": "invalid_grant"} {
		bad := url.Values{}
		for k, v := range good {
			bad[k] = v
		}
		bad.Set(field, "wrong")
		if status, body := grant(bad); status != http.StatusBadRequest || !strings.Contains(body, code) {
			t.Errorf("wrong %s: %d %s, want %s", field, status, body, code)
		}
	}
	for _, jwt := range []string{"", "a.b.c", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30."} {
		if status, body := grant(url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {jwt}}); status != http.StatusBadRequest {
			t.Errorf("assertion %q: %d %s", jwt, status, body)
		}
	}
	c := s.client(t)
	c.get(t, "zones")
	c.token = token
	c.get(t, "zones")
	now = now.Add(2 * time.Hour)
	c.refused(t, "authError", http.MethodGet, "zones", "")
	c.token = "wrong"
	c.refused(t, "authError", http.MethodGet, "zones", "")
}

// TestBatch answers several calls in one.
func TestBatch(t *testing.T) {
	s := open(t)
	body := "--b\r\nContent-Type: application/http\r\nContent-ID: <1>\r\n\r\n" +
		"POST /gcp/compute/v1/projects/cloudsim/global/networks HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 47\r\nHost: x\r\n\r\n" +
		`{"name": "shop", "autoCreateSubnetworks":false}` +
		"\r\n--b\r\nContent-Type: application/http\r\nContent-ID: <2>\r\n\r\nGET /compute/v1/projects/cloudsim/global/networks/none HTTP/1.1\r\nHost: x\r\n\r\n\r\n--b--\r\n"
	send := func(kind, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+s.cloud.RootPath(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	status, out := send("multipart/mixed; boundary=b", body)
	for _, want := range []string{"<response-1>", "HTTP/1.1 200 OK", `"operationType": "insert"`, "<response-2>", "HTTP/1.1 404 Not Found", "notFound"} {
		if status != http.StatusOK || !strings.Contains(out, want) {
			t.Errorf("%d without %q: %s", status, want, out)
		}
	}
	for name, bad := range map[string][2]string{
		"no boundary": {"multipart/mixed", body}, "another type": {"application/json", "{}"}, "no calls": {"multipart/mixed; boundary=b", "--b--"},
		"no call": {"multipart/mixed; boundary=b", "--b\r\n\r\nhello\r\n--b--\r\n"},
	} {
		if status, out := send(bad[0], bad[1]); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, status, out)
		}
	}
}

// TestMetadata: the server in the guest wants its header, and lists what it has.
func TestMetadata(t *testing.T) {
	s := open(t)
	c := s.client(t)
	c.land(t, "shop")
	c.done(t, http.MethodPost, vms, order("web", "10.0.1.10", true, "#!/bin/sh\n"))
	h := s.cloud.Metadata("us-central1-a", "web")
	ask := func(method, path string, header ...string) (int, string) {
		t.Helper()
		req := httptest.NewRequest(method, "http://metadata.google.internal"+path, nil)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Header().Get("Metadata-Flavor") != "Google" {
			t.Errorf("%s: the answer does not say that it is Google's", path)
		}
		return w.Code, w.Body.String()
	}
	const own = "/computeMetadata/v1/instance/"
	if code, _ := ask("GET", own+"id"); code != http.StatusForbidden {
		t.Errorf("without the header: %d, want 403", code)
	}
	if code, _ := ask("GET", own+"id", "Metadata-Flavor", "Google", "X-Forwarded-For", "1.2.3.4"); code != http.StatusForbidden {
		t.Errorf("through a proxy: %d, want 403", code)
	}
	if code, _ := ask("POST", own+"id", "Metadata-Flavor", "Google"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", code)
	}
	for path, want := range map[string]string{
		own + "name": "web", own + "hostname": "web.us-central1-a.c.cloudsim.internal", own + "attributes/user-data": "#!/bin/sh\n",
		own + "network-interfaces/0/ip": "10.0.1.10", own + "network-interfaces/0/mac": "42:01:0a:00:01:0a", own + "attributes/": "user-data\n",
		own + "attributes/?recursive=True": `{"user-data":"#!/bin/sh\n"}` + "\n", "/computeMetadata/v1/project/project-id": "cloudsim",
		own + "network-interfaces/": "0/\n", "/computeMetadata/v1/project/": "attributes/\nnumeric-project-id\nproject-id\n",
		own + "id": simtest.Text(c.get(t, vms+"/web"), "id"),
	} {
		if code, got := ask("GET", path, "Metadata-Flavor", "Google"); code != http.StatusOK || got != want {
			t.Errorf("%s: %d %q, want %q", path, code, got, want)
		}
	}
	if code, _ := ask("GET", own+"none", "Metadata-Flavor", "Google"); code != http.StatusNotFound {
		t.Errorf("what is not there: %d, want 404", code)
	}
	if code, _ := ask("GET", own+"attributes", "Metadata-Flavor", "Google"); code != http.StatusMovedPermanently {
		t.Errorf("a directory without its slash: %d, want 301", code)
	}
	_, zone := ask("GET", own+"zone", "Metadata-Flavor", "Google")
	if !strings.HasPrefix(zone, "projects/") || !strings.HasSuffix(zone, "/zones/us-central1-a") {
		t.Errorf("zone %s", zone)
	}
	if _, public := ask("GET", own+"network-interfaces/0/access-configs/0/external-ip", "Metadata-Flavor", "Google"); !strings.HasPrefix(public, "198.1") {
		t.Errorf("public address %q", public)
	}
}

// TestProjects: every project exists, and knows nothing of others.
func TestProjects(t *testing.T) {
	s := open(t)
	c := s.client(t)
	c.done(t, http.MethodPost, "global/networks", `{"name": "shop", "autoCreateSubnetworks": false}`)
	other := &client{url: s.url + "/compute/v1/projects/other/"}
	if list := other.get(t, "global/networks"); simtest.Dig(list, "items") != nil {
		t.Errorf("another project has %v", list)
	}
	other.refused(t, "invalid", http.MethodPost, "regions/us-central1/subnetworks", fmt.Sprintf(`{"name": "s", "network": %q, "ipCidrRange": "10.0.2.0/24"}`, c.url+"global/networks/shop"))
	bad := &client{url: s.url + "/compute/v1/projects/Other/"}
	bad.refused(t, "invalid", http.MethodGet, "global/networks", "")
}
