package server_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/server"
	"github.com/cbnet-io/cbnet/server/pki"
	"github.com/cbnet-io/cbnet/server/servertest"
)

// TestThrottle: only refusals count, each source by itself.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := server.NewThrottle()
		refuse := func(remote string, n int) {
			for range n {
				th.Refused(remote, time.Now())
			}
		}
		blocked := func(remote string) bool { return th.Wait(remote, time.Now()) > 0 }
		refuse("192.0.2.1:1000", 19)
		if blocked("192.0.2.1:2000") {
			t.Error("blocked after 19 refusals")
		}
		refuse("[::ffff:192.0.2.1]:1000", 1)
		if !blocked("192.0.2.1:2000") {
			t.Error("not blocked after 20 refusals")
		}
		if blocked("192.0.2.2:1000") {
			t.Error("a neighbour is blocked")
		}
		<-time.After(3 * time.Second)
		if blocked("192.0.2.1:2000") {
			t.Error("still blocked after 3 s")
		}
		refuse("192.0.2.1:1000", 1)
		if !blocked("192.0.2.1:2000") {
			t.Error("not blocked again")
		}
		refuse("[2001:db8::1]:1", 20)
		if !blocked("[2001:db8::ffff]:1") || blocked("[2001:db8:0:1::1]:1") {
			t.Error("a source in IPv6 is a /64")
		}
		refuse("no address", 20)
		if !blocked("none either") {
			t.Error("what has no address is not one source")
		}
	})
}

func TestThrottleIsBounded(t *testing.T) {
	th := server.NewThrottle()
	now := time.Now()
	for i := range 20_000 {
		th.Refused(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), now)
	}
	if n := th.Sources(); n > 4096 {
		t.Errorf("%d sources are remembered", n)
	}
}

// TestEnrolmentBruteForce: who guesses is made to wait, and told so; the log
// does not grow with the guesses. The administrator is not held up.
func TestEnrolmentBruteForce(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	tok, _, err := s.PKI.Invite(t.Context(), pki.Invitation{Node: "shop-web-1"})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := s.Client(api.WithRetry(0))
	guess := enrol(t, identity.Token{Node: tok.Node, Secret: "guess"}, key)
	last := 0
	for range 60 {
		_, err := client.Enroll(t.Context(), guess)
		last = status(err)
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the last guess: %d, want 429", last)
	}
	if n := strings.Count(s.Log.String(), "enrolment refused"); n > 30 {
		t.Errorf("%d lines in the log", n)
	}
	if _, err := client.ListMCIS(t.Context()); err != nil {
		t.Errorf("the administrator: %v", err)
	}
}

// TestOpenPathsAreExact: nothing passes without a token by a path that only
// looks like an open one.
func TestOpenPathsAreExact(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	c := raw(t, s)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{
		"/v1/download/", "/v1/download/../mcis", "/v1/download/..%2fmcis", "/v1/download/%2e%2e/mcis", "/v1/download/audit.log",
		"/v1/download/cbnetd-linux-amd64/../../mcis", "//v1/download/cbnetd-linux-amd64", "/v1//enroll", "/v1/enroll/", "/v1/mcis/../download/cbnetd-linux-amd64",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, body := call(t, c, request(t, method, s.Context.URL+path, "", nil))
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s: %d, want 401: %.80s", method, path, resp.StatusCode, body)
			}
		}
	}
	resp, body := call(t, c, request(t, http.MethodGet, s.Context.URL+"/v1/download/"+server.DownloadName, "", nil))
	if resp.StatusCode != http.StatusOK || body != "the daemon" {
		t.Errorf("the daemon: %d %q", resp.StatusCode, body)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
