package pki_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/server/pki"
	"github.com/cbnet-io/cbnet/server/servertest"
)

// office is a registry with its store, clock, log and audit file.
type office struct {
	*pki.Service
	store *servertest.Store
	clock *clock
	log   *syncBuffer
	audit string
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func open(t *testing.T, store *servertest.Store) *office {
	t.Helper()
	o := &office{store: store, clock: &clock{now: time.Now()}, log: &syncBuffer{}, audit: filepath.Join(t.TempDir(), "audit.log")}
	svc, err := pki.Open(t.Context(), store, pki.Config{
		URL: "https://192.0.2.1:7443", Introducers: []string{"192.0.2.1:7950"}, AuditFile: o.audit,
		Log: slog.New(slog.NewTextHandler(o.log, nil)), Now: o.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Service = svc
	t.Cleanup(func() {
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t *testing.T, key ed25519.PrivateKey, node string) []byte {
	t.Helper()
	der, err := identity.SigningRequest(key, node)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func invite(t *testing.T, o *office, node string) identity.Token {
	t.Helper()
	tok, _, err := o.Invite(t.Context(), pki.Invitation{Node: node, Groups: []string{"shop"}})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestEnroll(t *testing.T) {
	o := open(t, &servertest.Store{})
	tok := invite(t, o, "web-1")
	if bytes.Contains(o.store.Dump(), []byte(tok.Secret)) {
		t.Error("the token's secret is in the store")
	}
	key := newKey(t)
	first, err := o.Enroll(t.Context(), tok.Secret, request(t, key, "web-1"), "198.51.100.7:1234")
	if err != nil {
		t.Fatal(err)
	}
	g, err := o.Roots().Verify(first.Certificate, o.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if g.Node != "web-1" || g.IP != netip.MustParseAddr("10.66.0.1") || len(g.Groups) != 1 {
		t.Errorf("grant = %+v", g)
	}
	if life := first.Certificate.NotAfter.Sub(o.clock.Now()); life < 29*24*time.Hour || life > 31*24*time.Hour {
		t.Errorf("certificate lasts %s, want 30 days", life)
	}

	t.Run("the same key gets the same certificate again", func(t *testing.T) {
		again, err := o.Enroll(t.Context(), tok.Secret, request(t, key, "web-1"), "198.51.100.7:1235")
		if err != nil {
			t.Fatal(err)
		}
		if !again.Certificate.Equal(first.Certificate) {
			t.Error("another certificate")
		}
	})
	t.Run("another key is refused, audited and logged", func(t *testing.T) {
		_, err := o.Enroll(t.Context(), tok.Secret, request(t, newKey(t), "web-1"), "203.0.113.9:99")
		if !errors.Is(err, pki.ErrRefused) {
			t.Fatalf("err = %v, want ErrRefused", err)
		}
		log, err := o.AuditLog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last := log[len(log)-1]
		if last.Outcome != pki.Refused || last.Node != "web-1" || last.Remote != "203.0.113.9:99" || !strings.Contains(last.Detail, "another key") {
			t.Errorf("audit entry = %+v", last)
		}
		if !strings.Contains(o.log.String(), "enrolment refused") || !strings.Contains(o.log.String(), "203.0.113.9:99") {
			t.Errorf("log = %s", o.log)
		}
		file, err := os.ReadFile(o.audit)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(file)), "\n")
		var e pki.Entry
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil || e.Detail != last.Detail {
			t.Errorf("last line of the audit file = %+v, %v", e, err)
		}
	})
	t.Run("a closed token", func(t *testing.T) {
		if err := o.CloseToken(t.Context(), "web-1"); err != nil {
			t.Fatal(err)
		}
		_, err := o.Enroll(t.Context(), tok.Secret, request(t, key, "web-1"), "")
		if !errors.Is(err, pki.ErrRefused) {
			t.Errorf("err = %v, want ErrRefused", err)
		}
	})
	if strings.Contains(o.log.String(), tok.Secret) {
		t.Error("the secret is in the log")
	}
}

func TestEnrollRefuses(t *testing.T) {
	o := open(t, &servertest.Store{})
	tok := invite(t, o, "web-1")
	other := invite(t, o, "web-2")
	tests := []struct {
		name   string
		secret string
		csr    []byte
		want   error
	}{
		{"wrong secret", "wrong", request(t, newKey(t), "web-1"), pki.ErrRefused},
		{"empty secret", "", request(t, newKey(t), "web-1"), pki.ErrRefused},
		{"unknown node", tok.Secret, request(t, newKey(t), "nobody"), pki.ErrRefused},
		{"another node's secret", other.Secret, request(t, newKey(t), "web-1"), pki.ErrRefused},
		{"not a signing request", tok.Secret, []byte("x"), pki.ErrRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := o.Enroll(t.Context(), tt.secret, tt.csr, ""); !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("expired, and extended", func(t *testing.T) {
		csr := request(t, newKey(t), "web-1")
		o.clock.Add(pki.TokenValidity + time.Minute)
		if _, err := o.Enroll(t.Context(), tok.Secret, csr, ""); !errors.Is(err, pki.ErrRefused) {
			t.Errorf("err = %v, want ErrRefused", err)
		}
		if err := o.Extend(t.Context(), "web-1"); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Enroll(t.Context(), tok.Secret, csr, ""); err != nil {
			t.Error(err)
		}
	})
}

func TestRemoveRevokes(t *testing.T) {
	store := &servertest.Store{}
	o := open(t, store)
	tok := invite(t, o, "web-1")
	key := newKey(t)
	got, err := o.Enroll(t.Context(), tok.Secret, request(t, key, "web-1"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Remove(t.Context(), "web-1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-o.Revoked():
	default:
		t.Error("nobody was told")
	}
	if _, err := o.Roots().Verify(got.Certificate, o.clock.Now()); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("verify: %v, want ErrRevoked", err)
	}
	if _, err := o.Enroll(t.Context(), tok.Secret, request(t, key, "web-1"), ""); !errors.Is(err, pki.ErrRefused) {
		t.Errorf("enrol: %v, want ErrRefused", err)
	}
	if _, err := o.Renew(t.Context(), got.Certificate.Raw, request(t, key, "web-1"), ""); !errors.Is(err, pki.ErrRefused) {
		t.Errorf("renew: %v, want ErrRefused", err)
	}
	if err := o.Remove(t.Context(), "web-1"); err != nil {
		t.Errorf("again: %v", err)
	}
	_, ip, err := o.Invite(t.Context(), pki.Invitation{Node: "web-2"})
	if err != nil || ip != netip.MustParseAddr("10.66.0.1") {
		t.Errorf("the next node has %v, %v; want the address that became free", ip, err)
	}
	again := open(t, store)
	if !again.Roots().Revoked(got.Certificate) {
		t.Error("the list did not survive a restart")
	}
}

func TestInviteAgainVoidsTheOld(t *testing.T) {
	o := open(t, &servertest.Store{})
	old := invite(t, o, "web-1")
	got, err := o.Enroll(t.Context(), old.Secret, request(t, newKey(t), "web-1"), "")
	if err != nil {
		t.Fatal(err)
	}
	tok, ip, err := o.Invite(t.Context(), pki.Invitation{Node: "web-1"})
	if err != nil {
		t.Fatal(err)
	}
	if ip != netip.MustParseAddr("10.66.0.1") {
		t.Errorf("ip = %s, want the one it had", ip)
	}
	if !o.Roots().Revoked(got.Certificate) {
		t.Error("the old certificate is not revoked")
	}
	if _, err := o.Enroll(t.Context(), old.Secret, request(t, newKey(t), "web-1"), ""); !errors.Is(err, pki.ErrRefused) {
		t.Errorf("old token: %v, want ErrRefused", err)
	}
	if _, err := o.Enroll(t.Context(), tok.Secret, request(t, newKey(t), "web-1"), ""); err != nil {
		t.Errorf("new token: %v", err)
	}
}

func TestRenew(t *testing.T) {
	o := open(t, &servertest.Store{})
	tok := invite(t, o, "web-1")
	key := newKey(t)
	first, err := o.Enroll(t.Context(), tok.Secret, request(t, key, "web-1"), "")
	if err != nil {
		t.Fatal(err)
	}
	renew := func(cert *x509.Certificate, key ed25519.PrivateKey) (*x509.Certificate, error) {
		got, err := o.Renew(t.Context(), cert.Raw, request(t, key, "web-1"), "")
		return got.Certificate, err
	}
	if got, err := renew(first.Certificate, key); err != nil || !got.Equal(first.Certificate) {
		t.Errorf("too early: %v, want the same certificate", err)
	}
	o.clock.Add(pki.RenewAfter + time.Hour)
	second, err := renew(first.Certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	if !second.NotAfter.After(first.Certificate.NotAfter) {
		t.Error("the new certificate lasts no longer")
	}
	if again, err := renew(first.Certificate, key); err != nil || !again.Equal(second) {
		t.Errorf("asked again: %v, want the same new certificate", err)
	}
	if _, err := renew(second, newKey(t)); !errors.Is(err, pki.ErrRefused) {
		t.Errorf("another key: %v, want ErrRefused", err)
	}
	o.clock.Add(40 * 24 * time.Hour)
	if _, err := renew(second, key); !errors.Is(err, pki.ErrRefused) {
		t.Errorf("expired: %v, want ErrRefused", err)
	}
}

func TestAddressesAtTheSameTime(t *testing.T) {
	store := &servertest.Store{}
	offices := []*office{open(t, store), open(t, store)} // two servers on one store
	const nodes = 40
	ips := make([]netip.Addr, nodes)
	var wg sync.WaitGroup
	slice := netip.MustParsePrefix("10.66.8.0/24")
	for i := range nodes {
		wg.Go(func() {
			var err error
			name := "n" + strings.Repeat("x", i)
			if _, ips[i], err = offices[i%2].Invite(t.Context(), pki.Invitation{Node: name, Slice: slice}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := make(map[netip.Addr]bool)
	for _, ip := range ips {
		if seen[ip] || !slice.Contains(ip) {
			t.Errorf("address %s: given twice, or outside %s", ip, slice)
		}
		seen[ip] = true
	}
}

func TestSlices(t *testing.T) {
	o := open(t, &servertest.Store{})
	tests := []struct{ name, slice, want string }{
		{"from the slice", "10.66.8.0/24", "10.66.8.1"},
		{"outside the mesh", "10.67.0.0/24", ""},
		{"wider than the mesh", "10.0.0.0/8", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, ip, err := o.Invite(t.Context(), pki.Invitation{Node: "a", Slice: netip.MustParsePrefix(tt.slice)})
			if tt.want == "" && err == nil {
				t.Errorf("got %s, want an error", ip)
			}
			if tt.want != "" && (err != nil || ip.String() != tt.want) {
				t.Errorf("got %s, %v, want %s", ip, err, tt.want)
			}
		})
	}
	t.Run("the server's role cannot be given away", func(t *testing.T) {
		if _, _, err := o.Invite(t.Context(), pki.Invitation{Node: "b", Roles: []identity.Role{identity.RoleServer}}); err == nil {
			t.Error("no error")
		}
	})
}

func TestRestartKeepsCA(t *testing.T) {
	store := &servertest.Store{}
	a := open(t, store)
	b := open(t, store)
	if !a.CACertificate().Equal(b.CACertificate()) || a.UID() != b.UID() {
		t.Error("another CA after a restart")
	}
	if bytes.Contains(store.Dump(), []byte("PRIVATE KEY")) {
		t.Error("the CA's key lies open in the store")
	}
	if _, err := pki.Open(t.Context(), store, pki.Config{Mesh: "other"}); err == nil {
		t.Error("another mesh name was taken")
	}
	if _, err := pki.Open(t.Context(), store, pki.Config{CIDR: netip.MustParsePrefix("10.99.0.0/16")}); err == nil {
		t.Error("another prefix was taken")
	}
}

func TestAdmin(t *testing.T) {
	store := &servertest.Store{}
	o := open(t, store)
	if _, err := o.EnsureAdmin(t.Context(), func(string) error { return errors.New("disk full") }); err == nil {
		t.Fatal("an administrator whose token nobody has")
	}
	var token string
	keep := func(s string) error { token = s; return nil }
	admin, err := o.EnsureAdmin(t.Context(), keep)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(store.Dump(), []byte(token)) {
		t.Error("the token is in the store")
	}
	again, err := open(t, store).EnsureAdmin(t.Context(), func(string) error { t.Error("a second token was made"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*pki.Admin{admin, again} {
		if !a.Check(token) || a.Check(token+"x") || a.Check("") {
			t.Error("the token is not told from others")
		}
	}
}

func TestOwnNode(t *testing.T) {
	o := open(t, &servertest.Store{})
	key := newKey(t)
	pub := key.Public().(ed25519.PublicKey)
	g := identity.Grant{Node: "server", Roles: []identity.Role{identity.RoleServer, identity.RoleIntroducer}}
	first, err := o.IssueOwn(t.Context(), pub, g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := o.Roots().Verify(first, o.clock.Now())
	if err != nil || got.IP != netip.MustParseAddr("10.66.0.1") || !got.Has(identity.RoleServer) {
		t.Errorf("grant %+v, %v", got, err)
	}
	if _, _, err := o.Invite(t.Context(), pki.Invitation{Node: "server"}); !errors.Is(err, pki.ErrOwn) {
		t.Errorf("invite: %v, want ErrOwn", err)
	}
	if err := o.Remove(t.Context(), "server"); !errors.Is(err, pki.ErrOwn) {
		t.Errorf("remove: %v, want ErrOwn", err)
	}
	if again, err := o.IssueOwn(t.Context(), pub, g); err != nil || !again.Equal(first) {
		t.Errorf("again: %v, want the same certificate", err)
	}
	o.clock.Add(pki.RenewAfter + time.Hour)
	if later, err := o.IssueOwn(t.Context(), pub, g); err != nil || later.Equal(first) {
		t.Errorf("after ten days: %v, want a new certificate", err)
	}
	if _, err := o.IssueOwn(t.Context(), newKey(t).Public().(ed25519.PublicKey), g); err != nil {
		t.Fatal(err)
	}
	if !o.Roots().Revoked(first) {
		t.Error("the lost key is not revoked")
	}
}

func FuzzEnroll(f *testing.F) {
	svc, err := pki.Open(f.Context(), &servertest.Store{}, pki.Config{URL: "https://192.0.2.1:7443"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("secret", []byte{0x30, 0x82})
	f.Fuzz(func(t *testing.T, secret string, csr []byte) {
		if _, err := svc.Enroll(t.Context(), secret, csr, "fuzz"); err == nil {
			t.Error("admitted")
		}
	})
}
