package guard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/guard"
)

// vendor is a cloud's API: what it answers to a request, by the request's path.
type vendor func(*http.Request) (status int, err error)

func (v vendor) RoundTrip(req *http.Request) (*http.Response, error) {
	status, err := v(req)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

// wired is a driver that makes requests: List two that read, CreateVM one that
// reads and one that writes. Status 400 is how this cloud says throttled, as
// Alibaba's does.
type wired struct {
	fake
	client http.Client
	after  time.Duration // Retry-After
}

func (w *wired) send(ctx context.Context, method, path string) error {
	req, err := http.NewRequestWithContext(ctx, method, "https://cloud.example"+path+"?Signature=hush&UserData=hush", nil)
	if err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", cloud.ErrUnavailable, err)
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case 400:
		return &cloud.APIError{Provider: "fake", Op: path, Class: cloud.ErrThrottled, After: w.after}
	case 404:
		return cloud.ErrInvalid
	}
	return nil
}

func (w *wired) List(ctx context.Context, _ string, _ cloud.Owner) ([]cloud.Resource, error) {
	return nil, errors.Join(w.send(ctx, "GET", "/servers"), w.send(ctx, "GET", "/networks"))
}

func (w *wired) CreateVM(ctx context.Context, s cloud.VMSpec) (cloud.VM, error) {
	if err := w.send(ctx, "GET", "/servers"); err != nil {
		return cloud.VM{}, err
	}
	return cloud.VM{ID: "v"}, w.send(ctx, "POST", "/servers/"+s.Name+"/action")
}

func wire(v vendor, opt guard.Options) (*wired, cloud.Driver) {
	w := &wired{}
	w.client.Transport = guard.NewTransport(v, opt)
	return w, guard.New(w, opt)
}

// TestAdapts has a hundred callers share what the cloud grants to calls that
// write. Those that read, and other regions, are not slowed down.
func TestAdapts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const grant = 5 // a second
		var mu sync.Mutex
		var second int64
		var used, throttled int
		_, d := wire(func(req *http.Request) (int, error) {
			if req.Method == "GET" || strings.Contains(req.URL.Path, "elsewhere") {
				return 200, nil
			}
			mu.Lock()
			defer mu.Unlock()
			if s := time.Now().Unix(); s != second {
				second, used = s, 0
			}
			if used++; used > grant {
				throttled++
				return 400, nil
			}
			return 200, nil
		}, guard.Options{Rate: 50, Tries: 1000})
		var wg sync.WaitGroup
		start := time.Now()
		for range 100 {
			wg.Go(func() {
				for range 5 {
					if _, err := d.CreateVM(t.Context(), cloud.VMSpec{Region: "r"}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(30 * time.Second) // the rate has settled
		before := time.Now()
		for range 10 {
			if _, err := d.List(t.Context(), "r", cloud.Owner{}); err != nil {
				t.Error(err)
			}
			if _, err := d.CreateVM(t.Context(), cloud.VMSpec{Region: "s", Name: "elsewhere"}); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(before); took > 2*time.Second {
			t.Errorf("30 reads and 10 creates in another region took %s", took)
		}
		wg.Wait()
		took := time.Since(start)
		t.Logf("500 calls at %d a second: %s, %d throttled", grant, took, throttled)
		if took > 200*time.Second || throttled > 250 {
			t.Errorf("500 calls in %s with %d throttled, want at most twice the 100 s that the grant allows, and one throttle for two calls at most", took, throttled)
		}
	})
}

// TestNoStandstill has a cloud throttle every tenth call, however few there are:
// slowing down does not help, and must not end in one call every two seconds.
func TestNoStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		_, d := wire(func(*http.Request) (int, error) {
			if n++; n%10 == 0 {
				return 400, nil
			}
			return 200, nil
		}, guard.Options{})
		start := time.Now()
		for range 300 {
			if _, err := d.List(t.Context(), "r", cloud.Owner{}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%d requests, a tenth of them throttled, took %s", n, took)
		}
	})
}

// TestNoTimeForATurn asserts that a call which would wait beyond its context's
// end is refused at once, with the time to come back, and is not sent.
func TestNoTimeForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		w, d := wire(func(*http.Request) (int, error) { sent++; return 400, nil }, guard.Options{Tries: 1})
		w.after = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for want := range 2 {
			start := time.Now()
			_, err := d.CreateVM(ctx, cloud.VMSpec{Region: "r"})
			var api *cloud.APIError
			if !errors.As(err, &api) || !errors.Is(err, cloud.ErrThrottled) || sent != 1 || time.Since(start) > time.Second {
				t.Fatalf("call %d: got %v after %d requests and %s, want one request and at once when to come back", want, err, sent, time.Since(start))
			}
			if api.After < 4*time.Minute {
				t.Errorf("call %d: come back after %s", want, api.After)
			}
		}
	})
}

// TestWaitingIsNotWorking asserts that the time for which requests wait for
// their turn does not count against the time of a try.
func TestWaitingIsNotWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := wire(func(*http.Request) (int, error) { return 200, nil }, guard.Options{Rate: 1, Tries: 1, ReadTimeout: 3 * time.Second})
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := d.List(t.Context(), "r", cloud.Owner{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took < 18*time.Second {
			t.Errorf("20 requests at one a second took %s", took)
		}
		_, d = wire(func(req *http.Request) (int, error) { <-req.Context().Done(); return 0, req.Context().Err() },
			guard.Options{Tries: 1, ReadTimeout: 3 * time.Second})
		start = time.Now()
		_, err := d.List(t.Context(), "r", cloud.Owner{})
		if took := time.Since(start); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a cloud that does not answer: %v after %s", err, took)
		}
	})
}

// TestRequestsAreCounted checks metrics and log of what goes to the vendor, and
// that neither they nor the error have the URL's query in them.
func TestRequestsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := guard.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	answers := []int{200, 400, 200, 0, 200, 200}
	_, d := wire(func(*http.Request) (int, error) {
		status := answers[0]
		answers = answers[1:]
		if status == 0 {
			return 0, &url.Error{Op: "Post", URL: "https://cloud.example/?UserData=hush", Err: io.ErrUnexpectedEOF}
		}
		return status, nil
	}, guard.Options{
		Account: "acc", Metrics: m, Pause: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if _, err = d.CreateVM(t.Context(), cloud.VMSpec{Region: "r", Name: "web-1"}); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() == "call" || l.GetName() == "status" || l.GetName() == "result" {
					key += " " + l.GetValue()
				}
			}
			switch {
			case m.Counter != nil:
				got[key] += m.GetCounter().GetValue()
			case m.Histogram != nil:
				got[key] += float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	const post = "POST /servers/{id}/action"
	if diff := cmp.Diff(map[string]float64{
		"cbnet_cloud_api_calls_total GET /servers 200":  3,
		"cbnet_cloud_api_calls_total " + post + " 400":  1,
		"cbnet_cloud_api_calls_total " + post + " none": 1,
		"cbnet_cloud_api_calls_total " + post + " 200":  1,
		"cbnet_cloud_api_seconds GET /servers":          3,
		"cbnet_cloud_api_seconds " + post:               3,
		"cbnet_cloud_throttled_total " + post:           1,
		"cbnet_cloud_calls_total CreateVM throttled":    1,
		"cbnet_cloud_calls_total CreateVM unavailable":  1,
		"cbnet_cloud_calls_total CreateVM ok":           1,
		"cbnet_cloud_call_seconds CreateVM":             3,
	}, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if n := strings.Count(log.String(), `msg="cloud API call"`); n != 6 || !strings.Contains(log.String(), "object=web-1 status=400") {
		t.Errorf("%d requests in the log, want 6:\n%s", n, &log)
	}
	if strings.Contains(log.String(), "hush") || !strings.Contains(log.String(), "REDACTED") {
		t.Errorf("a secret in the log:\n%s", &log)
	}
}

// TestErrorsAreClean asserts that an error's text has no secret in it, and that
// it still wraps what it did.
func TestErrorsAreClean(t *testing.T) {
	_, d := wire(func(*http.Request) (int, error) { return 0, io.ErrUnexpectedEOF }, guard.Options{Tries: 1})
	_, err := d.List(t.Context(), "r", cloud.Owner{})
	var e *url.Error
	if strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "https://cloud.example/servers?REDACTED") ||
		!errors.Is(err, cloud.ErrUnavailable) || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}
