package mcis

import "errors"

// Errors of the service.
var (
	// ErrNotFound: there is no MCIS of that name.
	ErrNotFound = errors.New("not found")
	// ErrNoCloud is what [Clouds] returns for a name that was never added.
	ErrNoCloud = errors.New("unknown cloud")
	// ErrDeleting: the MCIS is being deleted; apply again when it is gone.
	ErrDeleting = errors.New("is being deleted")
)
