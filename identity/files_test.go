package identity_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/identity"
)

func TestBundleFile(t *testing.T) {
	b := newBundle(t, newCA(t, "home"), grant("web-1", "10.66.0.7"))
	b.Introducers = []string{"intro.example:7950"}
	path := filepath.Join(t.TempDir(), "web-1.bundle")
	if err := b.Save(path); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", fi.Mode(), err)
	}
	got, err := identity.LoadBundle(path)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Certificate.Equal(b.Certificate) || !got.Key.Equal(b.Key) || got.Introducers[0] != b.Introducers[0] {
		t.Fatal("came back different")
	}
	if g, err := got.Grant(now); err != nil || g.Node != "web-1" {
		t.Fatalf("%v, %v", g, err)
	}
}

func TestBundleFaultsNameTheField(t *testing.T) {
	b := newBundle(t, newCA(t, "home"), grant("web-1", "10.66.0.7"))
	foreign := newBundle(t, newCA(t, "home"), grant("web-1", "10.66.0.7"))
	good, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	other, err := foreign.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	set := func(field string, v any) string {
		var m, o map[string]any
		if err := errors.Join(json.Unmarshal(good, &m), json.Unmarshal(other, &o)); err != nil {
			t.Fatal(err)
		}
		if v == "theirs" {
			v = o[field]
		}
		m[field] = v
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	tests := []struct{ name, data, want string }{
		{"not JSON", "-----BEGIN", "byte 2 is not JSON"},
		{"other format", set("format", 2), "field format"},
		{"format as text", set("format", "1"), "field format"},
		{"certificate", set("certificate", "x"), "field certificate"},
		{"key", set("key", "SECRET"), "field key"},
		{"key of another", set("key", "theirs"), "field key"},
		{"no CAs", set("cas", []string{}), "field cas"},
		{"bad CA", set("cas", []string{"x"}), "field cas[0]"},
		{"introducer without port", set("introducers", []string{"host"}), "field introducers[0]"},
		{"introducer port 0", set("introducers", []string{"host:0"}), "field introducers[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "b")
			if err := os.WriteFile(path, []byte(tt.data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := identity.LoadBundle(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want %q and the file", err, tt.want)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Fatalf("error repeats the key: %v", err)
			}
		})
	}
}

func TestToken(t *testing.T) {
	tok := identity.Token{URL: "https://198.18.0.1:7443", CAHash: identity.Bytes32{7}, Node: "web-1", Secret: "hush"}
	text, err := tok.Text()
	if err != nil {
		t.Fatal(err)
	}
	got, err := identity.ParseToken(text + "\n")
	tok.Format = identity.Format
	if err != nil || got != tok {
		t.Fatalf("%v, %v", got, err)
	}
	for _, s := range []string{fmt.Sprint(tok), fmt.Sprintf("%+v", tok), tok.LogValue().String()} {
		if strings.Contains(s, "hush") {
			t.Fatalf("secret shown: %s", s)
		}
	}
	for _, bad := range []string{"", "cb1.", text[:len(text)-9], "cb2" + text[3:], "cb1.e30", strings.Repeat("x", identity.MaxToken+1)} {
		if _, err := identity.ParseToken(bad); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.20q: error %v", bad, err)
		}
	}
	tok.URL = "http://198.18.0.1:7443"
	if text, err = tok.Text(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.ParseToken(text); err == nil {
		t.Error("plain http accepted")
	}
}

func TestSigningRequest(t *testing.T) {
	key := newKey(t)
	der, err := identity.SigningRequest(key, "web-1")
	if err != nil {
		t.Fatal(err)
	}
	pub, node, err := identity.ParseSigningRequest(der)
	if err != nil || node != "web-1" || !pub.Equal(key.Public()) {
		t.Fatalf("%v, %q, %v", pub, node, err)
	}
	der[len(der)-1] ^= 1
	if _, _, err := identity.ParseSigningRequest(der); !errors.Is(err, identity.ErrSignature) {
		t.Fatalf("error %v, want ErrSignature", err)
	}
}

func TestWriteFileKeepsTheOldOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := identity.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := identity.WriteFile(path, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "two" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := identity.WriteFile(filepath.Join(dir, "d"), []byte("x"), 0o600); err == nil {
		t.Fatal("a directory was replaced")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Fatalf("left behind: %v, %v", names, err)
	}
	if err := identity.WriteFile(filepath.Join(dir, "none", "x"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v, want fs.ErrNotExist", err)
	}
}

func TestDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca")
	m, err := identity.NewMesh("home", netip.MustParsePrefix("10.66.0.0/28"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := identity.InitDir(path, m, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity.OpenDir(path); err == nil {
		t.Fatal("opened twice at once")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.InitDir(path, m, now); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("error %v, want fs.ErrExist", err)
	}
	if fi, err := os.Stat(filepath.Join(path, "ca.key")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("ca.key: %v, %v", fi.Mode(), err)
	}
	if d, err = identity.OpenDir(path); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	issue := func(node, ip string) (string, error) {
		req := identity.Request{Grant: identity.Grant{Node: node}, Validity: time.Hour}
		if ip != "" {
			req.Grant.IP = netip.MustParseAddr(ip)
		}
		b, err := d.Issue(req, now)
		if err != nil {
			return "", err
		}
		g, err := b.Grant(now)
		return g.IP.String(), err
	}
	steps := []struct {
		node, ip, want string
		err            error
	}{
		{"a", "", "10.66.0.1", nil},
		{"b", "10.66.0.2", "10.66.0.2", nil},
		{"c", "", "10.66.0.3", nil},
		{"a", "", "10.66.0.1", nil}, // keeps its address
		{"d", "10.66.0.2", "", identity.ErrTaken},
		{"e", "10.67.0.1", "", identity.ErrGrant},
	}
	for _, s := range steps {
		got, err := issue(s.node, s.ip)
		if got != s.want || !errors.Is(err, s.err) {
			t.Fatalf("%s: %q, %v; want %q, %v", s.node, got, err, s.want, s.err)
		}
	}
	testDirRevokes(t, d, issue)
}

// testDirRevokes: a revocation covers every certificate of the name, and the
// name can be issued again.
func testDirRevokes(t *testing.T, d *identity.Dir, issue func(node, ip string) (string, error)) {
	t.Helper()
	if _, err := d.Revoke("nobody", now); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v, want fs.ErrNotExist", err)
	}
	signed, err := d.Revoke("a", now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := identity.NewRoots(d.CA().Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Apply(signed); !changed || err != nil {
		t.Fatalf("%v, %v", changed, err)
	}
	var l int
	for _, e := range d.List() {
		if e.Node == "a" && e.Revoked != nil {
			l++
		}
	}
	if l != 2 {
		t.Fatalf("%d certificates of a revoked, want both", l)
	}
	if got, err := issue("a", ""); got != "10.66.0.1" || err != nil {
		t.Fatalf("issued anew: %q, %v", got, err)
	}
	again, err := d.Revoke("b", now)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Apply(again); !changed || err != nil {
		t.Fatalf("the next list: %v, %v", changed, err)
	}
}

func FuzzParseBundle(f *testing.F) {
	b := newBundle(f, newCA(f, "home"), grant("web-1", "10.66.0.7"))
	data, err := b.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := identity.ParseBundle(data); err == nil {
			if _, err := b.Marshal(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseToken(f *testing.F) {
	text, err := identity.Token{URL: "https://h:1", CAHash: identity.Bytes32{1}, Node: "n", Secret: "s"}.Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := identity.ParseToken(s)
		if err != nil {
			return
		}
		text, err := tok.Text()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := identity.ParseToken(text); err != nil || again != tok {
			t.Fatalf("%v, %v", again, err)
		}
	})
}

func FuzzParseSigningRequest(f *testing.F) {
	der, err := identity.SigningRequest(newKey(f), "web-1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, node, err := identity.ParseSigningRequest(der); err == nil && identity.ParseName(node) != nil {
			t.Fatalf("accepted the name %q", node)
		}
	})
}

// A token without a host name would leave the server's name unchecked, and any
// node's certificate would pass for the server's.
func TestTokenNamesAHost(t *testing.T) {
	text, err := identity.Token{URL: "https://:7443", CAHash: identity.Bytes32{7}, Node: "web-1", Secret: "hush"}.Text()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity.ParseToken(text); !errors.Is(err, identity.ErrFormat) {
		t.Errorf("%v, want %v", err, identity.ErrFormat)
	}
}

func TestRemoveUnfinished(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := identity.WriteFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{".key.123456", ".key.7", ".key.txt", ".keys.1", "key.1", ".key."} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := identity.RemoveUnfinished(path); err != nil {
		t.Fatal(err)
	}
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if d := cmp.Diff([]string{".key.", ".key.txt", ".keys.1", "key", "key.1"}, got); d != "" {
		t.Error(d)
	}
}

// What could not be read again is not written.
func TestBundleSaveRefusesWhatLoadWould(t *testing.T) {
	b := newBundle(t, newCA(t, "home"), grant("web-1", "10.66.0.7"))
	b.Introducers = []string{"fd00::1:7950:x"}
	path := filepath.Join(t.TempDir(), "b")
	if err := b.Save(path); err == nil || !strings.Contains(err.Error(), "introducers[0]") {
		t.Errorf("Save: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
}
