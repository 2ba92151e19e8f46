package gcp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/gcp"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// site is a cloud behind a server.
type site struct {
	cloud  *gcp.Cloud
	fabric *fabric.Fabric
	faults *faults.Injector
	url    string
}

// open starts a cloud on a fabric without machines; change may alter its
// options.
func open(t *testing.T, change ...func(*gcp.Options)) *site {
	t.Helper()
	f := simtest.Paper(t, 0)
	return openOn(t, f, change...)
}

// openOn starts a cloud on a fabric, which it closes at the end of the test.
func openOn(t *testing.T, f *fabric.Fabric, change ...func(*gcp.Options)) *site {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	s := &site{fabric: f, faults: faults.New(faults.Config{}), url: "http://" + srv.Listener.Addr().String()}
	o := gcp.Options{Fabric: f, Faults: s.faults, URL: s.url, OpTime: 10 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	s.cloud = gcp.New(o)
	srv.Config.Handler = s.cloud.Handler()
	srv.Start()
	t.Cleanup(func() {
		srv.Close()
		s.cloud.Close()
	})
	return s
}

// gcloud runs Google's CLI and returns what it printed, decoded, and its
// complaint. It uses no credentials unless env says otherwise.
func (s *site) gcloud(t *testing.T, env []string, args ...string) (any, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "gcloud", append(args, "--format=json", "--quiet")...)
	cmd.Env = append(os.Environ(),
		"CLOUDSDK_CONFIG="+t.TempDir(), "CLOUDSDK_CORE_PROJECT=cloudsim", "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE="+s.url+"/compute/v1/",
		"CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true",
		"CLOUDSDK_CORE_DISABLE_FILE_LOGGING=true", "CLOUDSDK_CORE_CHECK_GCE_METADATA=false")
	cmd.Env = append(cmd.Env, env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if errs.Len() == 0 {
			t.Fatalf("gcloud %s: %v", strings.Join(args, " "), err)
		}
		return nil, strings.TrimSpace(errs.String())
	}
	var answer any
	if out.Len() > 0 {
		if err := json.Unmarshal([]byte(out.String()), &answer); err != nil {
			t.Fatalf("gcloud %s: %v in %s", strings.Join(args, " "), err, out.String())
		}
	}
	return answer, ""
}

// client calls the API by plain HTTP.
type client struct {
	url   string // of the project
	token string // bearer, "" for none
}

func (s *site) client(t *testing.T) *client {
	t.Helper()
	return &client{url: s.url + "/compute/v1/projects/cloudsim/"}
}

// call makes a request and returns status and body.
func (c *client) call(t *testing.T, method, path, body string) (int, any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v any
	if resp.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
			t.Fatalf("%s %s: %d and %v", method, path, resp.StatusCode, err)
		}
	}
	return resp.StatusCode, v
}

func (c *client) get(t *testing.T, path string) any {
	t.Helper()
	status, v := c.call(t, http.MethodGet, path, "")
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %v", path, status, v)
	}
	return v
}

// done makes a change and waits until its operation has ended without failure.
func (c *client) done(t *testing.T, method, path, body string) any {
	t.Helper()
	status, op := c.call(t, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %v", method, path, status, op)
	}
	_, at, _ := strings.Cut(simtest.Text(op, "selfLink"), "/projects/cloudsim/")
	status, op = c.call(t, http.MethodPost, at+"/wait", "")
	if status != http.StatusOK || simtest.Text(op, "status") != "DONE" || simtest.Dig(op, "error") != nil {
		t.Fatalf("%s %s: %d %v", method, path, status, op)
	}
	return op
}

// refused makes a request that must be refused with a reason.
func (c *client) refused(t *testing.T, reason string, method, path, body string) {
	t.Helper()
	status, v := c.call(t, method, path, body)
	if got := simtest.Text(v, "error", "errors", 0, "reason"); status < 400 || got != reason {
		t.Errorf("%s %s %s: got %d %v, want %s", method, path, body, status, v, reason)
	}
}

// land makes a network and a subnetwork of a name.
func (c *client) land(t *testing.T, name string) {
	t.Helper()
	c.done(t, http.MethodPost, "global/networks", `{"name": "`+name+`", "autoCreateSubnetworks": false}`)
	c.done(t, http.MethodPost, "regions/us-central1/subnetworks", `{"name": "`+name+`", "network": "global/networks/`+name+`", "ipCidrRange": "10.0.1.0/24"}`)
}
