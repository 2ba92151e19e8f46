package azure_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/azure"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
)

const credentialsFile = `{"clientId": "c", "clientSecret": "hidden", "tenantId": "t", "subscriptionId": "6f2a1c1e-0000-4000-8000-000000000001"}`

// answering returns a driver of a server that gives a token to everyone and
// answers all else alike, and the number of other requests it got.
func answering(t *testing.T, h http.HandlerFunc) (*azure.Driver, func() int) {
	t.Helper()
	requests := make(chan struct{}, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			// Go asks again by itself when a connection that it used before is
			// reset: the next request has one of its own.
			w.Header().Set("Connection", "close")
			io.WriteString(w, `{"access_token": "x", "expires_in": 3600}`)
			return
		}
		requests <- struct{}{}
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	d := newDriver(t, azure.Config{Endpoint: srv.URL, Credentials: []byte(credentialsFile), Poll: time.Millisecond})
	return d, func() int { return len(requests) }
}

func TestErrorClasses(t *testing.T) {
	for _, tc := range []struct {
		status  int
		code    string
		message string
		want    error
	}{
		{429, "TooManyRequests", "", cloud.ErrThrottled},
		{429, "Novel", "", cloud.ErrThrottled},
		{429, "RetryableError", "", cloud.ErrUnavailable},
		{409, "AnotherOperationInProgress", "", cloud.ErrUnavailable},
		{409, "ResourceGroupBeingDeleted", "", cloud.ErrUnavailable},
		{409, "OperationNotAllowed", "exceeding approved Total Regional Cores quota", cloud.ErrQuota},
		{409, "OperationNotAllowed", "the VM is marked for deletion", cloud.ErrInUse},
		{409, "QuotaExceeded", "", cloud.ErrQuota},
		{400, "PublicIPCountLimitReached", "", cloud.ErrQuota},
		{409, "SkuNotAvailable", "", cloud.ErrCapacity},
		{409, "ZonalAllocationFailed", "", cloud.ErrCapacity},
		{404, "ResourceNotFound", "", cloud.ErrNotFound},
		{404, "ResourceGroupNotFound", "", cloud.ErrNotFound},
		{400, "InvalidResourceReference", "", cloud.ErrNotFound},
		{404, "PlatformImageNotFound", "", cloud.ErrInvalid},
		{404, "SubscriptionNotFound", "", cloud.ErrAuth},
		{400, "InUseSubnetCannotBeDeleted", "", cloud.ErrInUse},
		{400, "NicReservedForAnotherVm", "", cloud.ErrInUse},
		{400, "PrivateIPAddressIsAllocated", "", cloud.ErrConflict},
		{412, "PreconditionFailed", "", cloud.ErrConflict},
		{409, "PropertyChangeNotAllowed", "", cloud.ErrConflict},
		{401, "ExpiredAuthenticationToken", "", cloud.ErrAuth},
		{403, "AuthorizationFailed", "", cloud.ErrAuth},
		{403, "RequestDisallowedByPolicy", "", cloud.ErrAuth},
		{400, "InvalidParameter", "", cloud.ErrInvalid},
		{400, "Novel", "", cloud.ErrInvalid},
		{500, "InternalServerError", "", cloud.ErrUnavailable},
		{502, "Novel", "", cloud.ErrUnavailable},
		{409, "Novel", "", nil},
	} {
		t.Run(fmt.Sprint(tc.status, tc.code), func(t *testing.T) {
			message := tc.message
			if message == "" {
				message = "text"
			}
			d, requests := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3")
				w.Header().Set("X-Ms-Request-Id", "r-1")
				w.WriteHeader(tc.status)
				fmt.Fprintf(w, `{"error": {"code": %q, "message": %q, "details": [{"code": "Inner", "message": "more"}]}}`, tc.code, message)
			})
			_, err := d.Regions(t.Context())
			var e *cloud.APIError
			if !errors.As(err, &e) {
				t.Fatalf("%v is no APIError", err)
			}
			if e.Class != tc.want || e.Code != tc.code || e.Status != tc.status || e.Message != message+" (Inner: more)" ||
				e.RequestID != "r-1" || e.After != 3*time.Second || e.Op != "GET locations" {
				t.Errorf("got %+v, want class %v", e, tc.want)
			}
			if n := requests(); n != 1 {
				t.Errorf("%d requests, want one: the SDK must not repeat", n)
			}
		})
	}
}

func TestForeignAnswers(t *testing.T) {
	cloudtest.ForeignAnswers(t, `{"value": [`, func(t *testing.T, h http.HandlerFunc) error {
		d, _ := answering(t, h)
		_, err := d.Regions(t.Context())
		return err
	})
	for name, h := range map[string]http.HandlerFunc{
		"a proxy's 404": func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
		"no list":       func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"value": {}}`) },
	} {
		d, requests := answering(t, h)
		if _, err := d.Regions(t.Context()); !errors.Is(err, cloud.ErrUnavailable) || requests() != 1 {
			t.Errorf("%s: got %v after %d requests, want ErrUnavailable after one", name, err, requests())
		}
	}
	d := newDriver(t, azure.Config{Endpoint: "http://127.0.0.1:1", Credentials: []byte(credentialsFile)})
	if _, err := d.Regions(t.Context()); !errors.Is(err, cloud.ErrUnavailable) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("refused connection: got %v, want ErrUnavailable and no secret", err)
	}
}

// TestEmptyAnswers asserts that a success that says nothing is no success.
func TestEmptyAnswers(t *testing.T) {
	for _, kind := range []string{"resourcegroups", "networkSecurityGroups", "virtualNetworks"} {
		d, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodGet:
				w.WriteHeader(http.StatusNotFound)
				io.WriteString(w, `{"error": {"code": "ResourceNotFound", "message": "no"}}`)
			case strings.Contains(r.URL.Path, "/"+kind+"/") && (kind != "resourcegroups" || !strings.Contains(r.URL.Path, "/providers/")):
				io.WriteString(w, "{}")
			default:
				io.WriteString(w, `{"id": "x", "properties": {"provisioningState": "Succeeded"}}`)
			}
		})
		_, err := d.EnsureNetwork(t.Context(), cloud.NetworkSpec{
			Owner: cloud.Owner{Mesh: "m", MCIS: "i"}, Region: "r", Name: "n", CIDR: netip.MustParsePrefix("10.0.0.0/24"),
		})
		if !errors.Is(err, cloud.ErrUnavailable) || !strings.Contains(strings.ToLower(err.Error()), "put "+strings.ToLower(kind)) {
			t.Errorf("%s: got %v, want ErrUnavailable", kind, err)
		}
	}
}

// TestTokenRefused asserts what becomes of the answers of the token endpoint.
func TestTokenRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   error
		code   string
	}{
		{"wrong secret", 401, `{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret.\r\nTrace ID: 1"}`, cloud.ErrAuth, "invalid_client"},
		{"unknown tenant", 400, `{"error": "invalid_request", "error_description": "AADSTS90002: Tenant 't' not found."}`, cloud.ErrAuth, "invalid_request"},
		{"throttled", 429, `{"error": "temporarily_unavailable", "error_description": "AADSTS90025: busy"}`, cloud.ErrThrottled, "temporarily_unavailable"},
		{"broken", 503, `{"error": "server_error", "error_description": "x"}`, cloud.ErrUnavailable, "server_error"},
		{"a proxy's page", 404, `<html>`, cloud.ErrUnavailable, ""},
		{"no token", 200, `{}`, cloud.ErrUnavailable, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			}))
			defer srv.Close()
			d := newDriver(t, azure.Config{Endpoint: srv.URL, Credentials: []byte(credentialsFile)})
			_, err := d.Regions(t.Context())
			var e *cloud.APIError
			if !errors.As(err, &e) || !errors.Is(err, tc.want) || e.Code != tc.code || e.Status != tc.status || e.Op != "POST /oauth2/v2.0/token" {
				t.Errorf("got %v, %+v, want %v", err, e, tc.want)
			}
			if strings.Contains(err.Error(), "Trace ID") || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%v says too much", err)
			}
		})
	}
}
