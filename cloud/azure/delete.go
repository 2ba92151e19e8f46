package azure

import (
	"context"
	"errors"
	"fmt"

	"github.com/cbnet-io/cbnet/cloud"
)

// Delete implements cloud.Driver. Each deletion is begun and not waited for; a
// machine takes its disk, interface and address with it.
func (d *Driver) Delete(ctx context.Context, res cloud.Resource) error {
	fail := func(err error) error {
		return fmt.Errorf("azure delete %s %s in %s: %w", res.Kind, res.ID, d.in(res.Region), err)
	}
	k, ok := d.kinds()[res.Kind]
	if !ok {
		return fail(fmt.Errorf("%w: this driver makes no such thing", cloud.ErrInvalid))
	}
	at, err := d.parseID(k.kind, res.ID)
	if err != nil {
		return fail(err)
	}
	tags, state, err := k.get(ctx, at)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fail(err)
	}
	if err := cloud.CheckOwner(res, tagMap(tags)); err != nil {
		return err
	}
	if state == stateDeleting {
		return nil
	}
	if err := gone(k.delete(ctx, at, res.Owner)); err != nil {
		return fail(err)
	}
	return nil
}
