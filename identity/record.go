package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// EndpointKind says how a node knows one of its addresses.
type EndpointKind string

// The kinds of endpoints.
const (
	KindPrivate  EndpointKind = "private"  // on an interface of the node
	KindPublic   EndpointKind = "public"   // told by its operator
	KindObserved EndpointKind = "observed" // seen by another node
)

// Endpoint is an address where a node's WireGuard may answer.
type Endpoint struct {
	Addr netip.AddrPort `json:"addr"`
	Kind EndpointKind   `json:"kind"`
}

// Record is what a node says about itself: where it is. Who it is and what it
// may claim stands in its certificate.
type Record struct {
	Format       int        `json:"format"`
	Node         string     `json:"node"`
	Version      uint64     `json:"version"` // only rises
	Issued       time.Time  `json:"issued"`
	WireGuardKey Bytes32    `json:"wireGuardKey"`
	Endpoints    []Endpoint `json:"endpoints,omitempty"`
	Network      string     `json:"network,omitempty"`   // id of the private network it is in: provider/region/network
	Introduce    string     `json:"introduce,omitempty"` // HOST:PORT where it introduces, if it does
	Away         bool       `json:"away,omitempty"`      // stopped, keeps its place
	Left         bool       `json:"left,omitempty"`      // gave its place up
	Draining     bool       `json:"draining,omitempty"`  // takes no new work
}

// maxNetwork bounds the network id and the introduce address.
const maxNetwork = 255

// Signed is a record that was verified.
type Signed struct {
	Record      Record
	Grant       Grant
	Certificate *x509.Certificate
	Envelope    []byte   // as it came, to be passed on; the certificate refers to it
	Hash        [32]byte // SHA-256 of Envelope
}

// SignRecord wraps a record in an envelope of at most MaxEnvelope bytes. It
// sets the record's format.
func SignRecord(r Record, key ed25519.PrivateKey, cert *x509.Certificate) ([]byte, error) {
	r.Format = Format
	if err := r.validate(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	b := seal(contextRecord, payload, key, cert)
	if len(b) > MaxEnvelope {
		return nil, fmt.Errorf("record of %d bytes: %w", len(b), ErrTooLarge)
	}
	return b, nil
}

// OpenRecord verifies an envelope: size, format, signature, certificate (see
// Verify) and that the record speaks of the certificate's node.
func (r *Roots) OpenRecord(envelope []byte, now time.Time) (*Signed, error) {
	envelope = bytes.Clone(envelope[:min(len(envelope), MaxEnvelope+1)])
	payload, cert, err := open(contextRecord, envelope, MaxEnvelope)
	if err != nil {
		return nil, err
	}
	grant, err := r.Verify(cert, now)
	if err != nil {
		return nil, err
	}
	var rec Record
	if err := json.Unmarshal(payload, &rec); err != nil {
		return nil, fmt.Errorf("record of %s: %w", grant.Node, ErrFormat)
	}
	if rec.Node != grant.Node {
		return nil, fmt.Errorf("record of %s speaks for %.80q: %w", grant.Node, rec.Node, ErrGrant)
	}
	if err := rec.validate(); err != nil {
		return nil, fmt.Errorf("record of %s: %w", grant.Node, err)
	}
	return &Signed{Record: rec, Grant: grant, Certificate: cert, Envelope: envelope, Hash: sha256.Sum256(envelope)}, nil
}

// OpenOwn returns what a record says that was signed with one's own key, under
// whatever certificate: one that has expired or is revoked tells no less which
// versions are taken. Errors wrap ErrFormat, ErrTooLarge, ErrSignature or
// ErrUntrusted, if it was another key.
func OpenOwn(envelope []byte, own ed25519.PublicKey) (Record, error) {
	payload, cert, err := open(contextRecord, envelope, MaxEnvelope)
	if err != nil {
		return Record{}, err
	}
	if !own.Equal(cert.PublicKey) {
		return Record{}, fmt.Errorf("record under another key: %w", ErrUntrusted)
	}
	var rec Record
	if err := json.Unmarshal(payload, &rec); err != nil {
		return Record{}, fmt.Errorf("own record: %w", ErrFormat)
	}
	return rec, nil
}

func (r Record) validate() error {
	switch {
	case r.Format != Format:
		return fmt.Errorf("record format %d: %w", r.Format, ErrFormat)
	case r.WireGuardKey == (Bytes32{}):
		return fmt.Errorf("record without a WireGuard key: %w", ErrFormat)
	case isSmallOrder(r.WireGuardKey):
		return fmt.Errorf("record with a WireGuard key of small order: %w", ErrFormat)
	case r.Version == 0:
		return fmt.Errorf("record without a version: %w", ErrFormat)
	case len(r.Endpoints) > MaxEndpoints:
		return fmt.Errorf("record with %d endpoints: %w", len(r.Endpoints), ErrTooLarge)
	case len(r.Network) > maxNetwork || len(r.Introduce) > maxNetwork:
		return fmt.Errorf("record with an over-long network or introduce address: %w", ErrTooLarge)
	case strings.ContainsFunc(r.Network+r.Introduce, func(c rune) bool { return c <= ' ' || c > '~' }):
		return fmt.Errorf("record with unprintable network or introduce address: %w", ErrFormat)
	}
	for _, e := range r.Endpoints {
		a := e.Addr.Addr()
		if !e.Addr.IsValid() || e.Addr.Port() == 0 || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("record with endpoint %s: %w", e.Addr, ErrFormat)
		}
		if e.Kind != KindPrivate && e.Kind != KindPublic && e.Kind != KindObserved {
			return fmt.Errorf("record with endpoint of kind %.80q: %w", e.Kind, ErrFormat)
		}
	}
	return nil
}

// isSmallOrder reports whether a public key makes every shared secret zero: a
// device need not take it, and no node has it (RFC 7748, section 6.1). These are
// all such keys (Bernstein, "How do I validate Curve25519 public keys?"); to try
// one takes longer than to verify a signature.
func isSmallOrder(key Bytes32) bool {
	key[31] &= 0x7f // X25519 does not look at the highest bit
	switch hex.EncodeToString(key[:]) {
	case "0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f":
		return true
	}
	return false
}

// Order tells how two records of one node relate.
type Order int

// The orders.
const (
	Older    Order = iota - 1 // than the other
	Same                      // to the byte
	Newer                     // than the other
	Conflict                  // of one version, but not the same: neither replaces the other
)

// Compare orders s against o, another record of the same node. A certificate
// for another key that was issued later wins whatever the version: the name
// was issued anew. Within one key versions decide.
func (s *Signed) Compare(o *Signed) Order {
	a, b := s.Certificate, o.Certificate
	if !bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo) {
		if c := a.NotBefore.Compare(b.NotBefore); c != 0 {
			return Order(c)
		}
		return Order(a.SerialNumber.Cmp(b.SerialNumber))
	}
	switch {
	case s.Record.Version > o.Record.Version:
		return Newer
	case s.Record.Version < o.Record.Version:
		return Older
	case s.Hash == o.Hash:
		return Same
	}
	return Conflict
}
