package cloud

import (
	"errors"
	"fmt"
	"time"
)

// Classes of errors. Every error of a driver that comes from the cloud wraps
// one of these or none (unknown: treated as permanent), and an *APIError.
var (
	// ErrNotFound: the object does not exist, or not yet (eventual consistency).
	ErrNotFound = errors.New("not found")
	// ErrConflict: an object of this name or key exists and is not what was asked for.
	ErrConflict = errors.New("conflict")
	// ErrInUse: something else still depends on it; try again when that is gone.
	ErrInUse = errors.New("in use")
	// ErrQuota: the account's limit is reached.
	ErrQuota = errors.New("quota exceeded")
	// ErrCapacity: the cloud has none left of this type in this place.
	ErrCapacity = errors.New("no capacity")
	// ErrThrottled: too many calls; try later.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable: the cloud failed, or its answer was lost: the call may
	// have taken effect. Repeating it with the same token is safe.
	ErrUnavailable = errors.New("unavailable")
	// ErrAuth: wrong credentials, or not allowed.
	ErrAuth = errors.New("not authorized")
	// ErrInvalid: the cloud refuses the request as it is.
	ErrInvalid = errors.New("invalid request")
	// ErrOwner: the object does not bear the owner's mark.
	ErrOwner = errors.New("not ours")
)

// APIError is an answer of a cloud that is not a success.
type APIError struct {
	Provider  string
	Op        string // the vendor's name of the call
	Status    int    // HTTP status, 0 if there was no answer
	Code      string // the vendor's code
	Message   string
	RequestID string
	Class     error         // one of the sentinels above, or nil
	After     time.Duration // Retry-After, 0 if the cloud did not say
}

// Error implements error.
func (e *APIError) Error() string {
	s := fmt.Sprintf("%s %s", e.Provider, e.Op)
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.RequestID != "" {
		s += " (request " + e.RequestID + ")"
	}
	return s
}

// Unwrap returns the class, so that errors.Is finds it.
func (e *APIError) Unwrap() error { return e.Class }

// Retryable reports whether the same call may be made again by itself.
func Retryable(err error) bool {
	return errors.Is(err, ErrThrottled) || errors.Is(err, ErrUnavailable)
}
