package api_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/api"
)

// serve answers with h and returns the context that reaches it.
func serve(t testing.TB, h http.Handler) api.Context {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return api.Context{URL: s.URL, CA: string(ca), Token: "hush"}
}

func client(t testing.TB, c api.Context, opts ...api.Option) *api.Client {
	t.Helper()
	cl, err := api.NewClient(c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestSecretIsHidden(t *testing.T) {
	spec := api.CloudSpec{Provider: "aws", Credentials: "hush"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "spec", spec, "secret", spec.Credentials)
	for _, s := range []string{log.String(), fmt.Sprint(spec), fmt.Sprintf("%v %+v %#v %s %q", spec, spec, spec, spec.Credentials, spec.Credentials)} {
		if strings.Contains(s, "hush") {
			t.Errorf("shown: %s", s)
		}
	}
	wire, err := json.Marshal(spec)
	if err != nil || !strings.Contains(string(wire), "hush") {
		t.Errorf("not on the wire: %s, %v", wire, err)
	}
}

func TestContext(t *testing.T) {
	good := serve(t, http.NotFoundHandler())
	good.Name, good.Format = "test", api.ContextFormat
	data, err := good.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := api.ParseContext(data)
	if err != nil || cmp.Diff(good, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(good, got))
	}
	tests := []struct {
		name string
		edit func(*api.Context)
		want string
	}{
		{"plain http", func(c *api.Context) { c.URL = "http://x:1" }, "only https"},
		{"no host", func(c *api.Context) { c.URL = "https://" }, "want https://HOST:PORT"},
		{"no CA", func(c *api.Context) { c.CA = "x" }, "no certificate"},
		{"no token", func(c *api.Context) { c.Token = "" }, "token: missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.edit(&c)
			data, err := c.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := api.ParseContext(data); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
	for name, text := range map[string]string{
		"not JSON": `{"token":"hush`, "wrong type": `{"format":1,"token":["hush"]}`, "later format": `{"format":2}`, "no format": `{}`,
		"too long": `{"token":"hush` + strings.Repeat("x", api.MaxContext),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := api.ParseContext([]byte(text)); err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func FuzzParseContext(f *testing.F) {
	f.Add([]byte(`{"format":1,"url":"https://127.0.0.1:7443","ca":"x","token":"t"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := api.ParseContext(data)
		if err != nil {
			return
		}
		again, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := api.ParseContext(again); err != nil || got != c {
			t.Errorf("%+v came back as %+v, %v", c, got, err)
		}
	})
}

func TestProblem(t *testing.T) {
	tests := []struct{ name, contentType, body, want string }{
		{"problem", "application/problem+json", `{"title":"T","detail":"D","errors":[{"message":"m","location":"f:1"},{"message":"n"}]}`, "D\nf:1: m\nn"},
		{"without a detail", "application/problem+json", `{"title":"T"}`, "T"},
		{"something else", "text/html", `<h1>`, "Bad Gateway"},
		{"broken", "application/problem+json", `{`, "Bad Gateway"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				w.WriteHeader(http.StatusBadGateway)
				fmt.Fprint(w, tt.body)
			})))
			_, err := c.Clouds(t.Context())
			p, ok := err.(*api.Problem)
			if !ok || p.Status != http.StatusBadGateway || err.Error() != tt.want {
				t.Errorf("err = %q, want %q", err, tt.want)
			}
		})
	}
}

func TestTokenDoesNotFollowRedirects(t *testing.T) {
	var leaked atomic.Bool
	other := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Store(true) }))
	c := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})), api.WithRetry(0))
	if _, err := c.Clouds(t.Context()); err == nil || leaked.Load() {
		t.Errorf("err = %v, leaked = %v", err, leaked.Load())
	}
}

func TestNamesAreEscaped(t *testing.T) {
	var path atomic.Value
	c := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path.Store(r.URL.EscapedPath())
		fmt.Fprint(w, "{}")
	})))
	if _, err := c.MCIS(t.Context(), "a/../b?x"); err != nil {
		t.Fatal(err)
	}
	if got := path.Load(); got != "/v1/mcis/a%2F..%2Fb%3Fx" {
		t.Errorf("path %v", got)
	}
}

// lossy cuts the connection instead of the first answers.
func lossy(n int32, calls *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) <= n {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "{}")
	})
}

func TestLostAnswers(t *testing.T) {
	t.Run("are asked for again", func(t *testing.T) {
		var calls atomic.Int32
		if _, err := client(t, serve(t, lossy(1, &calls))).Apply(t.Context(), api.SpecFile{}); err != nil || calls.Load() != 2 {
			t.Errorf("%d calls, %v", calls.Load(), err)
		}
	})
	t.Run("not for ever", func(t *testing.T) {
		var calls atomic.Int32
		if _, err := client(t, serve(t, lossy(99, &calls)), api.WithRetry(0)).Clouds(t.Context()); err == nil || calls.Load() != 1 {
			t.Errorf("%d calls, %v", calls.Load(), err)
		}
	})
	t.Run("but a command is run once", func(t *testing.T) {
		var calls atomic.Int32
		err := client(t, serve(t, lossy(99, &calls))).Exec(t.Context(), "x", api.ExecRequest{}, func(api.ExecOutput) error { return nil })
		if err == nil || calls.Load() != 1 {
			t.Errorf("%d calls, %v", calls.Load(), err)
		}
	})
}

func TestForeignServerIsNotTrusted(t *testing.T) {
	c := serve(t, http.NotFoundHandler())
	c.CA = someCA(t)
	start := time.Now()
	if _, err := client(t, c).Clouds(t.Context()); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("err = %v after %s, want a refusal at once", err, time.Since(start))
	}
}

// someCA makes an authority that has signed nothing.
func someCA(t testing.TB) string {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// answer is a transport that always answers with the same stream.
type answer []byte

// RoundTrip implements http.RoundTripper.
func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"text/event-stream"}},
		Body: io.NopCloser(bytes.NewReader(a)),
	}, nil
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("id: 1\ndata: {\"number\":1,\"done\":true}\n\n"))
	f.Add([]byte(":\n\ndata: {\n\n"))
	ca := someCA(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := api.NewClient(api.Context{URL: "https://192.0.2.1", CA: ca, Token: "t"}, api.WithRetry(0), api.WithTransport(answer(body)))
		if err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		// Any error will do; what counts is the order of what is handed out.
		_ = c.WatchMCIS(t.Context(), api.Run{Name: "x"}, func(e api.Event) error {
			if e.Number <= last {
				t.Errorf("event %d after %d", e.Number, last)
			}
			last = e.Number
			return nil
		})
	})
}
