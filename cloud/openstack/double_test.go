package openstack_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/openstack"
)

// doubles answers as Nova and Neutron do after two creates raced for one port:
// "live" runs on it, "late" failed, and the failure unbound the port.
func doubles(t *testing.T, deleted func(string)) http.HandlerFunc {
	const meta = `"metadata": {"cbnet-mesh": "m", "cbnet-mcis": "i", "cbnet-node": "web-1", "cbnet-token": "t"}`
	live := `{"id": "live", "name": "web-1", "status": "ACTIVE", "created": "2026-01-01T00:00:05Z", ` + meta + `}`
	late := `{"id": "late", "name": "web-1", "status": "ERROR", "created": "2026-01-01T00:00:00Z", "fault": {"message": "no port"}, ` + meta + `}`
	port := fmt.Sprintf(`{"id": "p", "name": "web-1", "network_id": "n", "description": %q, "device_id": "", "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.4"}]}`,
		vmSpec().Owner.Description())
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch path := r.Method + " " + r.URL.Path; {
		case r.Method == http.MethodDelete:
			deleted(r.URL.Path)
			w.WriteHeader(http.StatusNoContent)
		case path == "GET /compute/v2.1/servers/detail":
			io.WriteString(w, `{"servers": [`+late+`, `+live+`]}`)
		case path == "GET /compute/v2.1/servers/late":
			io.WriteString(w, `{"server": `+late+`}`)
		case path == "GET /network/v2.0/ports" && r.URL.Query().Get("device_id") == "":
			io.WriteString(w, `{"ports": [`+port+`]}`)
		case path == "GET /compute/v2.1/os-keypairs":
			io.WriteString(w, `{"keypairs": []}`)
		case strings.HasPrefix(path, "GET /network/v2.0/"):
			kind := strings.ReplaceAll(strings.TrimPrefix(path, "GET /network/v2.0/"), "-", "_")
			fmt.Fprintf(w, `{%q: []}`, kind)
		default:
			t.Errorf("unexpected %s", path)
		}
	}
}

func TestDoubles(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*openstack.Driver) error
		want []string
	}{
		{"create adopts the one that lives and deletes the other", func(d *openstack.Driver) error {
			vm, err := d.CreateVM(t.Context(), vmSpec())
			if vm.ID != "live" || vm.State != cloud.VMRunning {
				t.Errorf("got %s in state %s, want live", vm.ID, vm.State)
			}
			return err
		}, []string{"/compute/v2.1/servers/late"}},
		{"delete of the failed one leaves the port to the other", func(d *openstack.Driver) error {
			return d.Delete(t.Context(), cloud.Resource{Kind: cloud.KindVM, ID: "late", Owner: vmSpec().Owner})
		}, []string{"/compute/v2.1/servers/late"}},
		{"list shows the address at the one that lives", func(d *openstack.Driver) error {
			res, err := d.List(t.Context(), "RegionOne", vmSpec().Owner)
			for _, r := range res {
				if r.Kind != cloud.KindVM || (r.VM.PrivateIP == vmSpec().PrivateIP) != (r.ID == "live") {
					t.Errorf("got %s %s with address %v", r.Kind, r.ID, r.VM)
				}
			}
			if len(res) != 2 {
				t.Errorf("%d resources, want the two machines", len(res))
			}
			return err
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			var deleted []string
			srv := keystone(t, doubles(t, func(path string) {
				mu.Lock()
				defer mu.Unlock()
				deleted = append(deleted, path)
			}))
			if err := tc.do(newDriver(t, openstack.Config{Credentials: cloudsYAML(srv.URL)})); err != nil {
				t.Fatal(err)
			}
			slices.Sort(deleted)
			if diff := cmp.Diff(tc.want, deleted); diff != "" {
				t.Errorf("deleted (-want +got):\n%s", diff)
			}
		})
	}
}
