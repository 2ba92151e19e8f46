package identity

import (
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
// certificate and key (0600), an index of all it ever issued, and the newest
// revocation list. The directory is locked while open. While the authority is
// being changed (see [Dir.Rotate]) it holds two.
type Dir struct {
	path  string
	lock  *os.File
	ca    *CA                 // signs
	other []*x509.Certificate // trusted beside it
	list  []byte              // the newest revocation list, nil if there is none
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
	// Authority counts the authorities of the directory from 1.
	Authority int `json:"authority,omitempty"`
}

type index struct {
	Format           int      `json:"format"`
	Issued           []Issued `json:"issued"`
	RevocationNumber uint64   `json:"revocationNumber"`
	rotation
}

const (
	indexFile = "index.json"
	listFile  = "revocations.list"
	lockFile  = ".lock"
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
	d := &Dir{path: path, ca: ca, index: index{Format: Format}}
	if d.lock, err = lock(path); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(d.certFile(1)); err == nil {
		return nil, errors.Join(fmt.Errorf("CA directory %s holds an authority already: %w", path, fs.ErrExist), d.Close())
	}
	// The certificate comes last: it marks the directory as complete.
	err = d.save()
	if err == nil {
		err = d.saveCA(ca, 1)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// OpenDir opens a directory that InitDir made. It fails when another process
// has it open. Errors name the file and the field.
func OpenDir(path string) (d *Dir, err error) {
	d = &Dir{path: path}
	if _, err := os.Stat(d.certFile(1)); err != nil {
		return nil, fmt.Errorf("CA directory (make one with `cbctl ca init`): %w", err)
	}
	if d.lock, err = lock(path); err != nil {
		return nil, err
	}
	if err := d.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("CA directory: %w", err), d.Close())
	}
	return d, nil
}

func (d *Dir) load() error {
	name := filepath.Join(d.path, indexFile)
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if d.index, err = parseIndex(data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if d.ca, err = d.loadCA(d.index.signing()); err != nil {
		return err
	}
	for _, n := range d.index.Trusted {
		cert, err := d.loadCert(n)
		if err != nil {
			return err
		}
		d.other = append(d.other, cert)
	}
	if err := d.loadList(); err != nil {
		return err
	}
	return d.forgetKeys()
}

func (d *Dir) loadList() error {
	name := filepath.Join(d.path, listFile)
	list, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := NewRoots(append([]*x509.Certificate{d.ca.Certificate}, d.other...)...)
	if err != nil {
		return err
	}
	if _, err := r.Apply(list); err != nil {
		return fmt.Errorf("%s: %w: remove it, and revoke any node again to have a new one made", name, err)
	}
	d.list = list
	return nil
}

// parseIndex reads an index.
func parseIndex(data []byte) (index, error) {
	var x index
	if err := json.Unmarshal(data, &x); err != nil {
		return index{}, fmt.Errorf("want JSON as `cbctl ca` writes it: %w", jsonError(err))
	}
	if x.Format != Format {
		return index{}, fmt.Errorf("field format: %d, want %d: %w", x.Format, Format, ErrFormat)
	}
	return x, x.validate()
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

func (d *Dir) save() error {
	data, err := json.MarshalIndent(d.index, "", "  ")
	if err != nil {
		return fmt.Errorf("encode CA index: %w", err)
	}
	return WriteFile(filepath.Join(d.path, indexFile), append(data, '\n'), 0o600)
}
