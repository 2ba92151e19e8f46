package main

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

func TestNodeRenew(t *testing.T) {
	dir := t.TempDir()
	m, err := identity.NewMesh("m", netip.MustParsePrefix("10.66.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.InitDir(filepath.Join(dir, "ca"), m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	b, err := ca.Issue(identity.Request{Grant: identity.Grant{Node: "a"}, Validity: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file, broken := filepath.Join(dir, "a.bundle"), filepath.Join(dir, "broken")
	if err := errors.Join(b.Save(file), os.WriteFile(broken, []byte("SECRET"), 0o600)); err != nil {
		t.Fatal(err)
	}
	backend := &nodeBackend{}
	socket := nodeSocket(t, backend)
	out, err := runNode(t, "renew", "--bundle", file, "--socket", socket)
	if err != nil || !strings.Contains(out, "a goes on with the new bundle, until 2027-01-02") || !strings.Contains(out, "groups: [g]") {
		t.Errorf("%v: %s", err, out)
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(want, backend.renewed) {
		t.Errorf("the daemon got %d bytes, %v", len(backend.renewed), err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err = runNode(t, "renew", "--bundle", file, "--socket", socket)
	if err != nil || !strings.Contains(out, "chmod 600") || !strings.Contains(out, "uses that bundle already") {
		t.Errorf("again, readable by all: %v: %s", err, out)
	}
	for _, tt := range []struct{ name, file, want string }{
		{"none", "", "want --bundle FILE"},
		{"missing", filepath.Join(dir, "no"), "--bundle: open "},
		{"broken", broken, "broken: want JSON"},
	} {
		_, err := runNode(t, "renew", "--bundle", tt.file, "--socket", socket)
		if _, usage := errors.AsType[usageError](err); !usage || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want wrong usage with %q", tt.name, err, tt.want)
		}
	}
}
