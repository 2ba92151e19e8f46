package enroll

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
)

const (
	callTimeout = 15 * time.Second // one try, the server's signature included
	maxAnswer   = 2 << 20          // bytes: a bundle and a revocation list
)

type result struct {
	bundle      *identity.Bundle
	revocations []byte
}

// client talks to one control plane on behalf of one node.
type client struct {
	url  string
	node string
	pins [][32]byte // SHA-256 of the authorities, one of which the server must have
	http *http.Client
	now  func() time.Time
}

func newClient(server, node string, pins ...[32]byte) *client {
	c := &client{url: server, node: node, pins: pins, now: time.Now}
	host := ""
	if u, err := url.Parse(server); err == nil {
		host = u.Hostname()
	}
	c.http = &http.Client{
		Timeout: callTimeout,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS13,
				// The authority is not known before the handshake, only its
				// hash is: VerifyConnection checks the chain instead.
				InsecureSkipVerify: true,
				VerifyConnection: func(s tls.ConnectionState) error {
					return verifyServer(s.PeerCertificates, pins, host, c.now())
				},
			},
			TLSHandshakeTimeout: callTimeout,
			DisableKeepAlives:   true,
		},
		// The token must not follow a redirect to somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

func (c *client) close() { c.http.CloseIdleConnections() }

// verifyServer checks that the chain holds the pinned authority and leads to
// it, for this host name. A wrong clock is no reason to give up.
func verifyServer(chain []*x509.Certificate, pins [][32]byte, host string, now time.Time) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	pinned := false
	for i, cert := range chain {
		switch {
		case i > 0 && slices.Contains(pins, sha256.Sum256(cert.Raw)):
			roots.AddCert(cert)
			pinned = true
		case i > 0:
			others.AddCert(cert)
		}
	}
	if !pinned {
		return fmt.Errorf("its certificate chain lacks the authority: %w", ErrPin)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: others, DNSName: host, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return fmt.Errorf("the server's certificate is not valid now, %s: check both clocks: %w", now.Format(time.RFC3339), err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	return nil
}

// enroll asks once for a certificate. Errors other than ErrRefused and ErrPin
// may pass.
func (c *client) enroll(ctx context.Context, secret string, key ed25519.PrivateKey, csr []byte) (*result, error) {
	return c.post(ctx, "enroll", api.EnrollRequest{Format: identity.Format, Token: secret, CSR: csr}, key)
}

// renew asks once for a new certificate in the place of an old one.
func (c *client) renew(ctx context.Context, old *x509.Certificate, key ed25519.PrivateKey, csr []byte) (*result, error) {
	return c.post(ctx, "renew", api.RenewRequest{Format: identity.Format, Certificate: old.Raw, CSR: csr}, key)
}

func (c *client) post(ctx context.Context, verb string, request any, key ed25519.PrivateKey) (*result, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	u, err := url.JoinPath(c.url, "v1", verb)
	if err != nil {
		return nil, fmt.Errorf("%w: address of the server: %w", ErrRefused, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: address of the server: %w", ErrRefused, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", c.url, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", c.url, err)
	}
	if err := c.refusal(verb, res.StatusCode, data); err != nil {
		return nil, err
	}
	return c.read(data, key)
}

// refusal turns a status other than success into an error; what the server may
// do better next time does not wrap ErrRefused.
func (c *client) refusal(verb string, status int, data []byte) error {
	if status/100 == 2 {
		return nil
	}
	text := http.StatusText(status)
	var p api.Problem
	if json.Unmarshal(data, &p) == nil && p.Detail != "" {
		text = fmt.Sprintf("%.300q", p.Detail)
	}
	hint := fmt.Sprintf("status %d: are cbnetd and cbserver of releases that fit together?", status)
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status/100 == 5:
		return fmt.Errorf("server %s: status %d: %s", c.url, status, text)
	case verb == "renew" && (status == http.StatusForbidden || status == http.StatusConflict):
		hint = "the server has removed this node or certified another key for it; enrol it anew with a new token"
	case status == http.StatusConflict:
		hint = "the token was used with another key, perhaps by another host; ask for a new token and look at the server's log"
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		hint = "the token is closed or unknown; ask for a new one"
	}
	return fmt.Errorf("%s %s at %s: %w: %s: %s", verb, c.node, c.url, ErrRefused, text, hint)
}

// read makes a bundle of the server's answer and checks every part of it.
func (c *client) read(data []byte, key ed25519.PrivateKey) (*result, error) {
	var r api.EnrollResponse
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("answer of %s: want JSON: %w", c.url, err)
	}
	if r.Format != identity.Format {
		return nil, fmt.Errorf("answer of %s: format %d, want %d", c.url, r.Format, identity.Format)
	}
	b := &identity.Bundle{Key: key, Introducers: r.Introducers}
	var err error
	if b.Certificate, err = x509.ParseCertificate(r.Certificate); err != nil {
		return nil, fmt.Errorf("answer of %s: certificate: %w", c.url, err)
	}
	pinned := false
	for _, der := range r.CAs {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("answer of %s: authority: %w", c.url, err)
		}
		pinned = pinned || slices.Contains(c.pins, sha256.Sum256(ca.Raw))
		b.CAs = append(b.CAs, ca)
	}
	if !pinned {
		return nil, fmt.Errorf("answer of %s: none of its authorities is known here", c.url)
	}
	return c.check(b, r.Revocations)
}

func (c *client) check(b *identity.Bundle, revocations []byte) (*result, error) {
	roots, err := b.Roots()
	if err != nil {
		return nil, fmt.Errorf("answer of %s: authorities: %w", c.url, err)
	}
	if len(revocations) > 0 {
		if _, err := roots.Apply(revocations); err != nil {
			return nil, fmt.Errorf("answer of %s: revocations: %w", c.url, err)
		}
	}
	grant, err := roots.Verify(b.Certificate, c.now())
	if err != nil {
		return nil, fmt.Errorf("answer of %s: by this host's clock, %s: %w", c.url, c.now().Format(time.RFC3339), err)
	}
	if grant.Node != c.node {
		return nil, fmt.Errorf("answer of %s: a certificate of %s, want one of %s", c.url, grant.Node, c.node)
	}
	if !b.Key.Public().(ed25519.PublicKey).Equal(b.Certificate.PublicKey) {
		return nil, fmt.Errorf("answer of %s: a certificate of another key", c.url)
	}
	return &result{bundle: b, revocations: revocations}, nil
}
