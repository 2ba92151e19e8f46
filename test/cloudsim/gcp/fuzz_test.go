package gcp_test

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/gcp"
)

// FuzzCalls sends calls of any content, each to a cloud with a network: none may
// break the service, which says so by an answer of 500 or more.
func FuzzCalls(f *testing.F) {
	for _, seed := range [][3]string{
		{"POST", "global/networks", `{"name": "n", "autoCreateSubnetworks": false}`},
		{"POST", "regions/us-central1/subnetworks", `{"name": "s", "network": "global/networks/shop", "ipCidrRange": "10.0.2.0/24"}`},
		{"POST", "global/firewalls", `{"name": "f", "network": "https://x/compute/v1/projects/p/global/networks/shop", "allowed": [{"IPProtocol": "tcp", "ports": ["1-2"]}]}`},
		{"PATCH", "global/firewalls/f", `{"allowed": [{"IPProtocol": "all"}], "sourceRanges": ["::/0"]}`},
		{"POST", "regions/us-central1/routers?requestId=11111111-1111-5111-8111-111111111111", `{"name": "r", "network": "global/networks/shop", "nats": [{"name": "n"}]}`},
		{"POST", vms, order("web", "10.0.1.10", true, "x")},
		{"GET", "aggregated/instances?filter=(labels.a=b)+AND+name:*&maxResults=1&pageToken=YXQ6MQ==", ""},
		{"GET", vms + "/web/serialPort?start=-5", ""},
		{"DELETE", "global/networks/shop", ""},
		{"POST", "global/operations/x/wait", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if strings.HasSuffix(path, "/wait") && method == "POST" {
			return // it waits
		}
		fab, err := fabric.Open(t.Context(), fabric.Options{NoMachines: true})
		if err != nil {
			t.Fatal(err)
		}
		h := gcp.New(gcp.Options{Fabric: fab, OpTime: time.Nanosecond}).Handler()
		call := func(method, path, body string) int {
			req := httptest.NewRequest("GET", "/", bytes.NewReader([]byte(body)))
			u, err := req.URL.Parse("/compute/v1/projects/cloudsim/" + path)
			if err != nil {
				return 0
			}
			req.Method, req.URL = method, u
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if w.Code >= 500 {
				t.Errorf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
			}
			return w.Code
		}
		for _, made := range []int{
			call("POST", "global/networks", `{"name": "shop", "autoCreateSubnetworks": false}`),
			call("POST", "regions/us-central1/subnetworks", `{"name": "shop", "network": "global/networks/shop", "ipCidrRange": "10.0.1.0/24"}`),
		} {
			if made != 200 {
				t.Fatalf("the network: %d", made)
			}
		}
		call(method, path, body)
		call("GET", "global/firewalls", "")
		if err := fab.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzFilter: any text is a filter or is refused.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{`name = x`, `(a eq "b.*") (c ne d)`, `NOT a:* OR (b >= 5)`, `a."b" = c`, `((`} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, filter string) {
		_, _ = gcp.Filter(filter, map[string]any{"name": "x", "a": map[string]any{"b": 1}})
	})
}
