package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/node/control"
)

// nodeBackend is a daemon with two peers.
type nodeBackend struct{ revoked, renewed []byte }

func (b *nodeBackend) Status() control.Status {
	return control.Status{Name: "a", Mesh: "m", IP: "10.66.0.2", IP6: "fd00::2", Interface: "cbn0", Datapath: "kernel", Port: 51820,
		Peers: control.Counts{Up: 1, Away: 1}, Phase: control.PhaseRunning, Version: "true", Pid: 7}
}

func (b *nodeBackend) Peers() []control.Peer {
	rtt, when := 1.25, time.Now().Add(-3*time.Second)
	return []control.Peer{
		{Name: "b", IP: "10.66.0.3", IP6: "fd00::3", Groups: []string{}, Path: "public", Endpoint: "192.0.2.1:51820",
			RTTMs: &rtt, LastHandshake: &when, RxBytes: 5 << 20, TxBytes: 12, State: control.StateUp},
		{Name: "c", IP: "10.66.0.4", IP6: "fd00::4", Groups: []string{"g"}, State: control.StateAway, Reason: "it stopped"},
	}
}

func (b *nodeBackend) Ping(_ context.Context, name string) (control.Ping, error) {
	if name != "b" {
		return control.Ping{}, &control.Error{Status: http.StatusNotFound, Message: "no node named " + name}
	}
	return control.Ping{Name: "b", IP: "10.66.0.3", RTTMs: 1.25, Via: "icmp"}, nil
}

func (b *nodeBackend) Leave(context.Context) error { return nil }

func (b *nodeBackend) Revoke(_ context.Context, signed []byte) error {
	if string(signed) == "forged" {
		return &control.Error{Status: http.StatusBadRequest, Message: "revocation list: bad signature"}
	}
	b.revoked = signed
	return nil
}

func (b *nodeBackend) Renew(_ context.Context, bundle []byte) (control.Renewal, error) {
	changed := !bytes.Equal(b.renewed, bundle)
	b.renewed = bundle
	return control.Renewal{Name: "a", Changed: changed, Expires: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC), Notes: []string{"groups: [g], before []"}}, nil
}

func nodeSocket(t *testing.T, b control.Backend) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- control.Serve(ctx, l, b) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return path
}

func runNode(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newNodeCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestNodeTables(t *testing.T) {
	socket := nodeSocket(t, &nodeBackend{})
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"status", []string{"status"}, []string{"node       a\n", "10.66.0.2 fd00::2", "cbn0 kernel", "1 up, 0 connecting, 0 unreachable, 1 away"}},
		{"peers", []string{"peers"}, []string{"NAME", "192.0.2.1:51820", "1.2ms", "3s", "5.0M", "it stopped"}},
		{"ping", []string{"ping", "b"}, []string{"b (10.66.0.3) answers in 1.25 ms"}},
		{"leave", []string{"leave"}, []string{"has left the mesh"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := runNode(t, append(tt.args, "--socket", socket)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestNodeJSON(t *testing.T) {
	b := &nodeBackend{}
	socket := nodeSocket(t, b)
	out, err := runNode(t, "status", "-o", "json", "--socket", socket)
	if err != nil {
		t.Fatal(err)
	}
	var s control.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.Status(), s); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
	out, err = runNode(t, "peers", "-o", "json", "--socket", socket)
	var peers []control.Peer
	if err != nil || json.Unmarshal([]byte(out), &peers) != nil || len(peers) != 2 {
		t.Errorf("peers: %v: %s", err, out)
	}
}

func TestNodeYAML(t *testing.T) {
	out, err := runNode(t, "status", "-o", "yaml", "--socket", nodeSocket(t, &nodeBackend{}))
	if err != nil {
		t.Fatal(err)
	}
	want := `name: a
mesh: m
ip: 10.66.0.2
ip6: fd00::2
interface: cbn0
datapath: kernel
port: 51820
peers:
  up: 1
  connecting: 0
  unreachable: 0
  away: 1
phase: running
version: "true"
pid: 7
`
	if d := cmp.Diff(want, out); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestNodeRevoke(t *testing.T) {
	b := &nodeBackend{}
	socket := nodeSocket(t, b)
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("signed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runNode(t, "revoke", "--file", file, "--socket", socket); err != nil || string(b.revoked) != "signed" {
		t.Errorf("revoke: %v, the daemon got %q", err, b.revoked)
	}
	if err := os.WriteFile(file, []byte("forged"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := runNode(t, "revoke", "--file", file, "--socket", socket)
	if _, usage := errors.AsType[usageError](err); !usage || !strings.Contains(err.Error(), file+": revocation list: bad signature") {
		t.Errorf("a forged list: %v, want wrong usage", err)
	}
	if err := os.Truncate(file, control.MaxRevocations+1); err != nil {
		t.Fatal(err)
	}
	if _, err := runNode(t, "revoke", "--file", file, "--socket", socket); err == nil {
		t.Error("an oversize list was taken")
	}
}

func TestNodeErrors(t *testing.T) {
	socket := nodeSocket(t, &nodeBackend{})
	for _, tt := range []struct {
		name  string
		args  []string
		want  string
		usage bool
	}{
		{"unknown node", []string{"ping", "x", "--socket", socket}, "no node named x", false},
		{"no daemon", []string{"status", "--socket", filepath.Join(t.TempDir(), "none")}, "start cbnetd", false},
		{"no list", []string{"revoke", "--file", "/no/such/file", "--socket", socket}, "no such file", false},
		{"no verb", nil, "want a verb", true},
		{"no name", []string{"ping", "--socket", socket}, "name of one node", true},
		{"too many", []string{"status", "x", "--socket", socket}, "no arguments", true},
		{"no file", []string{"revoke", "--socket", socket}, "want --file FILE", true},
		{"form", []string{"peers", "-o", "xml", "--socket", socket}, "want table, json or yaml", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := runNode(t, tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if _, ok := errors.AsType[usageError](err); ok != tt.usage {
				t.Errorf("%v: a usage error: %v, want %v", err, ok, tt.usage)
			}
		})
	}
}

func TestNodeBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1.0K", 5 << 20: "5.0M", 3 << 40: "3.0T", 1 << 60: "1048576.0T"} {
		if got := nodeBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
