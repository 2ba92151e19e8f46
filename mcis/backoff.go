package mcis

import (
	"errors"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// Bounds of the wait before a step is tried again.
const (
	backoffFirst = time.Second
	backoffMost  = 30 * time.Second
)

// backoff returns how long to wait after the n-th try in a row (from 0) ended
// with err: doubled each time, jittered, and never less than the cloud asks for.
func backoff(n int, err error) time.Duration {
	d := backoffMost
	if n < 5 {
		d = min(backoffFirst<<n, backoffMost)
	}
	d = jitter(d)
	var api *cloud.APIError
	if errors.As(err, &api) {
		d = max(d, min(api.After, 5*time.Minute))
	}
	return d
}
