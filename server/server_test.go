package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server"
	"github.com/cbnet-io/cbnet/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const spec = `kind: MCIS
name: shop
groups:
  - {name: web, cloud: aws, region: ap-northeast-2, count: 2}
`

// raw is an HTTP client without the token.
func raw(t *testing.T, s *servertest.System) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.Context.CA))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// call makes a request and returns status, header and body.
func call(t *testing.T, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func request(t *testing.T, method, url, token string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	giveUp := time.After(5 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-giveUp:
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}

func status(err error) int {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p.Status
	}
	return 0
}

func TestAuthorization(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	c := raw(t, s)
	good := string(s.Context.Token)
	tests := []struct {
		name, method, path, token string
		want                      int
	}{
		{"no token", "GET", "/v1/version", "", 401},
		{"wrong token", "GET", "/v1/version", "cba_wrong", 401},
		{"token with a tail", "GET", "/v1/version", good + "x", 401},
		{"token", "GET", "/v1/version", good, 200},
		{"unknown path without a token", "GET", "/", "", 401},
		{"unknown path", "GET", "/v1/nothing", good, 404},
		{"document without a token", "GET", "/v1/openapi.json", "", 401},
		{"document", "GET", "/v1/openapi.json", good, 200},
		{"download without a token", "GET", "/v1/download/cbnetd-linux-amd64", "", 200},
		{"other files", "GET", "/v1/download/audit.log", "", 401},
		{"files above", "GET", "/v1/download/..%2Faudit.log", "", 401},
		{"enrolment with the wrong method", "GET", "/v1/enroll", "", 401},
		{"unknown query", "GET", "/v1/version?x=1", good, 422},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := call(t, c, request(t, tt.method, s.Context.URL+tt.path, tt.token, nil))
			if resp.StatusCode != tt.want {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, tt.want, body)
			}
			if resp.Header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
			if tt.want >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("content type %q", resp.Header.Get("Content-Type"))
			}
		})
	}
	if strings.Contains(s.Log.String(), good) {
		t.Error("the token is in the log")
	}
}

func TestBodyLimits(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	c := raw(t, s)
	tests := []struct {
		name, path, token string
		size, want        int
	}{
		{"enrolment", "/v1/enroll", "", 33 << 10, 413},
		{"spec", "/v1/plan", string(s.Context.Token), 3 << 20, 413},
		{"a stranger's is not even read", "/v1/plan", "", 3 << 20, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := strings.NewReader(`{"file":"` + strings.Repeat("x", tt.size) + `"}`)
			resp, err := c.Do(request(t, "POST", s.Context.URL+tt.path, tt.token, body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.want)
			}
		})
	}
}

func TestDownload(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	resp, body := call(t, raw(t, s), request(t, "GET", s.Context.URL+"/v1/download/"+server.DownloadName, "", nil))
	sum := sha256.Sum256([]byte(body))
	if body != "the daemon" || resp.Header.Get("X-Checksum-Sha256") != hex.EncodeToString(sum[:]) {
		t.Errorf("got %q with checksum %s", body, resp.Header.Get("X-Checksum-Sha256"))
	}
}

func TestClouds(t *testing.T) {
	disk := servertest.NewDisk(t)
	s := servertest.Start(t, disk)
	c := s.Client()
	const secret = "SECRETKEY123"
	in := api.CloudSpec{Provider: "aws", Region: "ap-northeast-2", Credentials: secret}
	first, err := c.AddCloud(t.Context(), "main", in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.AddCloud(t.Context(), "main", in)
	if err != nil || again != first {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	tests := []struct {
		name, cloud string
		spec        api.CloudSpec
		want        int
	}{
		{"unknown provider", "x", api.CloudSpec{Provider: "acme"}, 422},
		{"provider without a driver", "x", api.CloudSpec{Provider: "gcp"}, 422},
		{"bad credentials", "x", api.CloudSpec{Provider: "aws", Credentials: "bad " + secret}, 422},
		{"bad name", "Bad_Name", in, 422},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.AddCloud(t.Context(), tt.cloud, tt.spec)
			if status(err) != tt.want {
				t.Errorf("err = %v, want status %d", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats the secret: %v", err)
			}
		})
	}
	list, err := c.Clouds(t.Context())
	if err != nil || len(list.Clouds) != 1 || list.Clouds[0] != first {
		t.Errorf("list %+v, %v", list, err)
	}
	for where, data := range map[string][]byte{"store": disk.Store.Dump(), "log": []byte(s.Log.String())} {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("the credentials are in the %s", where)
		}
	}
	d1, err := s.Clouds.Cloud(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if d1.Region != "ap-northeast-2" || d1.Driver.Provider() != "aws" {
		t.Errorf("driver %+v", d1)
	}
	if _, err := s.Clouds.Cloud(t.Context(), "other"); !errors.Is(err, mcis.ErrNoCloud) {
		t.Errorf("unknown cloud: %v", err)
	}
}

func TestFaultsOfASpec(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	_, err := s.Client().Apply(t.Context(), api.SpecFile{File: "dir/bad.yaml", YAML: "kind: MCIS\nname: shop\nflavour: x\ngroups:\n  - {name: web, cloud: aws, count: -1}\n"})
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || p.Status != 422 || len(p.Errors) < 2 {
		t.Fatalf("err = %v", err)
	}
	if p.Errors[0].Location != "dir/bad.yaml:3" || !strings.Contains(p.Errors[0].Message, "flavour") || p.Errors[1].Location != "dir/bad.yaml:5" {
		t.Errorf("faults %+v", p.Errors)
	}
	if list, err := s.Client().ListMCIS(t.Context()); err != nil || len(list.MCIS) != 0 {
		t.Errorf("something was made: %+v, %v", list, err)
	}
}

func TestUnknownMCIS(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	c := s.Client()
	_, serr := c.MCIS(t.Context(), "nope")
	_, derr := c.DeleteMCIS(t.Context(), "nope")
	werr := c.WatchMCIS(t.Context(), api.Run{Name: "nope"}, func(api.Event) error { return nil })
	xerr := c.Exec(t.Context(), "nope", api.ExecRequest{Command: []string{"true"}}, func(api.ExecOutput) error { return nil })
	for what, err := range map[string]error{"status": serr, "delete": derr, "watch": werr, "exec": xerr} {
		if status(err) != 404 || !strings.Contains(err.Error(), "not found") {
			t.Errorf("%s: %v, want 404 not found", what, err)
		}
	}
}

func TestRestartKeepsCAAndToken(t *testing.T) {
	disk := servertest.NewDisk(t)
	a := servertest.Start(t, disk)
	ctx := a.Context
	a.Stop()
	servertest.Start(t, disk)
	c, err := api.NewClient(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Version(t.Context()); err != nil {
		t.Errorf("the old context does not let in: %v", err)
	}
}

func TestVersion(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	s.Node.Set("a", "10.66.0.2", true)
	s.Node.Set("b", "10.66.0.3", false)
	v, err := s.Client().Version(t.Context())
	if err != nil || v.Mesh != "test" || len(v.Nodes) != 2 || v.Nodes[0].Version != "v0.0.1" || v.Nodes[1].Error == "" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestStoreFailureIsNotTold(t *testing.T) {
	disk := servertest.NewDisk(t)
	s := servertest.Start(t, disk)
	c := s.Client()
	disk.Store.Fail(errors.New("disk sda1 at /secret/path is full"))
	defer disk.Store.Fail(nil)
	_, err := c.Clouds(t.Context())
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || p.Status != 500 || strings.Contains(p.Error(), "secret") || p.RequestID == "" || !strings.Contains(s.Log.String(), p.RequestID) {
		t.Errorf("err = %v", err)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	c := s.Client()
	if _, err := c.AddCloud(t.Context(), "aws", api.CloudSpec{Provider: "aws"}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Plan(t.Context(), api.SpecFile{YAML: strings.Replace(spec, "shop", "panic", 1)})
	if status(err) != 500 || strings.Contains(err.Error(), "as asked for") || !strings.Contains(s.Log.String(), "as asked for") {
		t.Errorf("err = %v", err)
	}
	if _, err := c.Clouds(t.Context()); err != nil {
		t.Errorf("the server is gone: %v", err)
	}
}

func TestProblemIsJSON(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	_, body := call(t, raw(t, s), request(t, "PUT", s.Context.URL+"/v1/clouds/x", string(s.Context.Token), strings.NewReader(`{"provider":5,"credentials":["SECRET"]}`)))
	var p api.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || len(p.Errors) < 2 {
		t.Errorf("%s: %v", body, err)
	}
	if strings.Contains(body, "SECRET") {
		t.Errorf("the answer repeats the request: %s", body)
	}
}

func TestStopEndsStreams(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	c := s.Client(api.WithRetry(0))
	if _, err := c.AddCloud(t.Context(), "aws", api.CloudSpec{Provider: "aws"}); err != nil {
		t.Fatal(err)
	}
	runs, err := c.Apply(t.Context(), api.SpecFile{YAML: spec})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = c.WatchMCIS(ctx, runs.Runs[0], func(api.Event) error {
		go s.Stop()
		return nil
	})
	if err == nil || ctx.Err() != nil {
		t.Errorf("err = %v, want a lost connection at once", err)
	}
}

// TestAccountInUseStaysWhatItIs: pointed at another cloud, a delete would find
// nothing there and take the machines for gone.
func TestAccountInUseStaysWhatItIs(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	c := s.Client()
	add := func(in api.CloudSpec) error {
		_, err := c.AddCloud(t.Context(), "aws", in)
		return err
	}
	if err := errors.Join(add(api.CloudSpec{Provider: "aws"}), add(api.CloudSpec{Provider: "aws", Endpoint: "https://one.example"})); err != nil {
		t.Fatalf("unused: %v", err)
	}
	if _, err := c.Apply(t.Context(), api.SpecFile{YAML: spec}); err != nil {
		t.Fatal(err)
	}
	err := add(api.CloudSpec{Provider: "aws", Endpoint: "https://two.example"})
	if status(err) != 409 || !strings.Contains(err.Error(), "shop") {
		t.Errorf("another endpoint: %v, want 409 that names shop", err)
	}
	if err := add(api.CloudSpec{Provider: "aws", Endpoint: "https://one.example", Credentials: "new"}); err != nil {
		t.Errorf("new credentials: %v", err)
	}
}
