package node_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/control"
)

// reissue returns another bundle with a key of an earlier one.
func (l *lab) reissue(b *identity.Bundle, from time.Time, change func(*identity.Grant)) *identity.Bundle {
	l.t.Helper()
	r, err := b.Roots()
	if err != nil {
		l.t.Fatal(err)
	}
	g, err := r.Verify(b.Certificate, b.Certificate.NotBefore.Add(2*time.Hour))
	if err != nil {
		l.t.Fatal(err)
	}
	if change != nil {
		change(&g)
	}
	cert, err := l.ca.Issue(b.Key.Public().(ed25519.PublicKey), g, from, 3*time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	again := *b
	again.Certificate = cert
	return &again
}

func marshal(t *testing.T, b *identity.Bundle) []byte {
	t.Helper()
	data, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// renewable is a node that runs on fakes, and what its meshes were made of.
type renewable struct {
	*running
	lab    *lab
	c      node.Config
	bundle *identity.Bundle
	made   chan mesh.Config
	log    *bytes.Buffer // read after Run alone
}

func startRenewable(t *testing.T, l *lab, c node.Config) *renewable {
	t.Helper()
	b, err := identity.LoadBundle(c.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	r := &renewable{lab: l, c: c, bundle: b, made: make(chan mesh.Config, 10), log: &bytes.Buffer{}}
	n, err := node.New(c, slog.New(slog.NewTextHandler(r.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	m := newFakeMesh()
	close(m.ready)
	n.Use(node.Fakes{Fabric: m, Device: &fakeDevice{}, Config: func(c mesh.Config) { r.made <- c }})
	r.running = start(t, n, c)
	r.phase(control.PhaseRunning)
	return r
}

func (r *renewable) stop() {
	r.t.Helper()
	r.cancel()
	if err := r.end(); err != nil {
		r.t.Fatal(err)
	}
}

func TestRenew(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	c.Bundle = l.path("a.bundle")
	r := startRenewable(t, l, c)
	first := <-r.made
	next := l.reissue(r.bundle, time.Now().Add(time.Second), func(g *identity.Grant) { g.Groups = []string{"web"} })
	done, err := r.running.c.Renew(t.Context(), marshal(t, next))
	if err != nil || !done.Changed || !done.Expires.Equal(next.Certificate.NotAfter) || len(done.Notes) != 1 || !strings.Contains(done.Notes[0], "groups: [web]") {
		t.Fatalf("%+v, %v", done, err)
	}
	second := <-r.made
	if !second.Bundle.Certificate.Equal(next.Certificate) || second.PrivateKey != first.PrivateKey || second.Device != first.Device {
		t.Error("the mesh goes on with another certificate, tunnel key or device than it should")
	}
	if s, err := r.running.c.Status(t.Context()); err != nil || s.Expires == nil || !s.Expires.Equal(next.Certificate.NotAfter) || s.Phase != control.PhaseRunning {
		t.Errorf("status: %+v, %v", s, err)
	}
	if done, err := r.running.c.Renew(t.Context(), marshal(t, next)); err != nil || done.Changed {
		t.Errorf("the same bundle again: %+v, %v; want no change", done, err)
	}
	r.stop()
	if n := strings.Count(r.log.String(), "joined the mesh"); n != 1 {
		t.Errorf("joined %d times, want once:\n%s", n, r.log)
	}

	// A restart uses the newer one, and says so; a bundle that is newer still wins.
	for _, tt := range []struct {
		name   string
		given  *identity.Bundle
		want   *identity.Bundle
		saying bool
	}{
		{"the file is the old one", r.bundle, next, true},
		{"the file is the same", next, next, false},
		{"the file is newer", l.reissue(r.bundle, time.Now().Add(5*time.Second), nil), nil, false},
		{"the file has expired", l.reissue(r.bundle, time.Now().Add(-5*time.Hour), nil), next, true},
		{"the file is another node's", l.bundle("b", time.Now().Add(-time.Minute), time.Hour), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.given.Save(c.Bundle); err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want == nil {
				want = tt.given
			}
			l.t = t
			again := startRenewable(t, l, c)
			if got := <-again.made; !got.Bundle.Certificate.Equal(want.Certificate) {
				t.Errorf("certificate %s, want %s", identity.SerialOf(got.Bundle.Certificate), identity.SerialOf(want.Certificate))
			}
			again.stop()
			if said := strings.Contains(again.log.String(), "newer than the given one"); said != tt.saying {
				t.Errorf("said: %v, want %v:\n%s", said, tt.saying, again.log)
			}
		})
	}
}

// What is refused changes nothing, here and on the disk.
func TestRenewRefuses(t *testing.T) {
	l, other := newLab(t), newLab(t)
	c := l.config("a")
	r := startRenewable(t, l, c)
	<-r.made
	now := time.Now()
	mine := func(change func(*identity.Grant)) *identity.Bundle {
		return l.reissue(r.bundle, now.Add(time.Second), change)
	}
	sibling, err := identity.NewCA(identity.Mesh{Format: 1, Name: "m", CIDR: l.ca.Mesh.CIDR, CIDR6: netip.MustParsePrefix("fd00:1::/64")}, now)
	if err != nil {
		t.Fatal(err)
	}
	namesake := &lab{t: t, ca: sibling, ip: l.ca.Mesh.CIDR.Addr()}
	stranger, err := identity.NewCA(l.ca.Mesh, now)
	if err != nil {
		t.Fatal(err)
	}
	mixed := *mine(nil)
	mixed.CAs = []*x509.Certificate{stranger.Certificate}
	keyless := *mine(nil)
	keyless.Key = other.bundle("a", now, time.Hour).Key
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "want JSON"},
		{"no JSON", []byte("SECRET"), "want JSON"},
		{"cut short", marshal(t, mine(nil))[:100], "is not JSON"},
		{"too large", bytes.Repeat([]byte("x"), control.MaxBundle+1), "too large"},
		{"of another node", marshal(t, l.bundle("b", now, time.Hour)), "of node b: this one is a"},
		{"of another mesh", marshal(t, other.bundle("a", now, time.Hour)), "field cas: an authority of mesh m (10."},
		{"of another mesh of that name and prefix", marshal(t, namesake.bundle("a", now, time.Hour)), "field cas: an authority of mesh m"},
		{"not signed by its authority", marshal(t, &mixed), "not signed by"},
		{"expired", marshal(t, l.reissue(r.bundle, now.Add(-4*time.Hour), nil)), "this host's clock says"},
		{"not yet valid", marshal(t, l.reissue(r.bundle, now.Add(5*time.Hour), nil)), "this host's clock says"},
		{"another address", marshal(t, mine(func(g *identity.Grant) { g.IP = g.IP.Next() })), "connections to it would break"},
		{"older", marshal(t, l.reissue(r.bundle, now.Add(-10*time.Minute), nil)), "before the one in use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.running.c.Renew(t.Context(), tt.data)
			e, ok := errors.AsType[*control.Error](err)
			if !ok || e.Status != http.StatusBadRequest || !strings.Contains(e.Message, tt.want) || strings.ContainsAny(e.Message, "\n") || strings.Contains(e.Message, "SECRET") {
				t.Errorf("%v; want one line with %q", err, tt.want)
			}
		})
	}
	if _, err := keyless.Marshal(); err == nil || !strings.Contains(err.Error(), "field key: does not belong") {
		t.Errorf("a key of another certificate: %v", err)
	}
	if len(r.made) > 0 {
		t.Error("the mesh was made anew")
	}
	if _, err := os.Stat(filepath.Join(c.State, "bundle.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in the state: %v, want nothing", err)
	}
	// A disk that takes nothing, and a node that is not there yet.
	if err := os.Mkdir(filepath.Join(c.State, "bundle.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := r.running.c.Renew(t.Context(), marshal(t, mine(nil))); err == nil || !strings.Contains(err.Error(), "not in use, it could not be saved") || len(r.made) > 0 {
		t.Errorf("it cannot be saved: %v", err)
	}
	r.stop()
	if _, err := newNode(t, c).Renew(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "not in its mesh yet") {
		t.Errorf("before Run: %v", err)
	}
}

func TestRenewWithoutTheRoleItNeeds(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	if err := l.bundle("a", time.Now(), time.Hour, identity.RoleIntroducer).Save(c.Bundle); err != nil {
		t.Fatal(err)
	}
	c.Introduce = "127.0.0.1:7950"
	r := startRenewable(t, l, c)
	next := l.reissue(r.bundle, time.Now().Add(time.Second), func(g *identity.Grant) { g.Roles = nil })
	if _, err := r.running.c.Renew(t.Context(), marshal(t, next)); err == nil || !strings.Contains(err.Error(), "lacks the role introducer") {
		t.Errorf("%v, want a refusal", err)
	}
	r.stop()
}

// An authority that has expired is dropped with a word; the others hold.
func TestExpiredAuthorityIsDropped(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	gone, err := identity.NewCA(l.ca.Mesh, time.Now().Add(-11*365*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	b := l.bundle("a", time.Now(), time.Hour)
	b.CAs = append([]*x509.Certificate{gone.Certificate}, b.CAs...)
	if err := b.Save(c.Bundle); err != nil {
		t.Fatal(err)
	}
	r := startRenewable(t, l, c)
	if made := <-r.made; len(made.Roots.CAs()) != 1 || !made.Roots.CAs()[0].Equal(l.ca.Certificate) {
		t.Errorf("%d authorities are trusted, want the valid one", len(made.Roots.CAs()))
	}
	r.stop()
	if n := strings.Count(r.log.String(), "has expired and is trusted no more"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, r.log)
	}
}
