// Package enroll swaps a one-time token for a node's certificate.
//
// The node's key is made first and is safe on disk before anything is sent, so
// that a repeated request asks for the same certificate again and a lost answer
// does no harm. The server is known by the hash of its certificate authority
// in the token: nothing secret is sent to anyone else. [Run] tries until it
// has a bundle, is refused for good, or its context ends.
//
// The folder given holds the node's key, and once there are some the bundle,
// the revocations and the server's address, which [Renew] uses. All have mode
// 0600 and survive a crash at any moment.
package enroll

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// Files in the state folder.
const (
	BundleFile = "bundle.json"      // what was enrolled for
	keyFile    = "identity.key"     // PEM, PKCS #8
	revFile    = "revocations.json" // the signed list that came with the bundle
	serverFile = "server.json"      // where to renew
)

// DefaultPause is the wait after the first try without an answer. It doubles
// with each further one up to MaxPause; a random part of up to a half is taken
// off, so that a thousand nodes do not come back together.
const (
	DefaultPause = 500 * time.Millisecond
	MaxPause     = 30 * time.Second
)

// ErrRefused says that the server knows the token and says no: trying again
// does not help.
var ErrRefused = errors.New("refused by the server")

// ErrPin says that whoever answers at the server's address is not the server
// that the token speaks of. Nothing was sent to it.
var ErrPin = errors.New("not the server that the token names")

// Options say how to enrol.
type Options struct {
	Token identity.Token
	Dir   string        // state folder, exists
	Log   *slog.Logger  // nil: silent
	Pause time.Duration // after the first try without an answer; 0 is DefaultPause
}

// Load returns the bundle that an earlier enrolment saved. The error wraps
// fs.ErrNotExist if there was none.
func Load(dir string) (*identity.Bundle, error) {
	return identity.LoadBundle(filepath.Join(dir, BundleFile))
}

// Revocations returns the signed revocation list that came with the bundle in
// dir, nil if there was none.
func Revocations(dir string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, revFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Run enrols and saves the bundle. It blocks until that is done, the server
// refuses (ErrRefused), someone else answers (ErrPin), the folder cannot be
// written or ctx ends.
func Run(ctx context.Context, o Options) (*identity.Bundle, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	key, err := loadOrMakeKey(filepath.Join(o.Dir, keyFile))
	if err != nil {
		return nil, err
	}
	csr, err := identity.SigningRequest(key, o.Token.Node)
	if err != nil {
		return nil, fmt.Errorf("signing request of %s: %w", o.Token.Node, err)
	}
	c := newClient(o.Token.URL, o.Token.Node, o.Token.CAHash)
	defer c.close()
	pause := o.Pause
	if pause <= 0 {
		pause = DefaultPause
	}
	for {
		got, err := c.enroll(ctx, o.Token.Secret, key, csr)
		if err == nil {
			return got.bundle, errors.Join(saveServer(o.Dir, o.Token.URL), save(o.Dir, got))
		}
		if errors.Is(err, ErrRefused) || errors.Is(err, ErrPin) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("enrolment of %s at %s: %w", o.Token.Node, o.Token.URL, context.Cause(ctx))
		}
		wait := pause - mrand.N(pause/2)
		log.Warn("enrolment waits", "node", o.Token.Node, "server", o.Token.URL, "err", err, "retry", wait)
		if !sleep(ctx, wait) {
			return nil, fmt.Errorf("enrolment of %s at %s: %w (last: %w)", o.Token.Node, o.Token.URL, context.Cause(ctx), err)
		}
		pause = min(2*pause, MaxPause)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func save(dir string, r *result) error {
	if len(r.revocations) > 0 {
		if err := identity.WriteFile(filepath.Join(dir, revFile), r.revocations, 0o600); err != nil {
			return fmt.Errorf("revocation list: %w", err)
		}
	}
	if err := r.bundle.Save(filepath.Join(dir, BundleFile)); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// loadOrMakeKey returns the node's key, which is on the disk when it returns.
func loadOrMakeKey(path string) (ed25519.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	return parseKey(path, data)
}

// parseKey never repeats the file's content.
func parseKey(path string, data []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("identity key %s: want a private key in PEM", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("identity key %s: want PKCS #8", path)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("identity key %s: want an Ed25519 key", path)
	}
	return key, nil
}

func makeKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := identity.WriteFile(path, data, 0o600); err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	return key, nil
}
