package identity_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/identity"
)

// caDir is an open authority that tests close and open again.
type caDir struct {
	t    *testing.T
	path string
	*identity.Dir
}

func newCADir(t *testing.T) *caDir {
	t.Helper()
	m, err := identity.NewMesh("home", identity.DefaultCIDR)
	if err != nil {
		t.Fatal(err)
	}
	c := &caDir{t: t, path: filepath.Join(t.TempDir(), "ca")}
	if c.Dir, err = identity.InitDir(c.path, m, now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (c *caDir) reopen() {
	c.t.Helper()
	err := c.Close()
	if err == nil {
		c.Dir, err = identity.OpenDir(c.path)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *caDir) issue(node string, at time.Time) *identity.Bundle {
	c.t.Helper()
	b, err := c.Issue(identity.Request{Grant: identity.Grant{Node: node, Groups: []string{"g"}}, Validity: 24 * time.Hour, Introducers: []string{"h:1"}}, at)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// renew gives the node of a bundle a new one.
func (c *caDir) renew(b *identity.Bundle, at time.Time) *identity.Bundle {
	c.t.Helper()
	req, err := c.Renewal(b)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Validity = 24 * time.Hour
	renewed, err := c.Issue(req, at)
	if err != nil {
		c.t.Fatal(err)
	}
	return renewed
}

// trusts reports whether the holder of a bundle lets another in.
func trusts(t *testing.T, a, b *identity.Bundle) bool {
	t.Helper()
	r, err := a.Roots()
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Verify(b.Certificate, now.Add(time.Minute))
	return err == nil
}

// At every moment of a change the nodes that have the bundle of the step and
// those that do not yet have it know one another.
func TestRotateKeepsNodesTogether(t *testing.T) {
	c := newCADir(t)
	a, b := c.issue("a", now), c.issue("b", now)
	first := a
	at := now
	for _, want := range []identity.Step{identity.StepAnnounce, identity.StepSwitch, identity.StepFinish, identity.StepAnnounce} {
		at = at.Add(time.Second)
		if got, err := c.Rotate(at); err != nil || got != want {
			t.Fatalf("step %d, %v; want %d", got, err, want)
		}
		c.reopen()
		if c.Step() != want {
			t.Fatalf("step %d after it was opened again, want %d", c.Step(), want)
		}
		if d := cmp.Diff([]string{"a", "b"}, c.Behind(at)); d != "" {
			t.Errorf("behind at step %d (-want +got):\n%s", want, d)
		}
		a = c.renew(a, at)
		if !trusts(t, a, b) || !trusts(t, b, a) {
			t.Errorf("step %d: the first node has its bundle, the second does not: they part", want)
		}
		b = c.renew(b, at)
		if !trusts(t, a, b) || !trusts(t, b, a) {
			t.Errorf("step %d: both have their bundles: they part", want)
		}
		if left := c.Behind(at); left != nil {
			t.Errorf("behind at step %d: %v", want, left)
		}
	}
	before, err := first.Grant(now)
	if err != nil {
		t.Fatal(err)
	}
	after, err := a.Grant(at)
	if err != nil {
		t.Fatal(err)
	}
	if before.IP != after.IP || before.IP6 != after.IP6 || !slices.Equal(before.Groups, after.Groups) {
		t.Errorf("grant before %+v, after %+v", before, after)
	}
	if trusts(t, a, first) {
		t.Error("a certificate of the authority that was given up is trusted still")
	}
}

// What the old authority revoked stays so, whoever signs the list.
func TestRotateKeepsRevocations(t *testing.T) {
	c := newCADir(t)
	a, bad, worse := c.issue("a", now), c.issue("bad", now), c.issue("worse", now)
	r, err := a.Roots()
	if err != nil {
		t.Fatal(err)
	}
	inForce := func(when string, list []byte) {
		t.Helper()
		if _, err := r.Apply(list); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if !r.Revoked(bad.Certificate) {
			t.Errorf("%s: the revocation of the old authority is gone", when)
		}
	}
	list, err := c.Revoke("bad", now)
	if err != nil {
		t.Fatal(err)
	}
	inForce("at rest", list)
	number := r.RevocationNumber()
	for i, step := range []string{"announce", "switch", "finish"} {
		at := now.Add(time.Duration(i+1) * time.Second)
		if _, err := c.Rotate(at); err != nil {
			t.Fatal(err)
		}
		c.reopen()
		a = c.renew(a, at)
		if r, err = a.Roots(); err != nil {
			t.Fatal(err)
		}
		inForce("bundle of "+step, r.Revocations())
		if r.RevocationNumber() < number {
			t.Errorf("%s: list %d after %d", step, r.RevocationNumber(), number)
		}
		number = r.RevocationNumber()
	}
	if list, err = c.Revoke("worse", now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	inForce("a list of the new authority", list)
	if !r.Revoked(worse.Certificate) {
		t.Error("the new authority cannot revoke what the old one issued")
	}
	if _, err := c.Renewal(bad); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("renewal of a revoked key: %v", err)
	}
	if _, err := c.Renewal(newBundle(t, c.CA(), grant("x", "10.66.0.9"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("renewal of a foreign key: %v", err)
	}
}

// The key of an authority that signs no more is gone, also when the change was
// cut short before that.
func TestRotateRemovesTheOldKey(t *testing.T) {
	c := newCADir(t)
	for range 2 {
		if _, err := c.Rotate(now); err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(c.path, "ca.key")
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the switch: %v, want it gone", err)
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.reopen()
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened again: %v, want it gone", err)
	}
}

func TestRootsOfSeveralAuthorities(t *testing.T) {
	one := newCA(t, "home")
	two, err := identity.NewCA(one.Mesh, now.Add(365*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	b := newBundle(t, one, grant("a", "10.66.0.7"))
	b.CAs = append(b.CAs, two.Certificate)
	r, err := b.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.CAHashes()) != 2 || r.CAHash() != r.CAHashes()[0] || r.IssuerHash(b.Certificate) != r.CAHashes()[0] {
		t.Error("hashes of the authorities")
	}
	later := newBundleAt(t, two, grant("b", "10.66.0.8"), now.Add(366*24*time.Hour))
	if r.IssuerHash(later.Certificate) != r.CAHashes()[1] {
		t.Error("hash of the second authority")
	}
	if _, err := identity.NewRoots(one.Certificate, newCA(t, "home").Certificate); err == nil || !strings.Contains(err.Error(), "different meshes") {
		t.Errorf("authorities of one name with other prefixes: %v", err)
	}
	for _, tt := range []struct {
		name    string
		at      time.Time
		live    int
		expired int
	}{
		{"both", now, 2, 0},
		{"one has expired", one.Certificate.NotAfter.Add(time.Hour), 1, 1},
		{"all have", two.Certificate.NotAfter.Add(time.Hour), 0, 2},
	} {
		r, expired, err := b.RootsAt(tt.at)
		live := 0
		if r != nil {
			live = len(r.CAs())
		}
		if live != tt.live || len(expired) != tt.expired || (err != nil) != (tt.live == 0) || err != nil && !errors.Is(err, identity.ErrExpired) {
			t.Errorf("%s: %d live, %d expired, %v", tt.name, live, len(expired), err)
		}
	}
}

func TestDirFaultsNameFileAndField(t *testing.T) {
	for _, tt := range []struct {
		name, file, data, want string
	}{
		{"index cut short", "index.json", `{"format":`, "index.json: want JSON"},
		{"index of another format", "index.json", `{"format":2}`, "index.json: field format: 2, want 1"},
		{"wrong type", "index.json", `{"format":1,"issued":7}`, "index.json: want JSON as `cbctl ca` writes it: field issued"},
		{"authority that is not there", "index.json", `{"format":1,"signs":3}`, "ca-3.crt: no such file"},
		{"impossible step", "index.json", `{"format":1,"trusted":[7]}`, "index.json: field trusted"},
		{"negative", "index.json", `{"format":1,"signs":-1}`, "index.json: fields signs"},
		{"certificate", "ca.crt", "x", "ca.crt"},
		{"key", "ca.key", "SECRET", "ca.crt and .key: CA key: want one PEM block"},
		{"list", "revocations.list", "x", "revocations.list: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCADir(t)
			if err := errors.Join(c.Close(), os.WriteFile(filepath.Join(c.path, tt.file), []byte(tt.data), 0o600)); err != nil {
				t.Fatal(err)
			}
			d, err := identity.OpenDir(c.path)
			if err == nil {
				d.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want one line with %q", err, tt.want)
			}
		})
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"format":1,"signs":2,"trusted":[1],"issued":[{"node":"a","ip":"10.66.0.1"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) { _ = identity.ParseIndex(data) })
}
