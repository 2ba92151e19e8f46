package server_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server"
	"github.com/cbnet-io/cbnet/server/pki"
	"github.com/cbnet-io/cbnet/server/servertest"
)

// enrol makes the request of a node.
func enrol(t *testing.T, tok identity.Token, key ed25519.PrivateKey) api.EnrollRequest {
	t.Helper()
	csr, err := identity.SigningRequest(key, tok.Node)
	if err != nil {
		t.Fatal(err)
	}
	return api.EnrollRequest{Format: identity.Format, Token: tok.Secret, CSR: csr}
}

// dropFirst loses the answer to the first request after the server gave it.
type dropFirst struct {
	http.RoundTripper
	dropped bool
}

func (d *dropFirst) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err != nil || d.dropped {
		return resp, err
	}
	d.dropped = true
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	return nil, errors.New("connection lost")
}

func TestEnrolmentAnswerLost(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	tok, ip, err := s.PKI.Invite(t.Context(), pki.Invitation{Node: "shop-web-1", Groups: []string{"shop"}})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	drop := &dropFirst{RoundTripper: raw(t, s).Transport}
	ctx := s.Context
	ctx.Token = "none" // a node has none
	c, err := api.NewClient(ctx, api.WithTransport(drop))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Enroll(t.Context(), enrol(t, tok, key))
	if err != nil || !drop.dropped {
		t.Fatalf("err = %v, dropped = %v", err, drop.dropped)
	}
	cert, err := x509.ParseCertificate(got.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.PKI.Roots().Verify(cert, time.Now())
	if err != nil || g.IP != ip || len(got.CAs) != 1 || got.Introducers[0] != "192.0.2.1:7950" {
		t.Errorf("grant %+v, %v; answer %+v", g, err, got)
	}
	log, err := s.PKI.AuditLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	issued := 0
	for _, e := range log {
		if e.Action == "enroll" && e.Outcome == pki.Done {
			issued++
		}
	}
	if issued != 1 {
		t.Errorf("%d certificates were issued, want 1", issued)
	}

	t.Run("another key", func(t *testing.T) {
		_, other, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Enroll(t.Context(), enrol(t, tok, other)); status(err) != 403 {
			t.Errorf("err = %v, want 403", err)
		}
		if !strings.Contains(s.Log.String(), "enrolment refused") {
			t.Error("not logged")
		}
	})
	t.Run("closed once the node is in", func(t *testing.T) {
		s.Node.Set("shop-web-1", ip.String(), true)
		eventually(t, "token closed", func() bool {
			_, err := c.Enroll(t.Context(), enrol(t, tok, key))
			return status(err) == 403 && strings.Contains(err.Error(), "closed")
		})
	})
	t.Run("renewal", func(t *testing.T) {
		again, err := c.Renew(t.Context(), api.RenewRequest{Format: 1, Certificate: got.Certificate, CSR: enrol(t, tok, key).CSR})
		if err != nil || !bytes.Equal(again.Certificate, got.Certificate) {
			t.Errorf("renewed too early: %v", err)
		}
	})
	t.Run("unknown format", func(t *testing.T) {
		r := enrol(t, tok, key)
		r.Format = 99
		if _, err := c.Enroll(t.Context(), r); status(err) != 422 {
			t.Errorf("err = %v, want 422", err)
		}
	})
	if strings.Contains(s.Log.String(), tok.Secret) {
		t.Error("the token's secret is in the log")
	}
}

func TestRevocationsAreSpread(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	e := server.NewEnroller(s.PKI)
	got, err := e.Token(t.Context(), mcis.NodeRequest{Node: "shop-web-1", MCIS: "shop", Groups: []string{"shop", "shop/web"}})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := identity.ParseToken(got.Token)
	if err != nil || got.IP != netip.MustParseAddr("10.66.0.1") {
		t.Fatalf("%+v, %v", got, err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := s.Client().Enroll(t.Context(), enrol(t, tok, key))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context(), "shop-web-1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "list spread", func() bool { return len(s.Node.Lists()) > 0 })
	roots, err := identity.NewRoots(s.PKI.CACertificate())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := roots.Apply(s.Node.Lists()[0]); err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(cert.Certificate)
	if err != nil || !roots.Revoked(c) {
		t.Errorf("not revoked (%v)", err)
	}
	if err := e.Extend(t.Context(), "shop-web-1"); err != nil {
		t.Errorf("extend of a node that is gone: %v", err)
	}
}
