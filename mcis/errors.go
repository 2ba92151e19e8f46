package mcis

import (
	"errors"
	"strings"

	"github.com/cbnet-io/cbnet/cloud"
)

// Errors of the service.
var (
	// ErrNotFound: there is no MCIS of that name.
	ErrNotFound = errors.New("not found")
	// ErrNoCloud is what [Clouds] returns for a name that was never added.
	ErrNoCloud = errors.New("unknown cloud")
	// ErrDeleting: the MCIS is being deleted; apply again when it is gone.
	ErrDeleting = errors.New("is being deleted")
)

// CloudError is what a cloud refused, with its place.
type CloudError struct {
	Cloud  string // the account's name
	Region string // empty: the account as a whole
	Object string // what was asked for: "regions", "machine types"
	Err    error  // of the driver
}

// Error returns "cloud NAME, region REGION, OBJECT: WHY", where WHY begins with
// the vendor's call and code.
func (e *CloudError) Error() string {
	s := "cloud " + e.Cloud
	if e.Region != "" {
		s += ", region " + e.Region
	}
	return s + ", " + e.Object + ": " + e.Why()
}

// Why returns the error without what drivers say of the place before it.
func (e *CloudError) Why() string {
	text := e.Err.Error()
	var api *cloud.APIError
	if !errors.As(e.Err, &api) {
		return text
	}
	return text[max(0, strings.Index(text, api.Error())):]
}

// Unwrap returns the driver's error.
func (e *CloudError) Unwrap() error { return e.Err }
