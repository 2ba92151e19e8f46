package enroll

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// server is the file that holds the server's address.
type server struct {
	Format int    `json:"format"`
	URL    string `json:"url"`
}

// RenewAt returns when a certificate is due for renewal: after a third of its
// life, so that the server may be away for the other two.
func RenewAt(cert *x509.Certificate) time.Time {
	begin := cert.NotBefore.Add(identity.Backdate)
	return begin.Add(cert.NotAfter.Sub(begin) / 3)
}

// Renewable reports whether the bundle in dir came from a server that may
// renew it.
func Renewable(dir string) bool {
	_, err := serverOf(dir)
	return err == nil
}

// Renew asks the server that enrolled the node for a new certificate of the
// same key, once, and saves the new bundle. It returns the bundle given if the
// server finds that one good enough still. Errors that wrap ErrRefused will
// not pass by themselves. An error beside a bundle says that it could not be
// saved; it is good nevertheless, and the server gives it again.
func Renew(ctx context.Context, dir string, b *identity.Bundle) (*identity.Bundle, error) {
	u, err := serverOf(dir)
	if err != nil {
		return nil, err
	}
	g, err := b.Grant(time.Now())
	if err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	csr, err := identity.SigningRequest(b.Key, g.Node)
	if err != nil {
		return nil, fmt.Errorf("signing request of %s: %w", g.Node, err)
	}
	var pins [][32]byte
	for _, ca := range b.CAs {
		pins = append(pins, sha256.Sum256(ca.Raw))
	}
	c := newClient(u, g.Node, pins...)
	defer c.close()
	got, err := c.renew(ctx, b.Certificate, b.Key, csr)
	if err != nil {
		return nil, err
	}
	if got.bundle.Certificate.Equal(b.Certificate) {
		return b, nil
	}
	if len(got.bundle.Introducers) == 0 {
		got.bundle.Introducers = b.Introducers
	}
	return got.bundle, save(dir, got)
}

func saveServer(dir, u string) error {
	data, err := json.Marshal(server{Format: 1, URL: u})
	if err != nil {
		return fmt.Errorf("server address: %w", err)
	}
	if err := identity.WriteFile(filepath.Join(dir, serverFile), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("server address: %w", err)
	}
	return nil
}

// serverOf wraps fs.ErrNotExist if no server enrolled the node.
func serverOf(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, serverFile))
	if err != nil {
		return "", fmt.Errorf("server address: %w", err)
	}
	return parseServer(data)
}

func parseServer(data []byte) (string, error) {
	var s server
	if err := json.Unmarshal(data, &s); err != nil {
		return "", fmt.Errorf("%s: want JSON: %w", serverFile, err)
	}
	if u, err := url.Parse(s.URL); err != nil || s.Format != 1 || u.Scheme != "https" || u.Hostname() == "" {
		return "", errors.New(serverFile + ": want format 1 and an https address")
	}
	return s.URL, nil
}
