package remote_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/remote"
)

// A caller that announces a body and does not send it is let go: connections
// are few, and any member may open some.
func TestNobodyWaitsForABody(t *testing.T) {
	a := newAuthority(t)
	addr, _ := serve(t, remote.Options{Bundle: a.bundle("a"), Exec: true})
	for _, tt := range []struct {
		name    string
		caller  *identity.Bundle
		request string
	}{
		{"server", a.bundle("s", identity.RoleServer), "POST /v1/exec"},
		{"member", a.bundle("m"), "POST /v1/exec"},
		{"version", a.bundle("n"), "GET /v1/version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, err := tls.Dial("tcp", addr.String(), &tls.Config{InsecureSkipVerify: true,
				Certificates: []tls.Certificate{{Certificate: [][]byte{tt.caller.Certificate.Raw}, PrivateKey: tt.caller.Key}}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(remote.BodyTimeout + 5*time.Second))
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{", tt.request)
			if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is held open")
			}
		})
	}
}

// What follows the request in its body is no part of it.
func TestExecWantsOneRequest(t *testing.T) {
	a := newAuthority(t)
	addr, _ := serve(t, remote.Options{Bundle: a.bundle("a"), Exec: true})
	s := a.bundle("s", identity.RoleServer)
	marker := filepath.Join(t.TempDir(), "ran")
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true,
		Certificates: []tls.Certificate{{Certificate: [][]byte{s.Certificate.Raw}, PrivateKey: s.Key}}}}}
	res, err := c.Post("https://"+addr.String()+"/v1/exec", "application/json", strings.NewReader(`{"command":["touch","`+marker+`"]} more`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := os.Stat(marker); res.StatusCode != http.StatusBadRequest || err == nil {
		t.Errorf("status %d, %v; want 400 and nothing run", res.StatusCode, err)
	}
}

// Who ran what is in the log, without its arguments; refusals do not fill it.
func TestExecIsLogged(t *testing.T) {
	a := newAuthority(t)
	log := new(lockedBuffer)
	addr, stop := serve(t, remote.Options{Bundle: a.bundle("a"), Exec: true, Log: slog.New(slog.NewTextHandler(log, nil))})
	target := remote.Target{Node: "a", Addr: addr}
	if _, err := client(t, a.bundle("s", identity.RoleServer)).Exec(t.Context(), target, remote.Command{Args: []string{"true", "hush"}}); err != nil {
		t.Fatal(err)
	}
	member := client(t, a.bundle("m"))
	for range 30 {
		if _, err := member.Exec(t.Context(), target, remote.Command{Args: []string{"true"}}); err == nil {
			t.Fatal("a member ran a command")
		}
	}
	stop()
	got := log.String()
	if !strings.Contains(got, "msg=exec caller=s program=true") || strings.Contains(got, "hush") {
		t.Errorf("log: %s", got)
	}
	if n := strings.Count(got, "exec refused"); n < 1 || n > 20 {
		t.Errorf("%d refusals are logged, want some of 30", n)
	}
}

// lockedBuffer is a buffer that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
