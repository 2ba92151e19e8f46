package openstack_test

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/openstack"
)

func TestHostname(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"web-0", "web-0"}, {"Web Server_1", "web-server-1"}, {"웹", "server"}, {"-x-", "x"}, {strings.Repeat("a", 80), strings.Repeat("a", 63)},
	} {
		if got := openstack.Hostname(tt.name); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestMicroversion(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		ok         bool
	}{
		{"", "2.1", true}, {"latest", "2.93", true}, {"2.60", "2.60", true}, {"2.94", "", false}, {"3.1", "", false}, {"2.x", "", false}, {"2.07", "", false},
	} {
		got, err := openstack.Negotiate(tt.text)
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("%q: got %s, %v; want %s", tt.text, got, err, tt.want)
		}
	}
}

func TestMetadata(t *testing.T) {
	l := newLab(t)
	s := l.start(t, order(l.port(t, "10.0.1.20").ID))
	l.reaches(t, s.ID, "ACTIVE")
	h := l.cloud.Metadata(s.ID)
	ask := func(path string) (int, string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://169.254.169.254"+path, nil))
		body, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Code, string(body)
	}
	var meta struct {
		UUID, Hostname string
		Meta           map[string]string
	}
	_, text := ask("/openstack/2018-08-27/meta_data.json")
	if err := json.Unmarshal([]byte(text), &meta); err != nil || meta.UUID != s.ID || meta.Hostname != "web-0.novalocal" || meta.Meta["cbnet-node"] != "web-0" {
		t.Errorf("meta_data.json: %s, %v", text, err)
	}
	for path, want := range map[string]string{
		"/openstack/latest/user_data": "안녕", "/latest/user-data": "안녕", "/2009-04-04/meta-data/local-ipv4": "10.0.1.20",
		"/openstack/latest/network_data.json": `"ip_address":"10.0.1.20"`, "/openstack": "2018-08-27", "/openstack/latest": "meta_data.json",
		"/latest/meta-data/": "instance-id",
	} {
		if code, got := ask(path); code != 200 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %q, want %q", path, code, got, want)
		}
	}
	for _, path := range []string{"/openstack/2030-01-01/meta_data.json", "/openstack/latest/password", "/etc/passwd"} {
		if code, _ := ask(path); code != 404 {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
}

// FuzzBody checks that no body breaks the decoder, and that what it accepts has
// the form that it asks for.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"port": {"name": "x", "fixed_ips": [{"ip_address": "10.0.0.1"}]}}`))
	f.Add([]byte(`{"port": null}`))
	f.Add([]byte(`{"port": {"colour": 1}}`))
	f.Add([]byte(`{"port": {}} {}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if openstack.DecodeWrapped(body) != nil {
			return
		}
		var outer map[string]map[string]any
		if err := json.Unmarshal(body, &outer); err == nil && outer["port"] == nil {
			t.Errorf("accepted without a port: %s", body)
		}
	})
}
