package e2e_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
)

const oneNode = `kind: MCIS
name: one
groups:
  - {name: a, cloud: aws, region: ap-northeast-2, count: 1, spec: {vcpu: 2, memory: 4GiB}, image: debian-12}
`

// TestEnrolAnswerLost: the answer to a node's enrolment is lost after the
// server has committed it. The node must join all the same.
func TestEnrolAnswerLost(t *testing.T) {
	s := newSystem(t, "--listen", "127.0.0.1:7443")
	lost := loseEnrolments(t, filepath.Join(s.dir, "server", "audit.log"))
	s.mustCtl(t, "mcis", "apply", "-f", s.spec(t, oneNode), "--yes")
	if st := s.status(t, "one"); st.Ready != 1 {
		t.Errorf("status %+v", st)
	}
	if lost.Load() == 0 {
		t.Error("no answer was lost: the test shows nothing")
	}
	stolenToken(t, s)
	s.mustCtl(t, "mcis", "delete", "one", "--yes")
	s.empty(t)
}

// stolenToken: whoever reads the token in a VM's user-data and comes with a key
// of its own is refused, audited and logged.
func stolenToken(t *testing.T, s *system) {
	t.Helper()
	const imds = "http://169.254.169.254/latest/"
	script := `t=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' ` + imds + `api/token)
curl -sS -H "X-aws-ec2-metadata-token: $t" ` + imds + `user-data`
	r := s.exec(t, "one", "one-a-1", "sh", "-c", script)
	tok, err := identity.ParseToken(regexp.MustCompile(`(?m)^cb1\.\S+$`).FindString(r.stdout))
	if err != nil {
		t.Fatalf("user-data holds no token: %v\n%s", err, r.stderr)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.SigningRequest(key, tok.Node)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(api.EnrollRequest{Format: identity.Format, Token: tok.Secret, CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}
	defer c.CloseIdleConnections()
	resp, err := c.Post("https://127.0.0.1:7443/v1/enroll", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("another key with the same token: %s, want 403", resp.Status)
	}
	for _, name := range []string{filepath.Join("server", "audit.log"), "cbserver.log"} {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`(?m)^.*(one-a-1.*refused|refused.*one-a-1).*$`).Match(b) || strings.Contains(string(b), tok.Secret) {
			t.Errorf("%s does not tell of the refusal, or tells the token:\n%s", name, b)
		}
	}
}

// loseEnrolments forwards the public address of the API to its loopback one,
// and holds every answer back for a moment: if meanwhile the audit log tells of
// an enrolment for the first time, the connections are cut instead.
func loseEnrolments(t *testing.T, audit string) *atomic.Int32 {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "7443"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	lost := new(atomic.Int32)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			go forward(client, audit, lost)
		}
	}()
	return lost
}

func forward(client net.Conn, audit string, lost *atomic.Int32) {
	defer client.Close()
	server, err := net.Dial("tcp", "127.0.0.1:7443")
	if err != nil {
		return // the client sees it
	}
	defer server.Close()
	go func() {
		defer server.Close()
		if _, err := io.Copy(server, client); err != nil {
			return // the other direction ends too
		}
	}()
	buf := make([]byte, 1<<20)
	for {
		n, err := server.Read(buf)
		if n > 0 && n < 8<<10 && enrolledDuring(audit, 300*time.Millisecond) && lost.CompareAndSwap(0, 1) {
			return
		}
		if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// enrolledDuring reports whether the audit log tells of an enrolment by the
// end of the time.
func enrolledDuring(audit string, d time.Duration) bool {
	<-time.After(d)
	b, err := os.ReadFile(audit)
	return err == nil && strings.Contains(string(b), "enrol")
}

// TestNodeNeverJoins: a VM that cannot reach the server fails by its deadline,
// with the reason and what its console said.
func TestNodeNeverJoins(t *testing.T) {
	s := newSystem(t, "--listen", "127.0.0.1:7443", "--deadline", "20s")
	start := time.Now()
	r := s.ctl(t, "mcis", "apply", "-f", s.spec(t, oneNode), "--yes")
	if r.code != 1 {
		t.Errorf("apply: exit %d, want 1\n%s%s", r.code, r.stdout, r.stderr)
	}
	if took := time.Since(start); took > 90*time.Second {
		t.Errorf("took %s", took)
	}
	st := s.status(t, "one")
	if len(st.Nodes) != 1 || st.Ready != 0 {
		t.Fatalf("status %+v", st)
	}
	n := st.Nodes[0]
	if n.Phase != "failed" || !strings.Contains(n.Reason, "did not join") || !strings.Contains(n.Console, "cbnetd") {
		t.Errorf("node %+v", n)
	}
	if !strings.Contains(r.stdout+r.stderr, n.Reason) || !strings.Contains(r.stdout+r.stderr, "cbnetd") {
		t.Errorf("apply does not say why:\n%s%s", r.stdout, r.stderr)
	}
	t.Logf("%s\n%s", n.Reason, n.Console)
	s.mustCtl(t, "mcis", "delete", "one", "--yes")
	s.empty(t)
}
