package enroll_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/enroll"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a control plane that knows one token, as the real one treats it:
// the first key is bound, the same key gets the same certificate again.
type server struct {
	t     *testing.T
	ca    *identity.CA
	token identity.Token

	mu    sync.Mutex
	drop  int // answers to lose after the commit
	fail  int // answers with status 503
	say   int // answers with this status instead
	asked []ed25519.PublicKey
	cert  *x509.Certificate
	young bool // the certificate needs no renewal
}

func newServer(t *testing.T, hosts ...string) *server {
	t.Helper()
	m, err := identity.NewMesh("m", identity.DefaultCIDR)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.NewCA(m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, ca: ca}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1"}
	}
	cert, err := ca.IssueServer(key.Public(), hosts, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(s)
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw, ca.Certificate.Raw}, PrivateKey: key}}}
	h.StartTLS()
	t.Cleanup(h.Close)
	s.token = identity.Token{Format: 1, URL: h.URL, CAHash: sha256.Sum256(ca.Certificate.Raw), Node: "a", Secret: "s3cret"}
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/v1/renew" {
		s.renew(w, r)
		return
	}
	var req api.EnrollRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || r.URL.Path != "/v1/enroll" || req.Token != s.token.Secret {
		http.Error(w, "no", http.StatusNotFound)
		return
	}
	pub, node, err := identity.ParseSigningRequest(req.CSR)
	if err != nil || node != s.token.Node {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	s.asked = append(s.asked, pub)
	switch {
	case s.say != 0:
		w.WriteHeader(s.say)
		json.NewEncoder(w).Encode(api.Problem{Detail: "says the server"})
		return
	case s.fail > 0:
		s.fail--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case s.cert == nil:
		g := identity.Grant{Node: node, IP: s.ca.Mesh.CIDR.Addr().Next().Next()}
		if s.cert, err = s.ca.Issue(pub, g, time.Now(), time.Hour); err != nil {
			s.t.Errorf("issue: %v", err)
		}
	case !pub.Equal(s.cert.PublicKey):
		w.WriteHeader(http.StatusConflict)
		return
	}
	if s.drop > 0 {
		s.drop--
		panic(http.ErrAbortHandler)
	}
	json.NewEncoder(w).Encode(api.EnrollResponse{
		Format: 1, Certificate: s.cert.Raw, CAs: [][]byte{s.ca.Certificate.Raw}, Introducers: []string{"192.0.2.1:7950"},
	})
}

// renew gives the key of a certificate it knows a new one.
func (s *server) renew(w http.ResponseWriter, r *http.Request) {
	var req api.RenewRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || s.cert == nil || string(req.Certificate) != string(s.cert.Raw) {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	pub, node, err := identity.ParseSigningRequest(req.CSR)
	if err != nil || !pub.Equal(s.cert.PublicKey) {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	if !s.young {
		if s.cert, err = s.ca.Issue(pub, identity.Grant{Node: node, IP: s.ca.Mesh.CIDR.Addr().Next().Next()}, time.Now(), 2*time.Hour); err != nil {
			s.t.Errorf("issue: %v", err)
		}
	}
	json.NewEncoder(w).Encode(api.EnrollResponse{Format: 1, Certificate: s.cert.Raw, CAs: [][]byte{s.ca.Certificate.Raw}})
}

func (s *server) requests() []ed25519.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]ed25519.PublicKey(nil), s.asked...)
}

func run(t *testing.T, s *server, dir string) (*identity.Bundle, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return enroll.Run(ctx, enroll.Options{Token: s.token, Dir: dir, Pause: time.Millisecond})
}

func TestEnroll(t *testing.T) {
	s, dir := newServer(t), t.TempDir()
	b, err := run(t, s, dir)
	if err != nil {
		t.Fatal(err)
	}
	g, err := b.Grant(time.Now())
	if err != nil || g.Node != "a" || len(b.Introducers) != 1 {
		t.Errorf("bundle: grant %+v, %v, introducers %v", g, err, b.Introducers)
	}
	saved, err := enroll.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !saved.Key.Equal(b.Key) || !saved.Certificate.Equal(b.Certificate) {
		t.Error("the saved bundle differs from the one returned")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, f := range files {
		fi, err := os.Stat(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fi.Mode().Perm(), fs.FileMode(0o600); got != want {
			t.Errorf("mode of %s: %v, want %v", f.Name(), got, want)
		}
	}
}

func TestLoadWithoutBundle(t *testing.T) {
	if _, err := enroll.Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load: %v, want fs.ErrNotExist", err)
	}
}

func TestLostAnswerIsAskedForAgain(t *testing.T) {
	s, dir := newServer(t), t.TempDir()
	s.drop, s.fail = 2, 1
	b, err := run(t, s, dir)
	if err != nil {
		t.Fatal(err)
	}
	asked := s.requests()
	if got, want := len(asked), 4; got != want {
		t.Fatalf("requests: %d, want %d", got, want)
	}
	for i, pub := range asked {
		if !pub.Equal(b.Key.Public()) {
			t.Errorf("request %d was made with another key", i)
		}
	}
}

// A crash between the server's commit and the answer: the next start asks with
// the key that lies in the folder.
func TestCrashKeepsTheKey(t *testing.T) {
	s, dir := newServer(t), t.TempDir()
	s.drop = 1 << 30
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := enroll.Run(ctx, enroll.Options{Token: s.token, Dir: dir, Pause: time.Millisecond})
		ended <- err
	}()
	deadline := time.After(10 * time.Second)
	for len(s.requests()) == 0 {
		select {
		case <-deadline:
			t.Fatal("no request arrived")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("Run: %v, want context.Canceled", err)
	}
	s.mu.Lock()
	s.drop = 0
	s.mu.Unlock()
	b, err := run(t, s, dir)
	if err != nil {
		t.Fatal(err)
	}
	if !s.requests()[0].Equal(b.Key.Public()) {
		t.Error("the key changed over the crash")
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		want   string
	}{
		{"closed token", 403, "ask for a new one"},
		{"other key", 409, "used with another key"},
		{"bad request", 400, "says the server"},
		{"redirect", 307, "status 307"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			s.say = tt.status
			_, err := run(t, s, t.TempDir())
			if !errors.Is(err, enroll.ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run: %v, want ErrRefused and %q", err, tt.want)
			}
			if strings.Contains(err.Error(), s.token.Secret) {
				t.Error("the error tells the secret")
			}
			if got := len(s.requests()); got != 1 {
				t.Errorf("requests: %d, want 1", got)
			}
		})
	}
}

func TestSecondKeyIsRefused(t *testing.T) {
	s := newServer(t)
	if _, err := run(t, s, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, s, t.TempDir()); !errors.Is(err, enroll.ErrRefused) {
		t.Errorf("Run with another key: %v, want ErrRefused", err)
	}
}

func TestImpostorGetsNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server func(t *testing.T) *server
	}{
		{"another authority", func(t *testing.T) *server {
			s := newServer(t)
			s.token.CAHash[0] ^= 1
			return s
		}},
		{"another host's certificate", func(t *testing.T) *server { return newServer(t, "192.0.2.7") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := tt.server(t), t.TempDir()
			if _, err := run(t, s, dir); !errors.Is(err, enroll.ErrPin) {
				t.Errorf("Run: %v, want ErrPin", err)
			}
			if got := len(s.requests()); got != 0 {
				t.Errorf("requests that reached the impostor: %d, want 0", got)
			}
			if _, err := enroll.Load(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Load: %v, want no bundle", err)
			}
		})
	}
}

// A server that sends its leaf as the pinned certificate proves nothing: the
// leaf of a chain is never taken for an authority.
func TestLeafIsNoAuthority(t *testing.T) {
	s := newServer(t)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.token.URL, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	conn.Close()
	s.token.CAHash = sha256.Sum256(leaf.Raw)
	if _, err := run(t, s, t.TempDir()); !errors.Is(err, enroll.ErrPin) {
		t.Errorf("Run: %v, want ErrPin", err)
	}
}

func TestRenew(t *testing.T) {
	s, dir := newServer(t), t.TempDir()
	first, err := run(t, s, dir)
	if err != nil {
		t.Fatal(err)
	}
	if !enroll.Renewable(dir) || enroll.Renewable(t.TempDir()) {
		t.Error("Renewable does not tell who was enrolled")
	}
	s.young = true
	if b, err := enroll.Renew(t.Context(), dir, first); err != nil || b != first {
		t.Errorf("Renew of a young certificate: %v, %v; want the same bundle", b, err)
	}
	s.young = false
	second, err := enroll.Renew(t.Context(), dir, first)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := enroll.Load(dir)
	if err != nil || !saved.Certificate.Equal(second.Certificate) || !second.Certificate.NotAfter.After(first.Certificate.NotAfter) || !second.Key.Equal(first.Key) || len(saved.Introducers) != 1 {
		t.Errorf("renewed bundle: until %v, was %v; saved: %v", second.Certificate.NotAfter, first.Certificate.NotAfter, err)
	}
	if _, err := enroll.Renew(t.Context(), dir, first); !errors.Is(err, enroll.ErrRefused) {
		t.Errorf("Renew of an outdated certificate: %v, want ErrRefused", err)
	}
	file := filepath.Join(dir, enroll.BundleFile) // that cannot be replaced, as if the disk were full
	if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
		t.Fatal(err)
	}
	third, err := enroll.Renew(t.Context(), dir, second)
	if err == nil || third == nil || third.Certificate.Equal(second.Certificate) {
		t.Errorf("Renew that cannot be saved: %v, %v; want the bundle and an error", third, err)
	}
	if _, err := enroll.Renew(t.Context(), t.TempDir(), first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Renew without a server: %v, want fs.ErrNotExist", err)
	}
}

func TestRenewAt(t *testing.T) {
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := &x509.Certificate{NotBefore: issued.Add(-identity.Backdate), NotAfter: issued.Add(30 * 24 * time.Hour)}
	if got, want := enroll.RenewAt(c), issued.Add(10*24*time.Hour); !got.Equal(want) {
		t.Errorf("RenewAt: %v, want %v", got, want)
	}
}
