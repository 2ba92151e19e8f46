package openstack_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/cloud/openstack"
)

// keystone serves a login whose catalogue names the server itself for all
// services, and lets h answer the rest.
func keystone(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v3/auth/tokens" {
			h(w, r)
			return
		}
		// Go asks again by itself when a connection that it used before is reset:
		// the next request has one of its own.
		w.Header().Set("Connection", "close")
		w.Header().Set("X-Subject-Token", "token")
		w.WriteHeader(http.StatusCreated)
		var catalog []string
		for _, kind := range []string{"compute", "network", "image"} {
			catalog = append(catalog, fmt.Sprintf(
				`{"type": %q, "endpoints": [{"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": "%s/%s"}]}`, kind, srv.URL, kind))
		}
		fmt.Fprintf(w, `{"token": {"catalog": [%s], "expires_at": "2099-01-01T00:00:00.000000Z"}}`, strings.Join(catalog, ", "))
	}))
	t.Cleanup(srv.Close)
	return srv
}

func cloudsYAML(url string) []byte {
	return fmt.Appendf(nil, "clouds: {own: {auth: {auth_url: %q, username: u, password: hidden, project_name: p, user_domain_name: d, project_domain_name: d}, region_name: RegionOne}}\n", url)
}

func TestErrorClasses(t *testing.T) {
	neutron := func(kind string) string {
		return fmt.Sprintf(`{"NeutronError": {"type": %q, "message": "text", "detail": ""}}`, kind)
	}
	nova := func(kind string, code int) string {
		return fmt.Sprintf(`{%q: {"code": %d, "message": "text"}}`, kind, code)
	}
	for _, tc := range []struct {
		status int
		body   string
		code   string
		want   error
	}{
		{409, neutron("OverQuota"), "OverQuota", cloud.ErrQuota},
		{409, neutron("IpAddressAlreadyAllocated"), "IpAddressAlreadyAllocated", cloud.ErrConflict},
		{409, neutron("IpAddressGenerationFailure"), "IpAddressGenerationFailure", cloud.ErrCapacity},
		{409, neutron("SubnetInUse"), "SubnetInUse", cloud.ErrInUse},
		{409, neutron("SecurityGroupInUse"), "SecurityGroupInUse", cloud.ErrInUse},
		{409, neutron("RouterInterfaceInUseByFloatingIP"), "RouterInterfaceInUseByFloatingIP", cloud.ErrInUse},
		{409, neutron("FloatingIPPortAlreadyAssociated"), "FloatingIPPortAlreadyAssociated", cloud.ErrConflict},
		{409, neutron("Novel"), "Novel", cloud.ErrConflict},
		{404, neutron("NetworkNotFound"), "NetworkNotFound", cloud.ErrNotFound},
		{400, neutron("InvalidInput"), "InvalidInput", cloud.ErrInvalid},
		{400, nova("badRequest", 400), "badRequest", cloud.ErrInvalid},
		{403, nova("forbidden", 403), "forbidden", cloud.ErrAuth},
		{404, nova("itemNotFound", 404), "itemNotFound", cloud.ErrNotFound},
		{409, nova("conflictingRequest", 409), "conflictingRequest", cloud.ErrInUse},
		{413, nova("overLimit", 413), "overLimit", cloud.ErrThrottled},
		{429, "", "429", cloud.ErrThrottled},
		{500, nova("computeFault", 500), "computeFault", cloud.ErrUnavailable},
		{503, "<html>", "503", cloud.ErrUnavailable},
		{418, "", "418", nil},
	} {
		t.Run(fmt.Sprint(tc.status, tc.code), func(t *testing.T) {
			var requests atomic.Int32
			srv := keystone(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				w.Header().Set("Retry-After", "3")
				w.Header().Set("X-Openstack-Request-Id", "req-1")
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			})
			d := newDriver(t, openstack.Config{Credentials: cloudsYAML(srv.URL)})
			_, err := d.Specs(t.Context(), "RegionOne")
			var e *cloud.APIError
			if !errors.As(err, &e) {
				t.Fatalf("%v is no APIError", err)
			}
			if e.Class != tc.want || e.Code != tc.code || e.Status != tc.status || e.RequestID != "req-1" ||
				e.After != 3*time.Second || e.Op != "GET /flavors/detail" {
				t.Errorf("got %+v, want class %v and code %s", e, tc.want, tc.code)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests, want one: the SDK must not repeat", n)
			}
		})
	}
}

func TestForeignAnswers(t *testing.T) {
	cloudtest.ForeignAnswers(t, `{"images": [`, func(t *testing.T, h http.HandlerFunc) error {
		srv := keystone(t, h)
		_, err := newDriver(t, openstack.Config{Credentials: cloudsYAML(srv.URL)}).Images(t.Context(), "RegionOne")
		return err
	})
}

// TestQuotaBehindForbidden tells Nova's two reasons for a 403 apart.
func TestQuotaBehindForbidden(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits string
		want   error
	}{
		{"instances", `"maxTotalInstances": 10, "totalInstancesUsed": 10, "maxTotalCores": -1, "maxTotalRAMSize": -1`, cloud.ErrQuota},
		{"cores", `"maxTotalInstances": 10, "totalInstancesUsed": 1, "maxTotalCores": 20, "totalCoresUsed": 19, "maxTotalRAMSize": -1`, cloud.ErrQuota},
		{"memory", `"maxTotalInstances": 10, "totalInstancesUsed": 1, "maxTotalCores": 20, "totalCoresUsed": 1, "maxTotalRAMSize": 100, "totalRAMUsed": 0`, cloud.ErrQuota},
		{"not permitted", `"maxTotalInstances": 10, "totalInstancesUsed": 1, "maxTotalCores": -1, "maxTotalRAMSize": -1`, cloud.ErrAuth},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var deleted atomic.Bool
			srv := keystone(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch path := r.Method + " " + r.URL.Path; path {
				case "GET /compute/v2.1/servers/detail":
					io.WriteString(w, `{"servers": []}`)
				case "GET /compute/v2.1/flavors/detail":
					io.WriteString(w, `{"flavors": [{"id": "f", "name": "small", "vcpus": 2, "ram": 512}]}`)
				case "GET /network/v2.0/ports":
					io.WriteString(w, `{"ports": []}`)
				case "POST /network/v2.0/ports":
					w.WriteHeader(http.StatusCreated)
					io.WriteString(w, `{"port": {"id": "p"}}`)
				case "POST /compute/v2.1/servers":
					w.WriteHeader(http.StatusForbidden)
					io.WriteString(w, `{"forbidden": {"code": 403, "message": "no"}}`)
				case "GET /compute/v2.1/limits":
					fmt.Fprintf(w, `{"limits": {"absolute": {%s}}}`, tc.limits)
				case "DELETE /network/v2.0/ports/p":
					deleted.Store(true)
					w.WriteHeader(http.StatusNoContent)
				default:
					t.Errorf("unexpected %s", path)
				}
			})
			_, err := newDriver(t, openstack.Config{Credentials: cloudsYAML(srv.URL)}).CreateVM(t.Context(), vmSpec())
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if !deleted.Load() {
				t.Error("the port stays behind")
			}
		})
	}
}

// TestListsWithoutLists asserts that an answer that holds no list is not taken
// for an empty one.
func TestListsWithoutLists(t *testing.T) {
	for _, body := range []string{`{}`, `null`, `{"message": "maintenance"}`, `[]`} {
		srv := keystone(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if strings.HasSuffix(r.URL.Path, "/servers/detail") {
				io.WriteString(w, body)
				return
			}
			kind := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
			fmt.Fprintf(w, `{%q: []}`, strings.ReplaceAll(kind, "-", "_"))
		})
		d := newDriver(t, openstack.Config{Credentials: cloudsYAML(srv.URL)})
		list, err := d.List(t.Context(), "RegionOne", cloud.Owner{Mesh: "m", MCIS: "i"})
		if !errors.Is(err, cloud.ErrUnavailable) {
			t.Errorf("%s: got %v, %v, want ErrUnavailable", body, list, err)
		}
	}
}
