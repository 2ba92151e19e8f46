package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
)

// testDriver returns a driver whose API is h, with a token endpoint besides.
func testDriver(t *testing.T, h http.HandlerFunc) *Driver {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		// Go asks again by itself when a connection that it used before is reset:
		// the next request has one of its own.
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "t", "token_type": "Bearer", "expires_in": 3600}`)
	})
	mux.HandleFunc("/", h)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	d, err := New(t.Context(), Config{Endpoint: srv.URL, Credentials: user3(srv.URL)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// user3 is an authorized user whose token endpoint is at a server's.
func user3(url string) []byte {
	return []byte(`{"type": "authorized_user", "client_id": "c", "client_secret": "hidden", "refresh_token": "hidden", "quota_project_id": "p", "token_uri": "` + url + `/token"}`)
}

// refusal is an answer of Compute Engine's that is not a success.
func refusal(status int, reason, more string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error": {"code": %d, "message": "words", "errors": [{"message": "words", "domain": "global", "reason": %q}]%s}}`, status, reason, more)
	}
}

const perMinute = `, "status": "PERMISSION_DENIED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com"}]`

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name  string
		h     http.HandlerFunc
		class error
		code  string
	}{
		{"not found", refusal(404, "notFound", ""), cloud.ErrNotFound, "notFound"},
		{"rate", refusal(403, "rateLimitExceeded", ""), cloud.ErrThrottled, "rateLimitExceeded"},
		{"rate by details alone", refusal(403, "quotaExceeded", perMinute), cloud.ErrThrottled, "quotaExceeded"},
		{"rate by status", refusal(429, "somethingNew", ""), cloud.ErrThrottled, "somethingNew"},
		{"quota", refusal(403, "quotaExceeded", ""), cloud.ErrQuota, "quotaExceeded"},
		{"permission", refusal(403, "forbidden", ""), cloud.ErrAuth, "forbidden"},
		{"API not enabled", refusal(403, "accessNotConfigured", ""), cloud.ErrAuth, "accessNotConfigured"},
		{"policy of the organization", refusal(412, "conditionNotMet", ""), cloud.ErrAuth, "conditionNotMet"},
		{"token", refusal(401, "authError", ""), cloud.ErrAuth, "authError"},
		{"not ready", refusal(400, "resourceNotReady", ""), cloud.ErrInUse, "resourceNotReady"},
		{"in use", refusal(400, "resourceInUseByAnotherResource", ""), cloud.ErrInUse, "resourceInUseByAnotherResource"},
		{"invalid", refusal(400, "invalid", ""), cloud.ErrInvalid, "invalid"},
		{"invalid in a new way", refusal(400, "somethingNew", ""), cloud.ErrInvalid, "somethingNew"},
		{"conflict", refusal(409, "alreadyExists", ""), cloud.ErrConflict, "alreadyExists"},
		{"server", refusal(503, "backendError", ""), cloud.ErrUnavailable, "backendError"},
		{"gateway", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, cloud.ErrUnavailable, "Bad Gateway"},
		{"unknown", refusal(418, "teapot", ""), nil, "teapot"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := testDriver(t, tc.h).Regions(t.Context())
			var e *cloud.APIError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an APIError", err)
			}
			if e.Class != tc.class || e.Code != tc.code || e.Op != "regions.list" || e.Provider != "gcp" {
				t.Errorf("got %+v, want class %v and code %s", e, tc.class, tc.code)
			}
			if tc.code != "Bad Gateway" && (e.After != 7*time.Second || e.Message != "words") {
				t.Errorf("got message %q and a pause of %s", e.Message, e.After)
			}
		})
	}
}

func TestForeignAnswers(t *testing.T) {
	list := func(t *testing.T, h http.HandlerFunc) error {
		_, err := testDriver(t, h).Regions(t.Context())
		return err
	}
	cloudtest.ForeignAnswers(t, `{"kind": "compute#regionList", "it`, list)
	nowhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	}
	if err := list(t, nowhere); !errors.Is(err, cloud.ErrUnavailable) {
		t.Errorf("a redirect: got %v, want ErrUnavailable", err)
	}
}

// TestContextEndsLists: the SDK's lists do not carry the caller's context.
func TestContextEndsLists(t *testing.T) {
	d := testDriver(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(5 * time.Second): // the test has failed
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.Regions(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, cloud.ErrUnavailable) {
		t.Errorf("got %v, want the context's error and unavailable", err)
	}
}

func TestTokenRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		class  error
	}{
		{"wrong", 400, cloud.ErrAuth}, {"wrong client", 401, cloud.ErrAuth}, {"endpoint down", 503, cloud.ErrUnavailable},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			fmt.Fprint(w, `{"error": "invalid_grant", "error_description": "hidden"}`)
		}))
		t.Cleanup(srv.Close)
		d, err := New(t.Context(), Config{Endpoint: srv.URL, Credentials: user3(srv.URL)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Regions(t.Context())
		if !errors.Is(err, tc.class) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.class)
		}
	}
}

func TestOperationFailures(t *testing.T) {
	failed := func(code string, status int32) *computepb.Operation {
		op := &computepb.Operation{Name: proto.String("operation-1"), Status: computepb.Operation_DONE.Enum(),
			HttpErrorStatusCode: proto.Int32(status), HttpErrorMessage: proto.String("WORDS")}
		if code != "" {
			op.Error = &computepb.Error{Errors: []*computepb.Errors{{Code: proto.String(code), Message: proto.String("words")}}}
		}
		return op
	}
	for code, class := range map[string]error{
		"ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": cloud.ErrCapacity, "QUOTA_EXCEEDED": cloud.ErrQuota, "IP_IN_USE_BY_ANOTHER_RESOURCE": cloud.ErrConflict,
		"RESOURCE_NOT_FOUND": cloud.ErrNotFound, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": cloud.ErrInUse, "INTERNAL_ERROR": cloud.ErrUnavailable, "SOMETHING_NEW": cloud.ErrInvalid,
	} {
		err := failure("instances.insert", failed(code, 400))
		var e *cloud.APIError
		if !errors.As(err, &e) || e.Class != class || e.Code != code || e.RequestID != "operation-1" {
			t.Errorf("%s: got %+v, want %v", code, e, class)
		}
	}
	if err := failure("x", failed("", 500)); !errors.Is(err, cloud.ErrUnavailable) {
		t.Errorf("a failure without a code: %v", err)
	}
	for name, op := range map[string]*computepb.Operation{
		"none": nil, "done": {Status: computepb.Operation_DONE.Enum()}, "under way": {Status: computepb.Operation_RUNNING.Enum()},
	} {
		if err := failure("x", op); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUpperSnake(t *testing.T) {
	for in, want := range map[string]string{
		"notFound": "NOT_FOUND", "resourceInUseByAnotherResource": "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", "QUOTA_EXCEEDED": "QUOTA_EXCEEDED", "": "", "invalid": "INVALID",
	} {
		if got := upperSnake(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for in, want := range map[string]time.Duration{"5": 5 * time.Second, "": 0, "-1": 0, "99999": 0, "Fri, 31 Dec 1999 23:59:59 GMT": 0} {
		if got := retryAfter(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
