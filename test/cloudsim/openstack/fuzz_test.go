package openstack_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/openstack"
)

// FuzzRequests sends requests of any content to the services: none may break
// them, which they say by an answer of 500.
func FuzzRequests(f *testing.F) {
	for _, seed := range []struct{ path, body string }{
		{"/v3/auth/tokens", `{"auth": {"identity": {"methods": ["password"]}, "scope": {}}}`},
		{"/network/v2.0/networks", `{"network": {"name": "a", "mtu": -1}}`},
		{"/network/v2.0/subnets", `{"subnet": {"network_id": "x", "cidr": "10.0.0.0/33", "gateway_ip": 1, "allocation_pools": [{}]}}`},
		{"/network/v2.0/ports", `{"port": {"network_id": "x", "fixed_ips": [{"ip_address": "::"}], "mac_address": "x"}}`},
		{"/network/v2.0/routers", `{"router": {"external_gateway_info": {"network_id": 1}}}`},
		{"/network/v2.0/security-group-rules", `{"security_group_rule": {"protocol": 300, "direction": "ingress"}}`},
		{"/network/v2.0/floatingips", `{"floatingip": {"port_id": ""}}`},
		{"/network/v2.0/ports?limit=-1&fixed_ips=x&tags=,", ""},
		{"/compute/v2.1/servers", `{"server": {"name": "a", "imageRef": "3f1c6f7e-5f0a-4f5e-9f44-0c6d1d8f1a02", "flavorRef": 2, "networks": [{}], "user_data": "x"}}`},
		{"/compute/v2.1/os-keypairs", `{"keypair": {"name": "a", "public_key": "ssh-rsa"}}`},
		{"/compute/v2.1/servers/detail?name=[&limit=1", ""},
		{"/image/v2/images?marker=x", ""},
	} {
		f.Add(seed.path, seed.body)
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		method := http.MethodPost
		if body == "" {
			method = http.MethodGet
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, strings.NewReader(body))
		if err != nil || !strings.HasPrefix(path, "/") {
			t.Skip("not a request")
		}
		fab, err := fabric.Open(t.Context(), fabric.Options{NoMachines: true})
		if err != nil {
			t.Fatal(err)
		}
		c := openstack.New(openstack.Options{Fabric: fab, Password: password, URL: "http://127.0.0.1"})
		h := c.Handler()
		login := httptest.NewRecorder()
		h.ServeHTTP(login, httptest.NewRequest("POST", "/v3/auth/tokens", strings.NewReader(
			`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "domain": {"id": "default"}, "password": "`+password+`"}}}}}`)))
		req.Header.Set("X-Auth-Token", login.Header().Get("X-Subject-Token"))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == 500 || w.Code == 401 && !strings.HasPrefix(req.URL.Path, "/v3") {
			t.Errorf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
		}
		c.Close()
		if err := fab.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
