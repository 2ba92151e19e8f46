package faults_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

var clouds = []string{"aws", "gcp"}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string // parts of the error; none = accepted
	}{
		{"empty", `{}`, nil},
		{"all", `{"throttle":0.1,"dropAfterCommit":0.02,"asyncFail":1,"latency":"50ms","hidden":"3s","bootTime":{"aws":"5s"},"deleteTime":{"gcp":"1m"},"quota":{"aws/vm":4,"aws/us-east-1/vm":2},"noCapacity":["aws/us-east-1a"],"dropNext":{"RunInstances":1},"seed":7}`, nil},
		{"every fault is told", `{"throttle":1.5,"dropAfterCommit":-1,"asyncFail":2,"latency":"2h","hidden":"-1s","bootTime":{"aws":"-5s"},"deleteTime":{"gcp":"-1m"},"quota":{"vm":-1},"noCapacity":["us-east-1a"],"dropNext":{"X":-1}}`,
			[]string{"throttle: 1.5", "dropAfterCommit: -1", "asyncFail: 2", "latency: 2h", "hidden: -1s", "bootTime.aws: -5s", "deleteTime.gcp: -1m", "quota.vm: want CLOUD/KIND", "quota.vm: -1", `noCapacity[0]: "us-east-1a"`, "dropNext.X: -1"}},
		{"unknown clouds", `{"bootTime":{"gpc":"5s"},"deleteTime":{"aw":"5s"},"quota":{"azure/vm":1},"noCapacity":["s3/here"]}`,
			[]string{`bootTime.gpc: no cloud "gpc": want one of aws, gcp`, `deleteTime.aw: no cloud "aw"`, `quota.azure/vm: no cloud "azure"`, `noCapacity[0]: no cloud "s3"`}},
		{"unknown key", `{"throtle":0.1}`, []string{`unknown field "throtle"`}},
		{"latency as a number", `{"latency":50}`, []string{"want a duration as a text"}},
		{"latency without unit", `{"latency":"50"}`, []string{`"50": want a duration`}},
		{"two values", `{} {}`, []string{"more than one"}},
		{"not JSON", `throttle: 1`, []string{"faults:"}},
	} {
		_, err := faults.Parse(strings.NewReader(c.in), clouds)
		if (err == nil) != (len(c.want) == 0) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q not in %v", c.name, w, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"throttle":0.1,"latency":"50ms","bootTime":{"aws":"5s"},"deleteTime":{"gcp":"1m"},"quota":{"aws/vm":4},"noCapacity":["aws/us-east-1a"]}`)
	f.Add(`{"latency":"-1ns"}`)
	f.Fuzz(func(t *testing.T, in string) {
		c, err := faults.Parse(strings.NewReader(in), clouds)
		if err != nil {
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("accepted %q, but: %v", in, err)
		}
		again, err := faults.Parse(strings.NewReader(string(out)), clouds)
		if err != nil {
			t.Fatalf("refuses its own %s: %v", out, err)
		}
		faults.New(again).Throttled()
	})
}

func TestShares(t *testing.T) {
	const calls = 10_000
	count := func(seed uint64) (throttled, failed int) {
		i := faults.New(faults.Config{Throttle: 0.1, AsyncFail: 0.5, Seed: seed})
		for range calls {
			if i.Throttled() {
				throttled++
			}
			if i.AsyncFail() {
				failed++
			}
		}
		return throttled, failed
	}
	a, b := count(7)
	if a < calls/20 || a > calls/5 || b < calls*4/10 || b > calls*6/10 {
		t.Errorf("of %d calls: %d throttled, %d failed; want about a tenth and a half", calls, a, b)
	}
	if c, d := count(7); c != a || d != b {
		t.Errorf("the same seed: got %d and %d, want %d and %d", c, d, a, b)
	}
	none := faults.New(faults.Config{})
	for range calls {
		if none.Throttled() || none.AsyncFail() {
			t.Fatal("a fault without a share")
		}
	}
}

func TestLimits(t *testing.T) {
	i := faults.New(faults.Config{Quota: map[string]int{"aws/vm": 4, "aws/us-east-1/vm": 0}, NoCapacity: []string{"aws/us-east-1a"}})
	type limit struct {
		N  int
		OK bool
	}
	for _, c := range []struct {
		cloud, region, kind string
		want                limit
	}{
		{"aws", "us-east-1", "vm", limit{0, true}},
		{"aws", "eu-west-1", "vm", limit{4, true}},
		{"aws", "eu-west-1", "network", limit{0, false}},
		{"openstack", "RegionOne", "vm", limit{0, false}},
	} {
		var got limit
		got.N, got.OK = i.Quota(c.cloud, c.region, c.kind)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%v (-want +got):\n%s", c, d)
		}
	}
	if !i.NoCapacity("aws", "us-east-1", "us-east-1a") || i.NoCapacity("aws", "us-east-1", "us-east-1b") || i.NoCapacity("openstack", "us-east-1a") {
		t.Error("capacity: want none in aws/us-east-1a only")
	}
}

// server counts the work that its one action does.
func server(t *testing.T, i *faults.Injector, mutating bool, done *int) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.Call(w, r, faults.Action{Name: "Create", Mutating: mutating}, func(w http.ResponseWriter, _ *http.Request) {
			*done++
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "done")
		})
	}))
	t.Cleanup(s.Close)
	return s
}

func post(t *testing.T, url string) error {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Post(url, "text/plain", strings.NewReader("x"))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != http.StatusCreated || string(b) != "done") {
		t.Errorf("answer: got %d %s", r.StatusCode, b)
	}
	return err
}

func TestDroppedAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		conf     faults.Config
		mutating bool
		want     []bool // answered
	}{
		{"none", faults.Config{}, true, []bool{true, true}},
		{"the next two", faults.Config{DropNext: map[string]int{"Create": 2}}, true, []bool{false, false, true}},
		{"of another action", faults.Config{DropNext: map[string]int{"Delete": 2}}, true, []bool{true}},
		{"all", faults.Config{DropAfterCommit: 1}, true, []bool{false, false}},
		{"all, but it only reads", faults.Config{DropAfterCommit: 1}, false, []bool{true, true}},
	} {
		done := 0
		i := faults.New(c.conf)
		s := server(t, i, c.mutating, &done)
		for n, want := range c.want {
			if err := post(t, s.URL); (err == nil) != want {
				t.Errorf("%s: call %d: got error %v, want an answer: %t", c.name, n, err, want)
			}
		}
		if done != len(c.want) {
			t.Errorf("%s: work done %d times, want %d: an answer is lost after the work", c.name, done, len(c.want))
		}
		if left := i.Config().DropNext["Create"]; left != 0 {
			t.Errorf("%s: %d drops are left", c.name, left)
		}
	}
}

func TestLatency(t *testing.T) {
	done := 0
	i := faults.New(faults.Config{Latency: faults.Duration(80 * time.Millisecond)})
	s := server(t, i, true, &done)
	start := time.Now()
	if err := post(t, s.URL); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 80*time.Millisecond {
		t.Errorf("answered after %s, want at least 80 ms", took)
	}
	i.Set(faults.Config{})
	if i.Latency() != 0 {
		t.Error("the new faults are not in force")
	}
}
