package remote_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority makes a mesh and gives out bundles.
type authority struct {
	t    *testing.T
	ca   *identity.CA
	next netip.Addr
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	m, err := identity.NewMesh("m", identity.DefaultCIDR)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.NewCA(m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, ca: ca, next: m.CIDR.Addr().Next()}
}

func (a *authority) bundle(node string, roles ...identity.Role) *identity.Bundle {
	a.t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.next = a.next.Next()
	cert, err := a.ca.Issue(pub, identity.Grant{Node: node, IP: a.next, Roles: roles}, time.Now(), time.Hour)
	if err != nil {
		a.t.Fatal(err)
	}
	b := &identity.Bundle{Key: key, Certificate: cert}
	b.CAs = append(b.CAs, a.ca.Certificate)
	return b
}

func roots(t *testing.T, b *identity.Bundle) *identity.Roots {
	t.Helper()
	r, err := b.Roots()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serve runs a node's API on loopback until the test ends or stop is called.
func serve(t *testing.T, o remote.Options) (addr netip.AddrPort, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.Roots == nil {
		o.Roots = roots(t, o.Bundle)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- remote.Serve(ctx, o, l) }()
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return l.Addr().(*net.TCPAddr).AddrPort(), stop
}

func client(t *testing.T, b *identity.Bundle) *remote.Client {
	t.Helper()
	return remote.NewClient(b, roots(t, b))
}

func TestExec(t *testing.T) {
	a := newAuthority(t)
	addr, _ := serve(t, remote.Options{Bundle: a.bundle("a"), Exec: true})
	c := client(t, a.bundle("s", identity.RoleServer))
	for _, tt := range []struct {
		name               string
		args               []string
		wantCode           int
		wantOut, wantErr   string
		wantFailure        string
		wantOutLen, within int
	}{
		{name: "output and code", args: []string{"sh", "-c", "echo out; echo err >&2; exit 7"}, wantCode: 7, wantOut: "out\n", wantErr: "err\n"},
		{name: "no shell between", args: []string{"echo", "$HOME; ls"}, wantOut: "$HOME; ls\n"},
		{name: "much output", args: []string{"head", "-c", "1000000", "/dev/zero"}, wantOut: strings.Repeat("\x00", 1000000)},
		{name: "ended by a signal", args: []string{"sh", "-c", "kill -TERM $$"}, wantCode: 128 + 15},
		{name: "no such program", args: []string{"/no/such/program"}, wantFailure: "no such file"},
		{name: "child in the background", args: []string{"sh", "-c", "sleep 20 & echo started"}, wantOut: "started\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			start := time.Now()
			code, err := c.Exec(t.Context(), remote.Target{Node: "a", Addr: addr}, remote.Command{Args: tt.args, Stdout: &stdout, Stderr: &stderr})
			if tt.wantFailure != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantFailure) {
					t.Fatalf("Exec: %v, want %q", err, tt.wantFailure)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if code != tt.wantCode || stdout.String() != tt.wantOut || stderr.String() != tt.wantErr {
				t.Errorf("code %d, stdout %.80q, stderr %.80q; want %d, %.80q, %.80q",
					code, stdout.String(), stderr.String(), tt.wantCode, tt.wantOut, tt.wantErr)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestExecRefused(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	on, _ := serve(t, remote.Options{Bundle: a.bundle("a"), Exec: true})
	off, _ := serve(t, remote.Options{Bundle: a.bundle("b")})
	server, member := a.bundle("s", identity.RoleServer), a.bundle("c", identity.RoleGateway)

	marker := filepath.Join(t.TempDir(), "ran")
	for _, tt := range []struct {
		name       string
		caller     *identity.Bundle
		target     remote.Target
		wantStatus int // of a RefusedError, or
		want       error
		wantText   string
	}{
		{name: "no role server", caller: member, target: remote.Target{Node: "a", Addr: on}, wantStatus: 403, wantText: "lacks the role server"},
		{name: "exec is off", caller: server, target: remote.Target{Node: "b", Addr: off}, wantStatus: 403, wantText: "exec is off on b"},
		{name: "another node", caller: server, target: remote.Target{Node: "x", Addr: on}, want: remote.ErrOtherNode, wantText: "want x, have a"},
		{name: "another mesh", caller: other.bundle("s", identity.RoleServer), target: remote.Target{Node: "a", Addr: on}, want: identity.ErrUntrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client(t, tt.caller).Exec(t.Context(), tt.target, remote.Command{Args: []string{"touch", marker}})
			if err == nil || !strings.Contains(err.Error(), tt.wantText) {
				t.Fatalf("Exec: %v, want %q", err, tt.wantText)
			}
			if r, ok := errors.AsType[*remote.RefusedError](err); tt.wantStatus != 0 && (!ok || r.Status != tt.wantStatus) {
				t.Errorf("Exec: %#v, want status %d", err, tt.wantStatus)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Exec: %v, want %v", err, tt.want)
			}
			if _, err := os.Stat(marker); err == nil {
				t.Error("the command ran")
			}
		})
	}
}

// The node's side does not trust the caller's: one that checks nothing is
// still refused in the handshake.
func TestStrangersGetNoAnswer(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	addr, _ := serve(t, remote.Options{Bundle: a.bundle("a"), Exec: true})
	foreign := other.bundle("s", identity.RoleServer)
	for _, tt := range []struct {
		name  string
		certs []tls.Certificate
	}{
		{"no certificate", nil},
		{"certificate of another mesh", []tls.Certificate{{Certificate: [][]byte{foreign.Certificate.Raw}, PrivateKey: foreign.Key}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", addr.String(), &tls.Config{InsecureSkipVerify: true, Certificates: tt.certs})
			if err != nil {
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprintf(conn, "GET /v1/version HTTP/1.1\r\nHost: a\r\n\r\n")
			if data, err := io.ReadAll(conn); err == nil || len(data) > 0 {
				t.Errorf("answer: %q, %v; want none", data, err)
			}
		})
	}
}

func TestRevokedCaller(t *testing.T) {
	a := newAuthority(t)
	b := a.bundle("a")
	r := roots(t, b)
	addr, _ := serve(t, remote.Options{Bundle: b, Roots: r, Exec: true})
	caller := a.bundle("s", identity.RoleServer)
	c, target := client(t, caller), remote.Target{Node: "a", Addr: addr}
	if _, err := c.Version(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	list, err := a.ca.SignRevocations(identity.RevocationList{Number: 1, Issued: time.Now(), Entries: []identity.Revoked{
		{Node: "s", Serial: identity.SerialOf(caller.Certificate), Expires: caller.Certificate.NotAfter},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(list); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(t.Context(), target); err == nil {
		t.Error("a revoked caller was answered")
	}
}

func TestVersion(t *testing.T) {
	a := newAuthority(t)
	addr, _ := serve(t, remote.Options{Bundle: a.bundle("a"), Version: "v9"})
	got, err := client(t, a.bundle("b")).Version(t.Context(), remote.Target{Node: "a", Addr: addr})
	if want := (remote.Version{Node: "a", Mesh: "m", Version: "v9"}); err != nil || got != want {
		t.Errorf("Version: %+v, %v; want %+v", got, err, want)
	}
}

// longRunning starts a command that writes its process id and those of a child
// that ignores SIGTERM, then runs for long. It returns the ids.
func longRunning(t *testing.T, exec func(remote.Command) error) (pids []int, ended <-chan error) {
	t.Helper()
	r, w := io.Pipe()
	end := make(chan error, 1)
	go func() {
		err := exec(remote.Command{Args: []string{"sh", "-c", "trap '' TERM; sleep 300 & echo $$ $!; wait"}, Stdout: w})
		w.CloseWithError(io.EOF)
		end <- err
	}()
	buf := make([]byte, 100)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	for _, f := range strings.Fields(string(buf[:n])) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 2 {
		t.Fatalf("output: %q, want two process ids", buf[:n])
	}
	return pids, end
}

func waitGone(t *testing.T, pids []int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for _, pid := range pids {
		for alive(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d still runs", pid)
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

// alive reports whether a process runs; one that nobody has reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestExecEndsWithTheCaller(t *testing.T) {
	a := newAuthority(t)
	addr, _ := serve(t, remote.Options{Bundle: a.bundle("a"), Exec: true})
	c := client(t, a.bundle("s", identity.RoleServer))
	ctx, cancel := context.WithCancel(t.Context())
	pids, ended := longRunning(t, func(cmd remote.Command) error {
		_, err := c.Exec(ctx, remote.Target{Node: "a", Addr: addr}, cmd)
		return err
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Exec: %v, want context.Canceled", err)
	}
	waitGone(t, pids)
}

func TestExecEndsWithTheNode(t *testing.T) {
	a := newAuthority(t)
	addr, stop := serve(t, remote.Options{Bundle: a.bundle("a"), Exec: true})
	c := client(t, a.bundle("s", identity.RoleServer))
	pids, ended := longRunning(t, func(cmd remote.Command) error {
		_, err := c.Exec(t.Context(), remote.Target{Node: "a", Addr: addr}, cmd)
		return err
	})
	stop()
	if err := <-ended; err == nil {
		t.Error("Exec: no error though the node went away")
	}
	waitGone(t, pids)
}
