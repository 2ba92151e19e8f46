package aws

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/cbnet-io/cbnet/cloud"
)

// in returns the error of a call in a region. There is an endpoint for each
// region, so one that does not exist has none, and one that is not enabled for
// the account refuses its credentials; then the error says so, and which
// regions are near. It costs a call, after such errors only.
func (d *Driver) in(ctx context.Context, region string, err error) error {
	var dns *net.DNSError
	if !errors.Is(err, cloud.ErrAuth) && !(errors.As(err, &dns) && dns.IsNotFound) || region == "" {
		return err
	}
	regions, listErr := d.Regions(ctx)
	if listErr != nil {
		return err // the credentials are wrong everywhere, or nothing is reached
	}
	if _, unknown := cloud.ResolveRegion(regions, region); unknown != nil {
		return fmt.Errorf("%s: %w (%v)", Provider, unknown, err) // the class of err says repeat, and is not kept
	}
	return err
}
