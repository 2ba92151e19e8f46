package protocol

import (
	"errors"

	"github.com/cbnet-io/cbnet/identity"
)

// Faults of what comes from others.
var (
	// ErrMalformed is wrapped by every decoder of foreign bytes.
	ErrMalformed = errors.New("malformed message")
	// ErrTooLarge is wrapped, too, where a limit is the reason.
	ErrTooLarge = errors.New("too large")
)

// errDevice is what others are told if the device does not take their record.
var errDevice = errors.New("device not set")

// Fault names the class of an error about something foreign, for a metric: a
// few fixed words.
func Fault(err error) string {
	for _, f := range []struct {
		err  error
		name string
	}{
		{identity.ErrTooLarge, "oversize"}, {ErrTooLarge, "oversize"},
		{identity.ErrRevoked, "revoked"},
		{identity.ErrExpired, "expired"},
		{identity.ErrUntrusted, "untrusted"},
		{identity.ErrSignature, "forged"},
		{identity.ErrTaken, "conflict"},
		{identity.ErrOutdated, "older"},
		{identity.ErrGrant, "grant"},
		{identity.ErrFormat, "malformed"}, {ErrMalformed, "malformed"},
	} {
		if errors.Is(err, f.err) {
			return f.name
		}
	}
	return "invalid"
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}
