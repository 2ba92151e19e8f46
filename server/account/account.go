package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
)

// Account is an account of a cloud, seen by one mesh.
type Account struct {
	Name   string // the user's
	Driver cloud.Driver
	Region string // its default; may be empty
	Mesh   string // uid: only what bears its mark is looked at
}

const (
	// atOnce is how many regions are asked at the same time.
	atOnce = 8
	// listTimeout bounds one list of one region, repeats included.
	listTimeout = 45 * time.Second
	// deleteTimeout bounds one delete, repeats included.
	deleteTimeout = 2 * time.Minute
)

// ErrRegion is what a region is refused with that the account does not have, or
// that has to be named.
var ErrRegion = errors.New("region")

// regionError tells of a region with those that are near.
type regionError struct{ text string }

// Error implements error.
func (e regionError) Error() string { return e.text }

// Unwrap returns ErrRegion.
func (e regionError) Unwrap() error { return ErrRegion }

// Regions lists the regions by name. The error is a *mcis.CloudError.
func (a Account) Regions(ctx context.Context) ([]cloud.Region, error) {
	list, err := a.Driver.Regions(ctx)
	if err != nil {
		return nil, a.fault("", "regions", err)
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b cloud.Region) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Choose returns the region that is meant by wish: it, or the default one if it
// is empty, or the only one. The error wraps ErrRegion and names what is near.
func (a Account) Choose(wish string, regions []cloud.Region) (string, error) {
	names := make([]string, len(regions))
	for i, r := range regions {
		names[i] = r.Name
	}
	which := ""
	if wish == "" && a.Region != "" {
		wish, which = a.Region, ", which is its default"
	}
	switch {
	case slices.Contains(names, wish):
		return wish, nil
	case wish == "" && len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		return "", regionError{fmt.Sprintf("cloud %s has no region", a.Name)}
	case wish == "":
		return "", regionError{fmt.Sprintf("cloud %s has %d regions and none is its default: name one by --region", a.Name, len(names))}
	}
	return "", regionError{fmt.Sprintf("cloud %s has no region %q%s; near: %s; see cbctl cloud regions %s",
		a.Name, wish, which, strings.Join(cloud.Nearest(wish, names, 5), ", "), a.Name)}
}

// fault gives a driver's error its place.
func (a Account) fault(region, object string, err error) *mcis.CloudError {
	return &mcis.CloudError{Cloud: a.Name, Region: region, Object: object, Err: err}
}
