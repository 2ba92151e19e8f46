package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"time"
)

// Request asks a Dir for a node's bundle.
type Request struct {
	Grant       Grant // Node, and optionally IP, Routes, Groups, Roles
	Validity    time.Duration
	Introducers []string
	// Key is that of an earlier bundle of the node, see [Dir.Renewal]; nil: a new
	// one, and with it a new IPv6 address.
	Key ed25519.PrivateKey
}

// Renewal returns a request for the same node, key, addresses and grant as an
// earlier bundle of this authority: what stands in the index counts, and of the
// bundle only key and introducers. It wraps fs.ErrNotExist for a key that was
// not issued here, and ErrRevoked for one that was revoked.
func (d *Dir) Renewal(b *Bundle) (Request, error) {
	ip6 := d.ca.Mesh.IP6(b.Key.Public().(ed25519.PublicKey))
	var last *Issued
	for i := range d.index.Issued {
		e := &d.index.Issued[i]
		switch {
		case e.IP6 != ip6:
		case e.Revoked != nil:
			return Request{}, fmt.Errorf("the key of node %s: %w: issue the name anew, with a new key", e.Node, ErrRevoked)
		default:
			last = e
		}
	}
	if last == nil {
		return Request{}, fmt.Errorf("no bundle of this authority: %s has no key like that in its index: %w", d.path, fs.ErrNotExist)
	}
	g := Grant{Node: last.Node, IP: last.IP, Routes: last.Routes, Groups: last.Groups, Roles: last.Roles}
	return Request{Grant: g, Key: b.Key, Introducers: b.Introducers}, nil
}

// Issue makes a certificate for a node, and a key unless it is given one. A node
// that was issued before keeps its address; a new one gets the wanted or the next free one.
// An address of another node is ErrTaken. The index is written before the
// bundle is handed out.
func (d *Dir) Issue(req Request, now time.Time) (*Bundle, error) {
	ip, err := d.address(req.Grant, now)
	if err != nil {
		return nil, err
	}
	req.Grant.IP = ip
	key := req.Key
	if key == nil {
		if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, fmt.Errorf("node key: %w", err)
		}
	}
	pub := key.Public().(ed25519.PublicKey)
	at := d.next(req.Grant.Node, now)
	cert, err := d.ca.Issue(pub, req.Grant, at, req.Validity)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Certificate: cert, Key: key, Introducers: req.Introducers, Revocations: d.list}
	b.CAs = append([]*x509.Certificate{d.ca.Certificate}, d.other...)
	if err := b.validate(); err != nil {
		return nil, err
	}
	g := req.Grant
	d.index.Issued = append(d.index.Issued, Issued{
		Node: g.Node, Serial: SerialOf(cert), IP: ip, IP6: d.ca.Mesh.IP6(pub), Groups: g.Groups,
		Routes: g.Routes, Roles: g.Roles, Issued: at.UTC(), Expires: cert.NotAfter, Authority: d.index.signing(),
	})
	return b, d.save()
}

// next returns the time to issue a node's next certificate at: now, but at
// least a second after its last one. Of two keys with one name the one certified
// later counts, and certificates tell seconds only (RFC 5280, section 4.1.2.5).
func (d *Dir) next(node string, now time.Time) time.Time {
	for _, e := range d.index.Issued {
		if least := e.Issued.Truncate(time.Second).Add(time.Second); e.Node == node && now.Before(least) {
			now = least
		}
	}
	return now
}

// address finds the IPv4 address for a grant.
func (d *Dir) address(g Grant, now time.Time) (netip.Addr, error) {
	owner := make(map[netip.Addr]string) // of addresses that a valid certificate holds
	var own netip.Addr
	for _, e := range d.index.Issued {
		if e.Revoked == nil && now.Before(e.Expires) {
			owner[e.IP] = e.Node
		}
		if e.Node == g.Node {
			own = e.IP
		}
	}
	want := g.IP
	if !want.IsValid() {
		want = own
	}
	if !want.IsValid() || (want == own && !g.IP.IsValid() && owner[want] != "" && owner[want] != g.Node) {
		return NextIP(d.ca.Mesh.CIDR, func(a netip.Addr) bool { return owner[a] != "" })
	}
	if o := owner[want]; o != "" && o != g.Node {
		return netip.Addr{}, fmt.Errorf("address %s belongs to node %s: %w", want, o, ErrTaken)
	}
	return want, nil
}

// Revoke revokes every certificate of the node that has not expired, and
// returns the signed list of all revocations in force. A node that was never
// issued is fs.ErrNotExist.
func (d *Dir) Revoke(node string, now time.Time) ([]byte, error) {
	found := false
	for i := range d.index.Issued {
		e := &d.index.Issued[i]
		if e.Node != node {
			continue
		}
		found = true
		if e.Revoked == nil && now.Before(e.Expires) {
			t := now.UTC()
			e.Revoked = &t
		}
	}
	if !found {
		return nil, fmt.Errorf("node %.80q was never issued by this authority: %w", node, fs.ErrNotExist)
	}
	err := d.publish(now)
	return d.list, err
}

// publish signs a new revocation list and keeps it for the bundles to come.
func (d *Dir) publish(now time.Time) error {
	d.index.RevocationNumber++
	// The number is spent on disk first: two lists of one number must never exist.
	if err := d.save(); err != nil {
		return err
	}
	signed, err := d.ca.SignRevocations(d.revocations(now))
	if err != nil {
		return err
	}
	d.list = signed
	return WriteFile(filepath.Join(d.path, listFile), signed, 0o600)
}

func (d *Dir) revocations(now time.Time) RevocationList {
	l := RevocationList{Number: d.index.RevocationNumber, Issued: now.UTC()}
	for _, e := range d.index.Issued {
		if e.Revoked != nil && now.Before(e.Expires) {
			l.Entries = append(l.Entries, Revoked{Node: e.Node, Serial: e.Serial, Expires: e.Expires})
		}
	}
	return l
}
