// Package fuzz_test is apart from the tests with the vendor's SDK, which takes
// long to compile for fuzzing.
package fuzz_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// FuzzRequests sends requests of any content with a good token: none may break
// the service, which says so by an answer of 500.
func FuzzRequests(f *testing.F) {
	const group = "/resourceGroups/g/providers/"
	for _, seed := range []struct{ method, path, body string }{
		{"PUT", "/resourcegroups/g", `{"location": "eastus", "tags": {"a": null}}`},
		{"PUT", group + "Microsoft.Network/virtualNetworks/n", `{"location": "eastus", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/33"]}, "subnets": [null]}}`},
		{"PUT", group + "Microsoft.Network/networkSecurityGroups/s", `{"location": "eastus", "properties": {"securityRules": [{"name": "r", "properties": {"priority": 100, "direction": "x"}}]}}`},
		{"PUT", group + "Microsoft.Network/publicIPAddresses/a", `{"location": "eastus", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}`},
		{"PUT", group + "Microsoft.Network/networkInterfaces/i", `{"location": "eastus", "properties": {"ipConfigurations": [{"name": "c", "properties": {"subnet": {"id": "/"}}}]}}`},
		{"PUT", group + "Microsoft.Compute/virtualMachines/v", `{"location": "eastus", "zones": [null], "properties": {"networkProfile": {"networkInterfaces": [{}]}}}`},
		{"POST", group + "Microsoft.Compute/virtualMachines/v/start", ""},
		{"DELETE", group + "Microsoft.Network/networkInterfaces/i", ""},
		{"GET", "/resourcegroups?$filter=tagName eq 'a'", ""},
		{"GET", "/providers/Microsoft.Compute/skus?$filter=location eq 'eastus'", ""},
		{"GET", "/providers/Microsoft.Compute/virtualMachines?statusOnly=true&$skiptoken=-1", ""},
		{"GET", "/providers/Microsoft.Compute/locations/eastus/publishers/Debian/artifacttypes/vmimage/offers/debian-12/skus/12-gen2/versions?$top=-1", ""},
		{"POST", "/providers/Microsoft.Compute/register", ""},
	} {
		f.Add(seed.method, seed.path, seed.body)
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		switch method {
		case "GET", "PUT", "POST", "DELETE", "HEAD", "PATCH":
		default:
			t.Skip("not a method of ARM's")
		}
		fab, err := fabric.Open(t.Context(), fabric.Options{NoMachines: true})
		if err != nil {
			t.Fatal(err)
		}
		c := azure.New(azure.Options{Fabric: fab, URL: "http://127.0.0.1"})
		defer func() {
			c.Close()
			if err := fab.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		var who map[string]string
		if err := json.Unmarshal(c.Credentials(), &who); err != nil {
			t.Fatal(err)
		}
		h := c.Handler()
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {who["clientId"]}, "client_secret": {who["clientSecret"]}, "scope": {"x/.default"}}
		login := httptest.NewRequest("POST", "/"+who["tenantId"]+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
		login.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, login)
		var token struct {
			Value string `json:"access_token"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &token); err != nil {
			t.Fatal(err)
		}
		send := func(method, path, body string) {
			u := &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/subscriptions/" + who["subscriptionId"] + path}
			if before, query, ok := strings.Cut(path, "?"); ok {
				u.Path, u.RawQuery = "/subscriptions/"+who["subscriptionId"]+before, query
			}
			q := u.Query()
			q.Set("api-version", "2025-05-01")
			u.RawQuery = q.Encode()
			req := (&http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {"Bearer " + token.Value}}, Body: io.NopCloser(strings.NewReader(body))}).WithContext(t.Context())
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if w.Code == 500 || w.Code == 401 {
				t.Errorf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
			}
		}
		send("PUT", "/resourcegroups/g", `{"location": "eastus"}`)
		send(method, path, body)
	})
}
