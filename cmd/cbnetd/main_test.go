package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/internal/cli"
	"github.com/cbnet-io/cbnet/node"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cbnetd": main})
}

// TestScripts runs testdata/*.txtar against the command itself. Every script
// finds bundles and tokens of one mesh in its folder.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // with -race a program ends a second late otherwise
			return credentials(e.WorkDir)
		},
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, errors.New("unknown condition " + cond)
			}
			root := os.Geteuid() == 0
			if !root && os.Getenv("CI") != "" {
				return false, errors.New("these tests need root")
			}
			return root, nil
		},
	})
}

func credentials(dir string) error {
	m, err := identity.NewMesh("lab", netip.MustParsePrefix("10.66.0.0/16"))
	if err != nil {
		return err
	}
	now := time.Now()
	ca, err := identity.NewCA(m, now)
	if err != nil {
		return err
	}
	other, err := identity.NewCA(m, now)
	if err != nil {
		return err
	}
	save := func(name string, from time.Time, cas ...*x509.Certificate) error {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		cert, err := ca.Issue(pub, identity.Grant{Node: "a", IP: netip.MustParseAddr("10.66.0.2")}, from, 24*time.Hour)
		if err != nil {
			return err
		}
		b := identity.Bundle{Certificate: cert, Key: key, Introducers: []string{"192.0.2.1:7950"}, CAs: cas}
		if cas == nil {
			b.CAs = []*x509.Certificate{ca.Certificate}
		}
		return b.Save(filepath.Join(dir, name))
	}
	token, err := identity.Token{URL: "https://192.0.2.1:7443", CAHash: [32]byte{1}, Node: "a", Secret: "x"}.Text()
	return errors.Join(err, save("a.bundle", now), save("old.bundle", now.Add(-48*time.Hour)),
		save("early.bundle", now.Add(48*time.Hour)), save("foreign.bundle", now, other.Certificate), spoil(dir),
		os.WriteFile(filepath.Join(dir, "a.token"), []byte(token+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "cut.token"), []byte(token[:20]), 0o600))
}

// spoil makes a broken bundle of the good one for each of its fields.
func spoil(dir string) error {
	good, err := os.ReadFile(filepath.Join(dir, "a.bundle"))
	if err != nil {
		return err
	}
	foreign, err := os.ReadFile(filepath.Join(dir, "old.bundle"))
	if err != nil {
		return err
	}
	var other map[string]any
	errs := []error{json.Unmarshal(foreign, &other)}
	ec, err := ecKey()
	errs = append(errs, err)
	for name, change := range map[string]func(map[string]any){
		"format":     func(b map[string]any) { b["format"] = 7 },
		"type":       func(b map[string]any) { b["cas"] = "one" },
		"cert":       func(b map[string]any) { b["certificate"] = "SECRET" },
		"keyless":    func(b map[string]any) { delete(b, "key") },
		"pem":        func(b map[string]any) { b["key"] = b["certificate"] },
		"eckey":      func(b map[string]any) { b["key"] = ec },
		"mismatch":   func(b map[string]any) { b["key"] = other["key"] },
		"noca":       func(b map[string]any) { b["cas"] = []any{} },
		"leafca":     func(b map[string]any) { b["cas"] = []any{b["certificate"]} },
		"introducer": func(b map[string]any) { b["introducers"] = []any{"h"} },
		"list":       func(b map[string]any) { b["revocations"] = "MAA=" },
		"base64":     func(b map[string]any) { b["revocations"] = "%" },
		"unknown":    func(b map[string]any) { b["later"] = true },
	} {
		var b map[string]any
		err := json.Unmarshal(good, &b)
		change(b)
		data, merr := json.Marshal(b)
		errs = append(errs, err, merr, os.WriteFile(filepath.Join(dir, name+".bundle"), data, 0o600))
	}
	return errors.Join(append(errs, os.WriteFile(filepath.Join(dir, "cut.bundle"), good[:len(good)/2], 0o600),
		os.WriteFile(filepath.Join(dir, "empty.bundle"), nil, 0o600))...)
}

// ecKey is a private key of the wrong kind, in PEM.
func ecKey() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

// TestBrokenBundles: each fault is one line that names file and field, exit code
// 2, and nothing is made. None repeats what the file holds.
func TestBrokenBundles(t *testing.T) {
	dir := t.TempDir()
	if err := credentials(dir); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name+".bundle") }
	for _, tt := range []struct {
		name string
		code int
		want string
	}{
		{"empty", 2, "want JSON as `cbctl ca issue` writes it: byte 0 is not JSON"},
		{"cut", 2, "is not JSON"},
		{"format", 2, "field format: 7, want 1"},
		{"type", 2, "field cas: want a []string"},
		{"cert", 2, "field certificate: want one PEM block CERTIFICATE"},
		{"keyless", 2, "field key: want one PEM block PRIVATE KEY"},
		{"pem", 2, "field key: want one PEM block PRIVATE KEY"},
		{"eckey", 2, "field key: want an Ed25519 key"},
		{"mismatch", 2, "field key: does not belong to the certificate"},
		{"noca", 2, "field cas: 0 CA certificates: want 1 to 8"},
		{"leafca", 2, "field cas: CA certificate: is not an authority's"},
		{"introducer", 2, "field introducers[0]: \"h\": want HOST:PORT"},
		{"list", 2, "field revocations: revocation list: envelope"},
		{"base64", 2, "want JSON"},
		{"foreign", 2, "field certificate: certificate of \"a\", valid "},
		{"old", 1, "this host's clock says"},
		{"early", 1, "this host's clock says"},
		{"unknown", 0, ""}, // a later version's field is none of ours
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, said bytes.Buffer
			state := filepath.Join(t.TempDir(), "state")
			cmd := newCommand()
			cmd.SetArgs([]string{"--check", "--bundle", at(tt.name), "--state", state})
			cmd.SetOut(&out)
			cmd.SetErr(&said)
			code := report(&said, cmd.ExecuteContext(t.Context()))
			text := said.String()
			if code != tt.code || !strings.Contains(text, tt.want) || code > 0 && (strings.Count(text, "\n") != 1 || !strings.Contains(text, at(tt.name))) {
				t.Errorf("code %d, %q; want %d and one line with the file and %q", code, text, tt.code, tt.want)
			}
			if strings.Contains(text, "SECRET") || strings.Contains(text, "BEGIN") {
				t.Errorf("it repeats what the file holds: %q", text)
			}
			if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("state: %v, want none", err)
			}
		})
	}
}

func TestReport(t *testing.T) {
	plain := errors.New("broken")
	for _, tt := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"done", nil, 0, ""},
		{"failed", plain, 1, "cbnetd: broken\n"},
		{"usage", cli.Usage(plain), 2, "cbnetd: broken\ncbnetd: see cbnetd --help\n"},
		{"input", errors.Join(&node.InputError{What: "--port", Err: plain}, plain), 2, "cbnetd: --port: broken\ncbnetd: broken\n"},
		{"locked", &node.LockedError{Dir: "/s", Pid: 7}, 1, "cbnetd: state /s: another cbnetd with pid 7 uses it: stop that one first, or use another --state and --interface\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w bytes.Buffer
			if code := report(&w, tt.err); code != tt.code || w.String() != tt.want {
				t.Errorf("code %d, %q; want %d, %q", code, w.String(), tt.code, tt.want)
			}
		})
	}
}

func TestTellSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tellSystemd(ctx, path, ready, slog.New(slog.DiscardHandler))
	}()
	buf := make([]byte, 100)
	for _, want := range []struct {
		state string
		first func()
	}{{"READY=1", func() { close(ready) }}, {"STOPPING=1", cancel}} {
		want.first()
		n, err := conn.Read(buf)
		if err != nil || string(buf[:n]) != want.state {
			t.Errorf("told %q, %v; want %q", buf[:n], err, want.state)
		}
	}
	<-ended
}

func TestWithoutSystemd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var log bytes.Buffer
	tellSystemd(ctx, "", nil, slog.New(slog.NewTextHandler(&log, nil)))
	if log.Len() > 0 {
		t.Errorf("log: %s", log.String())
	}
	tellSystemd(ctx, filepath.Join(t.TempDir(), "none"), nil, slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), "systemd was not told") {
		t.Errorf("log: %q, want a warning", log.String())
	}
}
