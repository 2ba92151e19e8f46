package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// Bundle is all a node needs to join a mesh.
type Bundle struct {
	Certificate *x509.Certificate
	Key         ed25519.PrivateKey // of the certificate; secret
	CAs         []*x509.Certificate
	Introducers []string // HOST:PORT
	Revocations []byte   // the signed list when the bundle was made, nil if there was none
}

// bundleFile is a bundle as JSON. Certificates and key are PEM.
type bundleFile struct {
	Format      int      `json:"format"`
	Certificate string   `json:"certificate"`
	Key         string   `json:"key"`
	CAs         []string `json:"cas"`
	Introducers []string `json:"introducers"`
	Revocations []byte   `json:"revocations,omitempty"` // base64
}

// Roots returns whom the bundle trusts, less what the list in it revokes.
func (b *Bundle) Roots() (*Roots, error) { return b.roots(b.CAs) }

// RootsAt returns the same without authorities that have expired as of now, and
// those apart. It wraps ErrExpired when none is left.
func (b *Bundle) RootsAt(now time.Time) (r *Roots, expired []*x509.Certificate, err error) {
	var live []*x509.Certificate
	for _, ca := range b.CAs {
		if now.After(ca.NotAfter) {
			expired = append(expired, ca)
			continue
		}
		live = append(live, ca)
	}
	if len(live) == 0 && len(expired) > 0 {
		return nil, expired, fmt.Errorf("the authority of the mesh, until %s: %w", expired[0].NotAfter.Format(time.RFC3339), ErrExpired)
	}
	r, err = b.roots(live)
	return r, expired, err
}

func (b *Bundle) roots(cas []*x509.Certificate) (*Roots, error) {
	r, err := NewRoots(cas...)
	if err != nil || len(b.Revocations) == 0 {
		return r, err
	}
	// A list of an authority that has expired since goes with it.
	if _, err := r.Apply(b.Revocations); err != nil && (len(cas) == len(b.CAs) || !errors.Is(err, ErrUntrusted)) {
		return nil, err
	}
	return r, nil
}

// Grant verifies the bundle's own certificate as of now and returns its grant.
func (b *Bundle) Grant(now time.Time) (Grant, error) {
	r, err := b.Roots()
	if err != nil {
		return Grant{}, err
	}
	return r.Verify(b.Certificate, now)
}

// LoadBundle reads a bundle file. Errors name the file and the field.
func LoadBundle(path string) (*Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxBundle+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	b, err := ParseBundle(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// ParseBundle reads a bundle and checks that its parts belong together. It
// does not ask whether the certificate is valid today; see Grant.
func ParseBundle(data []byte) (*Bundle, error) {
	if len(data) > MaxBundle {
		return nil, fmt.Errorf("more than %d bytes: %w", MaxBundle, ErrTooLarge)
	}
	var f bundleFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("want JSON as `cbctl ca issue` writes it: %w", jsonError(err))
	}
	if f.Format != Format {
		return nil, fmt.Errorf("field format: %d, want %d: %w", f.Format, Format, ErrFormat)
	}
	b := &Bundle{Introducers: f.Introducers, Revocations: f.Revocations}
	var err error
	if b.Certificate, err = parseCertPEM([]byte(f.Certificate)); err != nil {
		return nil, fmt.Errorf("field certificate: %w", err)
	}
	if b.Key, err = parseKeyPEM([]byte(f.Key)); err != nil {
		return nil, fmt.Errorf("field key: %w", err)
	}
	for i, s := range f.CAs {
		ca, err := parseCertPEM([]byte(s))
		if err != nil {
			return nil, fmt.Errorf("field cas[%d]: %w", i, err)
		}
		b.CAs = append(b.CAs, ca)
	}
	return b, b.validate()
}

func (b *Bundle) validate() error {
	if !b.Key.Public().(ed25519.PublicKey).Equal(b.Certificate.PublicKey) {
		return errors.New("field key: does not belong to the certificate")
	}
	if _, err := NewRoots(b.CAs...); err != nil {
		return fmt.Errorf("field cas: %w", err)
	}
	if _, err := b.Roots(); err != nil {
		return fmt.Errorf("field revocations: %w", err)
	}
	for i, s := range b.Introducers {
		if err := ParseHostPort(s); err != nil {
			return fmt.Errorf("field introducers[%d]: %w", i, err)
		}
	}
	return nil
}

// ParseHostPort checks an address of the form HOST:PORT with a port in numbers.
func ParseHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return fmt.Errorf("%.200q: want HOST:PORT", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%.200q: want a port from 1 to 65535", s)
	}
	return nil
}

// Marshal returns the bundle as a file holds it. It is secret. What ParseBundle
// would refuse is an error here: a node must not lose its place at the next start.
func (b *Bundle) Marshal() ([]byte, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	key, err := marshalKeyPEM(b.Key)
	if err != nil {
		return nil, fmt.Errorf("bundle key: %w", err)
	}
	f := bundleFile{Format: Format, Certificate: string(marshalCertPEM(b.Certificate)), Key: string(key), Introducers: b.Introducers, Revocations: b.Revocations}
	for _, ca := range b.CAs {
		f.CAs = append(f.CAs, string(marshalCertPEM(ca)))
	}
	return json.MarshalIndent(f, "", "  ")
}

// Save writes the bundle to a file of mode 0600, crash-safely.
func (b *Bundle) Save(path string) error {
	data, err := b.Marshal()
	if err != nil {
		return err
	}
	return WriteFile(path, append(data, '\n'), 0o600)
}

// jsonError keeps the place of a JSON fault and drops everything that might
// repeat the input, which may hold a key.
func jsonError(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("byte %d is not JSON: %w", e.Offset, ErrFormat)
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("field %s: want a %s: %w", e.Field, e.Type, ErrFormat)
	}
	return ErrFormat
}
