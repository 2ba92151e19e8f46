package cloudtest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

// ForeignAnswers gives a driver that lists something answers that are not its
// cloud's: lost, cut, a proxy's. Each may hide that a call has taken effect, and
// none may pass for an empty list, so all are [cloud.ErrUnavailable], and an
// [cloud.APIError]. begin is how the body of the right answer begins. list makes
// one request to a driver whose cloud is h; the driver must not repeat it.
func ForeignAnswers(t *testing.T, begin string, list func(t *testing.T, h http.HandlerFunc) error) {
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json") // which some SDKs believe
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body) // the driver may have gone
		}
	}
	for _, tc := range []struct {
		name string
		h    http.HandlerFunc
	}{
		{"reset", func(w http.ResponseWriter, _ *http.Request) { raw(w, "") }},
		{"closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"cut in the body", func(w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"+begin)
		}},
		{"ends in the body", text(http.StatusOK, begin)},
		{"not HTTP", func(w http.ResponseWriter, _ *http.Request) { raw(w, "hello\r\n\r\n") }},
		{"nothing", text(http.StatusOK, "")},
		{"a word", text(http.StatusOK, "hello")},
		{"an empty object", text(http.StatusOK, "{}")},
		{"another's list", text(http.StatusOK, `{"entries": []}`)},
		{"a proxy's page", text(http.StatusOK, "<html>Welcome</html>")},
		{"a proxy's error", text(http.StatusBadGateway, "<html>bad gateway</html>")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var requests atomic.Int32
			err := list(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				tc.h(w, r)
			})
			var e *cloud.APIError
			if !errors.Is(err, cloud.ErrUnavailable) || !errors.As(err, &e) {
				t.Errorf("got %v, want ErrUnavailable and an APIError", err)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests, want one: the SDK must not repeat", n)
			}
		})
	}
}

// raw answers with bytes, none of which is a connection that is reset, and closes
// the connection.
func raw(w http.ResponseWriter, text string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // the test's server has HTTP/1 alone
	}
	defer c.Close()
	if tcp, ok := c.(*net.TCPConn); ok && text == "" {
		_ = tcp.SetLinger(0) // else it ends without a reset, as "closed" does
	}
	_, _ = io.WriteString(c, text) // the driver may have gone
}
