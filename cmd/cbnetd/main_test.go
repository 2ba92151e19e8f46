package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
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
	"github.com/cbnet-io/cbnet/node"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cbnetd": main})
}

// TestScripts runs testdata/*.txtar against the command itself. Every script
// finds bundles and tokens of one mesh in its folder.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: func(e *testscript.Env) error { return credentials(e.WorkDir) },
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
	save := func(name string, from time.Time) error {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		cert, err := ca.Issue(pub, identity.Grant{Node: "a", IP: netip.MustParseAddr("10.66.0.2")}, from, 24*time.Hour)
		if err != nil {
			return err
		}
		b := identity.Bundle{Certificate: cert, Key: key, Introducers: []string{"192.0.2.1:7950"}}
		b.CAs = append(b.CAs, ca.Certificate)
		return b.Save(filepath.Join(dir, name))
	}
	token, err := identity.Token{URL: "https://192.0.2.1:7443", CAHash: [32]byte{1}, Node: "a", Secret: "x"}.Text()
	return errors.Join(err, save("a.bundle", now), save("old.bundle", now.Add(-48*time.Hour)),
		os.WriteFile(filepath.Join(dir, "a.token"), []byte(token+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "cut.token"), []byte(token[:20]), 0o600))
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
		{"usage", usageError{plain}, 2, "cbnetd: broken\ncbnetd: see cbnetd --help\n"},
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
