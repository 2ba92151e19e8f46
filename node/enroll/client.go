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

type client struct {
	token identity.Token
	http  *http.Client
	now   func() time.Time
}

func newClient(t identity.Token) *client {
	c := &client{token: t, now: time.Now}
	host := ""
	if u, err := url.Parse(t.URL); err == nil {
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
					return verifyServer(s.PeerCertificates, t.CAHash, host, c.now())
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
func verifyServer(chain []*x509.Certificate, pin [32]byte, host string, now time.Time) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	pinned := false
	for i, cert := range chain {
		switch {
		case i > 0 && sha256.Sum256(cert.Raw) == pin:
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

// enroll asks once. Errors other than ErrRefused and ErrPin may pass.
func (c *client) enroll(ctx context.Context, key ed25519.PrivateKey, csr []byte) (*result, error) {
	body, err := json.Marshal(api.EnrollRequest{Format: identity.Format, Token: c.token.Secret, CSR: csr})
	if err != nil {
		return nil, fmt.Errorf("enrolment request: %w", err)
	}
	u, err := url.JoinPath(c.token.URL, "v1", "enroll")
	if err != nil {
		return nil, fmt.Errorf("%w: address in the token: %w", ErrRefused, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: address in the token: %w", ErrRefused, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", c.token.URL, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", c.token.URL, err)
	}
	if err := c.refusal(res.StatusCode, data); err != nil {
		return nil, err
	}
	return c.read(data, key)
}

// refusal turns a status other than success into an error; what the server may
// do better next time does not wrap ErrRefused.
func (c *client) refusal(status int, data []byte) error {
	if status/100 == 2 {
		return nil
	}
	text := http.StatusText(status)
	var p api.Problem
	if json.Unmarshal(data, &p) == nil && p.Detail != "" {
		text = fmt.Sprintf("%.300q", p.Detail)
	}
	node := c.token.Node
	switch {
	case status == http.StatusConflict:
		return fmt.Errorf("enrolment of %s at %s: %w: %s: the token was used with another key, perhaps by another host; ask for a new token and look at the server's log",
			node, c.token.URL, ErrRefused, text)
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return fmt.Errorf("enrolment of %s at %s: %w: %s: the token is closed or unknown; ask for a new one", node, c.token.URL, ErrRefused, text)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status/100 == 5:
		return fmt.Errorf("server %s: status %d: %s", c.token.URL, status, text)
	}
	return fmt.Errorf("enrolment of %s at %s: %w: status %d: %s: are cbnetd and cbserver of releases that fit together?", node, c.token.URL, ErrRefused, status, text)
}

// read makes a bundle of the server's answer and checks every part of it.
func (c *client) read(data []byte, key ed25519.PrivateKey) (*result, error) {
	var r api.EnrollResponse
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("answer of %s: want JSON: %w", c.token.URL, err)
	}
	if r.Format != identity.Format {
		return nil, fmt.Errorf("answer of %s: format %d, want %d", c.token.URL, r.Format, identity.Format)
	}
	b := &identity.Bundle{Key: key, Introducers: r.Introducers}
	var err error
	if b.Certificate, err = x509.ParseCertificate(r.Certificate); err != nil {
		return nil, fmt.Errorf("answer of %s: certificate: %w", c.token.URL, err)
	}
	pinned := false
	for _, der := range r.CAs {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("answer of %s: authority: %w", c.token.URL, err)
		}
		pinned = pinned || sha256.Sum256(ca.Raw) == c.token.CAHash
		b.CAs = append(b.CAs, ca)
	}
	if !pinned {
		return nil, fmt.Errorf("answer of %s: its authorities lack the one of the token", c.token.URL)
	}
	return c.check(b, r.Revocations)
}

func (c *client) check(b *identity.Bundle, revocations []byte) (*result, error) {
	roots, err := b.Roots()
	if err != nil {
		return nil, fmt.Errorf("answer of %s: authorities: %w", c.token.URL, err)
	}
	if len(revocations) > 0 {
		if _, err := roots.Apply(revocations); err != nil {
			return nil, fmt.Errorf("answer of %s: revocations: %w", c.token.URL, err)
		}
	}
	grant, err := roots.Verify(b.Certificate, c.now())
	if err != nil {
		return nil, fmt.Errorf("answer of %s: by this host's clock, %s: %w", c.token.URL, c.now().Format(time.RFC3339), err)
	}
	if grant.Node != c.token.Node {
		return nil, fmt.Errorf("answer of %s: a certificate of %s, want one of %s", c.token.URL, grant.Node, c.token.Node)
	}
	if !b.Key.Public().(ed25519.PublicKey).Equal(b.Certificate.PublicKey) {
		return nil, fmt.Errorf("answer of %s: a certificate of another key", c.token.URL)
	}
	return &result{bundle: b, revocations: revocations}, nil
}
