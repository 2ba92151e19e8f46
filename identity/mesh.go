package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
)

// DefaultCIDR is the IPv4 prefix of a mesh that asks for none. It is not in
// 100.64.0.0/10, where some clouds keep their own services.
var DefaultCIDR = netip.MustParsePrefix("10.66.0.0/16")

// Mesh holds what all nodes of one network share. It is written into the CA's
// certificate, so that whoever trusts the CA agrees on it.
type Mesh struct {
	Format int          `json:"format"`
	Name   string       `json:"name"`
	CIDR   netip.Prefix `json:"cidr"`  // IPv4 addresses are assigned from it by the CA
	CIDR6  netip.Prefix `json:"cidr6"` // a unique local /64 (RFC 4193)
}

// NewMesh describes a new mesh with a random IPv6 prefix (RFC 4193, 3.2).
func NewMesh(name string, cidr netip.Prefix) (Mesh, error) {
	var ula [16]byte
	ula[0] = 0xfd
	if _, err := rand.Read(ula[1:8]); err != nil {
		return Mesh{}, fmt.Errorf("random IPv6 prefix: %w", err)
	}
	m := Mesh{Format: Format, Name: name, CIDR: cidr, CIDR6: netip.PrefixFrom(netip.AddrFrom16(ula), 64)}
	return m, m.Validate()
}

// String returns the mesh's name and prefixes, for people.
func (m Mesh) String() string { return fmt.Sprintf("%s (%s, %s)", m.Name, m.CIDR, m.CIDR6) }

// Validate returns all faults of the mesh's parameters, joined.
func (m Mesh) Validate() error {
	var errs []error
	if m.Format != Format {
		errs = append(errs, fmt.Errorf("mesh format %d: %w", m.Format, ErrFormat))
	}
	if err := ParseName(m.Name); err != nil {
		errs = append(errs, fmt.Errorf("mesh name: %w", err))
	}
	if err := validateCIDR(m.CIDR); err != nil {
		errs = append(errs, fmt.Errorf("mesh cidr: %w", err))
	}
	if !m.CIDR6.IsValid() || m.CIDR6.Bits() != 64 || m.CIDR6.Addr().As16()[0] != 0xfd || m.CIDR6 != m.CIDR6.Masked() {
		errs = append(errs, fmt.Errorf("mesh cidr6 %s: want a unique local /64 in fd00::/8", m.CIDR6))
	}
	return errors.Join(errs...)
}

func validateCIDR(p netip.Prefix) error {
	switch {
	case !p.IsValid() || !p.Addr().Is4():
		return fmt.Errorf("%q: want an IPv4 prefix such as %s", p, DefaultCIDR)
	case p != p.Masked():
		return fmt.Errorf("%s has host bits set; write %s", p, p.Masked())
	case p.Bits() < 8 || p.Bits() > 28:
		return fmt.Errorf("%s: want a prefix length from 8 to 28", p)
	}
	for _, r := range reserved4 {
		if p.Overlaps(r.prefix) {
			return fmt.Errorf("%s overlaps %s (%s); choose another, such as %s", p, r.prefix, r.what, DefaultCIDR)
		}
	}
	return nil
}

// IP6 returns the IPv6 overlay address that belongs to a node's key: the
// mesh's /64 and 64 bits of the key's hash. It needs no allocation: finding a
// second key for an address takes 2^64 tries.
func (m Mesh) IP6(pub ed25519.PublicKey) netip.Addr {
	h := sha256.Sum256(append([]byte("cbnet ip6 v1\x00"), pub...))
	a := m.CIDR6.Addr().As16()
	copy(a[8:], h[:8])
	return netip.AddrFrom16(a)
}

// NextIP returns the lowest address of the prefix that is not used, leaving
// out the network and the broadcast address. It wraps ErrTaken when none is left.
func NextIP(p netip.Prefix, used func(netip.Addr) bool) (netip.Addr, error) {
	last := Broadcast(p)
	for a := p.Masked().Addr().Next(); p.Contains(a) && a != last; a = a.Next() {
		if !used(a) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address left in %s: %w", p, ErrTaken)
}

// Broadcast returns the last address of an IPv4 prefix.
func Broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// ParseName checks the name of a node, a mesh or a group: a DNS label of lower
// case letters, digits and hyphens.
func ParseName(s string) error {
	if s == "" || len(s) > MaxName {
		return fmt.Errorf("name of %d characters: want 1 to %d", len(s), MaxName)
	}
	for i := range len(s) {
		c := s[i]
		edge := i == 0 || i == len(s)-1
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && !edge {
			continue
		}
		return fmt.Errorf("name %.80q: want a-z, 0-9 and inner hyphens", s)
	}
	return nil
}
