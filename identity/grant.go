package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
)

// Role is something a node may do for others.
type Role string

// The roles.
const (
	RoleIntroducer Role = "introducer" // lets new nodes in
	RoleGateway    Role = "gateway"    // routes the grant's subnets
	RoleRelay      Role = "relay"      // forwards datagrams it cannot read
	RoleServer     Role = "server"     // the control plane: may run commands on nodes
)

// Roles lists every role.
var Roles = []Role{RoleIntroducer, RoleGateway, RoleRelay, RoleServer}

// Grant is what a certificate allows its node to claim.
type Grant struct {
	Format int            `json:"format"`
	Mesh   string         `json:"mesh"`
	Node   string         `json:"node"`
	IP     netip.Addr     `json:"ip"`               // IPv4 overlay address
	IP6    netip.Addr     `json:"ip6"`              // IPv6 overlay address, bound to the key
	Routes []netip.Prefix `json:"routes,omitempty"` // subnets it may route
	Groups []string       `json:"groups,omitempty"`
	Roles  []Role         `json:"roles,omitempty"`
}

// Has reports whether the grant holds the role.
func (g Grant) Has(r Role) bool { return slices.Contains(g.Roles, r) }

// The extensions stand below 1.3.6.1.4.1.32473, the enterprise number that RFC
// 5612 sets aside: no verifier but ours reads them, and they are not critical.
var (
	oidGrant = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 66, 1}
	oidMesh  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 66, 2}
)

type reservedPrefix struct {
	prefix netip.Prefix
	what   string
}

var reserved4 = []reservedPrefix{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, cloud metadata"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared address space, cloud services"},
	{netip.MustParsePrefix("224.0.0.0/3"), "multicast and reserved"},
}

var reserved6 = []reservedPrefix{
	{netip.MustParsePrefix("::/8"), "loopback, unspecified, mapped"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// validate returns all faults of a grant for a key in a mesh, joined under ErrGrant.
func (g Grant) validate(m Mesh, pub ed25519.PublicKey) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if g.Format != Format {
		fault("format %d: %w", g.Format, ErrFormat)
	}
	if g.Mesh != m.Name {
		fault("mesh %.80q: want %q", g.Mesh, m.Name)
	}
	if err := ParseName(g.Node); err != nil {
		fault("node: %w", err)
	}
	if !g.IP.Is4() || !m.CIDR.Contains(g.IP) || g.IP == m.CIDR.Addr() || g.IP == Broadcast(m.CIDR) {
		fault("ip %s: want a host address in %s", g.IP, m.CIDR)
	}
	if g.IP6 != m.IP6(pub) {
		fault("ip6 %s: does not belong to the key", g.IP6)
	}
	errs = append(errs, g.validateLists(m)...)
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrGrant, errors.Join(errs...))
}

func (g Grant) validateLists(m Mesh) (errs []error) {
	if len(g.Routes) > MaxRoutes || len(g.Groups) > MaxGroups || len(g.Roles) > len(Roles) {
		return []error{fmt.Errorf("more than %d routes, %d groups or %d roles: %w", MaxRoutes, MaxGroups, len(Roles), ErrTooLarge)}
	}
	for _, r := range g.Routes {
		if err := validateRoute(r, m); err != nil {
			errs = append(errs, fmt.Errorf("route: %w", err))
		}
	}
	for _, n := range g.Groups {
		if err := ParseName(n); err != nil {
			errs = append(errs, fmt.Errorf("group: %w", err))
		}
	}
	for _, r := range g.Roles {
		if !slices.Contains(Roles, r) {
			errs = append(errs, fmt.Errorf("role %.80q: want one of %v", r, Roles))
		}
	}
	return errs
}

func validateRoute(p netip.Prefix, m Mesh) error {
	if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
		return fmt.Errorf("%s: want a prefix without host bits", p)
	}
	if p.Bits() == 0 {
		return fmt.Errorf("%s: a default route is not a subnet", p)
	}
	reserved := reserved4
	if p.Addr().Is6() {
		reserved = reserved6
	}
	for _, r := range reserved {
		if p.Overlaps(r.prefix) {
			return fmt.Errorf("%s overlaps %s (%s)", p, r.prefix, r.what)
		}
	}
	if p.Overlaps(m.CIDR) || p.Overlaps(m.CIDR6) {
		return fmt.Errorf("%s overlaps the mesh's own %s or %s", p, m.CIDR, m.CIDR6)
	}
	return nil
}

func nodeURI(g Grant) *url.URL {
	return &url.URL{Scheme: "cbnet", Host: g.Mesh, Path: "/" + g.Node}
}

// extension encodes v as JSON in a non-critical extension.
func extension(oid asn1.ObjectIdentifier, v any) (pkix.Extension, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("encode extension: %w", err)
	}
	return pkix.Extension{Id: oid, Value: b}, nil
}

// readExtension decodes the one extension of that kind into v.
func readExtension(cert *x509.Certificate, oid asn1.ObjectIdentifier, v any) error {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oid) {
			if err := json.Unmarshal(e.Value, v); err != nil {
				return fmt.Errorf("extension %s: %w: %w", oid, ErrFormat, err)
			}
			return nil
		}
	}
	return fmt.Errorf("certificate has no extension %s: %w", oid, ErrFormat)
}
