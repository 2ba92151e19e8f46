package sim

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// authority issues certificates that follow from a seed alone.
type authority struct {
	ca     *identity.CA
	key    ed25519.PrivateKey
	serial int64
	list   identity.RevocationList
	lists  [][]byte // signed ones, by number
}

// epoch is when all simulations begin.
var epoch = time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)

func newAuthority(r *rand.Rand) (*authority, error) {
	m := identity.Mesh{Format: identity.Format, Name: "sim", CIDR: netip.MustParsePrefix("10.66.0.0/16"), CIDR6: netip.MustParsePrefix("fd00:66::/64")}
	random, err := identity.NewCA(m, epoch.Add(-time.Hour))
	if err != nil {
		return nil, err
	}
	a := &authority{key: newKey(r)}
	tmpl := a.template(random.Certificate)
	cert, err := a.sign(tmpl, tmpl, a.key.Public())
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	a.ca, err = identity.ParseCA(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return a, err
}

func newKey(r *rand.Rand) ed25519.PrivateKey {
	seed := bytes32(r)
	return ed25519.NewKeyFromSeed(seed[:])
}

func bytes32(r *rand.Rand) (b [32]byte) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

// template copies what a certificate says, under the next serial number.
func (a *authority) template(c *x509.Certificate) *x509.Certificate {
	a.serial++
	t := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: c.Subject, URIs: c.URIs, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		KeyUsage: c.KeyUsage, ExtKeyUsage: c.ExtKeyUsage, BasicConstraintsValid: c.BasicConstraintsValid, IsCA: c.IsCA, MaxPathLenZero: c.MaxPathLenZero,
	}
	for _, e := range c.Extensions {
		if !strings.HasPrefix(e.Id.String(), "2.5.29.") { // ours, not X.509's own
			t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: e.Id, Critical: e.Critical, Value: e.Value})
		}
	}
	return t
}

func (a *authority) sign(tmpl, parent *x509.Certificate, pub any) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(nil, tmpl, parent, pub, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// issue certifies a node's key at a time.
func (a *authority) issue(key ed25519.PrivateKey, g identity.Grant, now time.Time, validity time.Duration) (*x509.Certificate, error) {
	random, err := a.ca.Issue(key.Public().(ed25519.PublicKey), g, now, validity)
	if err != nil {
		return nil, err
	}
	return a.sign(a.template(random), a.ca.Certificate, key.Public())
}

// revoke puts certificates on the next list and signs it.
func (a *authority) revoke(now time.Time, certs ...*x509.Certificate) ([]byte, error) {
	a.list.Number++
	a.list.Issued = now
	for _, c := range certs {
		a.list.Entries = append(a.list.Entries, identity.Revoked{Node: c.Subject.CommonName, Serial: identity.SerialOf(c), Expires: c.NotAfter})
	}
	signed, err := a.ca.SignRevocations(a.list)
	if err != nil {
		return nil, fmt.Errorf("revoke: %w", err)
	}
	a.lists = append(a.lists, signed)
	return signed, nil
}
