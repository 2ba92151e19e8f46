package node_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/control"
)

func TestValidate(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		name string
		c    node.Config
		want []string // of one error each, all at once
	}{
		{name: "defaults", c: node.Config{Bundle: "x"}},
		{name: "all set", c: node.Config{Join: "-", State: "s", Socket: "/s", Interface: "a.b-c_1", Port: 65535, Introduce: ":7950",
			Advertise: []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}, Network: "aws/r/n"}},
		{name: "both", c: node.Config{Bundle: "x", Join: "y"}, want: []string{"--join: want either"}},
		{name: "many", c: node.Config{Bundle: "x", Interface: "a/b", Port: -1, Socket: "rel", Introduce: "host:1", Network: "a b",
			Advertise: []netip.Addr{addr("127.0.0.1"), addr("0.0.0.0")}},
			want: []string{"--interface: ", "--port: -1: want a port from 1 to 65535", "--socket: ", "--introduce: ", "--network: ",
				"--advertise: 127.0.0.1", "--advertise: 0.0.0.0"}},
		{name: "long interface", c: node.Config{Bundle: "x", Interface: strings.Repeat("a", 16)}, want: []string{"--interface: "}},
		{name: "too many addresses", c: node.Config{Bundle: "x", Advertise: make([]netip.Addr, 9)}, want: []string{"9 addresses: want at most 8"}},
		{name: "introduce without a port", c: node.Config{Bundle: "x", Introduce: "192.0.2.1"}, want: []string{"--introduce: "}},
		{name: "network that no record takes", c: node.Config{Bundle: "x", Network: "aws/서울"}, want: []string{"--network: "}},
		{name: "introduce on port 0", c: node.Config{Bundle: "x", Introduce: ":0"}, want: []string{"--introduce: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.c.Validate()
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatalf("Validate: %v", err)
				}
				return
			}
			if _, ok := errors.AsType[*node.InputError](err); !ok {
				t.Fatalf("Validate: %v, want an InputError", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Validate: %v\nwant %q in it", err, want)
				}
			}
			if _, err := node.New(tt.c, nil); err == nil {
				t.Error("New: no error")
			}
		})
	}
}

func TestCheck(t *testing.T) {
	l, other := newLab(t), newLab(t)
	save := func(b *identity.Bundle, name string) string {
		if err := b.Save(l.path(name)); err != nil {
			t.Fatal(err)
		}
		return l.path(name)
	}
	write := func(name, text string) string {
		if err := os.WriteFile(l.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return l.path(name)
	}
	now := time.Now()
	mixed := l.bundle("a", now, time.Hour)
	mixed.CAs = other.bundle("b", now, time.Hour).CAs
	token, err := identity.Token{URL: "https://192.0.2.1:7443", CAHash: [32]byte{1}, Node: "a", Secret: "x"}.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		c     node.Config
		stdin string
		want  string // in the line, or
		bad   string // in the error
		input bool   // the error is an InputError
	}{
		{name: "bundle", c: node.Config{Bundle: save(l.bundle("a", now, time.Hour), "good")}, want: "node a of mesh m"},
		{name: "introducer", c: node.Config{Bundle: save(l.bundle("a", now, time.Hour, identity.RoleIntroducer), "intro"), Introduce: ":7950"}, want: "node a of mesh m"},
		{name: "no introducer", c: node.Config{Bundle: l.path("good"), Introduce: ":7950"}, bad: "lacks the role introducer", input: true},
		{name: "no bundle", c: node.Config{Bundle: l.path("none")}, bad: "no such file", input: true},
		{name: "no JSON", c: node.Config{Bundle: write("text", "hello")}, bad: "want JSON", input: true},
		{name: "field", c: node.Config{Bundle: write("field", `{"format":1,"certificate":"x"}`)}, bad: "field certificate", input: true},
		{name: "another mesh's authority", c: node.Config{Bundle: save(mixed, "mixed")}, bad: "field certificate", input: true},
		{name: "expired", c: node.Config{Bundle: save(l.bundle("a", now.Add(-3*time.Hour), time.Hour), "old")}, bad: "clock says"},
		{name: "nothing given", c: node.Config{}, bad: "want --bundle FILE or --join FILE", input: true},
		{name: "token", c: node.Config{Join: write("token", token+"\n")}, want: "node a would enrol at https://192.0.2.1:7443"},
		{name: "token on stdin", c: node.Config{Join: "-"}, stdin: token, want: "node a would enrol"},
		{name: "no token", c: node.Config{Join: l.path("none")}, bad: "no such file", input: true},
		{name: "cut token", c: node.Config{Join: write("cut", token[:30])}, bad: "cut short or mistyped", input: true},
		{name: "not a token", c: node.Config{Join: l.path("text")}, bad: "want one that starts with cb1.", input: true},
		{name: "huge token", c: node.Config{Join: "-"}, stdin: strings.Repeat("x", 1<<20), bad: "too large", input: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.State = l.path("state")
			n := newNode(t, tt.c)
			n.Use(node.Fakes{Stdin: strings.NewReader(tt.stdin)})
			line, err := n.Check()
			if tt.want != "" && (err != nil || !strings.Contains(line, tt.want)) {
				t.Errorf("Check: %q, %v; want %q", line, err, tt.want)
			}
			if tt.bad != "" && (err == nil || !strings.Contains(err.Error(), tt.bad) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("Check: %v; want one line with %q", err, tt.bad)
			}
			if _, input := errors.AsType[*node.InputError](err); input != tt.input {
				t.Errorf("Check: %v; an InputError: %v, want %v", err, input, tt.input)
			}
			if _, err := os.Stat(tt.c.State); err == nil {
				t.Error("the state folder was made")
			}
		})
	}
}

// enroller is a control plane that certifies every key. What it issues first is
// due for renewal at once.
func enroller(t *testing.T, l *lab) (token string) {
	t.Helper()
	first := true
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req api.EnrollRequest // a renewal's has the CSR in the same field
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		pub, name, err := identity.ParseSigningRequest(req.CSR)
		if err != nil {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		begin := time.Now()
		if first && r.URL.Path == "/v1/enroll" { // a certificate that is due for renewal
			begin = begin.Add(-30 * time.Minute)
		}
		first = false
		cert, err := l.ca.Issue(pub, identity.Grant{Node: name, IP: l.ca.Mesh.CIDR.Addr().Next()}, begin, time.Hour)
		if err != nil {
			t.Errorf("issue: %v", err)
			return
		}
		json.NewEncoder(w).Encode(api.EnrollResponse{Format: 1, Certificate: cert.Raw, CAs: [][]byte{l.ca.Certificate.Raw}})
	}))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := l.ca.IssueServer(key.Public(), []string{"127.0.0.1"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw, l.ca.Certificate.Raw}, PrivateKey: key}}}
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	t.Cleanup(h.Close)
	text, err := identity.Token{URL: h.URL, CAHash: sha256.Sum256(l.ca.Certificate.Raw), Node: "a", Secret: "x"}.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestJoin(t *testing.T) {
	l := newLab(t)
	token := enroller(t, l)
	c := node.Config{Join: l.path("token"), State: l.path("state"), Socket: l.path("sock"), Interface: "cbt0", Port: 40000}
	if err := os.WriteFile(c.Join, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	live := func(renewals int) {
		m, d := newFakeMesh(), &fakeDevice{}
		close(m.ready)
		n := newNode(t, c)
		ends := make(chan time.Time, 10) // of the certificates that meshes are made with
		n.Use(node.Fakes{Fabric: m, Device: d, Config: func(c mesh.Config) { ends <- c.Bundle.Certificate.NotAfter }})
		r := start(t, n, c)
		r.phase(control.PhaseRunning)
		for last := <-ends; renewals > 0; renewals-- {
			select {
			case next := <-ends:
				if !next.After(last) {
					t.Errorf("renewed until %v, was %v", next, last)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the certificate was not renewed")
			}
		}
		r.phase(control.PhaseRunning)
		if s, err := r.c.Status(t.Context()); err != nil || s.Name != "a" || s.Mesh != "m" {
			t.Errorf("status: %+v, %v", s, err)
		}
		r.cancel()
		if err := r.end(); err != nil || d.closed != 1 {
			t.Fatalf("Run: %v, device closed %d times; want no error and once", err, d.closed)
		}
	}
	live(1)
	if err := os.Remove(c.Join); err != nil {
		t.Fatal(err)
	}
	live(0) // without the token
	c.Join = ""
	live(0) // and without its flag

	other, err := identity.Token{URL: "https://192.0.2.1:7443", CAHash: [32]byte{1}, Node: "b", Secret: "x"}.Text()
	if err != nil {
		t.Fatal(err)
	}
	c.Join = l.path("token")
	if err := os.WriteFile(c.Join, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newNode(t, c).Check(); err == nil || !strings.Contains(err.Error(), "was enrolled as a of mesh m") {
		t.Errorf("a token for another node: %v, want a refusal", err)
	}
}

// The socket answers while the server does not.
func TestSocketDuringEnrolment(t *testing.T) {
	l := newLab(t)
	token, err := identity.Token{URL: "https://127.0.0.1:1", CAHash: [32]byte{1}, Node: "a", Secret: "x"}.Text()
	if err != nil {
		t.Fatal(err)
	}
	c := node.Config{Join: "-", State: l.path("state"), Socket: l.path("sock"), Interface: "cbt0", Port: 40000}
	n := newNode(t, c)
	n.Use(node.Fakes{Stdin: strings.NewReader(token)})
	r := start(t, n, c)
	r.phase(control.PhaseEnrolling)
	if s, err := r.c.Status(t.Context()); err != nil || s.Name != "a" || s.IP != "" {
		t.Errorf("status: %+v, %v", s, err)
	}
	if peers, err := r.c.Peers(t.Context()); err != nil || len(peers) != 0 {
		t.Errorf("peers: %v, %v", peers, err)
	}
	err = r.c.Leave(t.Context())
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Status != http.StatusServiceUnavailable {
		t.Errorf("leave: %v, want 503", err)
	}
	r.cancel()
	if err := r.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A host that starts with its clock behind has a certificate that is not valid
// yet. It must not ask the server for another: that may be away, and the clock
// will be set.
func TestClockBehindKeepsTheEnrolment(t *testing.T) {
	l := newLab(t)
	c := node.Config{Join: l.path("token"), State: l.path("state"), Socket: l.path("sock"), Interface: "cbt0", Port: 40000}
	if err := os.Mkdir(c.State, 0o700); err != nil {
		t.Fatal(err)
	}
	b := l.bundle("a", time.Now().Add(3*time.Hour), time.Hour)
	if err := b.Save(l.path("state/bundle.json")); err != nil {
		t.Fatal(err)
	}
	token, err := identity.Token{URL: "https://192.0.2.1:7443", CAHash: [32]byte{1}, Node: "a", Secret: "x"}.Text()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Join, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	line, err := newNode(t, c).Check()
	if !errors.Is(err, identity.ErrExpired) || !strings.Contains(err.Error(), "clock says") {
		t.Errorf("Check: %q, %v; want a word on the clock", line, err)
	}
	if _, input := errors.AsType[*node.InputError](err); input {
		t.Error("an InputError is for good: the daemon would not be started again")
	}
}
