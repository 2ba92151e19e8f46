package pki

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/cbnet-io/cbnet/identity"
)

const keyCA = "pki/ca"

// storedCA is the authority as the store holds it.
type storedCA struct {
	Format      int    `json:"format"`
	Certificate []byte `json:"certificate"` // PEM
	Key         []byte `json:"key"`         // PEM, sealed
	UID         string `json:"uid"`         // of the mesh, random
}

// loadCA returns the mesh's authority and makes it on the first start. A later
// start with other parameters is refused: they are written into the CA's
// certificate.
func loadCA(ctx context.Context, s Store, cfg Config) (*identity.CA, string, error) {
	var ca *identity.CA
	var st storedCA
	err := retry(ctx, func() error {
		rev, err := load(ctx, s, keyCA, &st)
		if err != nil {
			return err
		}
		if rev == 0 {
			ca, st, err = makeCA(ctx, s, cfg)
			return err
		}
		ca, err = openCA(s, st)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("mesh CA: %w", err)
	}
	if cfg.Mesh != "" && cfg.Mesh != ca.Mesh.Name {
		return nil, "", fmt.Errorf("mesh: this server's is %q, not %q; leave the name out, or use another data directory", ca.Mesh.Name, cfg.Mesh)
	}
	if cfg.CIDR.IsValid() && cfg.CIDR.Masked() != ca.Mesh.CIDR {
		return nil, "", fmt.Errorf("mesh %s: its prefix is %s, not %s; leave it out, or use another data directory", ca.Mesh.Name, ca.Mesh.CIDR, cfg.CIDR)
	}
	return ca, st.UID, nil
}

// DefaultMesh is the name of a mesh that was given none.
const DefaultMesh = "cbnet"

func makeCA(ctx context.Context, s Store, cfg Config) (*identity.CA, storedCA, error) {
	name, cidr := cfg.Mesh, cfg.CIDR
	if name == "" {
		name = DefaultMesh
	}
	if !cidr.IsValid() {
		cidr = identity.DefaultCIDR
	}
	mesh, err := identity.NewMesh(name, cidr)
	if err != nil {
		return nil, storedCA{}, err
	}
	ca, err := identity.NewCA(mesh, cfg.Now())
	if err != nil {
		return nil, storedCA{}, err
	}
	cert, key, err := ca.MarshalPEM()
	if err != nil {
		return nil, storedCA{}, err
	}
	sealed, err := s.Seal(key)
	if err != nil {
		return nil, storedCA{}, fmt.Errorf("seal key: %w", err)
	}
	var uid [5]byte
	rand.Read(uid[:]) // never fails (crypto/rand)
	st := storedCA{Format: identity.Format, Certificate: cert, Key: sealed, UID: hex.EncodeToString(uid[:])}
	op, err := save(keyCA, st, 0)
	if err != nil {
		return nil, storedCA{}, err
	}
	return ca, st, s.Txn(ctx, op)
}

func openCA(s Store, st storedCA) (*identity.CA, error) {
	if st.Format != identity.Format {
		return nil, fmt.Errorf("format %d: this program knows %d", st.Format, identity.Format)
	}
	key, err := s.Unseal(st.Key)
	if err != nil {
		return nil, fmt.Errorf("unseal key: %w", err)
	}
	return identity.ParseCA(st.Certificate, key)
}
