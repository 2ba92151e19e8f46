package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is an offline certificate authority in a directory: the authority's
// certificate and key (0600), and an index of all it ever issued. The
// directory is locked while open.
type Dir struct {
	path  string
	lock  *os.File
	ca    *CA
	index index
}

// Issued is one certificate in the index of a Dir.
type Issued struct {
	Node    string         `json:"node"`
	Serial  string         `json:"serial"`
	IP      netip.Addr     `json:"ip"`
	IP6     netip.Addr     `json:"ip6"`
	Groups  []string       `json:"groups,omitempty"`
	Routes  []netip.Prefix `json:"routes,omitempty"`
	Roles   []Role         `json:"roles,omitempty"`
	Issued  time.Time      `json:"issued"`
	Expires time.Time      `json:"expires"`
	Revoked *time.Time     `json:"revoked,omitempty"`
}

type index struct {
	Format           int      `json:"format"`
	Issued           []Issued `json:"issued"`
	RevocationNumber uint64   `json:"revocationNumber"`
}

// Request asks a Dir for a node's bundle.
type Request struct {
	Grant       Grant // Node, and optionally IP, Routes, Groups, Roles
	Validity    time.Duration
	Introducers []string
}

const (
	caCertFile = "ca.crt"
	caKeyFile  = "ca.key"
	indexFile  = "index.json"
	lockFile   = ".lock"
)

// InitDir makes a new authority for the mesh in a directory that has none yet
// (else fs.ErrExist), and opens it.
func InitDir(path string, m Mesh, now time.Time) (*Dir, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("CA directory: %w", err)
	}
	ca, err := NewCA(m, now)
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.MarshalPEM()
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, ca: ca, index: index{Format: Format}}
	if d.lock, err = lock(path); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(path, caCertFile)); err == nil {
		return nil, errors.Join(fmt.Errorf("CA directory %s holds an authority already: %w", path, fs.ErrExist), d.Close())
	}
	// The certificate comes last: it marks the directory as complete.
	err = errors.Join(WriteFile(filepath.Join(path, caKeyFile), key, 0o600), d.save())
	if err == nil {
		err = WriteFile(filepath.Join(path, caCertFile), cert, 0o644)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// OpenDir opens a directory that InitDir made. It fails when another process
// has it open.
func OpenDir(path string) (d *Dir, err error) {
	cert, err := os.ReadFile(filepath.Join(path, caCertFile))
	if err != nil {
		return nil, fmt.Errorf("CA directory (make one with `cbctl ca init`): %w", err)
	}
	d = &Dir{path: path}
	if d.lock, err = lock(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	key, err := os.ReadFile(filepath.Join(path, caKeyFile))
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	if d.ca, err = ParseCA(cert, key); err != nil {
		return nil, fmt.Errorf("CA directory %s: %w", path, err)
	}
	data, err := os.ReadFile(filepath.Join(path, indexFile))
	if err != nil {
		return nil, fmt.Errorf("CA index: %w", err)
	}
	if err := json.Unmarshal(data, &d.index); err != nil || d.index.Format != Format {
		return nil, fmt.Errorf("CA index %s: %w", filepath.Join(path, indexFile), ErrFormat)
	}
	return d, nil
}

func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("CA directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("CA directory %s is in use by another cbctl: %w", path, err), f.Close())
	}
	return f, nil
}

// Close unlocks the directory.
func (d *Dir) Close() error { return d.lock.Close() }

// CA returns the authority.
func (d *Dir) CA() *CA { return d.ca }

// List returns what was issued, oldest first.
func (d *Dir) List() []Issued { return slices.Clone(d.index.Issued) }

// Issue makes a key and a certificate for a node. A node that was issued
// before keeps its address; a new one gets the wanted or the next free one.
// An address of another node is ErrTaken. The index is written before the
// bundle is handed out.
func (d *Dir) Issue(req Request, now time.Time) (*Bundle, error) {
	ip, err := d.address(req.Grant, now)
	if err != nil {
		return nil, err
	}
	req.Grant.IP = ip
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	cert, err := d.ca.Issue(pub, req.Grant, now, req.Validity)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Certificate: cert, Key: key, CAs: []*x509.Certificate{d.ca.Certificate}, Introducers: req.Introducers}
	if err := b.validate(); err != nil {
		return nil, err
	}
	g := req.Grant
	d.index.Issued = append(d.index.Issued, Issued{
		Node: g.Node, Serial: SerialOf(cert), IP: ip, IP6: d.ca.Mesh.IP6(pub), Groups: g.Groups,
		Routes: g.Routes, Roles: g.Roles, Issued: now.UTC(), Expires: cert.NotAfter,
	})
	return b, d.save()
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
		return nil, fmt.Errorf("node %s was never issued by this authority: %w", node, fs.ErrNotExist)
	}
	d.index.RevocationNumber++
	// The number is spent on disk first: two lists of one number must never exist.
	if err := d.save(); err != nil {
		return nil, err
	}
	return d.ca.SignRevocations(d.revocations(now))
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

func (d *Dir) save() error {
	data, err := json.MarshalIndent(d.index, "", "  ")
	if err != nil {
		return fmt.Errorf("encode CA index: %w", err)
	}
	return WriteFile(filepath.Join(d.path, indexFile), append(data, '\n'), 0o600)
}
