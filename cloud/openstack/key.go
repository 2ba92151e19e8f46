package openstack

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"

	"github.com/cbnet-io/cbnet/cloud"
)

// Nova's key pairs have a name and nothing else that could bear the mark, so
// the name bears it all: "cbnet_MESH_MCIS_NETWORK". They belong to the user, not
// to the project: another user of the project does not see them.
const (
	keyPrefix  = "cbnet"
	maxKeyName = 255
)

// keyWord matches what of an owner can stand in a key pair's name as it is.
var keyWord = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// keyPairName returns the name of a network's key pair.
func keyPairName(o cloud.Owner, network string) (string, error) {
	word := func(s string) string {
		if keyWord.MatchString(s) && cloud.DecodeLabel(s) == s {
			return s
		}
		return cloud.EncodeLabel(s)
	}
	name := strings.Join([]string{keyPrefix, word(o.Mesh), word(o.MCIS), network}, "_")
	if len(name) > maxKeyName {
		return "", fmt.Errorf("%w: %s: the key pair's name would have %d characters, at most %d are possible", cloud.ErrInvalid, Provider, len(name), maxKeyName)
	}
	return name, nil
}

// keyOwner reads the mark from a key pair's name, zero if it is another's.
func keyOwner(name string) cloud.Owner {
	parts := strings.Split(name, "_")
	if len(parts) != 4 || parts[0] != keyPrefix {
		return cloud.Owner{}
	}
	return cloud.Owner{Mesh: cloud.DecodeLabel(parts[1]), MCIS: cloud.DecodeLabel(parts[2])}
}

// ensureKey imports spec.SSHKey.
func (n *network) ensureKey(ctx context.Context) error {
	if n.spec.SSHKey == "" {
		return nil
	}
	name, err := keyPairName(n.spec.Owner, n.spec.Name)
	if err != nil {
		return err
	}
	have, err := keypairs.Get(ctx, n.compute, name, nil).Extract()
	err = wrap("GET /os-keypairs/NAME", err)
	if err == nil {
		if !sameKey(have.PublicKey, n.spec.SSHKey) {
			return fmt.Errorf("%w: %s key pair %s is another key", cloud.ErrConflict, Provider, name)
		}
		n.key = name
		return nil
	}
	if !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	_, err = keypairs.Create(ctx, n.compute, keypairs.CreateOpts{Name: name, PublicKey: n.spec.SSHKey}).Extract()
	if err = wrap("POST /os-keypairs", err); errors.Is(err, cloud.ErrInUse) || errors.Is(err, cloud.ErrConflict) {
		return fmt.Errorf("%w: made meanwhile: %w", cloud.ErrUnavailable, err) // by an earlier try of this call
	}
	n.key = name
	return err
}

// sameKey compares two lines of authorized_keys without their comments.
func sameKey(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) >= 2 && len(y) >= 2 && slices.Equal(x[:2], y[:2])
}

// key deletes a key pair. Machines keep the key.
func (x deletion) key(ctx context.Context) error {
	have, err := keypairs.Get(ctx, x.r.compute, x.res.ID, nil).Extract()
	if err != nil {
		return wrap("GET /os-keypairs/NAME", err)
	}
	if err := cloud.CheckOwner(x.res, keyOwner(have.Name).Tags()); err != nil {
		return err
	}
	return wrap("DELETE /os-keypairs/NAME", keypairs.Delete(ctx, x.r.compute, x.res.ID, nil).ExtractErr())
}
