package e2e_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/control"
)

// TestForeignNode: a node that another authority certified is refused by every
// member that lets nodes in, each says so in its log, and nobody ever lists it.
//
// spy is the worst of its kind: its authority copied the mesh's name and
// prefixes, and its bundle lists the true authority first. So it trusts the
// members and claims the address of one of them. stranger is of a mesh of its
// own. Both show the hash of their own authority and are strangers. (One that
// shows the true hash needs another program; mesh's attacks at the introducer
// do that.)
func TestForeignNode(t *testing.T) {
	l := newLAN(t)
	introduces := []identity.Role{identity.RoleIntroducer}
	intro := l.host(t, "intro", introduces, "--introduce", ":7950")
	a := l.host(t, "a", introduces, "--introduce", ":7950")
	b := l.host(t, "b", nil)
	members := []*lanHost{intro, a, b}
	for _, h := range members {
		h.start(t)
	}
	eventually(t, 20*time.Second, "all pairs ping", l.allPairs)

	spy, stranger := l.host(t, "spy", nil), l.host(t, "stranger", nil)
	truth := l.ca.CA()
	spy.certifiedElsewhere(t, truth.Mesh, b.grant, truth.Certificate)
	own, err := identity.NewMesh("own", identity.DefaultCIDR)
	if err != nil {
		t.Fatal(err)
	}
	stranger.certifiedElsewhere(t, own, b.grant)
	spy.start(t)
	stranger.start(t)

	for _, h := range []*lanHost{intro, a} {
		for _, other := range []*lanHost{spy, stranger} {
			h.wantLog(t, `msg="stranger refused"`, "remote="+other.ip.String(), "not of this mesh")
		}
	}
	// They try again, and are refused as long as they live.
	spy.wantLog(t, "no introducer let this node in", "it is of another mesh")
	for _, h := range members {
		h.wantPeers(t, 2)
	}
	spy.wantPeers(t, 0)
	stranger.wantPeers(t, 0)
	for _, h := range []*lanHost{spy, stranger} {
		for _, m := range members {
			if err := ping(h.netns, m.grant.IP.String()); err == nil && m != b {
				t.Errorf("%s reaches %s", h.name, m.name)
			}
		}
	}
	if err := a.reach(b); err != nil {
		t.Errorf("members after all that: %v", err)
	}
}

// certifiedElsewhere gives a host a bundle by a new authority of its own, for
// the mesh and with the address in g. Its daemon trusts the authorities in
// trusts before that one.
func (h *lanHost) certifiedElsewhere(t *testing.T, m identity.Mesh, g identity.Grant, trusts ...*x509.Certificate) {
	t.Helper()
	now := time.Now()
	ca, err := identity.NewCA(m, now)
	if err != nil {
		t.Fatal(err)
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pub, identity.Grant{Node: h.name, IP: g.IP, Roles: identity.Roles}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	bundle := &identity.Bundle{
		Certificate: cert, Key: key, CAs: append(trusts, ca.Certificate), Introducers: []string{"192.0.2.1:7950", "192.0.2.2:7950"},
	}
	if err := bundle.Save(h.path("bundle")); err != nil {
		t.Fatal(err)
	}
	if h.grant, err = bundle.Grant(now); err != nil {
		t.Fatal(err)
	}
}

// wantLog waits for a line with all the words in a host's log.
func (h *lanHost) wantLog(t *testing.T, words ...string) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("the log of %s says %q", h.name, words), func() error {
		data, err := os.ReadFile(h.path("log"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return nil
			}
		}
		return errors.New("no such line")
	})
}

// wantPeers checks that `cbctl node peers` lists n nodes, and none of them a
// foreign one.
func (h *lanHost) wantPeers(t *testing.T, n int) {
	t.Helper()
	r := command(t, nil, bin("cbctl"), "node", "peers", "--socket", h.path("sock"), "-o", "json")
	var peers []control.Peer
	if err := json.Unmarshal([]byte(r.stdout), &peers); err != nil || r.code != 0 {
		t.Fatalf("node peers of %s: code %d, %v: %s%s", h.name, r.code, err, r.stdout, r.stderr)
	}
	if len(peers) != n {
		t.Errorf("%s lists %+v, want %d nodes", h.name, peers, n)
	}
	for _, p := range peers {
		if p.Name == "spy" || p.Name == "stranger" {
			t.Errorf("%s lists the foreign node %+v", h.name, p)
		}
	}
}
